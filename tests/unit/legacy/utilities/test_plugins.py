from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import leyden as pl
from leyden.demos.boring_classes import BoringModel
from leyden.errors import CheckpointError
from leyden.legacy.utilities.plugins import TorchCheckpointIO
from leyden.runtime.resolve import CheckpointIO


def test_it_is_a_checkpoint_plugin_that_reads_writes_and_removes(tmp_path: Path) -> None:
    plugin, path = TorchCheckpointIO(), tmp_path / "a.ckpt"
    assert isinstance(plugin, CheckpointIO)
    plugin.save_checkpoint({"state_dict": {"w": torch.ones(2)}, "epoch": 0, "global_step": 1}, path)
    assert plugin.load_checkpoint(path)["global_step"] == 1
    plugin.remove_checkpoint(path)
    plugin.remove_checkpoint(path)
    assert not path.exists()
    plugin.teardown()


def test_objects_of_a_program_are_written_and_loaded_only_freely(tmp_path: Path) -> None:
    plugin, path = TorchCheckpointIO(), tmp_path / "a.ckpt"
    with pytest.warns(UserWarning, match=r"checkpoint\['loss'\] is a .*MSELoss.*only `weights_only=False` loads"):
        plugin.save_checkpoint({"loss": nn.MSELoss()}, path)
    assert isinstance(plugin.load_checkpoint(path, weights_only=False)["loss"], nn.MSELoss)
    with pytest.raises(CheckpointError, match="MSELoss"):
        plugin.load_checkpoint(path)
    with pytest.raises(CheckpointError, match="was not saved"):
        plugin.save_checkpoint({"state_dict": {}}, tmp_path)


def test_options_of_a_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="storage_options"):
        TorchCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt", storage_options=1)


def test_one_derived_from_it_serves_a_trainer(tmp_path: Path) -> None:
    class Counting(TorchCheckpointIO):
        saved: ClassVar[list[Any]] = []

        def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
            self.saved.append(path)
            super().save_checkpoint(checkpoint, path, storage_options)

    options: dict[str, Any] = {
        "accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
        "limit_train_batches": 2, "limit_val_batches": 0, "enable_checkpointing": False,
    }  # fmt: skip
    trainer = pl.Trainer(max_epochs=1, plugins=[Counting()], default_root_dir=tmp_path, **options)
    trainer.fit(BoringModel())
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert [Path(path).name for path in Counting.saved] == ["end.ckpt"]
    again = pl.Trainer(max_epochs=2, plugins=Counting(), default_root_dir=tmp_path, **options)
    again.fit(BoringModel(), ckpt_path=str(tmp_path / "end.ckpt"))
    assert again.global_step == 4
