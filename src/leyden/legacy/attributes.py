"""Attributes of the Trainer, the module and the data module of old releases: read with a warning, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeVar

from leyden.errors import LightningDeprecationWarning
from leyden.legacy.arguments import REMOVED_METHODS, Removed
from leyden.utils.rank import rank_zero_warn

__all__ = ["DATAMODULE", "MODULE", "TRAINER", "Renamed", "with_old_names"]

T = TypeVar("T")
Read = Callable[[Any], Any]


class Renamed:
    """Stands in a class for an attribute that has another name today: its instances find the value, with one warning.

    The class itself does not have it, so that programs that look for versions are not misled.

    Example:
        >>> class Trainer:
        ...     global_rank = 0
        ...     proc_rank = Renamed("proc_rank", "global_rank")
        >>> hasattr(Trainer, "proc_rank")
        False
    """

    def __init__(self, name: str, today: str, read: Read | None = None) -> None:
        self.name, self.today = name, today
        self.read: Read = read or attrgetter(today)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        text = f"`trainer.{self.name}` is of an old release. Write `trainer.{self.today}` instead."
        if instance is None:
            raise AttributeError(text)
        said = vars(instance).setdefault("_old_names_read", set())
        if self.name not in said:
            said.add(self.name)
            rank_zero_warn(text, 2, LightningDeprecationWarning)
        return self.read(instance)


def with_old_names(names: Mapping[str, Any]) -> Callable[[type[T]], type[T]]:
    """Decorate a class with what stands for its old attributes."""

    def decorate(cls: type[T]) -> type[T]:
        for name, stand_in in names.items():
            setattr(cls, name, stand_in)
        return cls

    return decorate


def _gpus(trainer: Any) -> list[int]:
    """The numbers of the GPUs that a run uses."""
    return list(trainer.device_ids) if trainer.strategy.root_device.type == "cuda" else []


def _schedulers(trainer: Any) -> list[dict[str, Any]]:
    return [dict(vars(config)) for config in trainer.lr_scheduler_configs]


def _lightning_optimizers(trainer: Any) -> dict[int, Any]:
    return dict(enumerate(trainer._run.optimizers if trainer._run is not None else []))


_RENAMED: tuple[Renamed, ...] = (
    Renamed("proc_rank", "global_rank"),
    Renamed("gpus", "num_devices", lambda trainer: _gpus(trainer) or None),
    Renamed("num_gpus", "num_devices", lambda trainer: len(_gpus(trainer))),
    Renamed("root_gpu", "strategy.root_device", lambda trainer: next(iter(_gpus(trainer)), None)),
    Renamed("num_processes", "num_devices"),
    Renamed("data_parallel", "strategy", lambda trainer: trainer.world_size > 1),
    Renamed("data_parallel_device_ids", "device_ids", lambda trainer: _gpus(trainer) or None),
    Renamed("training_type_plugin", "strategy"),
    Renamed("use_amp", "precision", lambda trainer: trainer.precision.endswith("mixed")),
    Renamed("lr_schedulers", "lr_scheduler_configs", _schedulers),
    Renamed("lightning_optimizers", "optimizers", _lightning_optimizers),
    Renamed("optimizer_frequencies", "optimizers", lambda trainer: []),
    Renamed("running_sanity_check", "sanity_checking"),
    Renamed("disable_validation", "enable_validation", lambda trainer: not trainer.enable_validation),
    Renamed("validated_ckpt_path", "ckpt_path"),
    Renamed("tested_ckpt_path", "ckpt_path"),
    Renamed("predicted_ckpt_path", "ckpt_path"),
    Renamed("verbose_evaluate", "validate(..., verbose=True)", lambda trainer: True),
    Renamed("weights_save_path", "default_root_dir"),
    Renamed("train_loop", "fit_loop"),
    Renamed("progress_bar_dict", "progress_bar_metrics"),
)


def _gone(name: str, line: str) -> Removed:
    return Removed(f"`{name}` is gone. Write `{line}`.")


_LOADERS = tuple(f"reset_{which}_dataloader" for which in ("train", "val", "test", "predict", "train_val"))

TRAINER: dict[str, Removed | Renamed] = {
    **{name: Removed(message) for name, message in REMOVED_METHODS.items()},
    **{attribute.name: attribute for attribute in _RENAMED},
    **{name: _gone(f"trainer.{name}", "trainer.fit_loop.setup_data()") for name in _LOADERS},
    "call_hook": _gone("trainer.call_hook", "getattr(callback, hook)(trainer, module)"),
    "run_stage": _gone("trainer.run_stage", "trainer.fit(...)"),
    "get_model": _gone("trainer.get_model", "trainer.lightning_module"),
}
"""What to put into the Trainer's class."""

MODULE: dict[str, Removed] = {
    "load_from_metrics": _gone("LightningModule.load_from_metrics", "load_from_checkpoint(path, hparams_file=path)"),
}
"""What to put into the module's class."""

_CLI = "LightningCLI(...)`, or build the arguments yourself: `DataModule(**vars(args))"

DATAMODULE: dict[str, Removed] = {
    name: _gone(f"LightningDataModule.{name}", _CLI)
    for name in ("add_argparse_args", "from_argparse_args", "parse_argparser", "get_init_arguments_and_types")
}
"""What to put into the data module's class."""
