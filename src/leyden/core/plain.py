"""Python values as plain data and back: what a checkpoint can hold without any class's own code being stored.

A value that is no plain type becomes ``{"__leyden__": kind, "value": ...}``, as the table of forms says. Reading one
imports nothing and runs no code of the classes that it names.
"""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum, EnumType
from pathlib import Path, PurePath
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from leyden.errors import nearest

_TAG = "__leyden__"
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size})
_SAFE_CLASSES = (nn.Module, Optimizer, LRScheduler, np.generic)
_FUNCTIONS: dict[str, Any] = {  # in these modules, functions of these types are operations on tensors
    "torch.nn.functional": FunctionType | BuiltinFunctionType,
    "torch": BuiltinFunctionType,
}


class AttributeDict(dict[str, Any]):
    """A dict whose items are attributes too.

    Example:
        >>> hparams = AttributeDict(lr=0.1)
        >>> hparams.batch_size = 32
        >>> hparams["batch_size"], hparams.lr
        (32, 0.1)
    """

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        close = nearest(name, map(str, self))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}.{close}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def __repr__(self) -> str:
        width = max((len(str(key)) for key in self), default=0) + 3
        return "\n".join(f'"{key}":'.ljust(width) + f" {value}" for key, value in self.items())


def entries(container: object) -> dict[str, Any] | None:
    """Return the named entries of a Namespace, mapping or dataclass instance; None for anything else."""
    if isinstance(container, Namespace):
        return dict(vars(container))
    if isinstance(container, Mapping):
        return {str(key): value for key, value in container.items()}
    if dataclasses.is_dataclass(container) and not isinstance(container, type):
        return {field.name: getattr(container, field.name) for field in dataclasses.fields(container)}
    return None


def encode(value: Any) -> Any:
    """Return ``value`` as plain types and tensors.

    Raises:
        TypeError: It, or something in it, has no such form (a lambda, a module); the message says what.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (list, tuple):
        return kind(encode(item) for item in value)
    if kind is dict and _TAG not in value and all(type(key) in _PLAIN for key in value):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.generic) and type(value.item()) in _PLAIN:
        return value.item()
    for name, (types, write, _) in _FORMS.items():
        if isinstance(value, types):
            return {_TAG: name, "value": encode(write(value))}
    if (fields := entries(value)) is not None:
        return {_TAG: "dataclass", "value": (_path(kind), encode(fields))}
    other = list if isinstance(value, Sequence) else None  # OmegaConf's, for one
    base: Any = next((base for base in (str, int, float, tuple, list) if isinstance(value, base)), other)
    if base is None:
        raise TypeError(kind.__name__)
    return encode(base(value))


def decode(value: Any) -> Any:
    """Return what :func:`encode` was given; what cannot be rebuilt here stays plain."""
    if type(value) in (list, tuple):
        return type(value)(decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: decode(item) for key, item in value.items()}
    content = decode(value.get("value"))
    try:
        return _FORMS[value[_TAG]][2](content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):  # the file is not ours, or newer
        return content


def _path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _find(path: str) -> Any:
    """Return what ``"module:qualified.name"`` leads to, without importing and without running ``__getattr__``."""
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


def _write_name(value: Any) -> str:
    own = [_path(value)] if isinstance(value, type) else [f"{module}:{value.__name__}" for module in _FUNCTIONS]
    for path in own:
        if _read_name(path) is value:
            return path
    raise TypeError(f"{type(value).__name__} {value.__qualname__}")


def _read_name(path: str) -> Any:
    found = _find(path)
    if isinstance(found, type):
        return found if issubclass(found, _SAFE_CLASSES) else path
    return found if isinstance(found, _FUNCTIONS.get(path.partition(":")[0], ())) else path


def _write_array(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))  # none of strings or objects


def _read_enum(content: Any) -> Any:
    path, name, value = content
    cls = _find(path)
    return cls.__members__.get(name, value) if isinstance(cls, EnumType) else value


def _read_dataclass(content: Any) -> Any:
    path, fields = content
    cls = _find(path)
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        return AttributeDict(fields)
    made = object.__new__(cls)  # no __init__: the fields are complete, and no code is to run
    for name in fields.keys() & cls.__dataclass_fields__.keys():
        object.__setattr__(made, name, fields[name])
    return made


# kind: the types, how they become plain data, and how these are read
_FORMS: dict[str, tuple[Any, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "enum": (Enum, lambda member: (_path(type(member)), member.name, member.value), _read_enum),
    "name": (type | FunctionType | BuiltinFunctionType, _write_name, _read_name),
    "array": (np.ndarray, _write_array, lambda tensor: tensor.detach().cpu().numpy()),
    "path": (PurePath, str, Path),
    "timedelta": (timedelta, lambda span: (span.days, span.seconds, span.microseconds), lambda of: timedelta(*of)),
    "range": (range, lambda span: (span.start, span.stop, span.step), lambda of: range(*of)),
    "set": (set, list, set),
    "frozenset": (frozenset, list, frozenset),
    "namespace": (Namespace, vars, lambda fields: Namespace(**fields)),
    "attributes": (AttributeDict, dict, AttributeDict),
    "dict": (Mapping, lambda mapping: list(mapping.items()), dict),  # sub-classes, and keys that are no plain types
    "dataclass": ((), entries, _read_dataclass),  # they share no type: `encode` tells them by their entries
}
