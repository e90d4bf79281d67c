from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.demos.boring_classes import BoringModel
from leyden.legacy.views.connectors import AcceleratorConnector


def trainer(**options: Any) -> Any:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    limits = {"max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1}
    return pl.Trainer(**(quiet | limits | options))


class Data(pl.LightningDataModule):
    seen: Any = None

    def train_dataloader(self) -> Any:
        return BoringModel().train_dataloader()

    def val_dataloader(self) -> Any:
        return BoringModel().val_dataloader()

    def state_dict(self) -> dict[str, Any]:
        return {"position": 7}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen = state_dict


def test_where_and_how_a_run_computes(tmp_path: Path) -> None:
    runner = trainer(default_root_dir=tmp_path, enable_checkpointing=False)
    connector = runner._accelerator_connector
    assert not connector.is_distributed and connector.use_distributed_sampler
    assert connector.strategy is runner.strategy and connector.accelerator is runner.accelerator
    assert connector.precision_plugin is runner.precision_plugin and connector.checkpoint_io is None
    assert connector.cluster_environment.world_size() == 1
    with pytest.raises(AttributeError, match="internal to Lightning"):
        _ = connector._registered_strategies


def test_what_a_trainer_would_compute_on_is_asked_without_one() -> None:
    connector = AcceleratorConnector(accelerator="cpu", devices="1", precision="64-true", benchmark=True)
    assert (connector._accelerator_flag, connector._devices_flag, connector._precision_flag) == ("cpu", 1, "64-true")
    assert [device.type for device in connector._parallel_devices] == ["cpu"]
    assert connector.use_distributed_sampler
    assert not AcceleratorConnector(use_distributed_sampler=False, accelerator="cpu").use_distributed_sampler
    with pytest.raises(ValueError, match="`accelerator` got 'gqu'"):
        AcceleratorConnector(accelerator="gqu")


def test_checkpoint_callbacks_are_ordered_last() -> None:
    checkpoint, stopping = ModelCheckpoint(), EarlyStopping("x")
    runner = trainer(enable_checkpointing=False)
    assert runner._callback_connector._reorder_callbacks([checkpoint, stopping]) == [stopping, checkpoint]


def test_a_checkpoint_is_put_together_in_a_run_only() -> None:
    runner = trainer(enable_checkpointing=False)
    with pytest.raises(AttributeError, match="`dump_checkpoint` needs a model"):
        runner._checkpoint_connector.dump_checkpoint()
    runner.fit(BoringModel())
    dumped = runner._checkpoint_connector.dump_checkpoint(weights_only=False)
    assert dumped["global_step"] == 2 and "optimizer_states" in dumped
    assert "optimizer_states" not in runner._checkpoint_connector.dump_checkpoint(weights_only=True)


def test_a_checkpoint_is_restored_in_parts(tmp_path: Path) -> None:
    first = trainer(default_root_dir=tmp_path)
    model = BoringModel()
    first.fit(model, datamodule=Data())
    runner, other = trainer(default_root_dir=tmp_path, enable_checkpointing=False), BoringModel()
    runner.strategy.connect(other)
    connector = runner._checkpoint_connector
    assert connector is runner._checkpoint_connector and connector.trainer is runner
    connector.resume_start(first.checkpoint_callback.best_model_path)
    assert connector._loaded_checkpoint["global_step"] == 2
    connector.restore_model()
    connector.restore_datamodule()
    connector.resume_end()
    assert torch.equal(other.layer.weight, model.layer.weight)
    assert connector._loaded_checkpoint == {}


def test_a_run_that_was_is_restored_whole(tmp_path: Path) -> None:
    class Counting(pl.Callback):
        count = 0

        def state_dict(self) -> dict[str, Any]:
            return {"count": self.count}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.count = state_dict["count"]

    data, counting = Data(), Counting()
    runner = trainer(default_root_dir=tmp_path, callbacks=[counting])
    counting.count = 3
    runner.fit(BoringModel(), datamodule=data)
    counting.count = 0
    runner._checkpoint_connector.restore(runner.checkpoint_callback.best_model_path)
    assert counting.count == 3 and data.seen == {"position": 7}
