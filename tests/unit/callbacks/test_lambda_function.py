"""LambdaCallback: a function for any hook of a callback."""

from __future__ import annotations

import inspect

import pytest

import leyden as pl
from helpers_fit import Validated, fit, loader
from leyden.callbacks import LambdaCallback
from leyden.callbacks.lambda_function import NAMES
from leyden.errors import MisconfigurationException


def test_functions_are_called_with_what_the_hook_gets():
    calls = []
    callback = LambdaCallback(
        setup=lambda trainer, pl_module, stage: calls.append(("setup", stage)),
        on_train_batch_end=lambda trainer, pl_module, outputs, batch, batch_idx: calls.append(batch_idx),
        on_before_zero_grad=lambda trainer, pl_module, optimizer: calls.append(type(optimizer).__name__),
        teardown=None,
    )
    fit(Validated(), callbacks=[callback], limit_train_batches=2)
    assert calls == [("setup", "fit"), "SGD", 0, "SGD", 1]


def test_every_hook_of_a_callback_has_its_argument():
    hooks = {
        name for name, method in vars(pl.Callback).items()
        if inspect.isfunction(method) and (name.startswith("on_") or name in ("setup", "teardown"))
    }  # fmt: skip
    assert set(NAMES) == hooks
    assert list(inspect.signature(LambdaCallback).parameters) == NAMES


def test_every_hook_is_called(tmp_path):
    called = set()

    def note(name):
        return lambda trainer, *given: called.add(name)

    callback = LambdaCallback(**{name: note(name) for name in NAMES})
    made = fit(module := Validated(), callbacks=[callback], num_sanity_val_steps=1)
    made.save_checkpoint(tmp_path / "a.ckpt")
    made.fit_loop.max_epochs = 2
    made.fit(module, loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    missing = {name for name in NAMES if not name.startswith(("on_test", "on_predict"))} - called
    assert missing == {"on_exception"}


def test_a_function_that_returns_something_is_called_with_the_checkpoint(tmp_path):
    seen = []
    made = fit(module := Validated(), callbacks=[
        LambdaCallback(
            on_save_checkpoint=lambda trainer, pl_module, checkpoint: checkpoint.setdefault("mine", 3),
            on_load_checkpoint=lambda trainer, pl_module, checkpoint: seen.append(checkpoint["mine"]),
        )
    ])  # fmt: skip
    made.save_checkpoint(tmp_path / "a.ckpt")
    made.fit_loop.max_epochs = 2
    made.fit(module, loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    assert seen == [3]


def test_a_function_that_takes_too_little_is_an_error_before_training():
    with pytest.raises(MisconfigurationException, match="on_train_start"):
        fit(Validated(), callbacks=[LambdaCallback(on_train_start=lambda: None)])


def test_a_name_that_is_no_hook():
    with pytest.raises(TypeError, match="'on_train_epoch_ends', which is no hook.*Did you mean 'on_train_epoch_end'"):
        LambdaCallback(on_train_epoch_ends=print)


def test_what_is_no_function():
    with pytest.raises(TypeError, match="`on_train_start` got 'print'"):
        LambdaCallback(on_train_start="print")
