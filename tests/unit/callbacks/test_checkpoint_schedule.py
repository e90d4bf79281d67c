"""When checkpoints are written."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest

from leyden.callbacks.checkpoint_schedule import Schedule
from leyden.errors import MisconfigurationException


def test_without_a_trigger_every_epoch():
    schedule = Schedule(None, None, None)
    assert schedule.every_n_epochs == 1
    assert schedule.fires_in_epoch(0)
    assert not schedule.fires_after_batch(SimpleNamespace(global_step=1))


def test_epochs_are_counted_from_zero():
    schedule = Schedule(None, 3, None)
    assert [epoch for epoch in range(7) if schedule.fires_in_epoch(epoch)] == [2, 5]


def test_steps_switch_epochs_off():
    schedule = Schedule(3, None, None)
    steps = [step for step in range(1, 8) if schedule.fires_after_batch(SimpleNamespace(global_step=step))]
    assert steps == [3, 6]
    assert not schedule.fires_in_epoch(0)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((-1, None, None), "every_n_train_steps"),
        ((True, None, None), "every_n_train_steps"),
        ((None, -1, None), "every_n_epochs"),
        ((None, 0.5, None), "every_n_epochs"),
        ((None, None, 60), "timedelta"),
        ((None, None, timedelta(0)), "train_time_interval"),
        ((1, 1, None), "exclude each other"),
        ((1, None, timedelta(1)), "exclude each other"),
    ],
)
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(MisconfigurationException, match=name):
        Schedule(*arguments)


def test_another_clock_can_tell_the_time():
    seconds = iter([0.0, 59.0, 60.0, 119.0])
    schedule = Schedule(None, None, timedelta(minutes=1))
    schedule.clock = lambda: next(seconds)
    schedule.start()
    trainer = SimpleNamespace(strategy=SimpleNamespace(broadcast=lambda value: value))
    assert [schedule.fires_after_batch(trainer) for _ in range(3)] == [False, True, False]
