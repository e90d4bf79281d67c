"""From what the user gave (loaders, hooks, a data module) to the streams that the loops read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from warnings import warn

from leyden.core.datamodule import LightningDataModule
from leyden.core.hooks import overridden
from leyden.core.module import LightningModule
from leyden.data.combined import CombinedLoader, stream_of
from leyden.data.loaders import check_loader, distributed_loader, limit_batches, without_shuffle
from leyden.data.order import Stream
from leyden.engine.states import RunningStage
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.utils.duration import parse_duration
from leyden.utils.overrides import accepts_argument, positional_count

if TYPE_CHECKING:
    from leyden.engine.run import Run

INFINITE = float("inf")
FIT_ARGUMENTS = {"train": "train_dataloaders", "val": "val_dataloaders"}


@dataclass
class Sources:
    """What the caller of fit, validate, test or predict passed, by the hook's prefix (train, val, test, predict)."""

    given: dict[str, Any] = field(default_factory=dict)

    def is_defined(self, prefix: str, module: LightningModule, data: LightningDataModule | None) -> bool:
        """Whether there is anything to load from."""
        return self.given.get(prefix) is not None or self._hook(prefix, module, data) is not None

    @staticmethod
    def _hook(prefix: str, module: LightningModule, data: LightningDataModule | None) -> Any:
        name = f"{prefix}_dataloader"
        own = overridden(data, name, LightningDataModule) if data is not None else None
        return own or overridden(module, name, LightningModule)

    @staticmethod
    def argument(prefix: str, fn: str) -> str:
        """The name of the argument that took a stage's loaders."""
        return FIT_ARGUMENTS.get(prefix, "dataloaders") if fn == "fit" else "dataloaders"

    def load(self, prefix: str, run: Run) -> Any:
        """The user's loaders for a stage: what was passed, else what the data module's or the module's hook returns."""
        given = self.given.get(prefix)
        if given is not None:
            check_leaves(given, self.argument(prefix, run.fn))
            return given
        hook = self._hook(prefix, run.module, run.datamodule)
        if hook is None:
            return None
        with run.hooks.inside(f"{prefix}_dataloader"):
            loaders = hook()
        if loaders is not None:
            check_leaves(loaders, f"{prefix}_dataloader")
        return loaders


def check_leaves(loaders: Any, argument: str) -> None:
    """Refuse what is no loader, in whatever collection."""
    if isinstance(loaders, CombinedLoader):
        return
    if isinstance(loaders, Mapping):
        loaders = list(loaders.values())
    for leaf in loaders if isinstance(loaders, (list, tuple)) else [loaders]:
        if isinstance(leaf, (list, tuple, Mapping)) and leaf is not loaders:
            check_leaves(leaf, argument)
        else:
            check_loader(leaf, argument)


def takes_loader(step: Any) -> bool:
    """Whether a step can be told which loader a batch is from."""
    count = positional_count(step)
    return count is None or count >= 3 or accepts_argument(step, "dataloader_idx")


def several_loaders(name: str) -> RuntimeError:
    """The error about a step that cannot."""
    return RuntimeError(
        f"You have several {name} loaders, but `{name}_step` has no `dataloader_idx` argument. "
        f"Fix: `def {name}_step(self, batch, batch_idx, dataloader_idx=0)`."
    )


@dataclass
class TrainLoader:
    """The training data of a fit.

    Attributes:
        given: The user's own structure.
        stream: What is iterated.
        batches: Batches per epoch after ``limit_train_batches``; infinite if unknown.
        validate_every: Validate after every so many batches; infinite if only at the epoch's end.
        validate_after: Validate when this time has passed since the last validation.
    """

    given: Any
    stream: Stream
    batches: float
    validate_every: float
    validate_after: timedelta | None = None
    iterator: Iterator[tuple[Any, int | None]] | None = None

    @property
    def limited(self) -> bool:
        """Whether the epoch ends before the data does."""
        return self.stream.length is None or self.batches < self.stream.length


@dataclass
class EvaluationLoaders:
    """The data of a validation, test or predict run: one stream and limit per loader."""

    given: Any
    streams: list[Stream]
    batches: list[float]


def load_training(run: Run) -> TrainLoader:
    """Ask for the training loaders and work out how many batches an epoch has and when to validate."""
    arguments = run.arguments
    given = run.sources.load("train", run)
    if given is None:
        raise MisconfigurationException(
            "There is no training data. Accepted: `trainer.fit(model, train_dataloaders)`, a data module, or a "
            "`train_dataloader` hook that returns a loader."
        )
    limit: Any = arguments.overfit_batches or arguments.limit_train_batches
    name = "overfit_batches" if arguments.overfit_batches else "limit_train_batches"
    loader = CombinedLoader(given, "max_size_cycle") if isinstance(given, (list, tuple, dict)) else given
    if isinstance(loader, CombinedLoader):
        if loader.mode == "sequential":
            raise ValueError("`CombinedLoader(mode='sequential')` is for evaluation. Fix: mode='max_size_cycle'.")
    else:
        loader = _distributed(run, without_shuffle(loader) if arguments.overfit_batches else loader, "train")
    stream = stream_of(loader, shuffle_allowed=not arguments.overfit_batches)
    batches = limit_batches(stream.length, 1.0 if limit is None else limit, name)
    if batches == 0 and stream.length == 0:
        warn(
            "The training data has 0 batches, so there is nothing to train. Look at the data set's length, "
            "`batch_size` and `drop_last`.",
            PossibleUserWarning,
            stacklevel=2,
        )
    every, after = _validation_interval(run, batches)
    steps = arguments.log_every_n_steps or 0
    if steps > batches and run.loggers and not arguments.fast_dev_run:
        warn(
            f"An epoch has {int(batches)} training batches, fewer than log_every_n_steps={steps}: no step values will "
            "be logged in the first epoch. Fix: a smaller `log_every_n_steps`.",
            PossibleUserWarning,
            stacklevel=2,
        )
    return TrainLoader(given, stream, batches, every, after)


def _validation_interval(run: Run, batches: float) -> tuple[float, timedelta | None]:
    arguments = run.arguments
    interval = 1.0 if arguments.val_check_interval is None else arguments.val_check_interval
    if isinstance(interval, (str, timedelta, Mapping)):
        return INFINITE, parse_duration("val_check_interval", interval)
    if isinstance(interval, int):
        validates = arguments.limit_val_batches != 0 and run.sources.is_defined("val", run.module, run.datamodule)
        if validates and interval > batches and arguments.check_val_every_n_epoch is not None:
            raise ValueError(
                f"`val_check_interval` ({interval}) is more than the {batches} training batches of an epoch. "
                "Fix: a smaller number; or check_val_every_n_epoch=None, to count batches across epochs; or "
                "limit_val_batches=0, to validate never."
            )
        return interval, None
    if batches == INFINITE:
        if interval != 1.0:
            raise MisconfigurationException(
                f"`val_check_interval={interval}` is a fraction of an epoch, and the training data does not tell its "
                "length. Accepted: 1.0, a number of batches, a time."
            )
        return INFINITE, None
    return max(1, int(batches * interval)), None


def load_evaluation(run: Run, stage: RunningStage) -> EvaluationLoaders:
    """Ask for a stage's evaluation loaders; an empty result where there are none."""
    prefix, arguments = stage.dataloader_prefix, run.arguments
    given = run.sources.load(prefix, run)
    limit = getattr(arguments, f"limit_{prefix}_batches")
    name = f"limit_{prefix}_batches"
    if arguments.overfit_batches and prefix == "val":
        limit, name = arguments.overfit_batches, "overfit_batches"
    limit = 1.0 if limit is None else limit
    if given is None:
        return EvaluationLoaders(None, [], [])
    if isinstance(given, CombinedLoader) and given.mode != "sequential":
        combined = stream_of(given)
        return EvaluationLoaders(given, [combined], [limit_batches(combined.length, limit, name)])
    loaders: Sequence[Any] = (
        given.flattened if isinstance(given, CombinedLoader) else CombinedLoader(given, "sequential").flattened
    )
    streams = [Stream(_distributed(run, loader, prefix)) for loader in loaders]
    return EvaluationLoaders(given, streams, [limit_batches(s.length, limit, name) for s in streams])


def _distributed(run: Run, loader: Any, prefix: str) -> Any:
    strategy = run.strategy
    if not strategy.is_distributed or not run.arguments.use_distributed_sampler:
        return distributed_loader(loader, 0, 1, prefix) if prefix == "predict" else loader  # no sample is dropped
    mode = "train" if prefix == "train" else "predict" if prefix == "predict" else "eval"
    return distributed_loader(loader, strategy.global_rank, strategy.world_size, mode)
