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
_RESET = _from("leyden.legacy.utilities.seed", "reset_seed")
_SEED = _RESET | _from("leyden.utils.seed", "isolate_rng", "seed_everything")
_RANK = _from(
    "leyden.utils.rank", "rank_zero_deprecation", "rank_zero_info", "rank_zero_only", "rank_zero_warn"
) | _from("leyden.legacy.utilities.messages", "rank_prefixed_message", "rank_zero_debug")
_EXCEPTIONS = _from("leyden.errors", "MisconfigurationException", "SIGTERMException")
_WARNINGS = _from("leyden.errors", "PossibleUserWarning")
_DEPRECATION = _from("leyden.errors", "LightningDeprecationWarning")
_HPARAMS = _from("leyden.core.plain", "AttributeDict")
_ENUMS_OF_ALL = _from("leyden.legacy.utilities.enums", "LightningEnum")
_ENUMS = _from("leyden.legacy.utilities.enums", "GradClipAlgorithmType") | _ENUMS_OF_ALL
_COLLECTIONS = _from(
    "leyden.legacy.utilities.collections", "apply_to_collection", "convert_tensors_to_scalars", "convert_to_tensors"
)
_LOADERS = _from("leyden.legacy.utilities.data", "has_iterable_dataset", "has_len", "sized_len")
_WORKERS = _from("leyden.legacy.utilities.data", "suggested_max_num_workers")
_FILESYSTEM = _from("leyden.legacy.utilities.saving", "get_filesystem")
_FILES = _from("leyden.legacy.utilities.data", "is_shared_filesystem")
_QUIET = _from("leyden.legacy.utilities.messages", "disable_possible_user_warnings")
_CACHE = _from("leyden.legacy.utilities.messages", "WarningCache")
_TYING = _from("leyden.legacy.utilities.parameters", "find_shared_parameters", "set_shared_parameters")
_PICKLABLE = _from("leyden.legacy.utilities.parsing", "is_picklable")
_SYNC = _from("leyden.legacy.utilities.layer_sync", "LayerSync", "TorchSyncBatchNorm")
_TORCH_IO = _from("leyden.legacy.utilities.plugins", "TorchCheckpointIO")
_TRANSFORMER = _from("leyden.demos.transformer", "LightningTransformer", "Transformer", "WikiText2")
_REGISTRIES = "leyden.legacy.utilities.registries"
_MEMORY = _from(
    "leyden.legacy.utilities.memory",
    "garbage_collection_cuda",
    "is_cuda_out_of_memory",
    "is_cudnn_snafu",
    "is_oom_error",
    "is_out_of_cpu_memory",
)
_GRADS = _from("leyden.legacy.utilities.norms", "grad_norm")
_COMBINED = _from("leyden.data.combined", "CombinedLoader")
_MOVE = _from("leyden.utils.tree", move_data_to_device="move_to_device")
_OVERRIDDEN = _from("leyden.utils.overrides", "is_overridden")
_STATES = _from("leyden.engine.states", "RunningStage", "TrainerFn", "TrainerState", "TrainerStatus")
_SUMMARY = _from(
    "leyden.callbacks.layer_summary",
    "LayerSummary",
    "ModelSummary",
    "UNKNOWN_SIZE",
    "summarize",
    get_human_readable_count="readable_count",
)
_PROFILER = _from("leyden.core.profiler", "Profiler")
_PROFILERS = _from(
    "leyden.profilers",
    "AdvancedProfiler",
    "PassThroughProfiler",
    "Profiler",
    "PyTorchProfiler",
    "SimpleProfiler",
)
_USABLE = _from("leyden.legacy.utilities.devices", "find_usable_cuda_devices")
_ACCELERATORS = _USABLE | _from(
    "leyden.runtime.accelerators", "Accelerator", "CPUAccelerator", "CUDAAccelerator", "MPSAccelerator"
)
_BASE_STRATEGY = _from("leyden.runtime.strategies.base", "Strategy")
_DDP = _from("leyden.runtime.strategies.ddp", "DDPStrategy")
_SINGLE = _from("leyden.runtime.strategies.single", "SingleDeviceStrategy")
_STRATEGIES = _BASE_STRATEGY | _DDP | _SINGLE
_ENVIRONMENTS = _from(
    "leyden.runtime.environments", "ClusterEnvironment", "LightningEnvironment", "TorchElasticEnvironment"
)
_QUANTIZED = _from("leyden.runtime.quantized", "BitsandbytesPrecision", "TransformerEnginePrecision")
_PRECISION = _QUANTIZED | _from(
    "leyden.runtime.precision", "DoublePrecision", "HalfPrecision", "MixedPrecision", "Precision"
)
_PRECISION_PLUGINS = _from(
    "leyden.runtime.precision",
    DoublePrecisionPlugin="DoublePrecision",
    HalfPrecisionPlugin="HalfPrecision",
    MixedPrecisionPlugin="MixedPrecision",
    PrecisionPlugin="Precision",
)
_CHECKPOINT_IO = _from("leyden.runtime.resolve", "CheckpointIO")
_IO = _CHECKPOINT_IO | _TORCH_IO
_LOGGER = _from("leyden.core.logger", "Logger") | _from(
    "leyden.loggers.dummy", "DummyExperiment", "DummyLogger", "rank_zero_experiment"
)
_CSV = _from("leyden.loggers", "CSVLogger")
_TENSORBOARD = _from("leyden.loggers", "TensorBoardLogger")
_SERVICES = _from("leyden.loggers", "CometLogger", "MLFlowLogger", "TrackioLogger", "WandbLogger")
_EARLY_STOPPING = _from("leyden.callbacks.early_stopping", "EarlyStopping", "EarlyStoppingReason")
_MODEL_CHECKPOINT = _from("leyden.callbacks", "ModelCheckpoint")
_TIMER = _from("leyden.callbacks", "Timer")
_BAR = _from("leyden.callbacks", "ProgressBar")
_RICH_BAR = _from("leyden.callbacks", "RichProgressBar", "RichProgressBarTheme")
_TQDM_BAR = _from("leyden.callbacks.tqdm_progress", "TQDMProgressBar")
_THROUGHPUT = _from("leyden.callbacks.throughput", "Throughput", "get_available_flops", "measure_flops")
_FABRIC_THROUGHPUT = _THROUGHPUT | _from("leyden.callbacks.throughput", ThroughputMonitor="FabricThroughputMonitor")
_SPIKE = _from("leyden.callbacks.spike", "SpikeDetection", "TrainingSpikeException")
_FABRIC_SPIKE = _SPIKE | _from("leyden.callbacks.spike", SpikeDetection="FabricSpikeDetection")
_CALLBACK = _from("leyden.core.callback", "Callback")
_CHECKPOINT = _from("leyden.core.callback", "Checkpoint")
_CLI = _from(
    "leyden.cli",
    "ArgsType",
    "LRSchedulerCallable",
    "LRSchedulerTypeTuple",
    "LRSchedulerTypeUnion",
    "LightningArgumentParser",
    "LightningCLI",
    "OptimizerCallable",
    "ReduceLROnPlateau",
    "SaveConfigCallback",
    "instantiate_class",
    "instantiate_module",
)
_DATAMODULE = _from("leyden", "LightningDataModule")
_MODULE = _from("leyden", "LightningModule")
_OPTIMIZER = _from("leyden.core.optimizers", "LightningOptimizer")
_TYPES = (
    _from("leyden.core.optimizers", "LRSchedulerConfig", "OptimizerLRScheduler")
    | _from("leyden.core.module", "STEP_OUTPUT")
    | _from(
        "leyden.legacy.utilities.types",
        "EVAL_DATALOADERS",
        "LRSchedulerConfigType",
        "LRSchedulerPLType",
        "LRSchedulerType",
        "LRSchedulerTypeTuple",
        "LRSchedulerTypeUnion",
        "OptimizerConfig",
        "OptimizerLRSchedulerConfig",
        "TRAIN_DATALOADERS",
    )
)

_FABRIC_ITSELF = _from("leyden.fabric.fabric", "Fabric")
_WRAPPERS = _from(
    "leyden.fabric.wrappers",
    "is_wrapped",
    _FabricDataLoader="FabricLoader",
    _FabricModule="FabricModule",
    _FabricOptimizer="LightningOptimizer",
)
_FABRIC_CSV = _from("leyden.loggers.fabric", "CSVLogger")
_FABRIC_TENSORBOARD = _from("leyden.loggers.fabric", "TensorBoardLogger")

_FABRIC: dict[str, Names] = {
    "fabric": _FABRIC_ITSELF
    | _from("leyden.utils.seed", "seed_everything")
    | _from("leyden.fabric.wrappers", "is_wrapped"),
    "fabric.fabric": _FABRIC_ITSELF,
    "fabric.wrappers": _WRAPPERS,
    "fabric.accelerators": _ACCELERATORS | _from(_REGISTRIES, ACCELERATOR_REGISTRY="AcceleratorRegistry"),
    "fabric.accelerators.accelerator": _from("leyden.runtime.accelerators", "Accelerator"),
    "fabric.accelerators.cpu": _from("leyden.runtime.accelerators", "CPUAccelerator"),
    "fabric.accelerators.cuda": _USABLE
    | _from("leyden.runtime.accelerators", "CUDAAccelerator")
    | _from("torch.cuda", is_cuda_available="is_available", num_cuda_devices="device_count"),
    "fabric.accelerators.mps": _from("leyden.runtime.accelerators", "MPSAccelerator"),
    "fabric.loggers": _FABRIC_CSV | _FABRIC_TENSORBOARD | _from("leyden.core.logger", "Logger"),
    "fabric.loggers.csv_logs": _FABRIC_CSV,
    "fabric.loggers.logger": _LOGGER,
    "fabric.loggers.tensorboard": _FABRIC_TENSORBOARD,
    "fabric.plugins": _PRECISION | _IO | _from("leyden.runtime.environments", "ClusterEnvironment"),
    "fabric.plugins.environments": _ENVIRONMENTS,
    "fabric.plugins.environments.cluster_environment": _from("leyden.runtime.environments", "ClusterEnvironment"),
    "fabric.plugins.environments.lightning": _from("leyden.runtime.environments", "LightningEnvironment"),
    "fabric.plugins.environments.torchelastic": _from("leyden.runtime.environments", "TorchElasticEnvironment"),
    "fabric.plugins.io": _IO,
    "fabric.plugins.io.checkpoint_io": _CHECKPOINT_IO,
    "fabric.plugins.io.torch_io": _TORCH_IO,
    "fabric.plugins.precision": _PRECISION,
    "fabric.plugins.precision.amp": _from("leyden.runtime.precision", "MixedPrecision"),
    "fabric.plugins.precision.bitsandbytes": _from("leyden.runtime.quantized", "BitsandbytesPrecision"),
    "fabric.plugins.precision.double": _from("leyden.runtime.precision", "DoublePrecision"),
    "fabric.plugins.precision.half": _from("leyden.runtime.precision", "HalfPrecision"),
    "fabric.plugins.precision.precision": _from("leyden.runtime.precision", "Precision"),
    "fabric.plugins.precision.transformer_engine": _from("leyden.runtime.quantized", "TransformerEnginePrecision"),
    "fabric.strategies": _STRATEGIES | _from(_REGISTRIES, STRATEGY_REGISTRY="StrategyRegistry"),
    "fabric.strategies.ddp": _DDP,
    "fabric.strategies.single_device": _SINGLE,
    "fabric.strategies.strategy": _BASE_STRATEGY,
    "fabric.utilities": _RANK | _MOVE | _HPARAMS | _ENUMS_OF_ALL | _QUIET | _FILES | _WORKERS | _FABRIC_THROUGHPUT,
    "fabric.utilities.apply_func": _MOVE | _COLLECTIONS,
    "fabric.utilities.cloud_io": _FILESYSTEM,
    "fabric.utilities.data": _HPARAMS | _LOADERS | _WORKERS,
    "fabric.utilities.distributed": _from("torch.distributed", "ReduceOp") | _FILES,
    "fabric.utilities.enums": _ENUMS_OF_ALL,
    "fabric.utilities.exceptions": _EXCEPTIONS,
    "fabric.utilities.rank_zero": _RANK | _DEPRECATION | _CACHE,
    "fabric.utilities.spike": _FABRIC_SPIKE,
    "fabric.utilities.throughput": _FABRIC_THROUGHPUT,
    "fabric.utilities.seed": _SEED,
    "fabric.utilities.types": _from("torch.distributed", "ReduceOp")
    | _from("leyden.legacy.utilities.types", "CollectibleGroup", "Optimizable", "Steppable"),
    "fabric.utilities.warnings": _WARNINGS | _QUIET,
}

_PYTORCH: dict[str, Names] = {
    "pytorch": _MAIN,
    "pytorch.accelerators": _ACCELERATORS | _from(_REGISTRIES, "AcceleratorRegistry"),
    "pytorch.accelerators.accelerator": _from("leyden.runtime.accelerators", "Accelerator"),
    "pytorch.accelerators.cpu": _from("leyden.runtime.accelerators", "CPUAccelerator"),
    "pytorch.accelerators.cuda": _from("leyden.runtime.accelerators", "CUDAAccelerator"),
    "pytorch.accelerators.mps": _from("leyden.runtime.accelerators", "MPSAccelerator"),
    "pytorch.callbacks": _from(
        "leyden.callbacks",
        "BackboneFinetuning",
        "BaseFinetuning",
        "BasePredictionWriter",
        "DeviceStatsMonitor",
        "EMAWeightAveraging",
        "EarlyStopping",
        "GradientAccumulationScheduler",
        "LambdaCallback",
        "LearningRateMonitor",
        "ModelCheckpoint",
        "ModelPruning",
        "ModelSummary",
        "OnExceptionCheckpoint",
        "ProgressBar",
        "RichModelSummary",
        "RichProgressBar",
        "StochasticWeightAveraging",
        "TQDMProgressBar",
        "ThroughputMonitor",
        "Timer",
        "WeightAveraging",
    )
    | _CALLBACK
    | _CHECKPOINT,
    "pytorch.callbacks.callback": _CALLBACK,
    "pytorch.callbacks.checkpoint": _CHECKPOINT,
    "pytorch.callbacks.early_stopping": _EARLY_STOPPING,
    "pytorch.callbacks.model_checkpoint": _MODEL_CHECKPOINT,
    "pytorch.callbacks.model_summary": _from("leyden.callbacks", "ModelSummary"),
    "pytorch.callbacks.rich_model_summary": _from("leyden.callbacks", "RichModelSummary"),
    "pytorch.callbacks.progress": _BAR | _RICH_BAR | _TQDM_BAR,
    "pytorch.callbacks.progress.progress_bar": _BAR | _from("leyden.callbacks.progress", "get_standard_metrics"),
    "pytorch.callbacks.progress.rich_progress": _RICH_BAR,
    "pytorch.callbacks.progress.tqdm_progress": _TQDM_BAR
    | _from("leyden.callbacks.tqdm_progress", "Tqdm", "convert_inf"),
    "pytorch.callbacks.device_stats_monitor": _from("leyden.callbacks", "DeviceStatsMonitor"),
    "pytorch.callbacks.on_exception_checkpoint": _from("leyden.callbacks", "OnExceptionCheckpoint"),
    "pytorch.callbacks.prediction_writer": _from(
        "leyden.callbacks.prediction_writer", "BasePredictionWriter", "WriteInterval"
    ),
    "pytorch.callbacks.spike": _SPIKE,
    "pytorch.callbacks.throughput_monitor": _from("leyden.callbacks", "ThroughputMonitor") | _THROUGHPUT,
    "pytorch.callbacks.finetuning": _from(
        "leyden.callbacks.finetuning", "BackboneFinetuning", "BaseFinetuning", "multiplicative"
    ),
    "pytorch.callbacks.gradient_accumulation_scheduler": _from("leyden.callbacks", "GradientAccumulationScheduler"),
    "pytorch.callbacks.lambda_function": _from("leyden.callbacks", "LambdaCallback"),
    "pytorch.callbacks.lr_monitor": _from("leyden.callbacks", "LearningRateMonitor"),
    "pytorch.callbacks.pruning": _from("leyden.callbacks", "ModelPruning"),
    "pytorch.callbacks.stochastic_weight_avg": _from("leyden.callbacks", "StochasticWeightAveraging"),
    "pytorch.callbacks.weight_averaging": _from("leyden.callbacks", "EMAWeightAveraging", "WeightAveraging"),
    "pytorch.callbacks.timer": _TIMER,
    "pytorch.cli": _CLI,
    "pytorch.core": _DATAMODULE | _MODULE | _OPTIMIZER,
    "pytorch.core.datamodule": _DATAMODULE,
    "pytorch.core.hooks": _from("leyden.core.datamodule", "DataHooks") | _from("leyden.core.model_hooks", "ModelHooks"),
    "pytorch.core.mixins": _from("leyden.core.hparams", "HyperparametersMixin"),
    "pytorch.core.mixins.hparams_mixin": _from("leyden.core.hparams", "HyperparametersMixin"),
    "pytorch.core.module": _MODULE,
    "pytorch.core.optimizer": _OPTIMIZER,
    "pytorch.core.saving": _FILESYSTEM
    | _from(
        "leyden.legacy.utilities.saving",
        "convert",
        "load_hparams_from_tags_csv",
        "load_hparams_from_yaml",
        "save_hparams_to_tags_csv",
        "save_hparams_to_yaml",
        "update_hparams",
    ),
    "pytorch.demos": _from("leyden.demos.boring_classes", "BoringDataModule", "BoringModel", "DemoModel")
    | _TRANSFORMER,
    "pytorch.demos.boring_classes": _from(
        "leyden.demos.boring_classes",
        "BoringDataModule",
        "BoringDataModuleNoLen",
        "BoringModel",
        "DemoModel",
        "IterableBoringDataModule",
        "ManualOptimBoringModel",
        "RandomDataset",
        "RandomDictDataset",
        "RandomIterableDataset",
        "RandomIterableDatasetWithLen",
    ),
    "pytorch.demos.transformer": _TRANSFORMER,
    "pytorch.loggers": _CSV | _TENSORBOARD | _SERVICES | _from("leyden.core.logger", "Logger"),
    "pytorch.loggers.comet": _from("leyden.loggers", "CometLogger"),
    "pytorch.loggers.csv_logs": _CSV | _from("leyden.loggers.csv_logs", "ExperimentWriter"),
    "pytorch.loggers.logger": _LOGGER,
    "pytorch.loggers.mlflow": _from("leyden.loggers", "MLFlowLogger"),
    "pytorch.loggers.tensorboard": _TENSORBOARD,
    "pytorch.loggers.trackio": _from("leyden.loggers", "TrackioLogger"),
    "pytorch.loggers.wandb": _from("leyden.loggers", "WandbLogger"),
    "pytorch.plugins": _PRECISION | _PRECISION_PLUGINS | _IO | _SYNC,
    "pytorch.plugins.environments": _ENVIRONMENTS,
    "pytorch.plugins.io": _IO,
    "pytorch.plugins.io.checkpoint_plugin": _CHECKPOINT_IO,
    "pytorch.plugins.io.torch_plugin": _TORCH_IO,
    "pytorch.plugins.layer_sync": _SYNC,
    "pytorch.plugins.precision": _PRECISION | _PRECISION_PLUGINS,
    "pytorch.plugins.precision.amp": _from(
        "leyden.runtime.precision", "MixedPrecision", MixedPrecisionPlugin="MixedPrecision"
    ),
    "pytorch.plugins.precision.bitsandbytes": _from("leyden.runtime.quantized", "BitsandbytesPrecision"),
    "pytorch.plugins.precision.double": _from(
        "leyden.runtime.precision", "DoublePrecision", DoublePrecisionPlugin="DoublePrecision"
    ),
    "pytorch.plugins.precision.half": _from(
        "leyden.runtime.precision", "HalfPrecision", HalfPrecisionPlugin="HalfPrecision"
    ),
    "pytorch.plugins.precision.precision": _from("leyden.runtime.precision", "Precision", PrecisionPlugin="Precision"),
    "pytorch.plugins.precision.transformer_engine": _from("leyden.runtime.quantized", "TransformerEnginePrecision"),
    "pytorch.profilers": _PROFILERS,
    "pytorch.profilers.advanced": _from("leyden.profilers", "AdvancedProfiler"),
    "pytorch.profilers.base": _from("leyden.profilers", "PassThroughProfiler"),
    "pytorch.profilers.profiler": _PROFILER,
    "pytorch.profilers.pytorch": _from("leyden.profilers.pytorch", "PyTorchProfiler", "RegisterRecordFunction"),
    "pytorch.profilers.simple": _from("leyden.profilers", "SimpleProfiler"),
    "pytorch.strategies": _STRATEGIES | _from(_REGISTRIES, "StrategyRegistry"),
    "pytorch.strategies.ddp": _DDP,
    "pytorch.strategies.single_device": _SINGLE,
    "pytorch.strategies.strategy": _BASE_STRATEGY,
    "pytorch.trainer": _from("leyden", "Trainer") | _SEED,
    "pytorch.trainer.states": _STATES,
    "pytorch.trainer.trainer": _from("leyden", "Trainer"),
    "pytorch.utilities": _HPARAMS
    | _GRADS
    | _COMBINED
    | _MOVE
    | _RANK
    | _COLLECTIONS
    | _ENUMS
    | _FILES
    | _PICKLABLE
    | _QUIET
    | _TYING
    | _WORKERS,
    "pytorch.utilities.combined_loader": _COMBINED,
    "pytorch.utilities.compile": _from("leyden.legacy.utilities.compile", "from_compiled", "to_uncompiled"),
    "pytorch.utilities.data": _LOADERS
    | _WORKERS
    | _from("leyden.legacy.utilities.data", "extract_batch_size", "has_len_all_ranks")
    | _from("leyden.legacy.utilities.messages", "warning_cache"),
    "pytorch.utilities.enums": _ENUMS,
    "pytorch.utilities.exceptions": _EXCEPTIONS,
    "pytorch.utilities.grads": _GRADS,
    "pytorch.utilities.memory": _MEMORY | _from("leyden.utils.tree", recursive_detach="detach"),
    "pytorch.utilities.model_helpers": _OVERRIDDEN,
    "pytorch.utilities.model_summary": _SUMMARY,
    "pytorch.utilities.model_summary.model_summary": _SUMMARY,
    "pytorch.utilities.parameter_tying": _TYING,
    "pytorch.utilities.parsing": _HPARAMS
    | _PICKLABLE
    | _from(
        "leyden.legacy.utilities.parsing",
        "clean_namespace",
        "collect_init_args",
        "get_init_args",
        "lightning_getattr",
        "lightning_hasattr",
        "lightning_setattr",
        "parse_class_init_keys",
    )
    | _from("leyden.core.hparams", save_hyperparameters="HyperparametersMixin.save_hyperparameters"),
    "pytorch.utilities.rank_zero": _RANK | _DEPRECATION | _CACHE,
    "pytorch.utilities.seed": _from("leyden.utils.seed", "isolate_rng"),
    "pytorch.utilities.signature_utils": _from("leyden.legacy.utilities.signatures", "is_param_in_hook_signature"),
    "pytorch.utilities.types": _TYPES,
    "pytorch.utilities.upgrade_checkpoint": _from("leyden.utilities.upgrade_checkpoint", "main"),
    "pytorch.utilities.warnings": _WARNINGS | _CACHE,
}

PATHS: dict[str, Names] = {"": _MAIN | _FABRIC_ITSELF, **_FABRIC, **_PYTORCH}
"""Every module path that resolves, below the root, and the public names of each."""

REMOVED: dict[str, str] = {
    "pytorch.callbacks.GPUStatsMonitor": "it is `DeviceStatsMonitor` today",
    "pytorch.callbacks.XLAStatsMonitor": "it is `DeviceStatsMonitor` today",
    "pytorch.callbacks.ProgressBarBase": "it is `ProgressBar` today; the bar with a refresh rate is `TQDMProgressBar`",
    "pytorch.callbacks.QuantizationAwareTraining": "use torch's own quantization",
    "pytorch.core.decorators": "leave the decorators out",
    "pytorch.core.step_result": "write `self.log(...)`",
    "pytorch.data_loader": "leave the decorator out",
    "pytorch.EvalResult": "write `self.log(...)`",
    "pytorch.Result": "write `self.log(...)`",
    "pytorch.TrainResult": "write `self.log(...)`",
    "pytorch.loggers.LoggerCollection": "pass a list of loggers",
    "pytorch.loggers.TestTubeLogger": "use `CSVLogger`",
    "pytorch.metrics": "use the package torchmetrics",
    "pytorch.strategies.DataParallelStrategy": "use `DDPStrategy`",
    "pytorch.strategies.DDP2Strategy": "use `DDPStrategy`",
    "pytorch.strategies.DDPSpawnStrategy": "use `DDPStrategy`, and start the program with torchrun",
    "pytorch.strategies.HorovodStrategy": "use `DDPStrategy`",
    "pytorch.strategies.DDPShardedStrategy": "use `DDPStrategy`",
    "pytorch.strategies.DDPFullyShardedStrategy": "use `DDPStrategy`",
    "pytorch.plugins.ApexMixedPrecisionPlugin": 'use `MixedPrecision`, or write `Trainer(precision="16-mixed")`',
    "pytorch.plugins.DDPSpawnPlugin": "use `DDPStrategy`, and start the program with torchrun",
    "pytorch.plugins.DataParallelPlugin": "use `DDPStrategy`",
}
"""Names and modules of old releases that are gone, and what to do instead."""
