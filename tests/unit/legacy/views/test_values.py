from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import leyden as pl
from leyden.demos.boring_classes import BoringModel
from leyden.errors import MisconfigurationException
from leyden.legacy.views import values


@pytest.mark.parametrize("devices", [1, "2", [0, 1], (3,)])
def test_kinds_of_devices(devices: Any) -> None:
    values.check_data_type(devices)


@pytest.mark.parametrize("devices", [None, 1.0, True, ["0"], [0, 1.0], {0}])
def test_other_kinds_are_refused(devices: Any) -> None:
    with pytest.raises(TypeError, match="`devices` got"):
        values.check_data_type(devices)


def test_ids_are_different_and_texts_are_read() -> None:
    values.check_unique([0, 1])
    with pytest.raises(MisconfigurationException, match="each id once"):
        values.check_unique([0, 0])
    assert [values.parse_device_string(text) for text in ("0,1", "3", "-1", "0,", [2])] == [[0, 1], 3, -1, [0], [2]]


def test_classes_register_themselves_and_devices_are_told(caplog: pytest.LogCaptureFixture) -> None:
    class Base:
        @classmethod
        def register(cls, registry: dict[str, type]) -> None:
            registry["base"] = cls

    class Mine(Base):
        @classmethod
        def register(cls, registry: dict[str, type]) -> None:
            registry["mine"] = cls

    class Silent(Base):
        pass

    registry: dict[str, type] = {}
    values.register_classes(registry, "register", SimpleNamespace(mine=Mine, silent=Silent, other=int), Base)
    assert registry == {"mine": Mine}
    with caplog.at_level("INFO", logger="leyden"):
        values.log_device_info(pl.Trainer(barebones=True, max_epochs=1, accelerator="cpu", devices=1, logger=False))
    assert "CPUAccelerator: 1 on each of 1 machines" in caplog.text


def test_tensors_are_mapped_from_their_file(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "w.pt")
    loaded = values.lazy_load(tmp_path / "w.pt")["w"]
    assert torch.equal(loaded, torch.ones(3)) and not isinstance(loaded, values.NotYetLoadedTensor)


def test_there_is_no_process_group_and_no_prompt() -> None:
    assert not values.distributed_is_initialized() and not values.IS_INTERACTIVE


def test_modules_and_data_modules_are_loaded_by_their_class(tmp_path: Path) -> None:
    class Data(pl.LightningDataModule):
        def __init__(self, size: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters()

    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet)
    module = BoringModel()
    trainer.fit(module, module.train_dataloader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = values.load_from_checkpoint(BoringModel, tmp_path / "a.ckpt", strict=True)
    assert torch.equal(loaded.layer.weight, module.layer.weight)
    assert values.load_from_checkpoint(Data, tmp_path / "a.ckpt", size=4).hparams.size == 4
