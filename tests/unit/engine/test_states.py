"""The enums behind ``trainer.state``."""

from __future__ import annotations

import pytest

from leyden.engine.states import RunningStage, TrainerFn, TrainerState, TrainerStatus


def test_members_are_the_strings_that_programs_compare_with():
    assert [str(fn) for fn in TrainerFn] == ["fit", "validate", "test", "predict"]
    assert [str(stage) for stage in RunningStage] == ["train", "sanity_check", "validate", "test", "predict"]
    assert [str(status) for status in TrainerStatus] == ["initializing", "running", "finished", "interrupted"]
    assert TrainerFn.FITTING == "fit"


@pytest.mark.parametrize(
    ("stage", "evaluating", "prefix"),
    [
        (RunningStage.TRAINING, False, "train"),
        (RunningStage.SANITY_CHECKING, True, "val"),
        (RunningStage.VALIDATING, True, "val"),
        (RunningStage.TESTING, True, "test"),
        (RunningStage.PREDICTING, False, "predict"),
    ],
)
def test_stages(stage, evaluating, prefix):
    assert stage.evaluating is evaluating
    assert stage.dataloader_prefix == prefix


@pytest.mark.parametrize(
    ("status", "finished", "stopped"),
    [
        (TrainerStatus.INITIALIZING, False, False),
        (TrainerStatus.RUNNING, False, False),
        (TrainerStatus.FINISHED, True, True),
        (TrainerStatus.INTERRUPTED, False, True),
    ],
)
def test_state(status, finished, stopped):
    state = TrainerState(status)
    assert (state.finished, state.stopped) == (finished, stopped)
    assert state.fn is None
    assert state.stage is None
