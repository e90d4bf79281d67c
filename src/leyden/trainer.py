"""The Trainer: checks the arguments, builds the run, and hands it to the engine."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from leyden.core.callback import Callback, Checkpoint
from leyden.core.datamodule import LightningDataModule
from leyden.core.logger import Logger
from leyden.core.module import LightningModule
from leyden.core.supervised import Supervised
from leyden.engine import snapshot
from leyden.engine.checkpoint_path import find_checkpoint
from leyden.engine.checks import check_constructed, check_run
from leyden.engine.config import TrainerArguments, describe_arguments, raise_all, takes
from leyden.engine.evaluate import evaluate
from leyden.engine.fit import fit, validates
from leyden.engine.loading import Sources
from leyden.engine.predict import predict
from leyden.engine.properties import TrainerProperties
from leyden.engine.results import Metrics
from leyden.engine.run import Progress, Run
from leyden.engine.session import order_callbacks, session
from leyden.engine.states import RunningStage, TrainerFn, TrainerState
from leyden.engine.table import print_results
from leyden.errors import ConfigurationErrors, LightningDeprecationWarning, MisconfigurationException, nearest
from leyden.legacy.arguments import Build, collect, translate_call
from leyden.runtime.resolve import Runtime, resolve

RUNTIME_ARGUMENTS = (
    "accelerator", "strategy", "devices", "num_nodes", "precision", "plugins", "sync_batchnorm", "deterministic",
    "benchmark", "use_distributed_sampler",
)  # fmt: skip
PathLike = str | os.PathLike[str] | None


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
            raise TypeError(
                f"Trainer() takes keyword arguments only, but got {args!r}. Fix: Trainer(accelerator='cpu', max_epochs=3)."
            )
        old = collect(kwargs)
        for message in old.messages:
            warnings.warn(message, LightningDeprecationWarning, stacklevel=3)
        given, errors = build_described(old.arguments)
        self._resume_first_fit: str | None = given.pop("ckpt_path", None)
        self._arguments, found = TrainerArguments.checked(given)
        self._runtime, impossible = resolve_runtime(self._arguments)
        raise_all([*old.errors, *errors, *found, *impossible, *check_callbacks(self._arguments)])
        self.state = TrainerState()
        self._run: Run | None = None
        self._progress = Progress()
        self._metrics = Metrics()
        self.ckpt_path: str | None = None
        self.callbacks = self._complete(listed(self._arguments.callbacks))
        self._loggers = self._default_loggers()

    def _complete(self, callbacks: list[Callback]) -> list[Callback]:
        """Fill in the defaults that depend on one another; return the callbacks with the default ones."""
        from leyden.callbacks.timer import Timer

        arguments = self._arguments
        timed = any(isinstance(callback, Timer) for callback in callbacks)
        if arguments.max_time is not None and not timed:
            callbacks, timed = [*callbacks, Timer(arguments.max_time, interval="step")], True
        arguments.complete(timed)
        return order_callbacks([*callbacks, *default_callbacks(arguments, callbacks)])

    def _default_loggers(self) -> list[Logger]:
        """The loggers that were given, or the default one."""
        given = self._arguments.logger
        if self._arguments.fast_dev_run and given is not False:
            from leyden.loggers.dummy import DummyLogger

            return [DummyLogger()]
        if given is None or given is True:
            from leyden.loggers.csv_logs import CSVLogger

            return [] if self._arguments.barebones else [CSVLogger(self.default_root_dir)]
        if isinstance(given, Logger):
            return [given]
        return list(given) if given else []

    # -- entry points -----------------------------------------------------------------------------------------------

    def fit(
        self,
        model: LightningModule | nn.Module,
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
        given = self._old("fit", old, datamodule, train_dataloaders=train_dataloaders, val_dataloaders=val_dataloaders)
        loaders = {"train": given.get("train_dataloaders"), "val": given.get("val_dataloaders")}
        run = self._new_run(TrainerFn.FITTING, model, loaders, given["datamodule"])
        check_run(run)
        run.validates = validates(run)
        resumed, self._resume_first_fit = ckpt_path or self._resume_first_fit, None
        path = self._find(resumed, TrainerFn.FITTING)
        run.state.stage = RunningStage.TRAINING
        with session(run, path, weights_only):
            fit(run)

    def validate(
        self,
        model: LightningModule | nn.Module | None = None,
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
        stage = RunningStage.VALIDATING
        return self._evaluate(stage, "val", model, dataloaders, ckpt_path, verbose, datamodule, weights_only, old)

    def test(
        self,
        model: LightningModule | nn.Module | None = None,
        dataloaders: Any = None,
        ckpt_path: PathLike = None,
        verbose: bool = True,
        datamodule: LightningDataModule | None = None,
        weights_only: bool | None = None,
        **old: Any,
    ) -> list[dict[str, float]]:
        """Test: one dict of epoch values per loader; the arguments are those of :meth:`validate`."""
        stage = RunningStage.TESTING
        return self._evaluate(stage, "test", model, dataloaders, ckpt_path, verbose, datamodule, weights_only, old)

    def predict(
        self,
        model: LightningModule | nn.Module | None = None,
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
        given = self._old("predict", old, datamodule, dataloaders=dataloaders)
        run, path = self._evaluation_run(TrainerFn.PREDICTING, "predict", model, given, ckpt_path)
        run.state.stage = RunningStage.PREDICTING
        with session(run, path, weights_only):
            return predict(run, keep=return_predictions is not False)
        return None  # interrupted at a prompt

    def _evaluate(
        self,
        stage: RunningStage,
        prefix: str,
        model: LightningModule | nn.Module | None,
        dataloaders: Any,
        ckpt_path: PathLike,
        verbose: bool,
        datamodule: LightningDataModule | None,
        weights_only: bool | None,
        old: dict[str, Any],
    ) -> list[dict[str, float]]:
        fn = TrainerFn(stage.value)
        given = self._old(fn.value, old, datamodule, dataloaders=dataloaders)
        run, path = self._evaluation_run(fn, prefix, model, given, ckpt_path)
        rows: list[dict[str, float]] = []
        run.state.stage = stage
        with session(run, path, weights_only):
            rows = evaluate(run, stage)
        if verbose and self.is_global_zero:
            print_results(rows, f"{fn.value} metric")
        return rows

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
        if storage_options is not None:
            raise TypeError("`storage_options` is taken by CheckpointIO plugins only, and this Trainer has none.")
        snapshot.save(self._run, filepath, bool(weights_only))

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

    # -- building ---------------------------------------------------------------------------------------------------

    @property
    def _run_now(self) -> Run:
        assert self._run is not None, "a module that is attached has a run"
        return self._run

    def _old(
        self, method: str, old: dict[str, Any], datamodule: LightningDataModule | None, **given: Any
    ) -> dict[str, Any]:
        """Put loader arguments under today's names; a data module in the place of loaders is taken as such."""
        if old:
            present = {name: value for name, value in given.items() if value is not None}
            given, messages = translate_call(method, {**present, **old})
            for message in messages:
                warnings.warn(message, LightningDeprecationWarning, stacklevel=4)
            if unknown := sorted(set(given) - {"train_dataloaders", "val_dataloaders", "dataloaders", "datamodule"}):
                close = "".join(nearest(name, inspect.signature(getattr(self, method)).parameters) for name in unknown)
                raise TypeError(
                    f"Trainer.{method}() got unexpected keyword arguments {unknown}.{close} Accepted: the arguments that "
                    f"`help(leyden.Trainer.{method})` lists."
                )
        if datamodule is None:
            datamodule = given.pop("datamodule", None)
        for name in ("train_dataloaders", "dataloaders"):
            if datamodule is None and isinstance(given.get(name), LightningDataModule):
                datamodule = given.pop(name)
        return {**given, "datamodule": datamodule}

    def _evaluation_run(
        self,
        fn: TrainerFn,
        prefix: str,
        model: LightningModule | nn.Module | None,
        given: dict[str, Any],
        ckpt_path: PathLike,
    ) -> tuple[Run, str | None]:
        dataloaders, datamodule = given.get("dataloaders"), given["datamodule"]
        last = self._run
        if model is None:
            if last is None:
                raise TypeError(
                    f"`Trainer.{fn.value}()` needs a model: none was passed, and no fit has run. "
                    f"Fix: trainer.{fn.value}(model, dataloaders)."
                )
            model = last.module
            if dataloaders is None and datamodule is None:
                datamodule = last.datamodule
            saved = getattr(self.checkpoint_callback, "best_model_path", "")
            if ckpt_path is None and saved and not self.fast_dev_run:
                ckpt_path = "best"
        run = self._new_run(fn, model, {prefix: dataloaders}, datamodule)
        check_run(run)
        return run, self._find(ckpt_path, fn)

    def _find(self, ckpt_path: PathLike, fn: TrainerFn) -> str | None:
        callbacks, root = self.checkpoint_callbacks, self.default_root_dir
        self.ckpt_path = find_checkpoint(ckpt_path, fn, callbacks, root, self.fast_dev_run)
        return self.ckpt_path

    def _new_run(
        self, fn: TrainerFn, model: Any, loaders: dict[str, Any], datamodule: LightningDataModule | None
    ) -> Run:
        model = getattr(model, "_orig_mod", model)  # what torch.compile returns
        if not isinstance(model, LightningModule):
            if not isinstance(model, nn.Module) or isinstance(model, type):
                raise TypeError(
                    f"`Trainer.{fn.value}(model)` got {model!r} ({type(model).__name__}). Accepted: a LightningModule "
                    "or an nn.Module instance."
                )
            check_constructed(f"Trainer.{fn.value}(model)", model)
            model = self._wrapped(model)
        check_constructed(f"Trainer.{fn.value}(model)", model)
        if datamodule is not None and any(value is not None for value in loaders.values()):
            raise MisconfigurationException(
                f"`Trainer.{fn.value}` got both loaders and a data module. Fix: pass one of them."
            )
        if datamodule is not None and not isinstance(datamodule, LightningDataModule):
            raise TypeError(
                f"`datamodule` got {datamodule!r} ({type(datamodule).__name__}). Accepted: a LightningDataModule "
                "instance."
            )
        self.state.fn = fn
        self._metrics.clear()
        self._run = Run(
            trainer=self,
            fn=fn,
            arguments=self._arguments,
            runtime=self._runtime,
            module=model,
            datamodule=datamodule,
            callbacks=self.callbacks,
            loggers=self._loggers,
            state=self.state,
            progress=self._progress,
            metrics=self._metrics,
            sources=Sources(loaders),
        )
        return self._run

    def _wrapped(self, model: nn.Module) -> Supervised:
        """The same wrapper for the same plain module, so that a second call goes on with it."""
        last = self._run.module if self._run is not None else None
        return last if isinstance(last, Supervised) and last.model is model else Supervised(model)


Trainer.__doc__ = (Trainer.__doc__ or "").replace("        {arguments}", describe_arguments())


def listed(callbacks: Any) -> list[Callback]:
    """Callbacks as a list of our own."""
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def build_described(given: dict[str, Any]) -> tuple[dict[str, Any], list[Exception]]:
    """Build the callbacks and loggers that old arguments stand for."""
    import leyden.callbacks
    import leyden.loggers

    errors: list[Exception] = []

    def built(item: Any) -> Any:
        if not isinstance(item, Build):
            return item
        for package in (leyden.callbacks, leyden.loggers):
            if item.name in package.__all__:
                return getattr(package, item.name)(**item.arguments)
        errors.append(MisconfigurationException(f"`{item}` is needed for an old argument, and does not exist yet."))
        return None

    for name in ("callbacks", "logger"):
        value = given.get(name)
        if isinstance(value, (list, tuple)):
            given[name] = [made for item in value if (made := built(item)) is not None]
        elif isinstance(value, Build):
            given[name] = built(value)
    return given, errors


def resolve_runtime(arguments: TrainerArguments) -> tuple[Any, list[Exception]]:
    """Choose device, strategy and precision; return the mistakes instead of raising them."""
    try:
        runtime: Runtime = resolve(**{name: getattr(arguments, name) for name in RUNTIME_ARGUMENTS})
    except ConfigurationErrors as error:
        return None, list(error.errors)
    except (MisconfigurationException, ValueError, TypeError) as error:
        return None, [error]
    return runtime, []


def default_kinds() -> list[tuple[str, type[Callback], Callable[[], Callback]]]:
    """The callbacks that the Trainer adds by itself: by which argument, of which kind, and how they are made."""
    from leyden.callbacks.model_checkpoint import ModelCheckpoint
    from leyden.callbacks.model_summary import ModelSummary
    from leyden.callbacks.progress import ProgressBar, default_progress_bar

    return [
        ("enable_progress_bar", ProgressBar, default_progress_bar),
        ("enable_model_summary", ModelSummary, ModelSummary),
        ("enable_checkpointing", Checkpoint, ModelCheckpoint),
    ]


def check_callbacks(arguments: TrainerArguments) -> list[Exception]:
    """Callbacks that the other arguments exclude."""
    errors: list[Exception] = []
    given = listed(arguments.callbacks)
    for name, kind, _ in default_kinds():
        present = [type(callback).__name__ for callback in given if isinstance(callback, kind)]
        if present and (getattr(arguments, name) is False or arguments.barebones is True):
            why = "barebones=True" if arguments.barebones is True else f"{name}=False"
            errors.append(
                MisconfigurationException(
                    f"`Trainer({why}, callbacks=[{', '.join(present)}(...)])` excludes what it asks for. "
                    f"Fix: leave out `{why}`, or the callback."
                )
            )
        if len(present) > 1 and name == "enable_progress_bar":
            errors.append(
                MisconfigurationException(f"`callbacks` got {len(present)} progress bars: {present}. Accepted: one.")
            )
    return errors


def default_callbacks(arguments: TrainerArguments, given: Iterable[Callback]) -> list[Callback]:
    """The progress bar, the summary and the checkpoint callback, where they are wanted and not there yet."""
    given = list(given)
    return [
        make()
        for name, kind, make in default_kinds()
        if getattr(arguments, name) is not False
        and not arguments.barebones
        and not any(isinstance(callback, kind) for callback in given)
    ]
