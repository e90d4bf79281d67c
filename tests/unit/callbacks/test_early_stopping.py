"""EarlyStopping alone: a stand-in plays the Trainer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from leyden.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason
from leyden.errors import MisconfigurationException


class Strategy:
    def __init__(self, others=False):
        self.others = others

    def reduce_boolean_decision(self, decision, all=True):
        return decision and self.others if all else decision or self.others


class Run:
    """The part of the Trainer that EarlyStopping sees."""

    def __init__(self, **settings):
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.state, self.strategy = SimpleNamespace(fn="fit"), Strategy()
        self.fast_dev_run = self.sanity_checking = self.should_stop = False
        self.enable_validation, self.num_val_batches = True, [1]
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        self.current_epoch, self.world_size = 0, 1
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def checks(self, stopping, values):
        """Feed values until the stop; return how many were looked at."""
        for count, value in enumerate(values, start=1):
            self.callback_metrics["loss"] = torch.tensor(value)
            stopping.on_train_epoch_end(self, None)
            if self.should_stop:
                return count
            self.current_epoch += 1
        return None


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("arguments", "values", "stops_at"),
    [
        ({}, [5.0, 4.0, 4.0, 4.0, 4.0, 3.0], 5),
        ({"patience": 1}, [1.0, 2.0], 2),
        ({"patience": 0}, [1.0, 0.5, 0.6], 3),
        ({"patience": 2}, [5.0, 6.0, 4.0, 5.0, 3.0], None),
        ({"patience": 1, "mode": "max"}, [1.0, 2.0, 2.0], 3),
        ({"patience": 1, "min_delta": 0.5}, [5.0, 4.6], 2),
        ({"patience": 1, "min_delta": 0.5}, [5.0, 4.4, 3.8], None),
        ({"patience": 1, "min_delta": 0.5, "mode": "max"}, [1.0, 1.4], 2),
        ({"patience": 1, "mode": "max"}, [-7.0], None),
    ],
)
def test_row_94_patience_counts_checks(arguments, values, stops_at):
    stopping = EarlyStopping("loss", **arguments)
    run = Run()
    assert run.checks(stopping, values) == stops_at
    if stops_at:
        assert stopping.stopped_epoch == stops_at - 1
        assert stopping.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED
        assert "did not improve" in stopping.stopping_reason_message
    else:
        assert stopping.stopping_reason is EarlyStoppingReason.NOT_STOPPED
        assert stopping.stopping_reason_message is None


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_non_finite_stops(value):
    stopping = EarlyStopping("loss")
    assert Run().checks(stopping, [1.0, value]) == 2
    assert stopping.stopping_reason is EarlyStoppingReason.NON_FINITE_METRIC
    assert "not finite" in stopping.stopping_reason_message


def test_non_finite_may_be_allowed():
    stopping = EarlyStopping("loss", check_finite=False, patience=3)
    assert Run().checks(stopping, [1.0, NAN, INF]) is None
    assert (stopping.wait_count, stopping.best_score) == (2, torch.tensor(1.0))


@pytest.mark.parametrize(
    ("mode", "argument", "values", "reason"),
    [
        ("min", "stopping_threshold", [0.9, 0.4], "STOPPING_THRESHOLD"),
        ("max", "stopping_threshold", [0.4, 0.9], "STOPPING_THRESHOLD"),
        ("min", "divergence_threshold", [0.4, 0.9], "DIVERGENCE_THRESHOLD"),
        ("max", "divergence_threshold", [0.9, 0.4], "DIVERGENCE_THRESHOLD"),
    ],
)
def test_thresholds_stop_at_once(mode, argument, values, reason):
    stopping = EarlyStopping("loss", mode=mode, **{argument: 0.5})
    assert Run().checks(stopping, values) == 2
    assert stopping.stopping_reason.name == reason


@pytest.mark.parametrize(
    ("settings", "choice", "at_validation"),
    [
        ({}, None, False),
        ({"val_check_interval": 0.5}, None, True),
        ({"val_check_interval": 1}, None, True),  # every batch, not 1.0
        ({"check_val_every_n_epoch": 2}, None, True),
        ({"enable_validation": False, "num_val_batches": [], "val_check_interval": 0.5}, None, False),
        ({}, False, True),
        ({"val_check_interval": 0.5}, True, False),
    ],
)
def test_place_of_the_check(settings, choice, at_validation):
    stopping = EarlyStopping("loss", check_on_train_epoch_end=choice)
    run = Run(callback_metrics={"loss": torch.tensor(1.0)}, **settings)
    stopping.on_validation_end(run, None)
    assert (stopping.best_score == 1.0) == at_validation
    stopping.on_train_epoch_end(run, None)
    assert stopping.best_score == 1.0
    assert stopping.wait_count == 0


@pytest.mark.parametrize("off", [{"fast_dev_run": 1}, {"sanity_checking": True}, {"state": SimpleNamespace(fn="test")}])
def test_nothing_is_checked_elsewhere(off):
    stopping, run = EarlyStopping("missing"), Run(**off)
    stopping.on_train_epoch_end(run, None)
    stopping.on_validation_end(run, None)
    assert not run.should_stop


def test_missing_metric_is_an_error_that_names_the_nearest():
    run = Run(callback_metrics={"val_loss": torch.tensor(1.0)})
    with pytest.raises(RuntimeError, match=r"'val_los'.*\['val_loss'\].*Did you mean 'val_loss'\?"):
        EarlyStopping("val_los").on_train_epoch_end(run, None)


def test_missing_metric_is_a_warning_when_not_strict():
    with pytest.warns(RuntimeWarning, match="not available"):
        EarlyStopping("val_los", strict=False).on_train_epoch_end(Run(), None)


def test_one_rank_stops_all():
    stopping, run = EarlyStopping("loss"), Run(strategy=Strategy(others=True))
    assert run.checks(stopping, [1.0]) == 1
    assert stopping.stopping_reason is EarlyStoppingReason.NOT_STOPPED  # this rank had no reason


def test_stop_of_others_is_never_taken_back():
    run = Run(should_stop=True)
    run.checks(EarlyStopping("loss"), [1.0])
    assert run.should_stop


def test_state_continues_the_count_and_replaces_the_patience():
    old, run = EarlyStopping("loss", patience=2), Run()
    run.checks(old, [1.0, 1.5])
    new = EarlyStopping("loss", patience=9)
    new.load_state_dict(old.state_dict())
    assert (new.wait_count, new.patience, new.best_score) == (1, 2, torch.tensor(1.0))
    assert run.checks(new, [1.5]) == 1
    assert new.state_dict()["stopping_reason"] == 3


def test_row_93_two_live_side_by_side():
    assert EarlyStopping("a").state_key == "EarlyStopping{'monitor': 'a', 'mode': 'min'}"
    assert EarlyStopping("a").state_key != EarlyStopping("a", mode="max").state_key
    assert EarlyStopping("a").monitor == "a"


def test_verbose_announces(caplog):
    caplog.set_level("INFO", logger="leyden")
    Run(world_size=2).checks(EarlyStopping("loss", verbose=True, patience=1), [2.0, 1.5, 1.5])
    assert "[rank: 0] Metric loss improved. New best score: 2.000" in caplog.text
    assert "improved by 0.500 >= min_delta = 0.0. New best score: 1.500" in caplog.text
    assert "did not improve in the last 1 records" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"mode": "maxi"}, "Did you mean 'max'"),
        ({"patience": -1}, "patience"),
        ({"patience": 1.5}, "patience"),
        ({"min_delta": "0.1"}, "min_delta"),
        ({"stopping_threshold": "low"}, "stopping_threshold"),
        ({"monitor": None}, "monitor"),
    ],
)
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(MisconfigurationException, match=name):
        EarlyStopping(**{"monitor": "loss", **arguments})
