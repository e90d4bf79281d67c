"""Who gets what of a checkpoint, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, loader, trainer, weights

CALLS: list[str] = []


class Module(Regression):
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        CALLS.append("module.on_load_checkpoint")

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        CALLS.append("module.load_state_dict")
        return super().load_state_dict(*args, **kwargs)

    def on_fit_start(self) -> None:
        CALLS.append("module.on_fit_start")

    def on_train_start(self) -> None:
        CALLS.append(f"rate {self.trainer.optimizers[0].param_groups[0]['lr']}")

    def configure_optimizers(self) -> Any:
        CALLS.append("configure_optimizers")
        return super().configure_optimizers()

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def test_step(self, batch: Any, batch_idx: int) -> None: ...

    def predict_step(self, batch: Any, batch_idx: int) -> None: ...


class Data(pl.LightningDataModule):
    def setup(self, stage: str) -> None:
        CALLS.append("setup")

    def train_dataloader(self) -> Any:
        return loader()

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader

    def state_dict(self) -> dict[str, Any]:
        return {"position": 3}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        CALLS.append(f"data {state_dict}")


class Callback(pl.Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"seen": 4}

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        CALLS.append("callback.on_load_checkpoint")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        CALLS.append(f"callback {state_dict}")


RESTORED = [
    "setup",
    "module.on_load_checkpoint",
    "module.load_state_dict",
    "data {'position': 3}",
    "callback.on_load_checkpoint",
    "callback {'seen': 4}",
]


@pytest.fixture
def saved(tmp_path: Path) -> str:
    runner = trainer(callbacks=[Callback()])
    runner.fit(Module(lr=0.5), datamodule=Data())
    runner.save_checkpoint(tmp_path / "a.ckpt")
    CALLS.clear()
    return str(tmp_path / "a.ckpt")


def test_the_order_of_a_resume(saved: str) -> None:
    trainer(max_epochs=2, callbacks=[Callback()]).fit(Module(lr=0.1), datamodule=Data(), ckpt_path=saved)
    assert [*RESTORED, "configure_optimizers", "module.on_fit_start", "rate 0.5"] == CALLS


@pytest.mark.parametrize("entry", ["validate", "test", "predict"])
def test_other_stages_restore_module_data_and_callbacks(saved: str, entry: str) -> None:
    module = Module()
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    getattr(trainer(callbacks=[Callback()]), entry)(module, datamodule=Data(), ckpt_path=saved)
    assert CALLS == RESTORED
    assert weights(module).abs().sum() > 0


def test_a_callbacks_state_under_its_class_alone_is_found(saved: str, tmp_path: Path) -> None:
    class Keyed(Callback):
        @property
        def state_key(self) -> str:
            return "Keyed{'monitor': 'a'}"

    checkpoint = torch.load(saved, weights_only=True)
    checkpoint["callbacks"] = {Keyed.__qualname__: {"seen": 9}}
    torch.save(checkpoint, tmp_path / "b.ckpt")
    trainer(max_epochs=2, callbacks=[Keyed()]).fit(Module(), datamodule=Data(), ckpt_path=tmp_path / "b.ckpt")
    assert "callback {'seen': 9}" in CALLS
