"""``trainer.fit_loop.epoch_loop`` and what else programs ask a loop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from leyden.legacy.views.view import View

_NOTHING = SimpleNamespace(
    epoch=0, batch=0, global_step=0, stepped=0, seen=0, phase="ready", started=False, is_last_batch=False
)


def _progress(loop: Any) -> Any:
    return _NOTHING if loop._run is None else loop._run.progress


def _in_hook(loop: Any, name: str) -> bool:
    return loop._run is not None and loop._run.hooks.current == name


class EpochLoop(View):
    """The batches of an epoch."""

    _called = "trainer.fit_loop.epoch_loop"

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_batches_that_stepped":
            super().__setattr__(name, value)
        _progress(self._owner).stepped = value

    @property
    def _batches_that_stepped(self) -> int:
        """Batches on which an optimizer stepped: the loggers' x-axis. It can be set."""
        return int(_progress(self._owner).stepped)

    @property
    def batch_progress(self) -> SimpleNamespace:
        """Batches ready, started, processed and completed, in this epoch and in all."""
        progress, run = _progress(self._owner), self._owner._run
        results = getattr(run, "train_results", None)
        flying = results is not None and results.batch is not None
        begun, ended = flying and progress.phase == "ready", flying and progress.phase == "trained"

        def counts(number: int) -> SimpleNamespace:
            more = number + 1 if begun else number
            return SimpleNamespace(
                ready=more, started=more, processed=number, completed=number - 1 if ended else number
            )

        return SimpleNamespace(
            current=counts(progress.batch), total=counts(progress.seen), is_last_batch=progress.is_last_batch
        )

    @property
    def batch_idx(self) -> int:
        """The number of the running batch, or of the last one; -1 before the first."""
        return int(self.batch_progress.current.ready) - 1

    @property
    def total_batch_idx(self) -> int:
        """The same over all epochs."""
        return int(self.batch_progress.total.ready) - 1

    @property
    def global_step(self) -> int:
        """Optimizer steps."""
        return int(_progress(self._owner).global_step)

    @property
    def val_loop(self) -> ValidationLoop:
        """The validation inside fit."""
        return ValidationLoop(self._owner)


class ValidationLoop(View):
    """The validation inside fit."""

    _called = "trainer.fit_loop.epoch_loop.val_loop"

    @property
    def _data_source(self) -> DataSource:
        return DataSource(self._owner, "val")

    @property
    def max_batches(self) -> Any:
        """Batches per loader."""
        return self._owner._run.trainer.num_val_batches if self._owner._run is not None else []


class DataSource(View):
    """Where loaders come from."""

    _prefix: str
    _called = "_data_source"

    def __init__(self, owner: Any, prefix: str) -> None:
        super().__init__(owner)
        self.__dict__["_prefix"] = prefix

    def is_defined(self) -> bool:
        """Whether there is anything to load from."""
        run = self._owner._run
        return run is not None and bool(run.sources.is_defined(self._prefix, run.module, run.datamodule))


epoch_loop = EpochLoop


def epoch_progress(loop: Any) -> SimpleNamespace:
    """Epochs ready, started, processed and completed."""
    progress = _progress(loop)
    begun = progress.started or _in_hook(loop, "on_train_epoch_start")
    ended = progress.phase == "epoch_ended" or _in_hook(loop, "on_train_epoch_end")
    counts = SimpleNamespace(
        ready=progress.epoch + begun,
        started=progress.epoch + begun,
        processed=progress.epoch + ended,
        completed=progress.epoch,
    )
    return SimpleNamespace(current=counts, total=counts)


def batch_idx(loop: Any) -> int:
    """The number of the running batch."""
    return EpochLoop(loop).batch_idx


def total_batch_idx(loop: Any) -> int:
    """The number of the running batch over all epochs."""
    return EpochLoop(loop).total_batch_idx


def data_source(loop: Any) -> DataSource:
    """Where training batches come from."""
    return DataSource(loop, "train")


def epoch_batch_indices(loop: Any) -> list[Any]:
    """Per loader and batch the samples predicted so far, while a prediction writer that writes per epoch is there."""
    callbacks = [] if loop._run is None else loop._run.callbacks
    kept = (vars(callback).get("_indices") for callback in callbacks)
    return next((list(indices) for indices in kept if indices), [])
