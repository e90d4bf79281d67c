"""ThroughputMonitor: how fast batches, samples and items are worked off, in the loggers."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

import torch

from leyden.callbacks.monitoring import logs_now
from leyden.callbacks.throughput import Throughput, get_available_flops
from leyden.core.callback import Callback
from leyden.engine.states import RunningStage

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

DTYPES = {"16": torch.float16, "bf16": torch.bfloat16, "64": torch.float64}


class Counts:
    """The running totals of one stage; its clock stands while another stage runs."""

    def __init__(self, throughput: Throughput) -> None:
        self.throughput = throughput
        self.batches = self.samples = self.lengths = 0
        self._seconds = 0.0
        self._since: float | None = None

    def run(self) -> None:
        """Let the clock run."""
        self._since = monotonic()

    def pause(self) -> None:
        """Stop the clock."""
        self._seconds, self._since = self.seconds(), None

    def seconds(self) -> float:
        """Return the time that the clock ran."""
        return self._seconds + (0.0 if self._since is None else monotonic() - self._since)


class ThroughputMonitor(Callback):
    """Log how fast batches are worked off: ``{stage}/device/samples_per_sec`` and its kin.

    The totals ``{stage}/time``, ``batches``, ``samples`` and ``lengths``, and once the window is full the rates
    ``{stage}/device/batches_per_sec``, ``samples_per_sec`` and ``items_per_sec``, go to the loggers with the step's
    values. If the module has an attribute ``flops_per_batch`` (see :func:`~leyden.callbacks.throughput.measure_flops`),
    so do ``flops_per_sec`` and, where the device's peak is known, ``mfu``, the fraction of it. With several processes
    the names without ``device/`` are of all together. Validation inside fit does not count into training's time.

    On a GPU every batch is waited for, which costs some speed.

    Args:
        batch_size_fn: Returns the number of samples in a batch.
        length_fn: Returns the number of items in a batch, tokens for instance; for ``items_per_sec``.
        **arguments: For :class:`~leyden.callbacks.throughput.Throughput`: ``available_flops``, ``window_size=100``,
            ``separator="/"``.

    Raises:
        ValueError: An argument is not one of the accepted values.

    Example:
        >>> monitor = ThroughputMonitor(batch_size_fn=lambda batch: len(batch[0]), window_size=10)
    """

    def __init__(
        self, batch_size_fn: Callable[[Any], int], length_fn: Callable[[Any], int] | None = None, **arguments: Any
    ) -> None:
        Throughput(**arguments)  # says what is wrong with them
        self.batch_size_fn = batch_size_fn
        self.length_fn = length_fn
        self._arguments = arguments
        self._counts: dict[RunningStage, Counts] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Begin to count anew."""
        arguments = {"world_size": trainer.world_size, **self._arguments}
        if "available_flops" not in arguments and hasattr(pl_module, "flops_per_batch"):
            dtype = DTYPES.get(str(trainer.precision).partition("-")[0], torch.float32)
            arguments["available_flops"] = get_available_flops(trainer.strategy.root_device, dtype)
        self._counts = {kind: Counts(Throughput(**arguments)) for kind in RunningStage}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start training's clock."""
        self._counts[RunningStage.TRAINING].run()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; log when the step's values are logged."""
        self._count(trainer, pl_module, batch)
        if logs_now(trainer):
            self._log(trainer, trainer._progress.stepped)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop training's clock, start validation's."""
        if trainer.state.fn == "fit":
            self._counts[RunningStage.TRAINING].pause()
        self._counts[_stage(trainer)].run()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch; log every ``log_every_n_steps`` of them."""
        if trainer.sanity_checking:
            return
        self._count(trainer, pl_module, batch)
        batches, every = self._counts[_stage(trainer)].batches, trainer.log_every_n_steps
        if every and batches % every == 0:
            self._log(trainer, batches)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let training's clock run again."""
        self._counts[_stage(trainer)].pause()
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._counts[RunningStage.TRAINING].run()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._counts[_stage(trainer)].run()

    on_predict_start = on_test_start
    on_test_batch_end = on_validation_batch_end
    on_predict_batch_end = on_validation_batch_end

    def _count(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        device = trainer.strategy.root_device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the batch is not over when the last kernel is queued
        counts = self._counts[_stage(trainer)]
        counts.batches += 1
        counts.samples += self.batch_size_fn(batch)
        if self.length_fn is not None:
            counts.lengths += self.length_fn(batch)
        counts.throughput.update(
            time=counts.seconds(),
            batches=counts.batches,
            samples=counts.samples,
            lengths=None if self.length_fn is None else counts.lengths,
            flops=getattr(pl_module, "flops_per_batch", None),
        )

    def _log(self, trainer: Trainer, step: int) -> None:
        stage = _stage(trainer)
        throughput = self._counts[stage].throughput
        row = {f"{stage.value}{throughput.separator}{name}": value for name, value in throughput.compute().items()}
        if stage is RunningStage.TRAINING:
            row["epoch"] = trainer.current_epoch
        for logger in trainer.loggers:
            logger.log_metrics(row, step=step)


def _stage(trainer: Trainer) -> RunningStage:
    assert trainer.state.stage is not None
    return trainer.state.stage
