"""From what the user gave (loaders, hooks, a data module) to the streams that the loops read."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any

from leyden.core.datamodule import LightningDataModule
from leyden.core.hooks import Listener, overridden
from leyden.core.module import LightningModule
from leyden.data.combined import CombinedLoader, stream_of
from leyden.data.loaders import check_loader, distributed_loader, limit_batches, without_shuffle
from leyden.data.order import Stream
from leyden.engine.states import RunningStage
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.utils.duration import parse_duration
from leyden.utils.overrides import positional_count
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.engine.run import Run

INFINITE = float("inf")


@dataclass
class Sources:
    """What the caller of fit, validate, test or predict passed, by the hook's prefix (train, val, test, predict)."""

    given: dict[str, Any]

    def is_defined(self, prefix: str, module: LightningModule, data: LightningDataModule | None) -> bool:
        """Whether there is anything to load from."""
        return self.given.get(prefix) is not None or self._hook(prefix, module, data) is not None

    @staticmethod
    def _hook(prefix: str, module: LightningModule, data: LightningDataModule | None) -> Listener | None:
        name = f"{prefix}_dataloader"
        return overridden(data, name, LightningDataModule) or overridden(module, name, LightningModule)

    @staticmethod
    def argument(prefix: str, fn: str) -> str:
        """The name of the argument that took a stage's loaders."""
        return {"train": "train_dataloaders", "val": "val_dataloaders"}[prefix] if fn == "fit" else "dataloaders"

    def load(self, prefix: str, run: Run) -> Any:
        """The user's loaders for a stage: what was passed, else what the data module's or the module's hook returns."""
        loaders, source = self.given.get(prefix), self.argument(prefix, run.fn)
        hook = self._hook(prefix, run.module, run.datamodule)
        if loaders is None and hook is not None:
            source = f"{prefix}_dataloader"
            with run.hooks.inside(source, getattr(hook, "__self__", run.module)):
                loaders = hook()
        if loaders is not None:
            check_leaves(loaders, source)
        return loaders


def check_leaves(loaders: Any, argument: str) -> None:
    """Refuse what is no loader, in whatever collection."""
    if isinstance(loaders, (list, tuple, Mapping)):
        for leaf in loaders.values() if isinstance(loaders, Mapping) else loaders:
            check_leaves(leaf, argument)
    elif not isinstance(loaders, CombinedLoader):
        check_loader(loaders, argument)


def takes_loader(step: Listener) -> bool:
    """Whether a step can be told which loader a batch is from."""
    names = list(signature(step).parameters)
    return positional_count(step) is None or "dataloader_iter" in names or names[2:3] == ["dataloader_idx"]


def several_loaders(name: str) -> RuntimeError:
    """The error about a step that cannot tell which loader a batch is from."""
    text = f"You have several {name} loaders, but `{name}_step` has no `dataloader_idx` argument"
    return RuntimeError(f"{text}. Fix: `def {name}_step(self, batch, batch_idx, dataloader_idx=0)`.")


@dataclass
class EvaluationLoaders:
    """The data of a stage: the user's own structure, and one stream and number of batches per loader in it."""

    given: Any
    streams: list[Stream]
    batches: list[float]


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

    @property
    def limited(self) -> bool:
        """Whether the epoch ends before the data does."""
        return self.stream.length is None or self.batches < self.stream.length


def load(run: Run, stage: RunningStage) -> EvaluationLoaders:
    """Ask for a stage's loaders; several are read side by side in training, else one after the other."""
    prefix, arguments = stage.dataloader_prefix, run.arguments
    given = run.sources.load(prefix, run)
    if given is None:
        return EvaluationLoaders(None, [], [])
    overfits = arguments.overfit_batches and prefix in ("train", "val")
    name = "overfit_batches" if overfits else f"limit_{prefix}_batches"
    mode = "max_size_cycle" if prefix == "train" and isinstance(given, (list, tuple, dict)) else "sequential"
    loaders = copy(given) if isinstance(given, CombinedLoader) else CombinedLoader(given, mode)
    loaders.flattened = [own_share(run, loader, prefix) for loader in loaders.flattened]
    streams = [stream_of(loader) for loader in (loaders.flattened if loaders.mode == "sequential" else [loaders])]
    batches = [limit_batches(stream.length, getattr(arguments, name), name) for stream in streams]
    return EvaluationLoaders(given, streams, batches)


def own_share(run: Run, loader: Any, prefix: str) -> Any:
    """A loader over this process's samples; for ``overfit_batches`` in order."""
    if prefix == "train" and run.arguments.overfit_batches:
        loader = without_shuffle(loader)
    spread = run.strategy.is_distributed and run.arguments.use_distributed_sampler
    rank, world_size = (run.strategy.global_rank, run.strategy.world_size) if spread else (0, 1)
    return distributed_loader(loader, rank, world_size, prefix)


def load_training(run: Run) -> TrainLoader:
    """Ask for the training loaders and work out how many batches an epoch has and when to validate."""
    loaders = load(run, RunningStage.TRAINING)
    if isinstance(loaders.given, CombinedLoader) and loaders.given.mode == "sequential":
        raise ValueError("`CombinedLoader(mode='sequential')` is for evaluation. Fix: mode='max_size_cycle'.")
    if loaders.given is None:
        raise MisconfigurationException("`train_dataloader` returned None. Accepted: a DataLoader, or several.")
    stream, batches = loaders.streams[0], loaders.batches[0]
    steps = run.arguments.log_every_n_steps or 0
    doubt = ""
    if batches == 0 and stream.length == 0:
        owner = run.datamodule or run.module
        if run.strategy.is_distributed and not owner.allow_zero_length_dataloader_with_multiple_devices:
            where = f"rank {run.strategy.global_rank} of {run.strategy.world_size}, for which the others would wait"
            fix = "a larger data set, a smaller `batch_size`, or drop_last=False"
            raise RuntimeError(f"The training data has 0 batches on {where}. Fix: {fix}.")
        doubt = "The training data has 0 batches. Look at the data set's length, `batch_size` and `drop_last`."
    elif 0 < batches < steps and run.loggers and not run.arguments.fast_dev_run:
        doubt = f"An epoch has {int(batches)} training batches, fewer than log_every_n_steps={steps}: its step values "
        doubt += "are not logged. Fix: a smaller `log_every_n_steps`."
    if doubt:
        rank_zero_warn(doubt, category=PossibleUserWarning)
    return TrainLoader(loaders.given, stream, batches, *validation_interval(run, batches))


def validation_interval(run: Run, batches: float) -> tuple[float, timedelta | None]:
    """After how many batches to validate (infinite: at the end of the epoch), or after which time."""
    interval: Any = run.arguments.val_check_interval
    if isinstance(interval, int):
        if run.validates and interval > batches and run.arguments.check_val_every_n_epoch is not None:
            fix = "a smaller number, or check_val_every_n_epoch=None to count across epochs, or limit_val_batches=0"
            text = f"`val_check_interval` ({interval}) is more than the {batches} training batches of an epoch"
            raise ValueError(f"{text}. Fix: {fix}.")
        return interval, None
    if not isinstance(interval, float):
        return INFINITE, parse_duration("val_check_interval", interval)
    if batches < INFINITE:
        return max(1, int(batches * interval)), None
    if interval != 1.0:
        text = f"`val_check_interval={interval}` is a fraction of training data that does not tell its length"
        raise MisconfigurationException(f"{text}. Accepted: 1.0, a number of batches, a time.")
    return INFINITE, None
