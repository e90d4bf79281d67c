"""Loggers: where a run's numbers and hyperparameters go."""

from __future__ import annotations

import dataclasses
import functools
import os
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from leyden.utils.rank import rank_zero_only

if TYPE_CHECKING:
    from torch import nn

    from leyden.core.callback import Checkpoint

_LARGEST_LISTED = 64  # arrays beyond this are named by shape, not written out


class Logger(ABC):
    """Base class of loggers: define ``name``, ``version``, ``log_metrics`` and ``log_hyperparams``.

    Example:
        >>> class Printing(Logger):
        ...     name = "printing"
        ...     version = 0
        ...     def log_metrics(self, metrics, step=None):
        ...         print(step, metrics)
        ...     def log_hyperparams(self, params):
        ...         print(convert_hparams(params))
        >>> Printing().log_metrics({"loss": 0.5}, step=3)
        3 {'loss': 0.5}
    """

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The experiment's name."""

    @property
    @abstractmethod
    def version(self) -> int | str | None:
        """The version of the experiment; the progress bar shows it as ``v_num``."""

    @property
    def save_dir(self) -> str | None:
        """The folder under which this logger and the checkpoints are saved; None: the Trainer's default_root_dir."""
        return None

    @property
    def root_dir(self) -> str | None:
        """The folder that holds all versions of the experiment; None for a logger without local files."""
        return None

    @property
    def log_dir(self) -> str | None:
        """The folder of this version; None for a logger without local files."""
        return None

    @property
    def group_separator(self) -> str:
        """What stands between a group and the names in it; default ``"/"``."""
        return "/"

    @property
    def experiment(self) -> Any:
        """The logging library's own object; None if there is none."""
        return None

    @abstractmethod
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Record numbers at a step."""

    @abstractmethod
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Record hyperparameters."""

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """Record the model's graph; does nothing by default."""

    def save(self) -> None:
        """Write out what was recorded and not yet written; does nothing by default."""

    def finalize(self, status: str) -> None:
        """End the experiment; ``status`` is ``"success"``, ``"failed"`` or ``"finished"``. Saves by default."""
        self.save()

    def after_save_checkpoint(self, checkpoint_callback: Checkpoint) -> None:
        """Called after a checkpoint callback has saved; does nothing by default."""


def rank_zero_experiment(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a logger's ``experiment``: other ranks than 0 get a :class:`DummyExperiment`."""

    @functools.wraps(fn)
    def experiment(self: Any) -> Any:
        if rank_zero_only.rank > 0:
            return DummyExperiment()
        found = fn(self)
        return DummyExperiment() if found is None else found

    return experiment


class DummyExperiment:
    """An experiment that takes every call and does nothing.

    Example:
        >>> DummyExperiment().add_image("x", 3)
    """

    def nop(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):  # Python's protocols (copy, pickle, ...) must see what is really there
            raise AttributeError(name)
        return self.nop

    def __getitem__(self, index: int) -> DummyExperiment:
        return self

    def __setitem__(self, *args: Any) -> None:
        """Do nothing."""

    def __iter__(self) -> Iterator[DummyExperiment]:
        return iter(())


class DummyLogger(Logger):
    """A logger that takes every call and records nothing; ``fast_dev_run`` puts it in place of the real ones."""

    def __init__(self) -> None:
        self._experiment = DummyExperiment()

    @property
    def experiment(self) -> DummyExperiment:
        """An object that takes every call."""
        return self._experiment

    @property
    def name(self) -> str:
        """Empty."""
        return ""

    @property
    def version(self) -> str:
        """Empty."""
        return ""

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __getitem__(self, index: int) -> DummyLogger:
        return self

    def __iter__(self) -> Iterator[DummyLogger]:
        return iter(())

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__") or name == "_experiment":  # the latter: copied without __init__
            raise AttributeError(name)
        return self._experiment.nop


def convert_hparams(params: Mapping[str, Any] | Namespace | None) -> dict[str, Any]:
    """Return hyperparameters as a dict: of a Namespace its attributes, of None an empty one.

    Example:
        >>> convert_hparams(Namespace(lr=0.1))
        {'lr': 0.1}
    """
    if params is None:
        return {}
    return dict(vars(params)) if isinstance(params, Namespace) else dict(params)


def flatten_hparams(params: Mapping[Any, Any] | Namespace | None, separator: str = "/") -> dict[str, Any]:
    """Return nested hyperparameters as one level, names joined by ``separator``; lists stay values.

    Example:
        >>> flatten_hparams({"optimizer": {"lr": 0.1}, "layers": [2, 3]})
        {'optimizer/lr': 0.1, 'layers': [2, 3]}
    """
    flat: dict[str, Any] = {}
    for name, value in convert_hparams(params).items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, Mapping | Namespace) and convert_hparams(value):
            flat |= {f"{name}{separator}{inner}": leaf for inner, leaf in flatten_hparams(value, separator).items()}
        else:
            flat[str(name)] = value
    return flat


def plain_hparams(value: Any) -> Any:
    """Return a value made of None, bool, int, float, str, list and dict only, as ``yaml.safe_dump`` takes it.

    Tensors and arrays become numbers or lists, enums their names, paths, dtypes and devices strings, functions and
    classes their qualified names, other objects what ``repr`` says.

    Example:
        >>> plain_hparams({"size": (2, 3), "activation": len})
        {'size': [2, 3], 'activation': 'builtins.len'}
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Namespace):
        return plain_hparams(vars(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_hparams(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_plain_key(key): plain_hparams(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_hparams(item) for item in value]
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return _plain_array(value)
    for basic in (bool, int, float, str):  # their subclasses
        if isinstance(value, basic):
            return basic(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return str(value) if type(value).__module__ == "torch" else repr(value)


def _plain_key(key: Any) -> Any:
    plain = plain_hparams(key)
    return repr(plain) if isinstance(plain, list | dict) else plain


def _plain_array(value: Any) -> Any:
    count = value.numel() if isinstance(value, Tensor) else value.size
    if count > _LARGEST_LISTED:
        return f"{type(value).__name__}(shape={tuple(value.shape)}, dtype={value.dtype})"
    return plain_hparams(value.tolist())
