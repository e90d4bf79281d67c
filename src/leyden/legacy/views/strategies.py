"""What programs ask a strategy that in Leyden belongs to the run."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any


def lightning_module(strategy: Any) -> Any:
    """The module that the strategy places, None outside of a run."""
    return strategy.module


def model(strategy: Any) -> Any:
    """The module as training calls it: wrapped, where the strategy wraps it."""
    wrapped = getattr(strategy, "__dict__", {}).get("_wrapped")
    return strategy.module if wrapped is None else wrapped


def connect(strategy: Any) -> Callable[[Any], None]:
    """``strategy.connect(module)``: make it the strategy's module, outside of a run."""

    def set_module(model: Any) -> None:
        strategy.module = model

    return set_module


def _trainer(strategy: Any) -> Any:
    return getattr(strategy.module, "_trainer", None)


def optimizers(strategy: Any) -> list[Any]:
    """The run's optimizers."""
    trainer = _trainer(strategy)
    return [] if trainer is None else list(trainer.optimizers)


def lr_scheduler_configs(strategy: Any) -> list[Any]:
    """The run's schedulers and when they step."""
    trainer = _trainer(strategy)
    return [] if trainer is None else list(trainer.lr_scheduler_configs)


def precision_plugin(strategy: Any) -> Any:
    """The run's number format; None outside of a run."""
    trainer = _trainer(strategy)
    return None if trainer is None else trainer.precision_plugin


def checkpoint_io(strategy: Any) -> Any:
    """What reads and writes checkpoints: the run's plugin, or one that does as Leyden does without."""
    trainer = _trainer(strategy)
    own = None if trainer is None else trainer._runtime.checkpoint_io
    return own or importlib.import_module("leyden.legacy.utilities.plugins").TorchCheckpointIO()


def save_checkpoint(strategy: Any) -> Callable[..., None]:
    """``strategy.save_checkpoint(checkpoint, filepath)``: write it, on the first process."""

    def save(checkpoint: dict[str, Any], filepath: str | os.PathLike[str], storage_options: Any = None) -> None:
        if strategy.is_global_zero:
            checkpoint_io(strategy).save_checkpoint(checkpoint, filepath, storage_options)

    return save


def load_checkpoint(strategy: Any) -> Callable[..., Any]:
    """``strategy.load_checkpoint(path)``: read it onto the CPU."""

    def load(checkpoint_path: str | os.PathLike[str], weights_only: bool | None = None) -> Any:
        return checkpoint_io(strategy).load_checkpoint(checkpoint_path, map_location="cpu", weights_only=weights_only)

    return load


def remove_checkpoint(strategy: Any) -> Callable[[str | os.PathLike[str]], None]:
    """``strategy.remove_checkpoint(path)``: delete it, on the first process."""

    def remove(filepath: str | os.PathLike[str]) -> None:
        if strategy.is_global_zero:
            checkpoint_io(strategy).remove_checkpoint(filepath)

    return remove
