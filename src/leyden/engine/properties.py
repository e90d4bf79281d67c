"""What a Trainer shows of its run: read-only views, and the few settings that may change while it runs."""

from __future__ import annotations

from operator import attrgetter
from signal import SIGTERM
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.logger import Logger
from leyden.core.module import LightningModule
from leyden.core.optimizers import LRSchedulerConfig
from leyden.core.profiler import PassThroughProfiler, Profiler
from leyden.core.view import View, follow
from leyden.engine.config import TrainerArguments
from leyden.engine.loading import INFINITE, load_training
from leyden.engine.results import Metrics
from leyden.engine.run import Progress, Run
from leyden.engine.states import RunningStage, TrainerState, TrainerStatus
from leyden.engine.step import use_optimizers
from leyden.legacy.alias import private
from leyden.runtime.accelerators import Accelerator
from leyden.runtime.precision import Precision
from leyden.runtime.resolve import Runtime
from leyden.runtime.strategies.base import Strategy

Count = int | float


class Setting(View[Any]):
    """A Trainer argument as an attribute; setting it changes the run from its next epoch on."""

    def __init__(self) -> None:
        """Wait for the name."""

    def __set_name__(self, owner: type, name: str) -> None:
        def change(owner: Any, value: Any) -> None:
            setattr(owner._arguments, name, value)

        doc = TrainerArguments.__dataclass_fields__[name].metadata["doc"]
        super().__init__(attrgetter(f"_arguments.{name}"), doc, change=change)


def in_stage(stage: RunningStage, doc: str) -> View[bool]:
    """Whether the Trainer is in a stage; setting it moves the Trainer there, or out of any."""

    def move(trainer: TrainerProperties, on: bool) -> None:
        if on or trainer.state.stage is stage:
            trainer.state.stage = stage if on else None

    return View(lambda trainer: trainer.state.stage is stage, doc, change=move)


def stop(trainer: TrainerProperties, on: bool) -> None:
    """Ask the run to stop after the batch, its validation and the epoch's hooks; without a run there is nothing to do."""
    if trainer._run is not None:
        trainer._run.should_stop = on


def loop(batches: str, doc: str) -> View[Loop]:
    """A loop that runs as many batches as another attribute says."""
    return View(lambda trainer: Loop(trainer._arguments, getattr(trainer, batches), trainer._run), doc)


def all_of(kind: str, doc: str) -> View[list[Any]]:
    """The callbacks of a class."""
    return View(lambda trainer: trainer._callbacks_of(kind), doc)


def first_of(kind: str, doc: str) -> View[Any]:
    """The first callback of a class, or None."""
    return View(lambda trainer: next(iter(trainer._callbacks_of(kind)), None), doc)


class Loop:
    """``trainer.fit_loop``, ``validate_loop``, ``test_loop`` and ``predict_loop``.

    Attributes:
        max_batches: Batches per epoch in fit; in the others batches per loader.
        predictions: What ``predict_step`` returned so far, per loader and batch.
        max_epochs: May be raised to continue training.
    """

    max_epochs = Setting()
    min_epochs = Setting()
    max_steps = Setting()
    min_steps = Setting()

    def __init__(self, arguments: TrainerArguments, max_batches: Any, run: Run | None) -> None:
        self._arguments = arguments
        self.max_batches = max_batches
        self.predictions: list[Any] = (run and run.predictions) or []
        self._run = run

    if not TYPE_CHECKING:
        __getattr__ = private


class TrainerProperties:
    """Everything about the current run, or the last one, that programs read from a Trainer."""

    _arguments: TrainerArguments
    _runtime: Runtime
    _run: Run | None = None
    _progress: Progress
    _metrics: Metrics
    callbacks: list[Callback]
    loggers: list[Logger]
    """The loggers; they may be replaced between two runs."""
    default_root_dir: str
    """Where logs and checkpoints go."""
    state: TrainerState
    ckpt_path: str | None = None
    """The checkpoint that the current or last call loaded."""

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

    current_epoch = View[int]("_progress.epoch", "The running epoch, from 0; after fit the number of epochs trained.")
    global_step = View[int]("_progress.global_step", "Optimizer steps so far, over all optimizers and epochs.")
    is_last_batch = View[bool]("_progress.is_last_batch", "Whether the running training batch is the epoch's last.")

    should_stop = View[bool]("_run.should_stop", "Set it to end training after this batch and its hooks.", False, stop)

    fit_loop = loop("num_training_batches", "The limits of fit.")
    validate_loop = loop("num_val_batches", "What validate runs.")
    test_loop = loop("num_test_batches", "What test runs.")
    predict_loop = loop("num_predict_batches", "What predict runs, and its predictions.")

    interrupted = View[bool](lambda trainer: trainer.state.status is TrainerStatus.INTERRUPTED, "The last run failed.")

    @property
    def received_sigterm(self) -> bool:
        """Whether the system asked the process to stop."""
        return follow(["_run", "signals", "received"], None, self) is SIGTERM

    # -- stage ------------------------------------------------------------------------------------------------------

    training = in_stage(RunningStage.TRAINING, "Training batches run, or fit prepares to.")
    validating = in_stage(RunningStage.VALIDATING, "Validation runs (the sanity check excluded).")
    testing = in_stage(RunningStage.TESTING, "Testing runs.")
    predicting = in_stage(RunningStage.PREDICTING, "Prediction runs.")
    sanity_checking = in_stage(RunningStage.SANITY_CHECKING, "The validation batches before training run.")
    evaluating = View[bool]("state.stage.evaluating", "Whether validation, testing or the sanity check runs.", False)
    enable_validation = View[bool]("_run.validates", "Whether fit has validation to do.", False)

    # -- metrics ----------------------------------------------------------------------------------------------------

    @property
    def _shown(self) -> Metrics:
        run = self._run
        if run is not None and run.module.__dict__.get("_results") is not None:
            run.results.show(self._metrics)
        return self._metrics

    callback_metrics = View[dict[str, Tensor]]("_shown.callback", "All logged values; callbacks decide by them.")
    logged_metrics = View[dict[str, Tensor]]("_shown.logged", "The values logged with ``logger=True``.")
    progress_bar_metrics = View[dict[str, float]]("_shown.bar", "The values logged with ``prog_bar=True``.")

    # -- parts ------------------------------------------------------------------------------------------------------

    lightning_module = View[LightningModule | None]("_run.module", "The module of the current or last run.")
    model = View[Any]("_run.module", "The module as the strategy has it.")
    datamodule = View[LightningDataModule | None]("_run.datamodule", "The data module of the current or last run.")
    lr_scheduler_configs = View[list[LRSchedulerConfig]]("_run.schedulers", "The schedulers and when they step.", [])

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers as ``configure_optimizers`` returned them."""
        return [optimizer.optimizer for optimizer in self._run.optimizers] if self._run is not None else []

    @optimizers.setter
    def optimizers(self, optimizers: list[Optimizer]) -> None:
        if self._run is None:
            raise RuntimeError("`trainer.optimizers` belongs to a run. Fix: set it in a hook, or after `fit`.")
        use_optimizers(self._run, optimizers)

    profiler = View[Profiler]("_arguments.profiler", "The profiler; default: a silent one.", PassThroughProfiler())

    @property
    def logger(self) -> Logger | None:
        """The first logger."""
        return self.loggers[0] if self.loggers else None

    @logger.setter
    def logger(self, logger: Logger | None) -> None:
        self.loggers = [] if logger is None else [logger]

    @property
    def log_dir(self) -> str | None:
        """The first logger's folder, else the root folder; the same on every process."""
        logger = self.logger
        folder = self.default_root_dir if logger is None else (logger.log_dir or logger.save_dir)
        return self.strategy.broadcast(folder)  # type: ignore[no-any-return]  # of the type that went in

    def _callbacks_of(self, kind: str) -> list[Any]:
        """The callbacks of a class, which goes by its name: most lie in a higher layer."""
        return [callback for callback in self.callbacks if any(k.__name__ == kind for k in type(callback).__mro__)]

    checkpoint_callbacks = all_of("Checkpoint", "The callbacks that write checkpoints.")
    checkpoint_callback = first_of("Checkpoint", "The first callback that writes checkpoints.")
    early_stopping_callbacks = all_of("EarlyStopping", "The EarlyStopping callbacks.")
    early_stopping_callback = first_of("EarlyStopping", "The first EarlyStopping callback.")
    progress_bar_callback = first_of("ProgressBar", "The progress bar.")

    _run_now = View[Run]("_run", "The run of a module that is attached.")

    # -- devices ----------------------------------------------------------------------------------------------------

    accelerator = View[Accelerator]("_runtime.accelerator", "The kind of device.")
    strategy = View[Strategy]("_runtime.strategy", "How processes work together.")
    precision_plugin = View[Precision]("_runtime.precision", "The number format.")
    precision = View[str]("_runtime.precision.precision", "The number format's name.")
    scaler = View[torch.amp.GradScaler | None]("_runtime.precision.scaler", "The scaler of 16-bit mixed precision.")
    global_rank = View[int]("strategy.global_rank", "This process's number among all.")
    local_rank = View[int]("strategy.local_rank", "This process's number on its host.")
    node_rank = View[int]("strategy.node_rank", "This host's number.")
    world_size = View[int]("strategy.world_size", "The number of processes.")
    is_global_zero = View[bool]("strategy.is_global_zero", "Whether this process is the first.")
    num_devices = View[int]("_runtime.num_devices", "Devices per host.")
    num_nodes = View[int]("_runtime.num_nodes", "Hosts.")

    device_ids = View[list[int]](lambda trainer: list(trainer._runtime.device_ids), "This host's devices.")

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int] | None:
        """Arguments for a DistributedSampler of this process."""
        return self.strategy.distributed_sampler_kwargs if self.strategy.is_distributed else None

    # -- data -------------------------------------------------------------------------------------------------------

    train_dataloader = View[Any]("_run.train.given", "The training loaders as the user gave them.")
    val_dataloaders = View[Any]("_run.evaluations.val.given", "The validation loaders as the user gave them.")
    test_dataloaders = View[Any]("_run.evaluations.test.given", "The test loaders as the user gave them.")
    predict_dataloaders = View[Any]("_run.evaluations.predict.given", "The predict loaders as the user gave them.")
    num_training_batches = View[Count]("_run.train.batches", "Batches per training epoch; inf if unknown.", INFINITE)
    num_val_batches = View[list[Count]]("_run.evaluations.val.batches", "Validation batches per loader.", [])
    num_test_batches = View[list[Count]]("_run.evaluations.test.batches", "Test batches per loader.", [])
    num_predict_batches = View[list[Count]]("_run.evaluations.predict.batches", "Predict batches per loader.", [])
    val_check_batch = View[Count | None]("_run.train.validate_every", "Validation comes after every so many batches.")

    @property
    def num_sanity_val_batches(self) -> list[Count]:
        """Batches of the sanity check, per loader."""
        steps = self._arguments.num_sanity_val_steps or 0
        return [count if steps == -1 else min(count, steps) for count in self.num_val_batches]

    @property
    def estimated_stepping_batches(self) -> Count:
        """Optimizer steps that fit will take; asks for the training loader if that has not happened; infinite if unknown."""
        arguments, run = self._arguments, self._run
        if run is None:
            raise RuntimeError("`estimated_stepping_batches` is known in a run: read it in `configure_optimizers`.")
        limit = INFINITE if arguments.max_steps == -1 else arguments.max_steps
        if arguments.max_epochs == -1:
            return limit
        run.train = run.train or load_training(run)
        if run.train.batches == INFINITE:
            return limit
        steps = -(-int(run.train.batches) // arguments.accumulate_grad_batches) * max(arguments.max_epochs or 1, 1)
        return min(steps, limit)
