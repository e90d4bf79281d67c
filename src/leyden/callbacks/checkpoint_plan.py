"""What a ModelCheckpoint will write when.

Its own decisions are rehearsed over a run of which only the shape is known; nothing is trained, written or deleted.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from string import Formatter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from leyden.callbacks import checkpoint_folder as folder
from leyden.data.combined import CombinedLoader
from leyden.data.loaders import distributed_loader, limit_batches, loader_length
from leyden.errors import bad_value
from leyden.utils.duration import parse_duration

if TYPE_CHECKING:
    from leyden.callbacks.checkpoint_folder import Save
    from leyden.callbacks.model_checkpoint import ModelCheckpoint
    from leyden.trainer import Trainer

    Base = ModelCheckpoint
else:
    Base = object

PLACES = ("step", "validation", "epoch")
LONGEST = 20  # rows that are printed


@dataclass(frozen=True)
class PlannedSave:
    """One moment at which files are written."""

    epoch: int
    step: int
    moment: str
    """After what: ``"batch"``, ``"validation"``, ``"training epoch"`` or ``"training"``."""
    path: str
    """The file; ``?`` stands for what only the run will tell. Empty: only :attr:`last` is written."""
    last: str
    """The file of ``save_last``, or empty."""
    deletes: tuple[str, ...]
    """The files that are deleted after it was written."""
    best_of: int = 0
    """Above 0: it is written only if the monitored value is among so many best; the worst of them is then deleted."""


@dataclass(frozen=True)
class Plan:
    """What :meth:`ModelCheckpoint.plan` returns; ``print`` it for a table.

    Attributes:
        dirpath: The folder.
        saves: The saves in order.
        notes: What cannot be told beforehand.
    """

    dirpath: str
    saves: tuple[PlannedSave, ...]
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> set[str]:
        """The files that are left at the end; of those that depend on a monitored value, all that may be."""
        left: set[str] = set()
        for save in self.saves:
            left |= {path for path in (save.path, save.last) if path}
            left -= set(save.deletes)
        return left

    def __str__(self) -> str:
        place = os.path.relpath(self.dirpath) if folder.holds(os.getcwd(), self.dirpath) else self.dirpath
        head = f"{len(self.saves)} {'save' if len(self.saves) == 1 else 'saves'} in {place}"
        table = [("epoch", "step", "after", "writes", "then deletes"), *map(self._row, self.saves)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        if len(self.saves) > LONGEST:
            lines[LONGEST - 4 : -5] = [f"... {len(self.saves) - LONGEST} more ..."]
        return "\n".join([head, *(lines if self.saves else []), *(f"- {note}" for note in self.notes)])

    def _row(self, save: PlannedSave) -> tuple[str, ...]:
        writes = ", ".join(self._name(path) for path in (save.path, save.last) if path)
        deletes = ", ".join(map(self._name, save.deletes))
        if save.best_of:
            writes = f"{writes} if among the {save.best_of} best"
            deletes = ", ".join(filter(None, (deletes, "the worst of them")))
        return str(save.epoch), str(save.step), save.moment, writes, deletes

    def _name(self, path: str) -> str:
        return os.path.relpath(path, self.dirpath) if folder.holds(self.dirpath, path) else path


class Unknown(float):
    """A value that only the run will tell."""

    def __new__(cls) -> Unknown:
        return super().__new__(cls, math.nan)

    def __format__(self, spec: str) -> str:
        return "?"


class Rehearsal(Base):
    """Mixed into the class of a callback: it decides as ever, and notes instead of writing."""

    stage: Stage
    saves: list[PlannedSave]
    notes: list[str]

    def file_exists(self, filepath: str, trainer: Trainer) -> bool:
        """Whether it exists, or would by now."""
        files = self.stage.files
        return files[filepath] if filepath in files else folder.exists(filepath)

    def check_monitor_top_k(self, trainer: Trainer, current: Any = None) -> bool:
        """Whether the value is among the best; one that is not known may be."""
        if self._knows_score():
            return super().check_monitor_top_k(trainer, current)
        return self.save_top_k != 0

    def _knows_score(self) -> bool:
        return self.monitor in ("epoch", "step")

    def _rank(self, trainer: Trainer, metrics: Any) -> tuple[str, list[str]]:
        if self._knows_score():
            return super()._rank(trainer, metrics)
        kept, k = self.best_k_models, self.save_top_k
        if k == -1 or len(kept) < k:
            path = self._free_name(trainer, metrics)
        else:
            self.stage.best_of = k
            path = self._free_name(trainer, metrics, kept)
            if path in kept and k > 1:  # it takes the name of the one it pushes out
                path = path.removesuffix(self.FILE_EXTENSION) + f"{self.CHECKPOINT_JOIN_CHAR}v?{self.FILE_EXTENSION}"
        if len(kept) < k:
            kept[path] = metrics[self.monitor or ""]
        return path, []

    def _is_taken(self, path: str, trainer: Trainer) -> bool:
        return "?" not in path and super()._is_taken(path, trainer)

    def _write(self, trainer: Trainer, save: Save) -> None:
        stage, self.stage.best_of, best_of = self.stage, 0, self.stage.best_of
        self._pending.remove(save)
        for path in filter(None, (save.path, save.last)):
            stage.files[path] = True
        for path in save.obsolete:
            stage.files[path] = False
        row = (stage.current_epoch, stage.global_step, stage.moment, save.path, save.last, tuple(save.obsolete))
        self.saves.append(PlannedSave(*row, best_of))

    def _announce(self, trainer: Trainer, text: str) -> None:
        """Nothing happens."""

    def _report_missing(self, trainer: Trainer) -> None:
        note = f"At step {self.stage.global_step} nothing is saved: {self.monitor!r} was not logged yet."
        self.notes.append(note)


class Stage:
    """The Trainer that a rehearsal sees: its arguments are those of the real one, its progress is played."""

    def __init__(
        self, trainer: Trainer, batches: float, val_batches: list[float], callbacks: Sequence[ModelCheckpoint]
    ):
        self._trainer = trainer
        self.state = SimpleNamespace(fn="fit")
        self.strategy = SimpleNamespace(broadcast=lambda value, src=0: value, reduce_boolean_decision=lambda yes: yes)
        self.callback_metrics: dict[str, Any] = {}
        self.current_epoch, self.global_step = trainer.current_epoch, trainer.global_step
        self.sanity_checking = self.is_last_batch = False
        self.num_val_batches, self.enable_validation = val_batches, sum(val_batches) > 0
        self.batches = batches
        self.checkpoint_callbacks = [rehearsed(callback, self) for callback in callbacks]
        self.files: dict[str, bool] = {}
        self.moment = ""
        self.best_of = 0
        self.seconds = 0.0
        self._settling: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trainer, name)

    def when_settled(self, action: Any) -> None:
        """Wait for the hook's end."""
        self._settling.append(action)

    def call(self, hook: str, moment: str = "", *arguments: Any) -> None:
        """Call a hook on every callback; then do what waited."""
        self.moment = moment
        for callback in self.checkpoint_callbacks:
            getattr(callback, hook)(self, None, *arguments)
        while self._settling:
            self._settling.pop(0)()


def rehearsed(callback: ModelCheckpoint, stage: Stage) -> Any:
    """A copy of a callback that notes instead of writing."""
    kind: Any = type(callback)
    twin: Any = object.__new__(type("Rehearsal", (Rehearsal, kind), {}))
    vars(twin).update(vars(callback), stage=stage, saves=[], notes=[])
    twin.best_k_models = dict(callback.best_k_models)
    twin.dirpath = folder.default_folder(stage._trainer) if callback.dirpath is None else callback.dirpath
    twin._schedule = copy.copy(callback._schedule)
    twin._schedule.clock = lambda: stage.seconds
    twin._pending = []
    twin._validated = twin._waiting = twin._wrote_last = False
    templates = (callback.filename or "", callback.CHECKPOINT_NAME_LAST)
    fields = {name for template in templates for _, name, _, _ in Formatter().parse(template) if name}
    stage.callback_metrics.update({name: Unknown() for name in fields - {"epoch", "step", callback.monitor}})
    return twin


def plan(
    callback: ModelCheckpoint,
    others: Iterable[ModelCheckpoint],
    trainer: Trainer,
    train_dataloaders: Any,
    val_dataloaders: Any,
    logged_in: str,
    seconds_per_batch: float | None,
) -> Plan:
    """Rehearse a fit; see :meth:`ModelCheckpoint.plan`."""
    if logged_in not in PLACES:
        raise ValueError(bad_value("logged_in", logged_in, f"one of {PLACES}"))
    (batches,) = batches_of(train_dataloaders, "train", trainer) or [trainer.num_training_batches]
    if not math.isfinite(batches):
        fix = "give the number of batches in an epoch, plan(trainer, 1000), or loaders that have a length"
        raise ValueError(bad_value("train_dataloaders", train_dataloaders, "loaders of known length, or a number", fix))
    val_batches = batches_of(val_dataloaders, "val", trainer) or list(trainer.num_val_batches)
    callbacks = list(dict.fromkeys([*others, callback]))
    stage = Stage(trainer, batches, val_batches, callbacks)
    if logged_in == "validation" and not stage.enable_validation:
        logged_in = "epoch"
    own = stage.checkpoint_callbacks[callbacks.index(callback)]
    if not trainer.fast_dev_run and batches:
        play(stage, logged_in, seconds_per_batch, own)
    return Plan(own.dirpath, tuple(own.saves), (*own.notes, *notes(callback, trainer, seconds_per_batch)))


def batches_of(given: Any, prefix: str, trainer: Trainer) -> list[float]:
    """Batches per loader after the Trainer's limits; for training in one number. Empty where nothing was given."""
    if given is None:
        return []
    name = "overfit_batches" if trainer.overfit_batches else f"limit_{prefix}_batches"
    lengths: list[int | None] = [given]
    if not isinstance(given, int):
        mode = "max_size_cycle" if prefix == "train" and isinstance(given, (list, tuple, dict)) else "sequential"
        loaders = given if isinstance(given, CombinedLoader) else CombinedLoader(given, mode)
        shares = [
            distributed_loader(item, trainer.global_rank, trainer.world_size, prefix) for item in loaders.flattened
        ]
        lengths = [loader_length(share) for share in shares]
        if loaders.mode != "sequential":
            lengths = [loader_length(CombinedLoader(shares, loaders.mode))]
    return [limit_batches(length, getattr(trainer, name), name) for length in lengths]


def play(stage: Stage, logged_in: str, seconds_per_batch: float | None, own: Rehearsal) -> None:
    """Fit without training: count batches, and call the hooks at which checkpoints are saved."""
    limit, max_epochs = stage.max_steps, stage.max_epochs
    endless = max_epochs in (None, -1) and limit == -1
    progress = Batches(stage, seconds_per_batch, learn(stage, "step", logged_in))
    stage.call("on_train_start")
    while (max_epochs in (None, -1) or stage.current_epoch < max_epochs) and not progress.over():
        stage.is_last_batch = False
        for number in progress.epoch():
            if is_due(stage, number, progress):
                learn(stage, "validation", logged_in)()
                stage.call("on_validation_end", "validation")
                progress.since_validation = 0.0
        learn(stage, "epoch", logged_in)()
        stage.call("on_train_epoch_end", "training epoch")
        stage.current_epoch += 1
        if endless and (len(own.saves) >= LONGEST or stage.current_epoch >= 1000):
            own.notes.append(f"The run has no end; the plan is that of its first {stage.current_epoch} epochs.")
            return
    stage.call("on_train_end", "training")


def learn(stage: Stage, place: str, logged_in: str) -> Any:
    """What a place of logging does: the monitored values are there from now on, if it is theirs."""
    monitors = {c.monitor for c in stage.checkpoint_callbacks if c.monitor not in (None, "epoch", "step")}

    def log() -> None:
        if place == logged_in:
            stage.callback_metrics |= {name: Unknown() for name in monitors}

    return log


class Batches:
    """Counts the batches and optimizer steps of a rehearsed fit."""

    def __init__(self, stage: Stage, seconds_per_batch: float | None, log: Any) -> None:
        self.stage, self.log, self.seconds = stage, log, seconds_per_batch or 0.0
        self.seen = 0
        self.since_validation = 0.0
        schedules = [callback._schedule for callback in stage.checkpoint_callbacks]
        self.watched = any(schedule.every_n_train_steps or schedule.train_time_interval for schedule in schedules)

    def over(self) -> bool:
        """Whether ``max_steps`` is reached."""
        limit: int = self.stage.max_steps
        return limit != -1 and self.stage.global_step >= limit

    def epoch(self) -> Iterator[int]:
        """Play the batches of an epoch; yield each one's number, from 1, when its hooks are over."""
        stage, window = self.stage, self.stage.accumulate_grad_batches
        for number in range(1, int(stage.batches) + 1):
            stage.is_last_batch = number == stage.batches
            stage.global_step += number % window == 0 or stage.is_last_batch
            self.seen += 1
            stage.seconds += self.seconds
            self.since_validation += self.seconds
            self.log()
            if self.watched:
                stage.call("on_train_batch_end", "batch", {}, None, number - 1)
            yield number
            if self.over():
                return


def is_due(stage: Stage, number: int, progress: Batches) -> bool:
    """Whether validation follows this batch of the epoch."""
    every = stage.check_val_every_n_epoch
    if not stage.enable_validation or (every is not None and (stage.current_epoch + 1) % every):
        return False
    interval = stage.val_check_interval
    if not isinstance(interval, (int, float)):
        pause: float = parse_duration("val_check_interval", interval).total_seconds()
        return progress.seconds > 0 and progress.since_validation >= pause
    batches: int = interval if isinstance(interval, int) else max(1, int(stage.batches * interval))
    return (progress.seen if every is None else number) % batches == 0


def notes(callback: ModelCheckpoint, trainer: Trainer, seconds_per_batch: float | None) -> Iterator[str]:
    """What the plan leaves open."""
    if trainer.fast_dev_run:
        yield "Under fast_dev_run nothing is saved."
    interval = callback._schedule.train_time_interval
    if interval is not None and seconds_per_batch is None:
        yield (
            f"A save follows the batch in which {interval} have passed since the last one. "
            "To see which, pass `seconds_per_batch`."
        )
    if callback.save_on_exception:
        yield "An exception saves once more, under the usual name."
    if callback.save_last == "link":
        yield "`last` is a link to the file saved with it."
    stops = trainer.early_stopping_callbacks or trainer._callbacks_of("Timer")
    if stops:
        yield "The run may be stopped earlier."
