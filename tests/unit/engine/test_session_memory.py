"""No memory is kept: what a run has used can be collected when nobody else holds it."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Validated, loader, trainer


class Data(pl.LightningDataModule):
    def train_dataloader(self) -> Any:
        return loader()

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Model(Validated):
    """Keeps a weak reference to every batch, output and loss it sees."""

    def __init__(self, automatic: bool = True) -> None:
        super().__init__()
        self.automatic_optimization = automatic
        self.seen: list[weakref.ref[Any]] = []

    def saw(self, *tensors: torch.Tensor) -> None:
        self.seen.extend(map(weakref.ref, tensors))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.saw(*batch, loss)
        if not self.automatic_optimization:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        return {"loss": loss, "extra": batch[0]}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.saw(*batch)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self.saw(*batch)
        return batch

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        output = self.layer(batch[0])
        self.saw(*batch, output)
        return output


def full_trainer(folder: Any, **arguments: Any) -> pl.Trainer:
    """A Trainer with everything switched on."""
    on: dict[str, Any] = {
        "max_epochs": 2,
        "default_root_dir": folder,
        "logger": pl.loggers.CSVLogger(folder),
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 2,
        "enable_progress_bar": True,
        "enable_model_summary": True,
        "enable_checkpointing": True,
        "callbacks": [pl.callbacks.EarlyStopping("val_loss", patience=9), pl.callbacks.Timer()],
    }
    return trainer(**on | arguments)


def alive(references: list[weakref.ref[Any]]) -> list[Any]:
    gc.collect()
    return [reference() for reference in references if reference() is not None]


@pytest.mark.parametrize(("automatic", "window"), [(True, 1), (True, 3), (False, 1)])
def test_no_batch_is_kept_while_trainer_and_module_live(tmp_path, automatic, window) -> None:
    model, data = Model(automatic), Data()
    made = full_trainer(tmp_path, accumulate_grad_batches=window)
    made.fit(model, datamodule=data)
    made.test(model, datamodule=data, verbose=False)
    made.predict(model, datamodule=data, return_predictions=False)
    assert len(model.seen) > 30
    assert alive(model.seen) == []
    assert made.lightning_module is model


def test_everything_goes_with_the_trainer(tmp_path) -> None:
    made, model, data = full_trainer(tmp_path), Model(), Data()
    made.fit(model, datamodule=data)
    made.test(model, datamodule=data, verbose=False)
    things = [made, model, data, made.optimizers[0], made.callbacks[0], made.strategy, model.layer.weight]
    references = [weakref.ref(thing) for thing in things]
    del made, model, data, things
    assert alive(references) == []


def test_a_module_outlives_its_trainer(tmp_path) -> None:
    made, model = full_trainer(tmp_path), Model()
    made.fit(model, datamodule=Data())
    references = [weakref.ref(made.optimizers[0]), weakref.ref(made.train_dataloader)]
    model.trainer = None  # the module knows its last Trainer until it is told otherwise
    del made
    assert alive(references) == []


def test_a_run_that_failed_keeps_nothing_either(tmp_path) -> None:
    class Failing(Model):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            super().validation_step(batch, batch_idx)
            raise RuntimeError("broken")

    model = Failing()
    made = full_trainer(tmp_path, num_sanity_val_steps=0)
    with pytest.raises(RuntimeError, match="broken"):
        made.fit(model, datamodule=Data())
    assert alive(model.seen) == []
    references = [weakref.ref(made), weakref.ref(model)]
    del made, model
    assert alive(references) == []


def test_one_trainer_fits_one_module_after_the_other(tmp_path) -> None:
    """As in a notebook whose cell is run again: the last module is let go when the next one comes."""
    made = full_trainer(tmp_path, enable_checkpointing=False)
    references = []
    for round_number in range(3):
        model = Model()
        made.fit_loop.max_epochs = 2 * (round_number + 1)
        made.fit(model, datamodule=Data())
        assert made.current_epoch == 2 * (round_number + 1)
        references.append(weakref.ref(model))
        del model
        assert alive(references) == [made.lightning_module]


def test_an_interrupt_at_a_prompt_keeps_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)

    class Interrupted(Model):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            super().validation_step(batch, batch_idx)
            raise KeyboardInterrupt

    model = Interrupted()
    made = full_trainer(tmp_path, num_sanity_val_steps=0)
    made.fit(model, datamodule=Data())  # it returns
    assert made.interrupted
    assert alive(model.seen) == []
