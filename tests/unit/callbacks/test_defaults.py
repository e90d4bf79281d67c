"""Which callbacks a Trainer has without being given them; what is excluded is in tests/mistakes."""

from __future__ import annotations

import pytest

import leyden as pl
from leyden.callbacks import ModelCheckpoint, ModelSummary, ProgressBar, Timer
from leyden.callbacks.defaults import check_callbacks, with_defaults
from leyden.engine.config import TrainerArguments

KINDS = {
    "max_time": Timer,
    "enable_progress_bar": ProgressBar,
    "enable_model_summary": ModelSummary,
    "enable_checkpointing": ModelCheckpoint,
}


def arguments(**given):
    found, errors = TrainerArguments.checked(given)
    assert errors == []
    return found


def test_the_defaults_in_order():
    kinds = [type(callback) for callback in with_defaults(arguments(max_time={"hours": 1}))]
    assert [issubclass(kind, expected) for kind, expected in zip(kinds, KINDS.values(), strict=True)] == [True] * 4


@pytest.mark.parametrize("name", KINDS)
def test_each_can_be_left_out(name):
    off = {"max_time": {"hours": 1}, name: None if name == "max_time" else False}
    assert not [callback for callback in with_defaults(arguments(**off)) if isinstance(callback, KINDS[name])]


@pytest.mark.parametrize("own", [ModelCheckpoint(), ModelSummary(), Timer(), pl.callbacks.RichProgressBar()], ids=repr)
def test_one_that_was_given_takes_the_place_of_the_default(own):
    callbacks = with_defaults(arguments(callbacks=own, max_time={"hours": 1}))
    assert callbacks[0] is own
    assert len(callbacks) == len(KINDS)


def test_barebones_has_none():
    assert with_defaults(arguments(barebones=True)) == []


def test_others_are_no_reason_to_complain():
    given = arguments(callbacks=[pl.Callback(), ModelCheckpoint(), ModelCheckpoint()], enable_model_summary=False)
    assert list(check_callbacks(given)) == []
