"""Spike detection: stop when the loss jumps, and note the batches that are to be left out next time."""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from leyden.callbacks.monitoring import MODES
from leyden.core.callback import Callback
from leyden.errors import bad_value, nearest
from leyden.utils.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

FILE_NAME = "skip_batches.json"


class TrainingSpikeException(RuntimeError):
    """The loss of a batch jumped away from the mean of those before it.

    Args:
        batch_idx: The batch's number in its epoch.
    """

    def __init__(self, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(f"Training spike detected in batch {batch_idx}", *args, **kwargs)
        self.batch_idx = batch_idx


class SpikeTracker:
    """Knows the last losses, and whether the next one is a spike; for a Trainer's callback and for Fabric.

    A spike is worse than the running mean, and farther from it than every tolerance. It does not enter the mean.

    Args:
        mode: ``"min"``: a loss above the mean is worse; ``"max"``: below.
        window: How many losses the mean is taken over.
        warmup: Batches at the start that are not judged.
        atol: Absolute tolerance; None: any distance is enough.
        rtol: Tolerance in times of the mean's absolute value; None: any distance is enough.
        exclude_batches_path: The file for the batches before and at each spike, or a folder for ``skip_batches.json``;
            default: the working directory.
        finite_only: Whether a loss that is NaN or infinite is a spike; if not, it is ignored.

    Raises:
        ValueError: An argument is not one of the accepted values.

    Example:
        >>> tracker = SpikeTracker(rtol=2.0)
        >>> [tracker.is_spike(loss) for loss in (1.0, 1.2, 0.8, 5.0)]
        [False, False, False, True]
    """

    def __init__(
        self,
        mode: str = "min",
        window: int = 10,
        warmup: int = 1,
        atol: float | None = None,
        rtol: float | None = 2.0,
        exclude_batches_path: str | os.PathLike[str] | None = None,
        finite_only: bool = True,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(bad_value("mode", mode, f"one of {MODES}") + nearest(str(mode), MODES))
        for name, number, least in (("window", window, 1), ("warmup", warmup, 0)):
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ValueError(bad_value(name, number, f"an int >= {least}"))
        for name, tolerance in (("atol", atol), ("rtol", rtol)):
            if tolerance is not None and not tolerance >= 0:
                raise ValueError(bad_value(name, tolerance, "a number >= 0, None"))
        self.mode = mode
        self.warmup = warmup
        self.atol = atol
        self.rtol = rtol
        self.finite_only = finite_only
        path = os.getcwd() if exclude_batches_path is None else os.fspath(exclude_batches_path)
        self.exclude_batches_path = path if path.endswith(".json") else os.path.join(path, FILE_NAME)
        self.bad_batches: list[int] = []
        self._losses: deque[float] = deque(maxlen=window)
        self._seen = 0

    def is_spike(self, loss: float) -> bool:
        """Judge the next loss; one that is no spike enters the running mean."""
        spike = self._seen >= self.warmup and self._is_far(loss)
        self._seen += 1
        if not spike and math.isfinite(loss):
            self._losses.append(loss)
        return spike

    def note(self, batch_idx: int, write: bool = True) -> None:
        """Add the batch, and the one before it, to those to leave out.

        Args:
            batch_idx: The batch's number in its epoch.
            write: Whether this process writes the file.
        """
        new = (max(batch_idx - 1, 0), batch_idx)
        self.bad_batches += [batch for batch in dict.fromkeys(new) if batch not in self.bad_batches]
        if write:
            os.makedirs(os.path.dirname(os.path.abspath(self.exclude_batches_path)), exist_ok=True)
            with atomic_write(self.exclude_batches_path) as file:
                file.write(json.dumps(self.bad_batches, indent=4).encode())

    def state_dict(self) -> dict[str, Any]:
        """Return the losses of the window and the batches noted."""
        return {
            "mode": self.mode,
            "warmup": self.warmup,
            "atol": self.atol,
            "rtol": self.rtol,
            "bad_batches": list(self.bad_batches),
            "bad_batches_path": self.exclude_batches_path,
            "last_val": self._losses[-1] if self._losses else 0.0,
            "losses": list(self._losses),
            "seen": self._seen,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue the running mean and the list of batches; the settings stay those of the constructor."""
        self.bad_batches = list(state_dict["bad_batches"])
        self._losses.clear()
        self._losses.extend(state_dict.get("losses", []))
        self._seen = state_dict.get("seen", self.warmup)

    def _is_far(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return self.finite_only
        if not self._losses:
            return False
        mean = sum(self._losses) / len(self._losses)
        distance = loss - mean if self.mode == "min" else mean - loss
        tolerances = (self.atol, None if self.rtol is None else self.rtol * abs(mean))
        return distance > 0 and all(distance >= tolerance for tolerance in tolerances if tolerance is not None)


class SpikeDetection(SpikeTracker, Callback):
    """End the run by a :class:`TrainingSpikeException` when the training loss jumps.

    The batch and the one before it, where the cause may lie, are written to ``skip_batches.json``. A loss that is NaN
    or infinite is a spike too; ``Trainer(nonfinite="raise")``, the default, leaves it to this callback. The loss of
    each batch is read, and with several processes averaged.

    The arguments and errors are those of :class:`SpikeTracker`.

    Example:
        >>> spikes = SpikeDetection(rtol=2.0, window=100, exclude_batches_path="runs")
    """

    _took_over = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take over what the default of ``nonfinite`` would do."""
        if self.finite_only and stage == "fit" and trainer._arguments.nonfinite == "raise":
            trainer._arguments.nonfinite = "ignore"
            self._took_over = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Judge the batch's loss."""
        loss: Tensor | None = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, torch.Tensor):
            return
        loss = loss.detach()
        value = float(trainer.strategy.reduce(loss, reduce_op="mean") if trainer.strategy.is_distributed else loss)
        if self.is_spike(value):
            self.note(batch_idx, write=trainer.is_global_zero)
            raise TrainingSpikeException(batch_idx)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give it back."""
        if self._took_over:
            trainer._arguments.nonfinite = "raise"
            self._took_over = False


class FabricSpikeDetection(SpikeTracker):
    """A :class:`SpikeTracker` for loops with Fabric: ``fabric.call("on_train_batch_end", fabric, loss, batch, index)``.

    The arguments and errors are those of :class:`SpikeTracker`.
    """

    @torch.no_grad()
    def on_train_batch_end(self, fabric: Any, loss: Tensor, batch: Any, batch_idx: int) -> None:
        """Judge a batch's loss.

        Raises:
            TrainingSpikeException: It is a spike.
        """
        loss = loss.detach()
        value = float(fabric.all_reduce(loss, reduce_op="mean") if fabric.world_size > 1 else loss)
        if self.is_spike(value):
            self.note(batch_idx, write=fabric.is_global_zero)
            raise TrainingSpikeException(batch_idx)
