"""Where `self.log` is possible, and what its defaults are there."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_results import Probe, Rows, numbers, trainer
from leyden.core.hooks import HOOKS
from leyden.errors import MisconfigurationException

PER_STEP = [
    "training_step", "on_train_batch_start", "on_train_batch_end", "on_before_backward", "on_after_backward",
    "on_before_optimizer_step", "on_before_zero_grad", "optimizer_step", "optimizer_zero_grad", "backward",
    "configure_gradient_clipping",
]  # fmt: skip
PER_BATCH = [
    "validation_step", "on_validation_batch_start", "on_validation_batch_end", "test_step", "on_test_batch_start",
    "on_test_batch_end",
]  # fmt: skip
PER_EPOCH = [
    f"on_{stage}_{point}"
    for stage in ("train", "validation", "test")
    for point in ("start", "epoch_start", "epoch_end")
]  # fmt: skip
REFUSED = [
    "on_fit_start", "on_fit_end", "on_train_end", "on_validation_end", "on_test_end", "setup", "teardown",
    "configure_model", "configure_optimizers", "prepare_data", "predict_step", "on_predict_start", "on_predict_end",
    "on_predict_epoch_start", "on_predict_epoch_end", "on_predict_batch_start", "on_predict_batch_end",
    "on_predict_model_eval",
    "on_validation_model_eval", "on_validation_model_train", "on_validation_model_zero_grad", "on_test_model_eval",
    "on_test_model_train", "transfer_batch_to_device", "on_before_batch_transfer", "on_after_batch_transfer",
    "train_dataloader", "val_dataloader", "lr_scheduler_step",
]  # fmt: skip
CALLBACKS = [name for name in [*PER_STEP, *PER_BATCH, *PER_EPOCH, *REFUSED] if hasattr(pl.Callback, name)]
CALLBACKS += ["on_sanity_check_start", "on_sanity_check_end"]


class Complete(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0]).mean()

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def test_step(self, batch: Any, batch_idx: int) -> None: ...

    def predict_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    def train_dataloader(self) -> Any:
        return numbers()

    def val_dataloader(self) -> Any:
        return numbers()


def logging_in(name: str, of_callback: bool, **arguments: Any) -> tuple[pl.LightningModule, list[pl.Callback]]:
    """A module and callbacks, one of which logs "x" in one hook."""
    base: type = pl.Callback if of_callback else Complete
    original = getattr(base, name)

    @functools.wraps(original)
    def method(self: Any, *given: Any, **named: Any) -> Any:
        self.log("x", 1.0, **arguments)
        return original(self, *given, **named)

    logs = type("Logs", (base,), {name: method})()
    return (Complete(), [logs]) if of_callback else (logs, [])


def run_everything(module: pl.LightningModule, callbacks: list[pl.Callback]) -> tuple[int, set[str]]:
    """Fit, test, predict: how many rows with "x" loggers got, and the keys of "x" that callbacks saw."""
    rows = Rows()
    run = trainer(logger=rows, callbacks=callbacks, num_sanity_val_steps=1)
    run.fit(module)
    keys = {key for key in run.callback_metrics if key.startswith("x")}
    run.test(module, numbers(), verbose=False)
    keys |= {key for key in run.callback_metrics if key.startswith("x")}
    run.predict(module, numbers())
    return sum(any(key.startswith("x") for key in row) for _, row in rows.rows), keys


PLACES = [(name, False) for name in [*PER_STEP, *PER_BATCH, *PER_EPOCH]]
PLACES += [(name, True) for name in CALLBACKS if name in [*PER_STEP, *PER_BATCH, *PER_EPOCH]]


@pytest.mark.parametrize(("name", "of_callback"), PLACES)
def test_row_73_the_defaults_of_a_hook(name: str, of_callback: bool) -> None:
    rows, keys = run_everything(*logging_in(name, of_callback))
    assert keys == {"x"}
    assert rows == (2 if name in PER_STEP else 1)


@pytest.mark.parametrize(("name", "of_callback"), PLACES)
def test_row_73_steps_and_epochs_together(name: str, of_callback: bool) -> None:
    module, callbacks = logging_in(name, of_callback, on_step=True, on_epoch=True)
    if name in PER_EPOCH:
        with pytest.raises(MisconfigurationException, match=f"on_step=True.* is not possible in `{name}`"):
            run_everything(module, callbacks)
        return
    rows, keys = run_everything(module, callbacks)
    assert rows == 3
    assert keys == ({"x", "x_step", "x_epoch"} if name in PER_STEP else {"x", "x_epoch"})


@pytest.mark.parametrize(("name", "of_callback"), PLACES)
def test_row_73_neither_steps_nor_epochs(name: str, of_callback: bool) -> None:
    with pytest.raises(MisconfigurationException, match="would log nothing"):
        run_everything(*logging_in(name, of_callback, on_step=False, on_epoch=False))


@pytest.mark.parametrize(
    ("name", "of_callback"), [(n, False) for n in REFUSED] + [(n, True) for n in CALLBACKS if (n, True) not in PLACES]
)
def test_row_73_hooks_in_which_nothing_can_be_logged(name: str, of_callback: bool) -> None:
    said = "transfer_batch_to_device" if name.endswith("batch_transfer") else name
    with pytest.raises(MisconfigurationException, match=rf"self\.log\('x', \.\.\.\)` is not possible in `{said}`"):
        run_everything(*logging_in(name, of_callback))


def test_in_a_checkpoint_hook_nothing_can_be_logged(tmp_path: Any) -> None:
    module = Probe(on_save_checkpoint=lambda m, checkpoint: m.log("x", 1.0))
    module.on_train_epoch_end = lambda: module.trainer.save_checkpoint(tmp_path / "x.ckpt")  # type: ignore[method-assign]
    with pytest.raises(MisconfigurationException, match="on_save_checkpoint"):
        trainer(limit_val_batches=0).fit(module, numbers(), numbers())


def test_every_hook_of_the_table_is_tried_here() -> None:
    tried = {*PER_STEP, *PER_BATCH, *PER_EPOCH, *REFUSED, "on_sanity_check_start", "on_sanity_check_end"}
    elsewhere = {
        "on_save_checkpoint", "on_load_checkpoint", "on_exception", "configure_callbacks", "state_dict",
        "load_state_dict", "test_dataloader", "predict_dataloader",
    }  # fmt: skip
    assert tried | elsewhere == set(HOOKS)
