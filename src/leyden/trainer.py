"""The Trainer: checks the arguments, builds the run, and hands it to the engine."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from leyden.callbacks.defaults import check_callbacks, with_defaults
from leyden.callbacks.removed_hooks import call_init_hooks, removed_hooks
from leyden.callbacks.results_table import print_results
from leyden.core.datamodule import LightningDataModule
from leyden.core.module import LightningModule
from leyden.core.supervised import Supervised
from leyden.engine import snapshot
from leyden.engine.checkpoint_path import find_checkpoint
from leyden.engine.checks import check_constructed, check_run
from leyden.engine.config import TrainerArguments, describe_arguments, raise_all, takes
from leyden.engine.evaluate import evaluate, predict
from leyden.engine.fit import fit, validates
from leyden.engine.loading import Sources
from leyden.engine.properties import TrainerProperties
from leyden.engine.results import Metrics
from leyden.engine.run import Progress, Run
from leyden.engine.session import order_callbacks, session
from leyden.engine.states import RunningStage, TrainerFn, TrainerState, TrainerStatus
from leyden.errors import LightningDeprecationWarning, MisconfigurationException, bad_value
from leyden.legacy.alias import private, publish
from leyden.legacy.arguments import collect, rename_loaders
from leyden.legacy.attributes import TRAINER, with_old_names
from leyden.loggers.defaults import default_loggers
from leyden.profilers.defaults import profiler_of
from leyden.runtime.resolve import resolve

PathLike = str | os.PathLike[str] | None
AnyModule = LightningModule | nn.Module


@with_old_names(TRAINER)
class Trainer(TrainerProperties):
    """Runs a module: trains, validates, tests, predicts.

    Every default can also come from the environment, as ``PL_TRAINER_<ARGUMENT>``.

    Args:
        {arguments}

    Raises:
        MisconfigurationException: An argument, or a combination of arguments, that cannot work. Several mistakes are
            reported together, in an error that is a ValueError and a TypeError as well.

    Example:
        >>> import leyden as pl
        >>> trainer = pl.Trainer(max_epochs=3, logger=False, enable_checkpointing=False)
        >>> trainer.current_epoch
        0
    """

    @takes(TrainerArguments)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            raise TypeError(f"Trainer() takes keyword arguments only, but got {args!r}. Fix: Trainer(max_epochs=3).")
        old = collect(kwargs)
        for message in old.messages:
            warnings.warn(message, LightningDeprecationWarning, stacklevel=2)
        given = old.built()
        self._resume_first_fit: PathLike = given.pop("ckpt_path", None)
        self._arguments, wrong = TrainerArguments.checked(given)
        self._runtime, impossible = resolve_runtime(self._arguments)
        raise_all([*old.errors, *wrong, *impossible, *check_callbacks(self._arguments)])
        self.callbacks = order_callbacks(with_defaults(self._arguments))
        self._arguments.complete(timed=bool(self._callbacks_of("Timer")))
        self._arguments.profiler = profiler_of(self._arguments.profiler)
        self.default_root_dir = str(self._arguments.default_root_dir or Path.cwd())
        self.loggers = default_loggers(self._arguments, self.default_root_dir)
        self.state = TrainerState()
        self._progress = Progress()
        self._metrics = Metrics()
        call_init_hooks(self)

    # -- entry points -----------------------------------------------------------------------------------------------

    def fit(
        self,
        model: AnyModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: PathLike = None,
        weights_only: bool | None = None,
        **old: Any,
    ) -> None:
        """Train a module.

        Args:
            model: The module; a plain ``nn.Module`` is trained as a supervised model.
            train_dataloaders: A loader, or a list or dict of them; or a data module.
            val_dataloaders: A loader or several.
            datamodule: Instead of loaders.
            ckpt_path: Continue from this checkpoint: a path, ``"last"`` or ``"best"``.
            weights_only: False runs arbitrary code from the file; only for files you trust.
            old: Argument names of 1.x, translated with a warning.
        """
        loaders = {"train_dataloaders": train_dataloaders, "val_dataloaders": val_dataloaders}
        resumed = ckpt_path or self._resume_first_fit
        run = self._begin(TrainerFn.FITTING, model, loaders, datamodule, resumed, old)
        self._resume_first_fit = None
        with session(run, self.ckpt_path, weights_only):
            fit(run)

    def validate(
        self,
        model: AnyModule | None = None,
        dataloaders: Any = None,
        ckpt_path: PathLike = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
        **old: Any,
    ) -> list[dict[str, float]]:
        """Validate: one dict of epoch values per loader.

        Args:
            model: The module; None: the last one, with the weights of its best checkpoint.
            dataloaders: A loader or several.
            ckpt_path: Load these weights first: a path, ``"best"`` or ``"last"``.
            verbose: Print a table.
            datamodule: Instead of loaders.
            weights_only: False runs arbitrary code from the file; only for files you trust.
            old: Argument names of 1.x, translated with a warning.
        """
        run = self._begin(TrainerFn.VALIDATING, model, {"dataloaders": dataloaders}, datamodule, ckpt_path, old)
        return self._evaluate(run, verbose, weights_only)

    def test(
        self,
        model: AnyModule | None = None,
        dataloaders: Any = None,
        ckpt_path: PathLike = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
        **old: Any,
    ) -> list[dict[str, float]]:
        """Test: one dict of epoch values per loader; the arguments are those of :meth:`validate`."""
        run = self._begin(TrainerFn.TESTING, model, {"dataloaders": dataloaders}, datamodule, ckpt_path, old)
        return self._evaluate(run, verbose, weights_only)

    def _evaluate(self, run: Run, verbose: bool, weights_only: bool | None) -> list[dict[str, float]]:
        rows: list[dict[str, float]] = []
        with session(run, self.ckpt_path, weights_only):
            rows = evaluate(run, RunningStage(run.fn.value))
        if verbose and self.is_global_zero:
            print_results(rows, f"{run.fn.value} metric")
        return rows

    def predict(
        self,
        model: AnyModule | None = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        return_predictions: bool | None = None,
        ckpt_path: PathLike = None,
        weights_only: bool | None = None,
        **old: Any,
    ) -> list[Any] | None:
        """Predict: what ``predict_step`` returned for each batch, on the CPU.

        Args:
            model: The module; None: the last one, with the weights of its best checkpoint.
            dataloaders: A loader or several.
            datamodule: Instead of loaders.
            return_predictions: False keeps nothing, for predictions that a callback writes.
            ckpt_path: Load these weights first.
            weights_only: False runs arbitrary code from the file; only for files you trust.
            old: Argument names of 1.x, translated with a warning.

        Returns:
            A list per batch; a list of such lists for several loaders; None if nothing is kept.
        """
        run = self._begin(TrainerFn.PREDICTING, model, {"dataloaders": dataloaders}, datamodule, ckpt_path, old)
        with session(run, self.ckpt_path, weights_only):
            return predict(run, keep=return_predictions is not False)
        return None  # interrupted at a prompt

    def save_checkpoint(
        self, filepath: str | os.PathLike[str], weights_only: bool | None = None, storage_options: Any = None
    ) -> None:
        """Write a checkpoint now.

        Args:
            filepath: The path or URL.
            weights_only: True leaves out what only training needs.
            storage_options: For a CheckpointIO plugin that takes them.
        """
        if self._run is None:
            raise AttributeError("`save_checkpoint` needs a model. Fix: call it in a hook, or after `fit`.")
        if storage_options is not None and self._runtime.checkpoint_io is None:
            raise TypeError("`storage_options` is taken by CheckpointIO plugins only, and this Trainer has none.")
        save = self._run.hooks.measured("save_checkpoint", snapshot.save)
        save(self._run, filepath, bool(weights_only), storage_options)

    def when_settled(self, action: Callable[[], None]) -> None:
        """Run ``action`` when no hook of the running batch or stage is pending; at once if nothing runs.

        A checkpoint saved there holds no half-done batch, so that a resumed run is the same to the last bit.
        """
        if self._run is None:
            action()
        else:
            self._run.when_settled(action)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process only, above the progress bar."""
        if self.is_global_zero:
            bar = self.progress_bar_callback
            (bar.print if bar is not None and self.state.stage is not None else print)(*args, **kwargs)

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Create modules on the right device and in the right precision.

        Args:
            empty_init: True leaves the weights uninitialised, for a checkpoint that is loaded next.
        """
        device = torch.device("meta") if empty_init and self.strategy.is_distributed else self.strategy.root_device
        with device, self.precision_plugin.module_init_context():
            yield

    if not TYPE_CHECKING:
        __getattr__ = private  # names that only Lightning's internals have, as read-only views

    # -- building ---------------------------------------------------------------------------------------------------

    def _begin(
        self,
        fn: TrainerFn,
        model: AnyModule | None,
        loaders: dict[str, Any],
        datamodule: LightningDataModule | None,
        ckpt_path: PathLike,
        old: dict[str, Any],
    ) -> Run:
        """Build the run of an entry point from what it was given, check it, and find the checkpoint to load."""
        fitting, last = fn is TrainerFn.FITTING, self._run
        stage = RunningStage.TRAINING if fitting else RunningStage(fn.value)
        loaders = rename_loaders(fn.value, loaders, old, inspect.signature(getattr(Trainer, fn.value)).parameters)
        if datamodule is None and isinstance(loaders[first := next(iter(loaders))], LightningDataModule):
            datamodule, loaders[first] = loaders[first], None
        passed = any(loader is not None for loader in loaders.values())
        if model is None and last is not None and not fitting:
            model = last.module
            if datamodule is None and not passed:
                datamodule = last.datamodule
            saved: str = getattr(self.checkpoint_callback, "best_model_path", "")
            if ckpt_path is None and saved and not self.fast_dev_run:
                ckpt_path = "best"
        module = self._checked_module(fn, model)
        self._check_idle(fn, module)
        if passed and datamodule is not None:
            text = f"`Trainer.{fn}` got both loaders and a data module"
            raise MisconfigurationException(f"{text}. Fix: pass one of them.")
        if not isinstance(datamodule, LightningDataModule | None):
            raise TypeError(bad_value("datamodule", datamodule, "a LightningDataModule instance"))
        prefixes = ("train", "val") if fitting else (stage.dataloader_prefix,)
        self.state.fn = fn
        self._metrics.clear()
        sources = Sources(dict(zip(prefixes, loaders.values(), strict=True)))
        run = self._run = Run(self, fn, module, datamodule, sources)
        if last is not None and last.module is module:  # what another stage has made stays to be seen
            run.optimizers, run.schedulers = last.optimizers, last.schedulers
            run.train = None if fitting else last.train
            run.evaluations = {prefix: data for prefix, data in last.evaluations.items() if prefix not in prefixes}
        with removed_hooks(run):
            check_run(run)
            run.validates = fitting and validates(run)
            self.ckpt_path = find_checkpoint(run, ckpt_path)
        self.state.stage = stage
        return run

    def _check_idle(self, fn: TrainerFn, module: LightningModule) -> None:
        """Refuse a run inside a run."""
        if self.state.status is TrainerStatus.RUNNING or module.__dict__.get("_results") is not None:
            fix = "another Trainer and a copy of the module (copy.deepcopy), or call it when the run is over"
            raise RuntimeError(f"`Trainer.{fn}` was called while a Trainer runs (in a hook, say). Fix: {fix}.")

    def _checked_module(self, fn: TrainerFn, model: AnyModule | None) -> LightningModule:
        """The module; for the same plain module the same wrapper, so that a second call goes on with it."""
        call = f"Trainer.{fn.value}(model)"
        if isinstance(original := getattr(model, "_orig_mod", None), nn.Module):  # what torch.compile returns
            model = original
            text = "`torch.compile(model)` is run uncompiled: its steps are called, not its forward"
            warnings.warn(f"{text}. Fix: compile parts of it in place (self.net.compile()).", stacklevel=4)
        if not isinstance(model, nn.Module):
            raise TypeError(bad_value(call, model, "a LightningModule or nn.Module instance; after a fit also None"))
        check_constructed(call, model)
        if isinstance(model, LightningModule):
            return model
        last = self.lightning_module
        return last if isinstance(last, Supervised) and last.model is model else Supervised(model)


Trainer.__doc__ = (Trainer.__doc__ or "").replace("        {arguments}", describe_arguments())
publish(__name__)


def resolve_runtime(arguments: TrainerArguments) -> tuple[Any, list[Exception]]:
    """Choose device, strategy and precision; return the mistakes instead of raising them."""
    try:
        return resolve(**{name: getattr(arguments, name) for name in inspect.signature(resolve).parameters}), []
    except (MisconfigurationException, ValueError, TypeError) as error:
        return None, list(getattr(error, "errors", [error]))
