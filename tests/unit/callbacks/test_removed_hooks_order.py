"""When old hooks run: the order that Lightning 1.5 had, seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import leyden as pl
from helpers_fit import Regression, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::leyden.errors.LightningDeprecationWarning")

HOOKS = [
    "on_before_accelerator_backend_setup",
    "setup",
    "on_fit_start",
    "on_pretrain_routine_start",
    "on_pretrain_routine_end",
    "on_sanity_check_start",
    "on_sanity_check_end",
    "on_train_start",
    "on_train_end",
    "on_fit_end",
    "teardown",
    "on_epoch_start",
    "on_epoch_end",
    "on_batch_start",
    "on_batch_end",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_validation_start",
    "on_validation_end",
    "on_validation_epoch_start",
    "on_validation_epoch_end",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_test_start",
    "on_test_end",
    "on_test_epoch_start",
    "on_test_epoch_end",
    "on_configure_sharded_model",
]

CALLS: list[str] = []


def note(owner: str, name: str) -> Callable[..., None]:
    def hook(self: Any, *args: Any) -> None:
        CALLS.append(f"{owner} {name}")

    return hook


class Module(Regression):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        CALLS.append("step")
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        CALLS.append("step")

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        CALLS.append("step")

    configure_sharded_model = note("M", "configure_sharded_model")
    for _stage in ("training", "validation", "test"):
        locals()[f"{_stage}_step_end"] = note("M", f"{_stage}_step_end")
        locals()[f"{_stage}_epoch_end"] = note("M", f"{_stage}_epoch_end")


class Callback(pl.Callback):
    pass


for _name in HOOKS:
    setattr(Callback, _name, note("C", _name))
    if "sanity" not in _name and "sharded" not in _name:
        setattr(Module, _name, note("M", _name))

VALIDATION = """
C on_validation_start | M on_validation_start
C on_epoch_start | M on_epoch_start | C on_validation_epoch_start | M on_validation_epoch_start
C on_validation_batch_start | M on_validation_batch_start
step | M validation_step_end
C on_validation_batch_end | M on_validation_batch_end
M validation_epoch_end | C on_validation_epoch_end | M on_validation_epoch_end | C on_epoch_end | M on_epoch_end
C on_validation_end | M on_validation_end
"""

FIT = f"""
C on_before_accelerator_backend_setup | M on_before_accelerator_backend_setup | C setup | M setup
C on_configure_sharded_model | M configure_sharded_model
C on_fit_start | M on_fit_start
C on_pretrain_routine_start | M on_pretrain_routine_start | C on_pretrain_routine_end | M on_pretrain_routine_end
C on_sanity_check_start
{VALIDATION}
C on_sanity_check_end
C on_train_start | M on_train_start
C on_epoch_start | M on_epoch_start | C on_train_epoch_start | M on_train_epoch_start
C on_batch_start | C on_train_batch_start | M on_batch_start | M on_train_batch_start
step | M training_step_end
C on_train_batch_end | M on_train_batch_end | C on_batch_end | M on_batch_end
{VALIDATION}
M training_epoch_end | C on_train_epoch_end | M on_train_epoch_end | C on_epoch_end | M on_epoch_end
C on_train_end | M on_train_end
C on_fit_end | M on_fit_end
C teardown | M teardown
"""


def expected(text: str) -> list[str]:
    return [call.strip() for line in text.splitlines() for call in line.split("|") if call.strip()]


def test_fit_calls_old_and_new_hooks_in_the_order_of_1_5() -> None:
    CALLS.clear()
    trainer(callbacks=[Callback()], num_sanity_val_steps=1).fit(Module(), loader(2), loader(2))
    assert expected(FIT) == CALLS


def test_test_calls_them_too() -> None:
    CALLS.clear()
    trainer(callbacks=[Callback()]).test(Module(), loader(2), verbose=False)
    start = CALLS.index("C on_test_start")
    assert CALLS[start:] == expected(
        """
        C on_test_start | M on_test_start
        C on_epoch_start | M on_epoch_start | C on_test_epoch_start | M on_test_epoch_start
        step | M test_step_end
        M test_epoch_end | C on_test_epoch_end | M on_test_epoch_end | C on_epoch_end | M on_epoch_end
        C on_test_end | M on_test_end
        C teardown | M teardown
        """
    )


def test_epochs_of_training_and_validation_alternate() -> None:
    class Short(Regression):
        on_epoch_start = note("M", "start")
        on_epoch_end = note("M", "end")

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            CALLS.append("val")

    CALLS.clear()
    trainer(max_epochs=2).fit(Short(), loader(2), loader(2))
    assert CALLS == ["M start", "M start", "val", "M end", "M end"] * 2
