"""Python values as plain data and back: what a checkpoint can hold without any class's own code being stored.

A value that is no plain type becomes ``{"__leyden__": kind, "value": ..., "class": "module:name"}``. Reading one
imports nothing and runs no code of the named class.
"""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
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
_PLAIN = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, torch.dtype, torch.device, torch.Size}
)
_KEYS = frozenset({type(None), bool, int, float, str})
_SAFE_CLASSES = (nn.Module, Optimizer, LRScheduler, np.generic)
_FUNCTIONS: dict[str, Any] = {  # in these modules, functions of these types are operations on tensors
    "torch.nn.functional": FunctionType | BuiltinFunctionType,
    "torch": BuiltinFunctionType,
}


class UnsavableError(Exception):
    """A value has no form as plain data; the message is the name of its type."""


class AttributeDict(dict[str, Any]):
    """A dict whose items are attributes too.

    Example:
        >>> hparams = AttributeDict(lr=0.1)
        >>> hparams.batch_size = 32
        >>> hparams["batch_size"], hparams.lr
        (32, 0.1)
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            text = f"{type(self).__name__!r} object has no attribute {name!r}.{nearest(name, map(str, self))}"
            raise AttributeError(text) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(name)
        del self[name]

    def __repr__(self) -> str:
        width = max((len(str(key)) for key in self), default=0) + 3
        names = (f'"{key}":' for key in self)
        return "\n".join(f"{name:{width}} {value}" for name, value in zip(names, self.values(), strict=True))


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
        UnsavableError: It, or something in it, has no such form (a lambda, a module).
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list:
        return [encode(item) for item in value]
    if kind is tuple:
        return tuple(encode(item) for item in value)
    if isinstance(value, Enum):
        return _tag("enum", (value.name, encode(value.value)), kind)
    if isinstance(value, np.generic):
        return encode(value.item()) if type(value.item()) in _PLAIN else _refuse(value)
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return _tag("name", _name(value) or _refuse(value))
    if dataclasses.is_dataclass(value):
        return _tag("dataclass", {key: encode(item) for key, item in (entries(value) or {}).items()}, kind)
    return _encode_container(value)


def _encode_container(value: Any) -> Any:
    if isinstance(value, Namespace):
        return _tag("namespace", {key: encode(item) for key, item in vars(value).items()})
    if isinstance(value, Mapping):
        items = [(encode(key), encode(item)) for key, item in value.items()]
        if _TAG in value or not all(type(key) in _KEYS for key, _ in items):
            return _tag("dict", items)
        return _tag("attributes", dict(items)) if isinstance(value, AttributeDict) else dict(items)
    if isinstance(value, tuple):
        values = tuple(encode(item) for item in value)
        return _tag("namedtuple", values, type(value)) if hasattr(value, "_fields") else values
    if isinstance(value, str | int | float):  # sub-classes
        return next(plain(value) for plain in (str, int, float) if isinstance(value, plain))
    if isinstance(value, PurePath):
        return _tag("path", str(value))
    if isinstance(value, timedelta):
        return _tag("timedelta", (value.days, value.seconds, value.microseconds))
    if isinstance(value, range):
        return _tag("range", (value.start, value.stop, value.step))
    if isinstance(value, AbstractSet):
        return _tag("frozenset" if isinstance(value, frozenset) else "set", [encode(item) for item in value])
    if isinstance(value, Sequence):
        return [encode(item) for item in value]
    return _refuse(value)


def _encode_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    try:
        return _tag("array", torch.from_numpy(np.array(array, order="C")))
    except (TypeError, ValueError):  # strings, foreign byte order and what else torch has no type for
        return _tag("array", (array.dtype.str, array.shape, encode(array.tolist())))


def _tag(kind: str, value: Any, cls: type | None = None) -> dict[str, Any]:
    tagged = {_TAG: kind, "value": value}
    return tagged if cls is None else {**tagged, "class": f"{cls.__module__}:{cls.__qualname__}"}


def _refuse(value: Any) -> Any:
    raise UnsavableError(type(value).__name__)


def _name(value: Any) -> str | None:
    """Return ``"module:qualified.name"`` if that leads to ``value``."""
    own = getattr(value, "__module__", None)
    for module in (own,) if isinstance(value, type) else (*_FUNCTIONS, own):
        for path in (value.__qualname__, value.__name__):
            if module is not None and _find(f"{module}:{path}") is value:
                return f"{module}:{path}"
    return None


def _find(name: str) -> Any:
    """Return what ``name`` leads to in a loaded module, without importing and without running ``__getattr__``."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found


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
        return _DECODERS[value[_TAG]](content, _find(str(value.get("class", ""))))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):  # the file is not ours, or newer
        return content


def _decode_enum(content: Any, cls: Any) -> Any:
    name, value = content
    return cls.__members__.get(name, value) if isinstance(cls, EnumType) else value


def _decode_dataclass(content: Any, cls: Any) -> Any:
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        return AttributeDict(content)
    made = object.__new__(cls)  # no __init__: the fields are complete, and no code is to run
    for field in dataclasses.fields(cls):
        if field.name in content:
            object.__setattr__(made, field.name, content[field.name])
    return made


def _decode_namedtuple(content: Any, cls: Any) -> Any:
    fits = isinstance(cls, type) and issubclass(cls, tuple) and len(getattr(cls, "_fields", ())) == len(content)
    return tuple.__new__(cls, content) if fits else content


def _decode_name(content: Any, _: Any) -> Any:
    found = _find(content)
    if isinstance(found, type):
        return found if issubclass(found, _SAFE_CLASSES) else content
    return found if isinstance(found, _FUNCTIONS.get(content.partition(":")[0], ())) else content


def _decode_array(content: Any, _: Any) -> Any:
    if isinstance(content, Tensor):
        return content.detach().cpu().numpy()
    dtype, shape, items = content
    return np.array(items, dtype).reshape(shape)


_DECODERS: dict[str, Callable[[Any, Any], Any]] = {
    "array": _decode_array,
    "attributes": lambda content, _: AttributeDict(content),
    "dataclass": _decode_dataclass,
    "dict": lambda content, _: dict(content),
    "enum": _decode_enum,
    "frozenset": lambda content, _: frozenset(content),
    "name": _decode_name,
    "namedtuple": _decode_namedtuple,
    "namespace": lambda content, _: Namespace(**content),
    "path": lambda content, _: Path(content),
    "range": lambda content, _: range(*content),
    "set": lambda content, _: set(content),
    "timedelta": lambda content, _: timedelta(*content),
}
