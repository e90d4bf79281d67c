"""When checkpoints are written: every n optimizer steps, every n epochs, or after an interval of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from leyden.errors import MisconfigurationException, bad_value

if TYPE_CHECKING:
    from leyden.trainer import Trainer


class Schedule:
    """One of three triggers; without any, every epoch.

    Args:
        every_n_train_steps: Optimizer steps between two saves; 0 or None: not by steps.
        every_n_epochs: Epochs between two saves; 0: not by epochs.
        train_time_interval: Time between two saves, looked at after each batch.

    Raises:
        MisconfigurationException: A negative or fractional number, an interval that is none, or several triggers.
    """

    def __init__(
        self, every_n_train_steps: int | None, every_n_epochs: int | None, train_time_interval: timedelta | None
    ) -> None:
        _check_count("every_n_train_steps", every_n_train_steps)
        _check_count("every_n_epochs", every_n_epochs)
        if train_time_interval is not None and (
            not isinstance(train_time_interval, timedelta) or train_time_interval <= timedelta(0)
        ):
            raise MisconfigurationException(
                bad_value(
                    "train_time_interval",
                    train_time_interval,
                    "a datetime.timedelta above 0, None",
                    "write train_time_interval=timedelta(minutes=30)",
                )
            )
        if sum(map(bool, (every_n_train_steps, every_n_epochs, train_time_interval))) > 1:
            raise MisconfigurationException(
                f"`every_n_train_steps={every_n_train_steps}`, `every_n_epochs={every_n_epochs}` and "
                f"`train_time_interval={train_time_interval}` exclude each other. Accepted: one of them. "
                "Fix: use one ModelCheckpoint for each."
            )
        if every_n_train_steps is None and every_n_epochs is None and train_time_interval is None:
            every_n_epochs = 1
        self.every_n_train_steps = every_n_train_steps or 0
        self.every_n_epochs = every_n_epochs or 0
        self.train_time_interval = train_time_interval
        self.clock: Callable[[], float] | None = None
        """What tells the seconds; None: the monotonic clock."""
        self._last_time: float | None = None

    def start(self) -> None:
        """Start the clock of the interval."""
        self._last_time = self._now()

    def fires_after_batch(self, trainer: Trainer) -> bool:
        """Return whether to save after the batch that just ended; ranks agree."""
        if self.every_n_train_steps:
            return bool(trainer.global_step % self.every_n_train_steps == 0)
        if self.train_time_interval is None:
            return False
        now = self._now()
        elapsed = now - (now if self._last_time is None else self._last_time)
        fires = bool(trainer.strategy.broadcast(elapsed >= self.train_time_interval.total_seconds()))
        if fires:
            self._last_time = now
        return fires

    def _now(self) -> float:
        return time.monotonic() if self.clock is None else self.clock()

    def fires_in_epoch(self, epoch: int) -> bool:
        """Return whether the end of this epoch (counted from 0), or a validation in it, is a time to save."""
        return self.every_n_epochs > 0 and (epoch + 1) % self.every_n_epochs == 0


def _check_count(argument: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise MisconfigurationException(bad_value(argument, value, "an int >= 0, None"))
