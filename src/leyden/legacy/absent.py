"""Names of Lightning's interface that Leyden does not have, and what to do instead. Nothing is imported here.

A key is a name, wherever it is asked for, or the path of a module with everything in it.
"""

from __future__ import annotations

__all__ = ["INTERNAL", "LATER", "NEVER", "PLACES"]


def _all(text: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), text)


LATER: dict[str, str] = {
    **_all("set `learning_rate` and `batch_size` yourself", "BatchSizeFinder LearningRateFinder Tuner"),
    **_all(
        'use `strategy="ddp"`, which keeps the whole model on each device',
        "DeepSpeedLayerSummary DeepSpeedPrecision DeepSpeedPrecisionPlugin DeepSpeedStrategy DeepSpeedSummary "
        "FSDPMixedPrecisionPlugin FSDPPrecision FSDPPrecisionPlugin FSDPStrategy ModelParallelStrategy "
        "pytorch.utilities.deepspeed",
    ),
    **_all(
        "checkpoints are single files",
        "fabric.utilities.consolidate_checkpoint pytorch.utilities.consolidate_checkpoint",
    ),
    **_all(
        "load the module with `load_from_checkpoint` and serve it with a web framework",
        "ServableModule ServableModuleValidator",
    ),
    **_all("saving waits until the file is verified, so leave the plugin out", "AsyncCheckpointIO"),
    **_all(
        "start the processes with `torchrun`, or write a `ClusterEnvironment` of your own",
        "KubeflowEnvironment LSFEnvironment MPIEnvironment SLURMEnvironment",
    ),
}
"""What is planned."""

NEVER: dict[str, str] = {
    **_all(
        "it needs a TPU",
        "SingleDeviceXLAStrategy SingleTPUStrategy TPUAccelerator TPUBf16Precision TPUBf16PrecisionPlugin TPUPrecision "
        "TPUPrecisionPlugin TPUSpawnStrategy XLAAccelerator XLABf16Precision XLABf16PrecisionPlugin XLACheckpointIO "
        "XLAEnvironment XLAFSDPStrategy XLAPrecision XLAPrecisionPlugin XLAStrategy",
    ),
    **_all(
        "it needs a Gaudi processor",
        "HPUAccelerator HPUCheckpointIO HPUParallelStrategy HPUPrecisionPlugin SingleHPUStrategy",
    ),
    **_all("it needs an IPU", "IPUAccelerator IPUPlugin IPUStrategy"),
    **_all("use another logger, such as `TensorBoardLogger` or `CSVLogger`", "LitLogger NeptuneLogger"),
    **_all("use torch.distributed", "Collective SingleDeviceCollective TorchCollective"),
    **_all("`DoublePrecision` converts the module and its batches", "LightningDoublePrecisionModule"),
    **_all("use `DDPStrategy`", "DataParallelStrategy"),
    **_all("write it with torch.nn.LSTM", "LightningLSTM SequenceSampler SimpleLSTM"),
    **_all("use your own data module", "MNIST MNISTDataModule"),
    **_all("take the model from torchvision.models", "get_torchvision_model"),
    **_all("pass the path of a checkpoint", "pytorch.utilities.model_registry"),
    **_all("write a `LightningModule` and a `Trainer`", "app"),
}
"""What is not offered."""

_PRECISION = "DeepSpeedPrecision FSDPPrecision XLAPrecision"
_PLUGINS = f"{_PRECISION} AsyncCheckpointIO XLACheckpointIO"
_STRATEGIES = "DeepSpeedStrategy FSDPStrategy ModelParallelStrategy XLAStrategy"

PLACES: dict[str, str] = {
    "fabric.accelerators": "XLAAccelerator",
    "fabric.accelerators.xla": "XLAAccelerator",
    "fabric.plugins": f"{_PRECISION} XLACheckpointIO",
    "fabric.plugins.collectives": "Collective SingleDeviceCollective TorchCollective",
    "fabric.plugins.environments": (
        "KubeflowEnvironment LSFEnvironment MPIEnvironment SLURMEnvironment XLAEnvironment"
    ),
    "fabric.plugins.environments.kubeflow": "KubeflowEnvironment",
    "fabric.plugins.environments.lsf": "LSFEnvironment",
    "fabric.plugins.environments.mpi": "MPIEnvironment",
    "fabric.plugins.environments.slurm": "SLURMEnvironment",
    "fabric.plugins.environments.xla": "XLAEnvironment",
    "fabric.plugins.io.xla": "XLACheckpointIO",
    "fabric.plugins.precision": _PRECISION,
    "fabric.plugins.precision.deepspeed": "DeepSpeedPrecision",
    "fabric.plugins.precision.fsdp": "FSDPPrecision",
    "fabric.plugins.precision.xla": "XLAPrecision",
    "fabric.strategies": f"{_STRATEGIES} DataParallelStrategy SingleDeviceXLAStrategy XLAFSDPStrategy",
    "fabric.strategies.deepspeed": "DeepSpeedStrategy",
    "fabric.strategies.dp": "DataParallelStrategy",
    "fabric.strategies.fsdp": "FSDPStrategy",
    "fabric.strategies.model_parallel": "ModelParallelStrategy",
    "fabric.strategies.single_xla": "SingleDeviceXLAStrategy",
    "fabric.strategies.xla": "XLAStrategy",
    "fabric.strategies.xla_fsdp": "XLAFSDPStrategy",
    "pytorch.accelerators": "HPUAccelerator IPUAccelerator TPUAccelerator XLAAccelerator",
    "pytorch.accelerators.xla": "XLAAccelerator",
    "pytorch.callbacks": "BatchSizeFinder LearningRateFinder",
    "pytorch.callbacks.batch_size_finder": "BatchSizeFinder",
    "pytorch.callbacks.lr_finder": "LearningRateFinder",
    "pytorch.loggers": "LitLogger NeptuneLogger",
    "pytorch.loggers.litlogger": "LitLogger",
    "pytorch.loggers.neptune": "NeptuneLogger",
    "pytorch.plugins": _PLUGINS,
    "pytorch.plugins.environments": (
        "KubeflowEnvironment LSFEnvironment MPIEnvironment SLURMEnvironment XLAEnvironment"
    ),
    "pytorch.plugins.io": "AsyncCheckpointIO XLACheckpointIO",
    "pytorch.plugins.io.async_plugin": "AsyncCheckpointIO",
    "pytorch.plugins.io.xla_plugin": "XLACheckpointIO",
    "pytorch.plugins.precision": _PRECISION,
    "pytorch.plugins.precision.deepspeed": "DeepSpeedPrecision DeepSpeedPrecisionPlugin",
    "pytorch.plugins.precision.double": "LightningDoublePrecisionModule",
    "pytorch.plugins.precision.fsdp": "FSDPMixedPrecisionPlugin FSDPPrecision FSDPPrecisionPlugin",
    "pytorch.plugins.precision.xla": "XLAPrecision",
    "pytorch.serve": "ServableModule ServableModuleValidator",
    "pytorch.serve.servable_module_validator": "ServableModule ServableModuleValidator",
    "pytorch.strategies": f"{_STRATEGIES} SingleDeviceXLAStrategy",
    "pytorch.strategies.deepspeed": "DeepSpeedStrategy",
    "pytorch.strategies.fsdp": "FSDPStrategy",
    "pytorch.strategies.model_parallel": "ModelParallelStrategy",
    "pytorch.strategies.single_xla": "SingleDeviceXLAStrategy",
    "pytorch.strategies.xla": "XLAStrategy",
    "pytorch.tuner": "Tuner",
    "pytorch.tuner.tuning": "Tuner",
    "pytorch.utilities.model_summary": "DeepSpeedLayerSummary DeepSpeedSummary",
    "pytorch.utilities.model_summary.model_summary_deepspeed": "DeepSpeedLayerSummary DeepSpeedSummary",
}
"""Where programs import classes of the two tables from. Many only name them (``isinstance(strategy, FSDPStrategy)``), so
under Lightning's names they can be imported, and making one is the error."""

INTERNAL: dict[str, str] = _all(
    "",
    "pytorch._graveyard pytorch.loops pytorch.overrides pytorch.strategies.launchers pytorch.trainer.call "
    "pytorch.trainer.configuration_validator pytorch.trainer.connectors "
    "pytorch.utilities._pytree pytorch.utilities.argparse pytorch.utilities.imports pytorch.utilities.migration "
    "pytorch.utilities.testing fabric._graveyard fabric.cli fabric.connector fabric.strategies.launchers "
    "fabric.utilities.device_dtype_mixin fabric.utilities.imports fabric.utilities.init fabric.utilities.testing",
)
"""Modules that programs have no business with."""
