"""Measuring how long a run takes, and stopping it after a given time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from leyden.core.callback import Callback
from leyden.engine.states import RunningStage
from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.duration import parse_duration
from leyden.utils.rank import rank_zero_info

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class Interval(StrEnum):
    """When a :class:`Timer` looks at the clock."""

    STEP = "step"
    EPOCH = "epoch"


class Timer(Callback):
    """Measure the time of training, validation and test; stop ``fit`` when a duration has passed.

    The time of ``fit`` is wall time since training began, validation inside it included; it continues when a run is
    resumed. ``Trainer(max_time=...)`` adds a Timer.

    Args:
        duration: ``"DD:HH:MM:SS"``, a ``timedelta``, or its arguments in a dict; None: measure only.
        interval: ``"step"`` looks at the clock after each batch, ``"epoch"`` after each epoch.
        verbose: Whether to announce the stop.

    Raises:
        MisconfigurationException: ``duration`` or ``interval`` is not one of the accepted values.

    Example:
        >>> import leyden as pl
        >>> timer = pl.callbacks.Timer(duration="00:12:00:00")
        >>> timer.time_remaining() / 3600
        12.0
    """

    def __init__(
        self,
        duration: str | timedelta | Mapping[str, float] | None = None,
        interval: str = "step",
        verbose: bool = True,
    ) -> None:
        if interval not in tuple(Interval):
            raise MisconfigurationException(bad_value("interval", interval, "'step', 'epoch'"))
        self._duration = None if duration is None else parse_duration("duration", duration).total_seconds()
        self._interval = Interval(interval)
        self._verbose = verbose
        self._start: dict[RunningStage, float] = {}
        self._end: dict[RunningStage, float] = {}
        self._offset = 0.0
        self._stopped = False

    def start_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return when a stage (``"train"``, ``"validate"``, ``"test"``) began, in seconds of the monotonic clock."""
        return self._start.get(RunningStage(stage))

    def end_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return when a stage ended, in seconds of the monotonic clock; None before."""
        return self._end.get(RunningStage(stage))

    def time_elapsed(self, stage: str = RunningStage.TRAINING) -> float:
        """Return the seconds a stage has taken so far; for training, with those before the run was resumed."""
        stage = RunningStage(stage)
        start = self._start.get(stage)
        offset = self._offset if stage == RunningStage.TRAINING else 0.0
        return offset if start is None else offset + self._end.get(stage, time.monotonic()) - start

    def time_remaining(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return the seconds that are left; None without a duration."""
        return None if self._duration is None else self._duration - self.time_elapsed(stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once if a resumed run has no time left; go on if it was this timer that stopped it and has more now."""
        if self._stopped:
            trainer.should_stop = self._stopped = False
        self._stop_if_over(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of training."""
        self._begin(RunningStage.TRAINING)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training."""
        self._end[RunningStage.TRAINING] = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of validation."""
        self._begin(RunningStage.VALIDATING)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of validation."""
        self._end[RunningStage.VALIDATING] = time.monotonic()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the test."""
        self._begin(RunningStage.TESTING)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the test."""
        self._end[RunningStage.TESTING] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the clock."""
        if self._interval == Interval.STEP:
            self._stop_if_over(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock."""
        if self._interval == Interval.EPOCH:
            self._stop_if_over(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds each stage has taken, and whether they were too many."""
        elapsed = {stage.value: self.time_elapsed(stage) for stage in RunningStage}
        return {"time_elapsed": elapsed, "stopped": self._stopped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the time of training."""
        self._offset = state_dict.get("time_elapsed", {}).get(RunningStage.TRAINING.value, 0.0)
        self._stopped = state_dict.get("stopped", False)

    def _begin(self, stage: RunningStage) -> None:
        self._start[stage] = time.monotonic()
        self._end.pop(stage, None)

    def _stop_if_over(self, trainer: Trainer) -> None:
        if self._duration is None:
            return
        elapsed = self.time_elapsed()
        if trainer.strategy.broadcast(elapsed >= self._duration):
            trainer.should_stop = self._stopped = True
            if self._verbose:
                rank_zero_info(
                    f"Time limit reached. Elapsed time is {timedelta(seconds=int(elapsed))}. Signaling Trainer to stop."
                )
