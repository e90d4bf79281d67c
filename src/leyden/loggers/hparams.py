"""Hyper-parameters as loggers write them."""

from __future__ import annotations

import dataclasses
import os
from argparse import Namespace
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
from torch import Tensor

_LARGEST_LISTED = 64  # arrays beyond this are named by shape, not written out


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
