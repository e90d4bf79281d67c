"""What a Trainer is doing: the enums behind ``trainer.state``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TrainerStatus(StrEnum):
    """Whether a run is going on, and how the last one ended."""

    INITIALIZING = "initializing"
    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"


class TrainerFn(StrEnum):
    """The entry point that was called."""

    FITTING = "fit"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"


class RunningStage(StrEnum):
    """The loop that is running now; ``fit`` alternates between training and validating."""

    TRAINING = "train"
    SANITY_CHECKING = "sanity_check"
    VALIDATING = "validate"
    TESTING = "test"
    PREDICTING = "predict"

    @property
    def evaluating(self) -> bool:
        """Whether batches are scored and no weights are changed."""
        return self in (RunningStage.VALIDATING, RunningStage.TESTING, RunningStage.SANITY_CHECKING)

    @property
    def dataloader_prefix(self) -> str:
        """The prefix of this stage's loader hook: ``train``, ``val``, ``test`` or ``predict``."""
        return "val" if self in (RunningStage.VALIDATING, RunningStage.SANITY_CHECKING) else self.value


@dataclass
class TrainerState:
    """Status, entry point and stage of a Trainer."""

    status: TrainerStatus = TrainerStatus.INITIALIZING
    fn: TrainerFn | None = None
    stage: RunningStage | None = None

    @property
    def finished(self) -> bool:
        """Whether the last run ended as planned."""
        return self.status == TrainerStatus.FINISHED

    @property
    def stopped(self) -> bool:
        """Whether the last run ended, as planned or not."""
        return self.status in (TrainerStatus.FINISHED, TrainerStatus.INTERRUPTED)
