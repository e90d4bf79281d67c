"""Where published programs reach for Lightning's names: the module paths, and the names they import from each."""

from __future__ import annotations

PUBLIC: dict[str, str] = {
    "lightning": "Callback Fabric LightningDataModule LightningModule Trainer seed_everything",
    "lightning.fabric": "Fabric seed_everything",
    "lightning.fabric.accelerators": "CUDAAccelerator",
    "lightning.fabric.accelerators.cuda": "num_cuda_devices",
    "lightning.fabric.loggers": "CSVLogger TensorBoardLogger",
    "lightning.fabric.plugins": "BitsandbytesPrecision TorchCheckpointIO",
    "lightning.fabric.plugins.environments": "LightningEnvironment SLURMEnvironment",
    "lightning.fabric.plugins.io.checkpoint_io": "CheckpointIO",
    "lightning.fabric.plugins.io.torch_io": "TorchCheckpointIO",
    "lightning.fabric.strategies": "FSDPStrategy ModelParallelStrategy",
    "lightning.fabric.strategies.fsdp": "",
    "lightning.fabric.utilities": "ThroughputMonitor rank_zero_info rank_zero_only rank_zero_warn",
    "lightning.fabric.utilities.cloud_io": "get_filesystem",
    "lightning.fabric.utilities.device_parser": "",
    "lightning.fabric.utilities.distributed": "ReduceOp",
    "lightning.fabric.utilities.enums": "LightningEnum",
    "lightning.fabric.utilities.exceptions": "MisconfigurationException",
    "lightning.fabric.utilities.init": "",
    "lightning.fabric.utilities.load": "",
    "lightning.fabric.utilities.rank_zero": "LightningDeprecationWarning",
    "lightning.fabric.utilities.registry": "",
    "lightning.fabric.utilities.seed": "seed_everything",
    "lightning.fabric.utilities.spike": "TrainingSpikeException",
    "lightning.fabric.utilities.testing": "",
    "lightning.fabric.utilities.throughput": "ThroughputMonitor measure_flops",
    "lightning.fabric.utilities.types": "Optimizable",
    "lightning.fabric.utilities.warnings": "PossibleUserWarning",
    "lightning.pytorch": "Callback LightningDataModule LightningModule Trainer seed_everything",
    "lightning.pytorch.accelerators": (
        "Accelerator AcceleratorRegistry CPUAccelerator CUDAAccelerator MPSAccelerator XLAAccelerator"
    ),
    "lightning.pytorch.accelerators.accelerator": "Accelerator",
    "lightning.pytorch.accelerators.cuda": "CUDAAccelerator",
    "lightning.pytorch.callbacks": (
        "BackboneFinetuning BaseFinetuning BasePredictionWriter BatchSizeFinder Callback Checkpoint "
        "DeviceStatsMonitor EMAWeightAveraging EarlyStopping GradientAccumulationScheduler LambdaCallback "
        "LearningRateFinder LearningRateMonitor ModelCheckpoint ModelPruning ModelSummary "
        "OnExceptionCheckpoint ProgressBar RichModelSummary RichProgressBar StochasticWeightAveraging "
        "TQDMProgressBar Timer"
    ),
    "lightning.pytorch.callbacks.batch_size_finder": "BatchSizeFinder",
    "lightning.pytorch.callbacks.callback": "Callback",
    "lightning.pytorch.callbacks.early_stopping": "EarlyStopping EarlyStoppingReason",
    "lightning.pytorch.callbacks.finetuning": "BackboneFinetuning",
    "lightning.pytorch.callbacks.gradient_accumulation_scheduler": "GradientAccumulationScheduler",
    "lightning.pytorch.callbacks.lr_finder": "LearningRateFinder",
    "lightning.pytorch.callbacks.progress.progress_bar": "get_standard_metrics",
    "lightning.pytorch.callbacks.progress.rich_progress": "RichProgressBarTheme",
    "lightning.pytorch.callbacks.progress.tqdm_progress": "Tqdm",
    "lightning.pytorch.callbacks.spike": "SpikeDetection",
    "lightning.pytorch.callbacks.throughput_monitor": "ThroughputMonitor",
    "lightning.pytorch.callbacks.timer": "Timer",
    "lightning.pytorch.cli": (
        "ArgsType LRSchedulerCallable LRSchedulerTypeTuple LightningArgumentParser LightningCLI "
        "OptimizerCallable SaveConfigCallback instantiate_class"
    ),
    "lightning.pytorch.core": "LightningDataModule",
    "lightning.pytorch.core.datamodule": "LightningDataModule",
    "lightning.pytorch.core.mixins": "HyperparametersMixin",
    "lightning.pytorch.core.module": "LightningModule",
    "lightning.pytorch.core.optimizer": "LightningOptimizer",
    "lightning.pytorch.core.saving": (
        "get_filesystem load_hparams_from_tags_csv load_hparams_from_yaml save_hparams_to_tags_csv save_hparams_to_yaml"
    ),
    "lightning.pytorch.demos.boring_classes": (
        "BoringDataModule BoringDataModuleNoLen BoringModel IterableBoringDataModule ManualOptimBoringModel "
        "RandomDataset RandomDictDataset RandomIterableDataset RandomIterableDatasetWithLen"
    ),
    "lightning.pytorch.loggers": "CSVLogger CometLogger LitLogger Logger MLFlowLogger TensorBoardLogger WandbLogger",
    "lightning.pytorch.loggers.csv_logs": "ExperimentWriter",
    "lightning.pytorch.loggers.litlogger": "LitLogger",
    "lightning.pytorch.loggers.logger": "DummyExperiment DummyLogger Logger rank_zero_experiment",
    "lightning.pytorch.loggers.neptune": "NeptuneLogger",
    "lightning.pytorch.loggers.tensorboard": "TensorBoardLogger",
    "lightning.pytorch.loggers.wandb": "WandbLogger",
    "lightning.pytorch.loops.evaluation_loop": "",
    "lightning.pytorch.plugins": (
        "CheckpointIO DeepSpeedPrecision DoublePrecision FSDPPrecision HalfPrecision MixedPrecision Precision"
    ),
    "lightning.pytorch.plugins.environments": "LightningEnvironment",
    "lightning.pytorch.plugins.io": "TorchCheckpointIO",
    "lightning.pytorch.plugins.io.async_plugin": "AsyncCheckpointIO",
    "lightning.pytorch.plugins.layer_sync": "LayerSync TorchSyncBatchNorm",
    "lightning.pytorch.plugins.precision": "DoublePrecision MixedPrecision Precision",
    "lightning.pytorch.plugins.precision.amp": "MixedPrecisionPlugin",
    "lightning.pytorch.plugins.precision.deepspeed": "DeepSpeedPrecision DeepSpeedPrecisionPlugin",
    "lightning.pytorch.plugins.precision.double": (
        "DoublePrecision DoublePrecisionPlugin LightningDoublePrecisionModule"
    ),
    "lightning.pytorch.plugins.precision.fsdp": "FSDPMixedPrecisionPlugin FSDPPrecision FSDPPrecisionPlugin",
    "lightning.pytorch.plugins.precision.half": "HalfPrecisionPlugin",
    "lightning.pytorch.plugins.precision.precision": "Precision PrecisionPlugin",
    "lightning.pytorch.profilers": "AdvancedProfiler PassThroughProfiler Profiler PyTorchProfiler SimpleProfiler",
    "lightning.pytorch.profilers.pytorch": "RegisterRecordFunction",
    "lightning.pytorch.profilers.simple": "SimpleProfiler",
    "lightning.pytorch.serve.servable_module_validator": "ServableModule ServableModuleValidator",
    "lightning.pytorch.strategies": (
        "DDPStrategy DeepSpeedStrategy FSDPStrategy ModelParallelStrategy SingleDeviceStrategy Strategy "
        "StrategyRegistry"
    ),
    "lightning.pytorch.strategies.ddp": "DDPStrategy",
    "lightning.pytorch.strategies.single_xla": "SingleDeviceXLAStrategy",
    "lightning.pytorch.strategies.strategy": "Strategy",
    "lightning.pytorch.trainer": "Trainer",
    "lightning.pytorch.trainer.connectors.accelerator_connector": "",
    "lightning.pytorch.trainer.connectors.checkpoint_connector": "",
    "lightning.pytorch.trainer.connectors.logger_connector.result": "",
    "lightning.pytorch.trainer.setup": "",
    "lightning.pytorch.trainer.states": "RunningStage TrainerFn TrainerState TrainerStatus",
    "lightning.pytorch.trainer.trainer": "Trainer",
    "lightning.pytorch.tuner": "Tuner",
    "lightning.pytorch.tuner.tuning": "Tuner",
    "lightning.pytorch.utilities": (
        "AttributeDict CombinedLoader GradClipAlgorithmType find_shared_parameters grad_norm is_picklable "
        "move_data_to_device rank_zero_only set_shared_parameters"
    ),
    "lightning.pytorch.utilities.combined_loader": "CombinedLoader",
    "lightning.pytorch.utilities.data": "extract_batch_size has_len_all_ranks warning_cache",
    "lightning.pytorch.utilities.enums": "GradClipAlgorithmType",
    "lightning.pytorch.utilities.exceptions": "MisconfigurationException SIGTERMException",
    "lightning.pytorch.utilities.memory": "recursive_detach",
    "lightning.pytorch.utilities.model_helpers": "is_overridden",
    "lightning.pytorch.utilities.model_summary": "ModelSummary summarize",
    "lightning.pytorch.utilities.model_summary.model_summary": "ModelSummary UNKNOWN_SIZE summarize",
    "lightning.pytorch.utilities.parsing": (
        "AttributeDict clean_namespace collect_init_args get_init_args is_picklable lightning_getattr "
        "lightning_hasattr lightning_setattr parse_class_init_keys"
    ),
    "lightning.pytorch.utilities.rank_zero": (
        "rank_prefixed_message rank_zero_debug rank_zero_info rank_zero_only rank_zero_warn"
    ),
    "lightning.pytorch.utilities.seed": "isolate_rng",
    "lightning.pytorch.utilities.signature_utils": "is_param_in_hook_signature",
    "lightning.pytorch.utilities.types": (
        "EVAL_DATALOADERS LRSchedulerConfig OptimizerLRScheduler STEP_OUTPUT TRAIN_DATALOADERS"
    ),
    "lightning.pytorch.utilities.upgrade_checkpoint": "main",
    "lightning.pytorch.utilities.warnings": "PossibleUserWarning",
    "lightning_fabric.plugins.io": "torch_io",
}
"""Public names."""

PRIVATE: dict[str, str] = {
    "lightning": "__version__",
    "lightning.fabric.strategies.fsdp": "_get_full_state_dict_context _setup_activation_checkpointing",
    "lightning.fabric.utilities.device_parser": "_check_data_type _check_unique _normalize_parse_gpu_string_input",
    "lightning.fabric.utilities.distributed": "_distributed_is_initialized",
    "lightning.fabric.utilities.init": "_materialize_meta_tensors",
    "lightning.fabric.utilities.load": "_NotYetLoadedTensor _lazy_load",
    "lightning.fabric.utilities.registry": "_register_classes",
    "lightning.fabric.utilities.testing": "_runif_reasons",
    "lightning.fabric.utilities.types": "_DEVICE _MAP_LOCATION_TYPE _PATH",
    "lightning.pytorch": "__version__",
    "lightning.pytorch.core.optimizer": "_MockOptimizer",
    "lightning.pytorch.core.saving": "_load_from_checkpoint",
    "lightning.pytorch.loops.evaluation_loop": "_EvaluationLoop",
    "lightning.pytorch.trainer.connectors.accelerator_connector": "_AcceleratorConnector _IS_INTERACTIVE",
    "lightning.pytorch.trainer.connectors.checkpoint_connector": "_CheckpointConnector",
    "lightning.pytorch.trainer.connectors.logger_connector.result": "_OUT_DICT _ResultMetric",
    "lightning.pytorch.trainer.setup": "_log_device_info",
}
"""Private names."""
