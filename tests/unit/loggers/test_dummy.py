from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from helpers_loggers import Recording
from leyden.loggers.dummy import DummyExperiment, DummyLogger, rank_zero_experiment
from leyden.utils.rank import rank_zero_only


class Guarded(Recording):
    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        return super().experiment


def test_experiment_is_a_dummy_on_other_ranks() -> None:
    assert Guarded().experiment == "the experiment"
    try:
        rank_zero_only.rank = 1
        assert isinstance(Guarded().experiment, DummyExperiment)
    finally:
        rank_zero_only.rank = None


@pytest.mark.parametrize("dummy", [DummyLogger(), DummyExperiment()])
def test_dummies_take_every_call(dummy: Any) -> None:
    assert dummy.anything_at_all(1, two=3) is None
    assert type(dummy[0]) is type(dummy)
    assert list(dummy) == []
    assert type(copy.deepcopy(dummy)) is type(dummy)
    assert type(pickle.loads(pickle.dumps(dummy))) is type(dummy)


def test_dummy_logger_is_a_logger() -> None:
    logger = DummyLogger()
    logger.log_metrics({"a": 1.0}, step=3)
    logger.log_hyperparams({"a": 1})
    logger.finalize("success")
    assert (logger.name, logger.version, logger.log_dir) == ("", "", None)
    assert logger.experiment.add_scalar("a", 1) is None  # type: ignore[func-returns-value]
