"""Gradient accumulation that changes from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from leyden.callbacks.requirements import is_count, require
from leyden.core.callback import Callback
from leyden.core.module import LightningModule
from leyden.errors import PossibleUserWarning, bad_value
from leyden.utils.overrides import is_overridden
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.trainer import Trainer


class GradientAccumulationScheduler(Callback):
    """Set ``trainer.accumulate_grad_batches`` when an epoch begins.

    Args:
        scheduling: The number of batches per optimizer step, by the epoch (from 0) from which on it holds; before the
            first one it is 1. The dict is copied.

    Raises:
        TypeError: ``scheduling`` is empty, or no dict.
        MisconfigurationException: An epoch is no int >= 0, or a number of batches no int >= 1.
        ValueError: At the start of fit: the Trainer has ``accumulate_grad_batches`` too.
        RuntimeError: At the start of fit: the module optimizes manually.

    Example:
        >>> import leyden as pl
        >>> scheduler = pl.callbacks.GradientAccumulationScheduler({4: 2, 8: 4})
        >>> [scheduler.get_accumulate_grad_batches(epoch) for epoch in (0, 4, 7, 9)]
        [1, 2, 2, 4]
    """

    def __init__(self, scheduling: Mapping[int, int]) -> None:
        if not isinstance(scheduling, Mapping) or not scheduling:
            fix = "GradientAccumulationScheduler({4: 2})"
            raise TypeError(bad_value("scheduling", scheduling, "a dict {epoch: batches} with an entry or more", fix))
        for epoch, batches in scheduling.items():
            require(is_count(epoch, 0), "scheduling", epoch, "epochs as keys: ints >= 0")
            require(is_count(batches, 1), "scheduling", batches, "batches per step as values: ints >= 1")
        self.scheduling = {0: 1} | dict(scheduling)
        self.epochs = sorted(self.scheduling)
        self._set: int | None = None

    def going_to_accumulate_grad_batches(self) -> bool:
        """Whether any epoch accumulates."""
        return any(batches > 1 for batches in self.scheduling.values())

    def get_accumulate_grad_batches(self, epoch: int) -> int:
        """The number of batches per optimizer step in an epoch."""
        return self.scheduling[max(start for start in self.epochs if start <= epoch)]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that Trainer and module leave accumulation to this callback; set it for the first epoch."""
        if stage != "fit":
            return
        given = trainer.accumulate_grad_batches
        if given not in (1, self._set):
            accepted = "1 beside a `GradientAccumulationScheduler`"
            raise ValueError(bad_value("accumulate_grad_batches", given, accepted, "leave out one of them"))
        if not pl_module.automatic_optimization:
            raise RuntimeError(
                "`GradientAccumulationScheduler` has no effect in manual optimization. Fix: leave it out, and step the "
                "optimizer on every n-th batch in `training_step`."
            )
        hooks = [h for h in ("optimizer_step", "optimizer_zero_grad") if is_overridden(h, pl_module, LightningModule)]
        if hooks and self.going_to_accumulate_grad_batches():
            rank_zero_warn(
                f"While gradients accumulate, `{'` and `'.join(hooks)}` of {type(pl_module).__name__} run once per window "
                "of batches, not for each batch.",
                category=PossibleUserWarning,
            )
        self._apply(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set it for the epoch in which a resumed run goes on."""
        self._apply(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set it for this epoch."""
        self._apply(trainer)

    def _apply(self, trainer: Trainer) -> None:
        self._set = trainer.accumulate_grad_batches = self.get_accumulate_grad_batches(trainer.current_epoch)
