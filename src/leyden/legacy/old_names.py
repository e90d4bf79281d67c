"""Import names of Lightning 0.x and 1.x for what has another name today; they work, with a warning that says which."""

from __future__ import annotations

from leyden.legacy.names import PATHS, Names

__all__ = ["OLD", "OLD_PATHS"]


def _as(path: str, **renamed: str) -> Names:
    """The names of today's path, and under old names those that are called otherwise."""
    return PATHS[path] | {old: PATHS[path][new] for old, new in renamed.items()}


_PROFILERS = _as("pytorch.profilers", BaseProfiler="Profiler", AbstractProfiler="Profiler")
_SEED = {
    "seed_everything": PATHS["pytorch"]["seed_everything"],
    "reset_seed": "leyden.legacy.utilities.seed:reset_seed",
}
_STRATEGY_PLUGINS = {
    "DDPPlugin": PATHS["pytorch.strategies"]["DDPStrategy"],
    "SingleDevicePlugin": PATHS["pytorch.strategies"]["SingleDeviceStrategy"],
    "TrainingTypePlugin": PATHS["pytorch.strategies"]["Strategy"],
}

OLD_PATHS: dict[str, Names] = {
    "pytorch.accelerators": {"GPUAccelerator": PATHS["pytorch.accelerators"]["CUDAAccelerator"]},
    "pytorch.accelerators.gpu": {"GPUAccelerator": PATHS["pytorch.accelerators"]["CUDAAccelerator"]},
    "pytorch.callbacks.base": _as("pytorch.callbacks.callback"),
    "pytorch.core.lightning": _as("pytorch.core.module"),
    "pytorch.core.memory": _as("pytorch.utilities.model_summary"),
    "pytorch.lite": {"LightningLite": PATHS["fabric"]["Fabric"]},
    "pytorch.loggers.base": _as("pytorch.loggers.logger", LightningLoggerBase="Logger"),
    "pytorch.plugins": {
        "NativeMixedPrecisionPlugin": PATHS["pytorch.plugins"]["MixedPrecision"],
        **_STRATEGY_PLUGINS,
    },
    "pytorch.plugins.training_type": _STRATEGY_PLUGINS,
    "pytorch.profiler": _PROFILERS,
    "pytorch.profiler.advanced": _as("pytorch.profilers.advanced"),
    "pytorch.profiler.base": _PROFILERS,
    "pytorch.profiler.profiler": _PROFILERS,
    "pytorch.profiler.profilers": _PROFILERS,
    "pytorch.profiler.pytorch": _as("pytorch.profilers.pytorch"),
    "pytorch.profiler.simple": _as("pytorch.profilers.simple"),
    "pytorch.trainer.supporters": _as("pytorch.utilities.combined_loader"),
    "pytorch.utilities.apply_func": _as("fabric.utilities.apply_func"),
    "pytorch.utilities.cli": _as("pytorch.cli"),
    "pytorch.utilities.cloud_io": _as("fabric.utilities.cloud_io"),
    "pytorch.utilities.distributed": _as("pytorch.utilities.rank_zero"),
    "pytorch.utilities.seed": _SEED,
}
"""Old paths and the names in them; a path that is of today too has old names here."""

OLD: dict[str, str] = {
    "pytorch.accelerators.GPUAccelerator": "pytorch_lightning.accelerators.CUDAAccelerator",
    "pytorch.accelerators.gpu": "pytorch_lightning.accelerators",
    "pytorch.callbacks.base": "pytorch_lightning.callbacks",
    "pytorch.core.lightning": "pytorch_lightning",
    "pytorch.core.memory": "pytorch_lightning.utilities.model_summary",
    "pytorch.lite.LightningLite": "lightning.fabric.Fabric",
    "pytorch.loggers.base": "pytorch_lightning.loggers.logger",
    "pytorch.plugins.DDPPlugin": "pytorch_lightning.strategies.DDPStrategy",
    "pytorch.plugins.NativeMixedPrecisionPlugin": "pytorch_lightning.plugins.MixedPrecision",
    "pytorch.plugins.SingleDevicePlugin": "pytorch_lightning.strategies.SingleDeviceStrategy",
    "pytorch.plugins.TrainingTypePlugin": "pytorch_lightning.strategies.Strategy",
    "pytorch.plugins.training_type": "pytorch_lightning.strategies",
    "pytorch.profiler": "pytorch_lightning.profilers",
    "pytorch.trainer.supporters": "pytorch_lightning.utilities.combined_loader",
    "pytorch.utilities.apply_func": "lightning.fabric.utilities.apply_func",
    "pytorch.utilities.cli": "pytorch_lightning.cli",
    "pytorch.utilities.cloud_io": "lightning.fabric.utilities.cloud_io",
    "pytorch.utilities.distributed": "pytorch_lightning.utilities.rank_zero",
    "pytorch.utilities.seed.reset_seed": "lightning.fabric.utilities.seed.reset_seed",
    "pytorch.utilities.seed.seed_everything": "pytorch_lightning.seed_everything",
}
"""Old modules and names, and where to import from today."""
