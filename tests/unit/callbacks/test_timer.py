"""Timer alone: a stand-in plays the Trainer, a number plays the clock."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from leyden.callbacks.timer import Timer
from leyden.errors import MisconfigurationException


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr("time.monotonic", lambda: now.value)
    return now


@pytest.fixture
def trainer():
    return SimpleNamespace(should_stop=False, strategy=SimpleNamespace(broadcast=lambda value: value))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("00:00:00:22", 22),
        ("12:23:12:34", 12 * 86400 + 23 * 3600 + 12 * 60 + 34),
        (timedelta(days=1), 86400),
        ({"hours": 1, "minutes": 1}, 3660),
    ],
)
def test_duration_has_three_forms(value, seconds):
    assert Timer(value).time_remaining() == seconds


def test_wrong_interval_is_named():
    with pytest.raises(MisconfigurationException, match="`interval` got 'batch'"):
        Timer(interval="batch")


def test_stops_after_the_batch_in_which_time_ran_out(clock, trainer, caplog):
    caplog.set_level("INFO", logger="leyden")
    timer = Timer("00:00:00:10")
    timer.on_fit_start(trainer, None)
    timer.on_train_start(trainer, None)
    clock.value = 109.0
    timer.on_train_batch_end(trainer, None, {}, None, 0)
    assert not trainer.should_stop
    assert timer.time_remaining() == 1.0
    clock.value = 110.0
    timer.on_train_batch_end(trainer, None, {}, None, 1)
    assert trainer.should_stop
    assert "Time limit reached. Elapsed time is 0:00:10" in caplog.text


def test_epoch_interval_looks_after_epochs_only(clock, trainer):
    timer = Timer(timedelta(seconds=1), interval="epoch", verbose=False)
    timer.on_train_start(trainer, None)
    clock.value = 200.0
    timer.on_train_batch_end(trainer, None, {}, None, 0)
    assert not trainer.should_stop
    timer.on_train_epoch_end(trainer, None)
    assert trainer.should_stop


def test_without_a_duration_it_only_measures(clock, trainer):
    timer = Timer()
    assert (timer.time_elapsed(), timer.start_time(), timer.time_remaining()) == (0.0, None, None)
    timer.on_train_start(trainer, None)
    clock.value = 103.0
    timer.on_train_batch_end(trainer, None, {}, None, 0)
    timer.on_train_end(trainer, None)
    clock.value = 500.0
    assert (timer.start_time(), timer.end_time(), timer.time_elapsed()) == (100.0, 103.0, 3.0)
    assert not trainer.should_stop


@pytest.mark.parametrize(("stage", "hook"), [("validate", "validation"), ("test", "test")])
def test_each_stage_has_its_clock(clock, trainer, stage, hook):
    timer = Timer()
    getattr(timer, f"on_{hook}_start")(trainer, None)
    clock.value = 107.0
    assert timer.time_elapsed(stage) == 7.0
    getattr(timer, f"on_{hook}_end")(trainer, None)
    assert timer.end_time(stage) == 107.0
    assert timer.time_elapsed("train") == 0.0


def test_elapsed_time_continues_after_a_resume(clock, trainer):
    old = Timer("00:00:00:10")
    old.on_train_start(trainer, None)
    clock.value = 106.0
    state = old.state_dict()
    assert state["time_elapsed"]["train"] == 6.0
    new = Timer("00:00:00:10")
    new.load_state_dict(state)
    new.on_fit_start(trainer, None)
    assert not trainer.should_stop
    clock.value = 1000.0
    new.on_train_start(trainer, None)
    assert new.time_remaining() == 4.0
    clock.value = 1004.0
    new.on_train_batch_end(trainer, None, {}, None, 0)
    assert trainer.should_stop


def test_a_run_that_the_timer_stopped_goes_on_when_it_has_more_time(trainer):
    stopped = Timer("00:00:00:10", verbose=False)
    stopped.load_state_dict({"time_elapsed": {"train": 10.0}})
    stopped.on_train_batch_end(trainer, None, {}, None, 0)
    assert trainer.should_stop
    more = Timer("00:00:00:20", verbose=False)
    more.load_state_dict(stopped.state_dict())
    more.on_fit_start(trainer, None)
    assert not trainer.should_stop


def test_depleted_timer_stops_a_resumed_fit_at_once(trainer):
    timer = Timer("00:00:00:10", verbose=False)
    timer.load_state_dict({"time_elapsed": {"train": 11.0}})
    timer.on_fit_start(trainer, None)
    assert trainer.should_stop
