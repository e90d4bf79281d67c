"""BasePredictionWriter: predictions go to files instead of staying in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, IterableDataset

from leyden.core.callback import Callback
from leyden.data.loaders import replace
from leyden.errors import MisconfigurationException, bad_value, nearest
from leyden.utils.tree import detach

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class WriteInterval(StrEnum):
    """When a :class:`BasePredictionWriter` writes."""

    BATCH = "batch"
    EPOCH = "epoch"
    BATCH_AND_EPOCH = "batch_and_epoch"

    @property
    def on_batch(self) -> bool:
        """Whether it writes after each batch."""
        return self is not WriteInterval.EPOCH

    @property
    def on_epoch(self) -> bool:
        """Whether it writes at the epoch's end."""
        return self is not WriteInterval.BATCH


INTERVALS = tuple(interval.value for interval in WriteInterval)


class RecordingSampler:
    """Yields what another sampler yields, and keeps it; everything else is asked of that sampler."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.drawn: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        self.drawn = []
        for item in self.sampler:
            self.drawn.append(item)
            yield item

    def __len__(self) -> int:
        return len(self.sampler)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["sampler"], name)


class BasePredictionWriter(Callback):
    """Base class of callbacks that write what ``predict_step`` returns.

    Override :meth:`write_on_batch_end`, :meth:`write_on_epoch_end` or both. With several processes each writes its own
    share. ``trainer.predict(..., return_predictions=False)`` keeps no predictions in memory, if the writer does not ask
    for them at the epoch's end.

    Args:
        write_interval: When to write: ``"batch"``, ``"epoch"`` or ``"batch_and_epoch"``.

    Raises:
        MisconfigurationException: ``write_interval`` is not one of these.

    Example:
        >>> import torch
        >>> class Writer(BasePredictionWriter):
        ...     def write_on_batch_end(
        ...         self, trainer, pl_module, prediction, batch_indices, batch, batch_idx, dataloader_idx
        ...     ):
        ...         torch.save({"rows": batch_indices, "values": prediction}, f"part{batch_idx}.pt")
        >>> writer = Writer(write_interval="batch")
    """

    def __init__(self, write_interval: str = "batch") -> None:
        if write_interval not in INTERVALS:
            text = bad_value("write_interval", write_interval, f"one of {INTERVALS}")
            raise MisconfigurationException(text + nearest(str(write_interval), INTERVALS))
        self.interval = WriteInterval(write_interval)
        self._samplers: list[RecordingSampler | None] = []
        self._predictions: list[list[Any]] = []
        self._indices: list[list[Any]] = []

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write a batch's prediction.

        Args:
            trainer: The Trainer.
            pl_module: The module.
            prediction: What ``predict_step`` returned.
            batch_indices: The batch's samples, as indices into the data set; empty where the loader does not tell.
            batch: The batch.
            batch_idx: Its number.
            dataloader_idx: The number of its loader.
        """
        raise NotImplementedError(_to_override(self, "write_on_batch_end"))

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write all predictions.

        Args:
            trainer: The Trainer.
            pl_module: The module.
            predictions: What ``predict_step`` returned, on the CPU, per batch; with several loaders a list of such
                lists.
            batch_indices: Per loader (also if there is only one) and batch, the samples' indices.
        """
        raise NotImplementedError(_to_override(self, "write_on_epoch_end"))

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the samplers."""
        streams = trainer._run_now.evaluations["predict"].streams
        self._samplers = []
        for stream in streams:
            stream.loader, sampler = recorded(stream.loader)
            self._samplers.append(sampler)
        self._predictions, self._indices = [[] for _ in streams], [[] for _ in streams]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch, or keep its prediction for the epoch's end."""
        sampler = self._samplers[dataloader_idx]
        drawn = [] if sampler is None else sampler.drawn[batch_idx]
        indices = list(drawn) if isinstance(drawn, Sequence) else [drawn]
        if self.interval != "epoch":
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)
        if self.interval != "batch":
            self._predictions[dataloader_idx].append(detach(outputs, to_cpu=True))
            if sampler is not None:
                self._indices[dataloader_idx].append(indices)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was kept."""
        predictions, indices = self._predictions, self._indices
        if self.interval != "batch":
            given = predictions[0] if len(predictions) == 1 else predictions
            self.write_on_epoch_end(trainer, pl_module, given, indices)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep nothing of the run."""
        self._samplers, self._predictions, self._indices = [], [], []


def recorded(loader: Any) -> tuple[Any, RecordingSampler | None]:
    """Return the loader with a sampler that keeps its indices; the loader itself and None where it has no such sampler.

    Example:
        >>> loader, sampler = recorded(DataLoader(range(5), batch_size=2))
        >>> [batch.tolist() for batch in loader] == sampler.drawn
        True
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return loader, None
    attribute = "sampler" if loader.batch_sampler is None else "batch_sampler"
    sampler = RecordingSampler(getattr(loader, attribute))
    return replace(loader, **{attribute: sampler}), sampler


def _to_override(writer: object, method: str) -> str:
    return f"`{type(writer).__name__}.{method}` is called with this `write_interval`. Fix: override it."
