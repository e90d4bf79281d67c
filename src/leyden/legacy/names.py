"""Where programs written for Lightning look for names, and where those are in Leyden.

A path is written from the root ``lightning``; ``pytorch_lightning`` stands for ``lightning.pytorch`` and
``lightning_fabric`` for ``lightning.fabric``. A target is ``"module:attribute"``; nothing is imported here.
"""

from __future__ import annotations

__all__ = ["PATHS", "REMOVED"]

Names = dict[str, str]


def _from(module: str, *names: str, **renamed: str) -> Names:
    """Names of one of our modules; ``renamed`` gives those that are called otherwise there."""
    return {name: f"{module}:{name}" for name in names} | {old: f"{module}:{new}" for old, new in renamed.items()}


_MAIN = _from("leyden", "Callback", "LightningDataModule", "LightningModule", "Trainer", "seed_everything")
_SEED = _from("leyden.utils.seed", "isolate_rng", "reset_seed", "seed_everything")
_RANK = _from(
    "leyden.utils.rank",
    "rank_prefixed_message",
    "rank_zero_debug",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
)
_EXCEPTIONS = _from("leyden.errors", "MisconfigurationException", "SIGTERMException")
_WARNINGS = _from("leyden.errors", "PossibleUserWarning")
_DEPRECATION = _from("leyden.errors", "LightningDeprecationWarning")
_HPARAMS = _from("leyden.core.plain", "AttributeDict")
_COMBINED = _from("leyden.data.combined", "CombinedLoader")
_MOVE = _from("leyden.utils.tree", move_data_to_device="move_to_device")
_OVERRIDDEN = _from("leyden.utils.overrides", "is_overridden")
_STATES = _from("leyden.engine.states", "RunningStage", "TrainerFn", "TrainerState", "TrainerStatus")
_SUMMARY = _from("leyden.callbacks.layer_summary", "UNKNOWN_SIZE", "ModelSummary", "summarize")
_PROFILER = _from("leyden.core.profiler", "Profiler")
_ACCELERATORS = _from(
    "leyden.runtime.accelerators",
    "Accelerator",
    "CPUAccelerator",
    "CUDAAccelerator",
    "MPSAccelerator",
    "find_usable_cuda_devices",
)
_BASE_STRATEGY = _from("leyden.runtime.strategies.base", "Strategy")
_DDP = _from("leyden.runtime.strategies.ddp", "DDPStrategy")
_SINGLE = _from("leyden.runtime.strategies.single", "SingleDeviceStrategy")
_STRATEGIES = _BASE_STRATEGY | _DDP | _SINGLE
_ENVIRONMENTS = _from(
    "leyden.runtime.environments", "ClusterEnvironment", "LightningEnvironment", "TorchElasticEnvironment"
)
_PRECISION = _from("leyden.runtime.precision", "DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision")
_CHECKPOINT_IO = _from("leyden.runtime.resolve", "CheckpointIO")
_LOGGER = _from("leyden.core.logger", "Logger") | _from(
    "leyden.loggers.dummy", "DummyExperiment", "DummyLogger", "rank_zero_experiment"
)
_CSV = _from("leyden.loggers", "CSVLogger")
_EARLY_STOPPING = _from("leyden.callbacks.early_stopping", "EarlyStopping", "EarlyStoppingReason")
_MODEL_CHECKPOINT = _from("leyden.callbacks", "ModelCheckpoint")
_TIMER = _from("leyden.callbacks", "Timer")
_BAR = _from("leyden.callbacks", "ProgressBar")
_RICH_BAR = _from("leyden.callbacks", "RichProgressBar", "RichProgressBarTheme")
_CALLBACK = _from("leyden.core.callback", "Callback")
_CHECKPOINT = _from("leyden.core.callback", "Checkpoint")
_DATAMODULE = _from("leyden", "LightningDataModule")
_MODULE = _from("leyden", "LightningModule")
_OPTIMIZER = _from("leyden.core.optimizers", "LightningOptimizer")
_TYPES = _from("leyden.core.optimizers", "LRSchedulerConfig", "OptimizerLRScheduler") | _from(
    "leyden.core.module", "STEP_OUTPUT"
)

_FABRIC: dict[str, Names] = {
    "fabric": _from("leyden.utils.seed", "seed_everything"),
    "fabric.accelerators": _ACCELERATORS,
    "fabric.accelerators.cuda": _from("leyden.runtime.accelerators", "CUDAAccelerator", "find_usable_cuda_devices")
    | _from("torch.cuda", num_cuda_devices="device_count"),
    "fabric.plugins": _PRECISION | _CHECKPOINT_IO,
    "fabric.plugins.environments": _ENVIRONMENTS,
    "fabric.plugins.io": {},
    "fabric.plugins.io.checkpoint_io": _CHECKPOINT_IO,
    "fabric.strategies": {},
    "fabric.loggers": {},
    "fabric.utilities": _RANK | _MOVE,
    "fabric.utilities.apply_func": _MOVE,
    "fabric.utilities.distributed": _from("torch.distributed", "ReduceOp"),
    "fabric.utilities.exceptions": _EXCEPTIONS,
    "fabric.utilities.rank_zero": _RANK | _DEPRECATION,
    "fabric.utilities.seed": _SEED,
    "fabric.utilities.warnings": _WARNINGS,
}

_PYTORCH: dict[str, Names] = {
    "pytorch": _MAIN,
    "pytorch.accelerators": _ACCELERATORS,
    "pytorch.accelerators.accelerator": _from("leyden.runtime.accelerators", "Accelerator"),
    "pytorch.accelerators.cpu": _from("leyden.runtime.accelerators", "CPUAccelerator"),
    "pytorch.accelerators.cuda": _from("leyden.runtime.accelerators", "CUDAAccelerator"),
    "pytorch.accelerators.mps": _from("leyden.runtime.accelerators", "MPSAccelerator"),
    "pytorch.callbacks": _from(
        "leyden.callbacks",
        "EarlyStopping",
        "ModelCheckpoint",
        "ModelSummary",
        "ProgressBar",
        "RichModelSummary",
        "RichProgressBar",
        "Timer",
    )
    | _CALLBACK
    | _CHECKPOINT,
    "pytorch.callbacks.callback": _CALLBACK,
    "pytorch.callbacks.checkpoint": _CHECKPOINT,
    "pytorch.callbacks.early_stopping": _EARLY_STOPPING,
    "pytorch.callbacks.model_checkpoint": _MODEL_CHECKPOINT,
    "pytorch.callbacks.model_summary": _from("leyden.callbacks", "ModelSummary"),
    "pytorch.callbacks.rich_model_summary": _from("leyden.callbacks", "RichModelSummary"),
    "pytorch.callbacks.progress": _BAR | _RICH_BAR,
    "pytorch.callbacks.progress.progress_bar": _BAR | _from("leyden.callbacks.progress", "get_standard_metrics"),
    "pytorch.callbacks.progress.rich_progress": _RICH_BAR,
    "pytorch.callbacks.timer": _TIMER,
    "pytorch.core": _DATAMODULE | _MODULE | _OPTIMIZER,
    "pytorch.core.datamodule": _DATAMODULE,
    "pytorch.core.mixins": _from("leyden.core.hparams", "HyperparametersMixin"),
    "pytorch.core.mixins.hparams_mixin": _from("leyden.core.hparams", "HyperparametersMixin"),
    "pytorch.core.module": _MODULE,
    "pytorch.core.optimizer": _OPTIMIZER,
    "pytorch.loggers": _CSV | _from("leyden.core.logger", "Logger"),
    "pytorch.loggers.csv_logs": _CSV | _from("leyden.loggers.csv_logs", "ExperimentWriter"),
    "pytorch.loggers.logger": _LOGGER,
    "pytorch.plugins": _PRECISION | _CHECKPOINT_IO,
    "pytorch.plugins.environments": _ENVIRONMENTS,
    "pytorch.plugins.io": _CHECKPOINT_IO,
    "pytorch.plugins.precision": _PRECISION,
    "pytorch.plugins.precision.amp": _from(
        "leyden.runtime.precision", "MixedPrecision", MixedPrecisionPlugin="MixedPrecision"
    ),
    "pytorch.plugins.precision.double": _from(
        "leyden.runtime.precision", "DoublePrecision", DoublePrecisionPlugin="DoublePrecision"
    ),
    "pytorch.plugins.precision.half": _from(
        "leyden.runtime.precision", "HalfPrecision", HalfPrecisionPlugin="HalfPrecision"
    ),
    "pytorch.plugins.precision.precision": _from("leyden.runtime.precision", "Precision", PrecisionPlugin="Precision"),
    "pytorch.profilers": _PROFILER,
    "pytorch.profilers.profiler": _PROFILER,
    "pytorch.strategies": _STRATEGIES,
    "pytorch.strategies.ddp": _DDP,
    "pytorch.strategies.single_device": _SINGLE,
    "pytorch.strategies.strategy": _BASE_STRATEGY,
    "pytorch.trainer": _from("leyden", "Trainer") | _SEED,
    "pytorch.trainer.states": _STATES,
    "pytorch.trainer.trainer": _from("leyden", "Trainer"),
    "pytorch.utilities": _HPARAMS | _COMBINED | _MOVE | _RANK,
    "pytorch.utilities.combined_loader": _COMBINED,
    "pytorch.utilities.exceptions": _EXCEPTIONS,
    "pytorch.utilities.memory": _from("leyden.utils.tree", recursive_detach="detach"),
    "pytorch.utilities.model_helpers": _OVERRIDDEN,
    "pytorch.utilities.model_summary": _SUMMARY,
    "pytorch.utilities.model_summary.model_summary": _SUMMARY,
    "pytorch.utilities.parsing": _HPARAMS,
    "pytorch.utilities.rank_zero": _RANK | _DEPRECATION,
    "pytorch.utilities.seed": _SEED,
    "pytorch.utilities.types": _TYPES,
    "pytorch.utilities.warnings": _WARNINGS,
}

# Paths of 0.x and 1.x for what is elsewhere today.
_OLD_PATHS: dict[str, Names] = {
    "pytorch.callbacks.base": _CALLBACK,
    "pytorch.core.lightning": _MODULE,
    "pytorch.loggers.base": _LOGGER | _from("leyden.core.logger", LightningLoggerBase="Logger"),
    "pytorch.trainer.supporters": _COMBINED,
    "pytorch.utilities.apply_func": _MOVE,
    "pytorch.utilities.distributed": _RANK,
}

PATHS: dict[str, Names] = {"": _MAIN, **_FABRIC, **_PYTORCH, **_OLD_PATHS}
"""Every module path that resolves, below the root, and the public names of each."""

REMOVED: dict[str, str] = {
    "pytorch.callbacks.GPUStatsMonitor": "it is `DeviceStatsMonitor` today",
    "pytorch.callbacks.XLAStatsMonitor": "it is `DeviceStatsMonitor` today",
    "pytorch.callbacks.QuantizationAwareTraining": "use torch's own quantization",
    "pytorch.core.decorators": "leave the decorators out",
    "pytorch.data_loader": "leave the decorator out",
    "pytorch.EvalResult": "write `self.log(...)`",
    "pytorch.TrainResult": "write `self.log(...)`",
    "pytorch.lite": "it is `Fabric` today",
    "pytorch.loggers.LoggerCollection": "pass a list of loggers",
    "pytorch.loggers.TestTubeLogger": "use `CSVLogger`",
    "pytorch.metrics": "use the package torchmetrics",
    "pytorch.profiler": "it is `pytorch_lightning.profilers` today",
    "pytorch.strategies.DataParallelStrategy": "use `DDPStrategy`",
    "pytorch.strategies.DDP2Strategy": "use `DDPStrategy`",
    "pytorch.strategies.DDPSpawnStrategy": 'use `DDPStrategy(start_method="spawn")`',
}
"""Names and modules of old releases that are gone, and what to do instead."""
