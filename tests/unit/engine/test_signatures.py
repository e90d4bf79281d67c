"""Misspelt hooks and hooks that cannot be called; the messages are in tests/mistakes."""

from __future__ import annotations

import functools

import pytest

import leyden as pl
from leyden.core.hooks import HOOKS
from leyden.engine.signatures import expected, misspelt, one_edit_apart, uncallable
from leyden.utils.rank import rank_zero_only


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("trainin_step", True),
        ("training_stepp", True),
        ("training_stap", True),
        ("trainign_step", True),
        ("raining_step", True),
        ("training_step", False),
        ("traning_stp", False),
        ("trainings_stepp", False),
        ("gtraining_step", True),
        ("", False),
    ],
)
def test_one_edit(name, close):
    assert one_edit_apart(name, "training_step") is close
    assert one_edit_apart("training_step", name) is close


def found(**methods):
    kind = type("Model", (pl.LightningModule,), methods)
    return [str(error) for error in misspelt(kind(), pl.LightningModule, list(HOOKS))]


def nothing(self, *args):
    return None


def test_a_misspelt_hook():
    (message,) = found(validation_stp=nothing)
    assert "`Model.validation_stp` is never called: the hook's name is `validation_step`" in message


@pytest.mark.parametrize("name", ["_setup", "validate", "my_training_step", "forward", "on_fit_start", "helper"])
def test_methods_that_are_none(name):
    assert found(**{name: nothing}) == []


def test_a_similar_method_beside_the_hook_is_fine():
    assert found(training_step=nothing, training_steps=nothing) == []


def test_values_are_no_hooks():
    assert found(setups=3) == []
    assert found(setups=type("Inner", (), {})) == []


def test_inherited_methods_count():
    base = type("Base", (pl.LightningModule,), {"on_train_strat": nothing})
    child = type("Child", (base,), {})
    assert len(list(misspelt(child(), pl.LightningModule, list(HOOKS)))) == 1


def refused(base, **methods):
    kind = type("Own", (base,), methods)
    name = next(iter(methods))
    return [str(error) for error in uncallable(kind(), base, name)]


@pytest.mark.parametrize(
    ("base", "method"),
    [
        (pl.LightningModule, lambda self, batch: None),
        (pl.LightningModule, lambda self, batch, batch_idx: None),
        (pl.LightningModule, lambda self, batch, batch_idx, extra=1: None),
        (pl.LightningModule, lambda self, *batch: None),
        (pl.LightningModule, lambda self, batch, batch_idx, **more: None),
    ],
)
def test_training_steps_that_can_be_called(base, method):
    assert refused(base, training_step=method) == []


@pytest.mark.parametrize(
    "method",
    [
        lambda self: None,
        lambda self, batch, batch_idx, third: None,
        lambda self, batch, *, needed: None,
    ],
)
def test_training_steps_that_cannot(method):
    (message,) = refused(pl.LightningModule, training_step=method)
    assert "Fix: `def training_step(self, batch, batch_idx)`" in message


def test_a_step_takes_the_iterator_alone():
    assert refused(pl.LightningModule, training_step=lambda self, dataloader_iter: None) == []
    (message,) = refused(pl.LightningModule, training_step=lambda self, dataloader_iter, batch_idx: None)
    assert "Fix: `def training_step(self, dataloader_iter)`" in message


def test_evaluation_hooks_may_leave_out_the_loader():
    for base, leading in ((pl.LightningModule, ()), (pl.Callback, ("trainer", "module"))):
        names = ", ".join(["self", *leading, "batch", "batch_idx"])
        short, full = eval(f"lambda {names}: None"), eval(f"lambda {names}, dataloader_idx=0: None")
        assert refused(base, on_validation_batch_start=short) == []
        assert refused(base, on_validation_batch_start=full) == []
        assert refused(base, on_validation_batch_start=lambda self: None) != []


def test_decorated_hooks_are_looked_through():
    @rank_zero_only
    def on_fit_end(self):
        return None

    @functools.wraps(on_fit_end)
    def wrapped(*args, **kwargs):
        return None

    assert refused(pl.LightningModule, on_fit_end=on_fit_end) == []
    assert refused(pl.LightningModule, on_fit_end=wrapped) == []


def test_a_hook_of_c_code_is_taken_as_it_is():
    assert refused(pl.LightningModule, on_fit_end=print) == []


def test_what_a_hook_gets():
    assert expected(pl.LightningModule, "on_train_epoch_end") == ("", 0, 0)
    assert expected(pl.LightningModule, "setup") == ("stage", 1, 1)
    assert expected(pl.Callback, "on_test_batch_start") == (
        "trainer, pl_module, batch, batch_idx, dataloader_idx=0",
        4,
        5,
    )
    assert expected(pl.LightningModule, "predict_step") == ("batch, batch_idx, dataloader_idx=0", 1, 3)


@pytest.mark.parametrize("base", [pl.LightningModule, pl.LightningDataModule, pl.Callback])
def test_every_dispatched_hook_is_described_by_its_base_class(base):
    letter = {pl.LightningModule: "m", pl.LightningDataModule: "d", pl.Callback: "c"}[base]
    for hook in HOOKS.values():
        if hook.dispatched and letter in hook.owners and "transfer" not in hook.name:
            assert hasattr(base, hook.name), hook.name
            assert expected(base, hook.name)[2] == hook.arguments + 2 * (base is pl.Callback)
