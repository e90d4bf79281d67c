"""Stopping a run when a logged value no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from leyden.callbacks.monitoring import MODES, looks_after_training_epoch
from leyden.core.callback import Callback
from leyden.errors import MisconfigurationException, bad_value, missing_metric, nearest
from leyden.legacy.constructors import early_stopping_arguments, takes_old
from leyden.legacy.utilities.messages import rank_prefixed_message
from leyden.utils.rank import announce, rank, rank_zero_warn

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class EarlyStoppingReason(Enum):
    """Why :class:`EarlyStopping` ended a run."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


class EarlyStopping(Callback):
    """Stop ``fit`` when a logged value has not improved for a number of checks.

    Patience counts checks, not epochs. Nothing is checked in the sanity check, under ``fast_dev_run`` or outside
    ``fit``. With several ranks one is enough to stop all.

    Args:
        monitor: Name of the logged value.
        min_delta: A change by no more than this is no improvement.
        patience: Checks without improvement after which to stop.
        verbose: Whether to announce improvements and the stop.
        mode: ``"min"`` or ``"max"``: which value is better.
        strict: Whether a missing value is an error or a warning.
        check_finite: Whether to stop at NaN and infinity.
        stopping_threshold: Stop at once when the value is better than this.
        divergence_threshold: Stop at once when the value is worse than this.
        check_on_train_epoch_end: Whether to check at the end of training or of validation; default: of training if
            there is one validation per epoch or none.
        log_rank_zero_only: Whether only rank 0 announces.

    Raises:
        MisconfigurationException: ``mode`` is neither, ``patience`` is no int >= 0, a threshold is no number.

    Example:
        >>> import leyden as pl
        >>> stopping = pl.callbacks.EarlyStopping("val_loss", patience=5)
        >>> stopping.wait_count, stopping.stopping_reason.name
        (0, 'NOT_STOPPED')
    """

    monitors = True

    @takes_old(early_stopping_arguments)
    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: str = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        if mode not in MODES:
            raise MisconfigurationException(bad_value("mode", mode, f"one of {MODES}") + nearest(str(mode), MODES))
        if not isinstance(patience, int) or isinstance(patience, bool) or patience < 0:
            raise MisconfigurationException(bad_value("patience", patience, "an int >= 0, the number of checks"))
        if not isinstance(monitor, str) or not monitor:
            raise MisconfigurationException(bad_value("monitor", monitor, "the name of a logged value"))
        self.monitor = monitor
        self.mode = mode
        self.min_delta = _number("min_delta", min_delta) * (1 if mode == "max" else -1)
        self.patience = patience
        self.verbose = verbose
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = _optional_number("stopping_threshold", stopping_threshold)
        self.divergence_threshold = _optional_number("divergence_threshold", divergence_threshold)
        self.log_rank_zero_only = log_rank_zero_only
        self._check_on_train_epoch_end = check_on_train_epoch_end
        self.wait_count = 0
        self.stopped_epoch = 0
        self.best_score = torch.tensor(math.inf if mode == "min" else -math.inf)
        self.stopping_reason = EarlyStoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None

    @property
    def state_key(self) -> str:
        """The class with monitor and mode, so that several can live in one Trainer."""
        return self._generate_state_key(monitor=self.monitor, mode=self.mode)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check, if this is the place to."""
        self._check(trainer, after_training=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check, if this is the place to."""
        self._check(trainer, after_training=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the count, the best value and the patience."""
        return {
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "best_score": self.best_score,
            "patience": self.patience,
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state back; its patience replaces the constructor's."""
        self.wait_count = state_dict["wait_count"]
        self.stopped_epoch = state_dict.get("stopped_epoch", 0)
        self.best_score = torch.as_tensor(state_dict.get("best_score", self.best_score)).cpu()  # 0.7 did not save it
        self.patience = state_dict["patience"]
        self.stopping_reason = EarlyStoppingReason(state_dict.get("stopping_reason", 0))
        self.stopping_reason_message = state_dict.get("stopping_reason_message")

    def _check(self, trainer: Trainer, *, after_training: bool) -> None:
        """Look at the monitored value once and tell the Trainer to stop if it is time."""
        if trainer.fast_dev_run or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        place = self._check_on_train_epoch_end
        if (looks_after_training_epoch(trainer) if place is None else place) is not after_training:
            return
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            self._report_missing(metrics)
            return
        reason, message = self._judge(torch.as_tensor(metrics[self.monitor]).detach().squeeze().cpu())
        stop = reason is not EarlyStoppingReason.NOT_STOPPED
        if trainer.strategy.reduce_boolean_decision(stop, all=False):
            trainer.should_stop = True
            self.stopped_epoch = trainer.current_epoch
        if stop:
            self.stopping_reason, self.stopping_reason_message = reason, message
        if message and self.verbose:
            self._announce(trainer, message)

    def _judge(self, current: Tensor) -> tuple[EarlyStoppingReason, str]:
        """Compare a value with the best so far; return why to stop, and what to announce."""
        better, order = (torch.lt, "<") if self.mode == "min" else (torch.gt, ">")
        best = self.best_score
        if self.check_finite and not torch.isfinite(current):
            return EarlyStoppingReason.NON_FINITE_METRIC, (
                f"Monitored metric {self.monitor} = {current} is not finite. Previous best value was {best:.3f}. "
                "Signaling Trainer to stop."
            )
        if self.stopping_threshold is not None and better(current, torch.tensor(self.stopping_threshold)):
            return EarlyStoppingReason.STOPPING_THRESHOLD, (
                f"Stopping threshold reached: {self.monitor} = {current} {order} {self.stopping_threshold}. "
                "Signaling Trainer to stop."
            )
        if self.divergence_threshold is not None and better(-current, torch.tensor(-self.divergence_threshold)):
            return EarlyStoppingReason.DIVERGENCE_THRESHOLD, (
                f"Divergence threshold reached: {self.monitor} = {current} is worse than {self.divergence_threshold}. "
                "Signaling Trainer to stop."
            )
        if better(current - self.min_delta, best):
            self.best_score, self.wait_count = current.clone(), 0
            if torch.isfinite(best):
                change = f"improved by {abs(best - current):.3f} >= min_delta = {abs(self.min_delta)}. "
            else:
                change = "improved. "
            return EarlyStoppingReason.NOT_STOPPED, f"Metric {self.monitor} {change}New best score: {current:.3f}"
        self.wait_count += 1
        if self.wait_count >= self.patience:
            return EarlyStoppingReason.PATIENCE_EXHAUSTED, (
                f"Monitored metric {self.monitor} did not improve in the last {self.wait_count} records. "
                f"Best score: {best:.3f}. Signaling Trainer to stop."
            )
        return EarlyStoppingReason.NOT_STOPPED, ""

    def _report_missing(self, metrics: Mapping[str, Any]) -> None:
        message = (
            f"`EarlyStopping(monitor={self.monitor!r})`: early stopping conditioned on metric `{self.monitor}` which "
            f"is not available. {missing_metric(self.monitor, metrics)}"
        )
        if self.strict:
            raise RuntimeError(message)
        rank_zero_warn(message, category=RuntimeWarning)

    def _announce(self, trainer: Trainer, message: str) -> None:
        this_rank = rank()
        if this_rank == 0 or not self.log_rank_zero_only:
            announce(rank_prefixed_message(message, this_rank if trainer.world_size > 1 else None))


def _number(argument: str, value: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
        raise MisconfigurationException(bad_value(argument, value, "a number"))
    return value


def _optional_number(argument: str, value: float | None) -> float | None:
    return None if value is None else _number(argument, value)
