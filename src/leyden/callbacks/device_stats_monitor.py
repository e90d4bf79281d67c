"""DeviceStatsMonitor: what the device and the processor do meanwhile, in the loggers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch

from leyden.core.callback import Callback
from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.optional import require

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

Stats = dict[str, float]


class DeviceStatsMonitor(Callback):
    """Log the device's memory and, of the processor, load and memory, before and after batches.

    The names are ``DeviceStatsMonitor.on_train_batch_start/...`` and so on for the start and end of training,
    validation and test batches; every ``log_every_n_steps`` batches. On the CPU they need psutil.

    Args:
        cpu_stats: Whether to log the processor's; None: where it is the device.
        filter_keys: The only values to log, by the names that :func:`device_stats` gives; None: all.

    Raises:
        MisconfigurationException: The Trainer has no logger; or ``filter_keys`` names what there is not.
        ImportError: The processor's are asked for, and psutil is not installed.

    Example:
        >>> monitor = DeviceStatsMonitor(cpu_stats=True, filter_keys={"cpu_percent"})
    """

    def __init__(self, cpu_stats: bool | None = None, filter_keys: Collection[str] | None = None) -> None:
        if cpu_stats not in (None, True, False):
            raise MisconfigurationException(bad_value("cpu_stats", cpu_stats, "True, False, None"))
        if isinstance(filter_keys, str):
            raise MisconfigurationException(bad_value("filter_keys", filter_keys, "a set of names, None"))
        self._cpu_stats = cpu_stats
        self._filter_keys = None if filter_keys is None else frozenset(filter_keys)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that there is a logger, and what to log."""
        if stage not in ("fit", "validate", "test"):
            return
        if not trainer.loggers:
            raise MisconfigurationException(
                "`DeviceStatsMonitor` needs a logger, and `Trainer(logger=False)` has none. Fix: leave out one of them."
            )
        known = self._stats(trainer)
        unknown = sorted((self._filter_keys or frozenset()) - known.keys())
        if unknown and known:  # without a context on the device nothing may be known yet
            raise MisconfigurationException(bad_value("filter_keys", unknown, f"names among {sorted(known)}"))

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Log before a training batch."""
        self._trained(trainer, "on_train_batch_start")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log after a training batch."""
        self._trained(trainer, "on_train_batch_end")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log before a validation batch."""
        self._evaluated(trainer, "on_validation_batch_start", batch_idx)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log after a validation batch."""
        self._evaluated(trainer, "on_validation_batch_end", batch_idx)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log before a test batch."""
        self._evaluated(trainer, "on_test_batch_start", batch_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log after a test batch."""
        self._evaluated(trainer, "on_test_batch_end", batch_idx)

    def _trained(self, trainer: Trainer, hook: str) -> None:
        every = trainer.log_every_n_steps
        if every and (trainer._progress.stepped + 1) % every == 0:
            self._log(trainer, hook)

    def _evaluated(self, trainer: Trainer, hook: str, batch_idx: int) -> None:
        every = trainer.log_every_n_steps
        if every and (batch_idx + 1) % every == 0 and not trainer.sanity_checking:
            self._log(trainer, hook)

    def _log(self, trainer: Trainer, hook: str) -> None:
        stats = self._stats(trainer)
        if self._filter_keys is not None:
            stats = {name: value for name, value in stats.items() if name in self._filter_keys}
        for logger in trainer.loggers:
            separator = logger.group_separator
            prefix = f"{type(self).__qualname__}.{hook}{separator}"
            logger.log_metrics({prefix + name: value for name, value in stats.items()}, trainer._progress.stepped)

    def _stats(self, trainer: Trainer) -> Stats:
        device = trainer.strategy.root_device
        stats = trainer.accelerator.get_device_stats(device) or device_stats(device)
        wanted = device.type == "cpu" if self._cpu_stats is None else self._cpu_stats
        return stats | cpu_stats() if wanted else stats


def device_stats(device: torch.device) -> Stats:
    """Return what torch's allocator knows about a device's memory, in bytes and counts; empty where it knows nothing.

    Example:
        >>> device_stats(torch.device("cpu"))
        {}
    """
    if device.type == "cuda":
        return {name: float(value) for name, value in torch.cuda.memory_stats(device).items()}
    if device.type == "mps":
        return {
            "mps_current_allocated_bytes": float(torch.mps.current_allocated_memory()),
            "mps_driver_allocated_bytes": float(torch.mps.driver_allocated_memory()),
        }
    return {}


def cpu_stats() -> Stats:
    """Return the processor's load, the memory in use and the swap in use, in percent.

    Raises:
        ImportError: psutil is not installed.
    """
    psutil = require("psutil", "stats")
    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_vm_percent": psutil.virtual_memory().percent,
        "cpu_swap_percent": psutil.swap_memory().percent,
    }
