"""Private functions, classes and values of Lightning's modules that have a counterpart."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Sequence
from typing import Any

import torch

from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.rank import rank_zero_info

IS_INTERACTIVE = hasattr(sys, "ps1")
OUT_DICT = dict[str, torch.Tensor]


def distributed_is_initialized() -> bool:
    """Return whether there is a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def check_data_type(device_ids: object) -> None:
    """Refuse ``devices`` that are neither a count, nor a string, nor a list or tuple of ids.

    Raises:
        TypeError: So it is.
    """
    parts = device_ids if isinstance(device_ids, list | tuple) else [0]
    whole = device_ids if not isinstance(device_ids, list | tuple) else 0
    if any(type(part) is not int for part in parts) or isinstance(whole, bool) or not isinstance(whole, int | str):
        raise TypeError(bad_value("devices", device_ids, "an int, a str, or a list or tuple of ints"))


def check_unique(device_ids: Sequence[int]) -> None:
    """Refuse ids that are not all different.

    Raises:
        MisconfigurationException: So it is.
    """
    if len(set(device_ids)) != len(device_ids):
        raise MisconfigurationException(bad_value("devices", device_ids, "each id once"))


def parse_device_string(s: int | str | list[int] | tuple[int, ...]) -> Any:
    """Return the count or the ids that a text names; anything but a text as it is.

    Example:
        >>> parse_device_string("0,1"), parse_device_string("3"), parse_device_string("-1")
        ([0, 1], 3, -1)
    """
    if not isinstance(s, str):
        return s
    if "," in s:
        return [int(part) for part in s.split(",") if part.strip()]
    return int(s)


def register_classes(registry: Any, method: str, module: Any, parent: type) -> None:
    """Let every class of a module that derives from ``parent`` register itself, where it has a method to do so."""
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if issubclass(kind, parent) and method in vars(kind):
            getattr(kind, method)(registry)


def log_device_info(trainer: Any) -> None:
    """Say on which devices a Trainer runs."""
    rank_zero_info(
        f"{type(trainer.accelerator).__name__}: {trainer.num_devices} on each of {trainer.num_nodes} machines"
    )


class NotYetLoadedTensor:
    """Has no instances: the tensors of :func:`lazy_load` are ordinary ones, read from the file when they are used."""


def lazy_load(filename: str | os.PathLike[str]) -> Any:
    """Return what a file of ``torch.save`` holds, its tensors mapped from the file."""
    return torch.load(filename, map_location="cpu", mmap=True, weights_only=True)


def load_from_checkpoint(
    cls: Any,
    checkpoint_path: Any,
    map_location: Any = None,
    hparams_file: Any = None,
    strict: bool | None = None,
    weights_only: bool | None = None,
    **kwargs: Any,
) -> Any:
    """``cls.load_from_checkpoint``, for a module or a data module."""
    own = importlib.import_module("leyden.core.module").LightningModule
    options = {"strict": strict} if issubclass(cls, own) else {}
    return cls.load_from_checkpoint(
        checkpoint_path,
        map_location=map_location,
        hparams_file=hparams_file,
        weights_only=weights_only,
        **options,
        **kwargs,
    )
