"""What a Trainer shows of its run: read-only views, and the few settings that may change while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from leyden.core.callback import Callback, Checkpoint
from leyden.core.optimizers import LightningOptimizer, LRSchedulerConfig, wrap_optimizer
from leyden.core.profiler import Profiler
from leyden.engine.loading import INFINITE, EvaluationLoaders, load_training
from leyden.engine.results import Metrics
from leyden.engine.run import Progress, Run
from leyden.engine.states import RunningStage, TrainerFn, TrainerState
from leyden.engine.step import prepare_manual, scaled_step

if TYPE_CHECKING:
    from leyden.core.datamodule import LightningDataModule
    from leyden.core.logger import Logger
    from leyden.core.module import LightningModule
    from leyden.engine.config import TrainerArguments
    from leyden.runtime.accelerators import Accelerator
    from leyden.runtime.precision import Precision
    from leyden.runtime.resolve import Runtime
    from leyden.runtime.strategies.base import Strategy


class Setting:
    """A Trainer argument as an attribute; setting it changes the run from its next epoch on."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance._arguments, self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        setattr(instance._arguments, self.name, value)


class InStage:
    """Whether the Trainer is in a stage; setting it moves the Trainer there, or out of any."""

    def __init__(self, stage: RunningStage, doc: str) -> None:
        self.stage = stage
        self.__doc__ = doc

    @overload
    def __get__(self, instance: None, owner: type) -> InStage: ...

    @overload
    def __get__(self, instance: TrainerProperties, owner: type | None = None) -> bool: ...

    def __get__(self, instance: TrainerProperties | None, owner: type | None = None) -> bool | InStage:
        return self if instance is None else instance.state.stage is self.stage

    def __set__(self, instance: TrainerProperties, on: bool) -> None:
        if on:
            instance.state.stage = self.stage
        elif instance.state.stage is self.stage:
            instance.state.stage = None


class FitLoop:
    """``trainer.fit_loop``: the limits of fit; ``max_epochs`` may be raised to continue training."""

    def __init__(self, arguments: TrainerArguments, max_batches: int | float) -> None:
        self._arguments = arguments
        self.max_batches = max_batches
        """Training batches per epoch."""

    max_epochs = Setting()
    min_epochs = Setting()
    max_steps = Setting()
    min_steps = Setting()


@dataclass(frozen=True)
class EvaluationLoop:
    """``trainer.validate_loop``, ``test_loop`` and ``predict_loop``.

    Attributes:
        max_batches: Batches per loader.
        predictions: What ``predict_step`` returned so far, per loader and batch.
    """

    max_batches: list[int | float]
    predictions: list[Any] = field(default_factory=list)


class TrainerProperties:
    """Everything about the current run, or the last one, that programs read from a Trainer."""

    _arguments: TrainerArguments
    _runtime: Runtime
    _run: Run | None
    _progress: Progress
    _metrics: Metrics
    callbacks: list[Callback]
    state: TrainerState
    ckpt_path: str | None
    """The checkpoint that the current or last call loaded."""
    _loggers: list[Logger]

    fast_dev_run = Setting()
    min_epochs = Setting()
    max_epochs = Setting()
    min_steps = Setting()
    max_steps = Setting()
    limit_train_batches = Setting()
    limit_val_batches = Setting()
    limit_test_batches = Setting()
    limit_predict_batches = Setting()
    overfit_batches = Setting()
    val_check_interval = Setting()
    check_val_every_n_epoch = Setting()
    num_sanity_val_steps = Setting()
    log_every_n_steps = Setting()
    accumulate_grad_batches = Setting()
    gradient_clip_val = Setting()
    gradient_clip_algorithm = Setting()
    reload_dataloaders_every_n_epochs = Setting()
    enable_autolog_hparams = Setting()
    barebones = Setting()

    # -- progress ---------------------------------------------------------------------------------------------------

    @property
    def current_epoch(self) -> int:
        """The running epoch, from 0; after fit the number of epochs trained."""
        return self._progress.epoch

    @property
    def global_step(self) -> int:
        """Optimizer steps so far, over all optimizers and epochs."""
        return self._progress.global_step

    @property
    def is_last_batch(self) -> bool:
        """Whether the running training batch is the epoch's last."""
        return self._run is not None and self._run.is_last_batch

    @property
    def should_stop(self) -> bool:
        """Set it to end training after the running batch, its validation and the epoch's hooks."""
        return self._run is not None and self._run.should_stop

    @should_stop.setter
    def should_stop(self, stop: bool) -> None:
        if self._run is not None:
            self._run.should_stop = stop

    @property
    def fit_loop(self) -> FitLoop:
        """The limits of fit."""
        return FitLoop(self._arguments, self.num_training_batches)

    @property
    def validate_loop(self) -> EvaluationLoop:
        """What validate runs."""
        return EvaluationLoop(self.num_val_batches)

    @property
    def test_loop(self) -> EvaluationLoop:
        """What test runs."""
        return EvaluationLoop(self.num_test_batches)

    @property
    def predict_loop(self) -> EvaluationLoop:
        """What predict runs, and its predictions."""
        predictions = self._run.predictions if self._run is not None else None
        return EvaluationLoop(self.num_predict_batches, predictions or [])

    @property
    def interrupted(self) -> bool:
        """Whether the last run ended by an exception."""
        return self.state.status.value == "interrupted"

    @property
    def received_sigterm(self) -> bool:
        """Whether the system asked the process to stop."""
        signals = self._run.signals if self._run is not None else None
        return signals is not None and signals.received is not None and signals.received.name == "SIGTERM"

    # -- stage ------------------------------------------------------------------------------------------------------

    training = InStage(RunningStage.TRAINING, "Training batches run, or fit prepares to.")
    validating = InStage(RunningStage.VALIDATING, "Validation runs (the sanity check excluded).")
    testing = InStage(RunningStage.TESTING, "Testing runs.")
    predicting = InStage(RunningStage.PREDICTING, "Prediction runs.")
    sanity_checking = InStage(RunningStage.SANITY_CHECKING, "The validation batches before training run.")

    @property
    def evaluating(self) -> bool:
        """Whether validation, testing or the sanity check runs."""
        return self.state.stage is not None and self.state.stage.evaluating

    @property
    def enable_validation(self) -> bool:
        """Whether fit has validation to do."""
        return self._run is not None and self._run.fn is TrainerFn.FITTING and self._run.validates

    # -- metrics ----------------------------------------------------------------------------------------------------

    def _shown(self) -> Metrics:
        run = self._run
        if run is not None and run.module.__dict__.get("_results") is not None:
            run.results.show(self._metrics)
        return self._metrics

    @property
    def callback_metrics(self) -> dict[str, Tensor]:
        """All logged values, as detached tensors; callbacks decide by them."""
        return self._shown().callback

    @property
    def logged_metrics(self) -> dict[str, Tensor]:
        """The values logged with ``logger=True``."""
        return self._shown().logged

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        """The values logged with ``prog_bar=True``."""
        return self._shown().bar

    # -- parts ------------------------------------------------------------------------------------------------------

    @property
    def lightning_module(self) -> LightningModule | None:
        """The module of the current or last run."""
        return self._run.module if self._run is not None else None

    @property
    def model(self) -> Any:
        """The module as the strategy has it."""
        return self.lightning_module

    @property
    def datamodule(self) -> LightningDataModule | None:
        """The data module of the current or last run."""
        return self._run.datamodule if self._run is not None else None

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers as ``configure_optimizers`` returned them."""
        return [optimizer.optimizer for optimizer in self._run.optimizers] if self._run is not None else []

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        run = self._run
        if run is None:
            raise RuntimeError("`trainer.optimizers` belongs to a run. Fix: set it in a hook, or after `fit`.")
        manual = None if run.module.automatic_optimization else prepare_manual(run)
        run.optimizers = [wrap_optimizer(o, run.module, run.progress, manual, scaled_step(run)) for o in optimizers]

    @property
    def strategy_optimizers(self) -> list[LightningOptimizer]:
        """The optimizers as the loop steps them."""
        return self._run.optimizers if self._run is not None else []

    @property
    def lr_scheduler_configs(self) -> list[LRSchedulerConfig]:
        """The schedulers and when they step."""
        return self._run.schedulers if self._run is not None else []

    @property
    def profiler(self) -> Profiler:
        """The profiler; one that records nothing if none was given."""
        given = self._arguments.profiler
        return given if isinstance(given, Profiler) else Profiler()

    @property
    def loggers(self) -> list[Logger]:
        """The loggers."""
        return self._loggers

    @loggers.setter
    def loggers(self, loggers: list[Logger] | None) -> None:
        self._loggers = list(loggers or [])

    @property
    def logger(self) -> Logger | None:
        """The first logger."""
        return self._loggers[0] if self._loggers else None

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        self._loggers = [] if logger is None else [logger]

    @property
    def log_dir(self) -> str | None:
        """The first logger's folder, else the root folder; the same on every process."""
        logger = self.logger
        folder = self.default_root_dir if logger is None else (logger.log_dir or logger.save_dir)
        return self.strategy.broadcast(folder)  # type: ignore[no-any-return]  # of the type that went in

    @property
    def default_root_dir(self) -> str:
        """Where logs and checkpoints go."""
        return str(self._arguments.default_root_dir or Path.cwd())

    @property
    def checkpoint_callbacks(self) -> list[Checkpoint]:
        """The callbacks that write checkpoints."""
        return [callback for callback in self.callbacks if isinstance(callback, Checkpoint)]

    @property
    def checkpoint_callback(self) -> Any:
        """The first callback that writes checkpoints."""
        return next(iter(self.checkpoint_callbacks), None)

    @property
    def early_stopping_callbacks(self) -> list[Any]:
        """The EarlyStopping callbacks."""
        return [c for c in self.callbacks if any(kind.__name__ == "EarlyStopping" for kind in type(c).__mro__)]

    @property
    def early_stopping_callback(self) -> Any:
        """The first EarlyStopping callback."""
        return next(iter(self.early_stopping_callbacks), None)

    @property
    def progress_bar_callback(self) -> Any:
        """The progress bar."""
        bars = (c for c in self.callbacks if any(kind.__name__ == "ProgressBar" for kind in type(c).__mro__))
        return next(bars, None)

    # -- devices ----------------------------------------------------------------------------------------------------

    @property
    def accelerator(self) -> Accelerator:
        """The kind of device."""
        return self._runtime.accelerator

    @property
    def strategy(self) -> Strategy:
        """How processes work together."""
        return self._runtime.strategy

    @property
    def precision_plugin(self) -> Precision:
        """The number format."""
        return self._runtime.precision

    @property
    def precision(self) -> str:
        """The number format's name."""
        return self._runtime.precision.precision

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """The gradient scaler of 16-bit mixed precision."""
        return self._runtime.precision.scaler

    @property
    def global_rank(self) -> int:
        """This process's number among all."""
        return self.strategy.global_rank

    @property
    def local_rank(self) -> int:
        """This process's number on its host."""
        return self.strategy.local_rank

    @property
    def node_rank(self) -> int:
        """This host's number."""
        return self.strategy.node_rank

    @property
    def world_size(self) -> int:
        """The number of processes."""
        return self.strategy.world_size

    @property
    def is_global_zero(self) -> bool:
        """Whether this process is the first."""
        return self.strategy.is_global_zero

    @property
    def num_devices(self) -> int:
        """Devices per host."""
        return self._runtime.num_devices

    @property
    def num_nodes(self) -> int:
        """Hosts."""
        return self._runtime.num_nodes

    @property
    def device_ids(self) -> list[int]:
        """This host's devices."""
        return list(self._runtime.device_ids)

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int] | None:
        """Arguments for a DistributedSampler of this process."""
        return self.strategy.distributed_sampler_kwargs if self.strategy.is_distributed else None

    # -- data -------------------------------------------------------------------------------------------------------

    @property
    def train_dataloader(self) -> Any:
        """The training loaders as the user gave them."""
        return self._run.train.given if self._run is not None and self._run.train is not None else None

    def _evaluation(self, prefix: str) -> EvaluationLoaders | None:
        return self._run.evaluations.get(prefix) if self._run is not None else None

    def _given(self, prefix: str) -> Any:
        loaders = self._evaluation(prefix)
        return loaders.given if loaders is not None else None

    def _counts(self, prefix: str) -> list[int | float]:
        loaders = self._evaluation(prefix)
        return [whole(count) for count in loaders.batches] if loaders is not None else []

    @property
    def val_dataloaders(self) -> Any:
        """The validation loaders as the user gave them."""
        return self._given("val")

    @property
    def test_dataloaders(self) -> Any:
        """The test loaders as the user gave them."""
        return self._given("test")

    @property
    def predict_dataloaders(self) -> Any:
        """The predict loaders as the user gave them."""
        return self._given("predict")

    @property
    def num_training_batches(self) -> int | float:
        """Training batches per epoch; infinite if unknown."""
        train = self._run.train if self._run is not None else None
        return whole(train.batches) if train is not None else INFINITE

    @property
    def num_val_batches(self) -> list[int | float]:
        """Validation batches per loader."""
        return self._counts("val")

    @property
    def num_test_batches(self) -> list[int | float]:
        """Test batches per loader."""
        return self._counts("test")

    @property
    def num_predict_batches(self) -> list[int | float]:
        """Predict batches per loader."""
        return self._counts("predict")

    @property
    def num_sanity_val_batches(self) -> list[int | float]:
        """Batches of the sanity check, per loader."""
        steps = self._arguments.num_sanity_val_steps or 0
        return [count if steps == -1 else min(count, steps) for count in self._counts("val")]

    @property
    def val_check_batch(self) -> float | None:
        """Validation comes after every so many training batches."""
        train = self._run.train if self._run is not None else None
        return train.validate_every if train is not None else None

    @property
    def estimated_stepping_batches(self) -> int | float:
        """Optimizer steps that fit will take; asks for the training loader if that has not happened; infinite if unknown."""
        arguments, run = self._arguments, self._run
        if run is None:
            raise RuntimeError("`estimated_stepping_batches` is known in a run: read it in `configure_optimizers`.")
        epochs = arguments.max_epochs
        if epochs == -1:
            return float("inf") if arguments.max_steps == -1 else arguments.max_steps
        if run.train is None:
            run.train = load_training(run)
        batches = run.train.batches
        if batches == INFINITE:
            return arguments.max_steps if arguments.max_steps != -1 else INFINITE
        steps = -(-int(batches) // arguments.accumulate_grad_batches) * max(epochs or 1, 1)
        return min(steps, arguments.max_steps) if arguments.max_steps != -1 else steps


def whole(count: float) -> int | float:
    """A count as an int, unless it is infinite."""
    return count if count == INFINITE else int(count)
