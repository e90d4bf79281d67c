"""Functions over nested collections."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def apply_to_collection(
    data: Any,
    dtype: type | tuple[type, ...],
    function: Callable[..., Any],
    *args: Any,
    wrong_dtype: type | tuple[type, ...] | None = None,
    include_none: bool = True,
    **kwargs: Any,
) -> Any:
    """Return a collection with ``function`` applied to every element of a type.

    Args:
        data: Lists, tuples, mappings and dataclass instances, nested; or one element.
        dtype: The type, or several.
        function: Called as ``function(element, *args, **kwargs)``.
        args: See ``function``.
        wrong_dtype: Elements of this type stay as they are.
        include_none: Whether results that are None are kept.
        kwargs: See ``function``.

    Example:
        >>> apply_to_collection({"a": 1, "b": [2, "x"]}, int, lambda number: number * 10)
        {'a': 10, 'b': [20, 'x']}
    """

    def visit(item: Any) -> Any:
        if isinstance(item, dtype) and not (wrong_dtype is not None and isinstance(item, wrong_dtype)):
            return function(item, *args, **kwargs)
        if isinstance(item, Mapping):
            pairs = {key: visit(value) for key, value in item.items()}
            return _like(item, {key: value for key, value in pairs.items() if include_none or value is not None})
        if isinstance(item, list | tuple):
            return _like(item, [value for value in map(visit, item) if include_none or value is not None])
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return dataclasses.replace(item, **{f.name: visit(getattr(item, f.name)) for f in dataclasses.fields(item)})
        return item

    return visit(data)


def leaves(data: Any, dtype: type) -> Iterator[Any]:
    """Yield every element of a type, in order.

    Example:
        >>> list(leaves({"a": 1, "b": [2, "x"]}, int))
        [1, 2]
    """
    found: list[Any] = []
    apply_to_collection(data, dtype, found.append)
    yield from found


def convert_tensors_to_scalars(data: Any) -> Any:
    """Return a collection with numbers in the place of tensors of one element.

    Raises:
        ValueError: A tensor has more elements.

    Example:
        >>> convert_tensors_to_scalars({"loss": torch.tensor(0.5)})
        {'loss': 0.5}
    """

    def read(value: Tensor) -> Any:
        if value.numel() != 1:
            raise ValueError(f"The metric {value} has {value.numel()} elements; only one can become a number.")
        return value.item()

    return apply_to_collection(data, Tensor, read)


def convert_to_tensors(data: Any, device: torch.device | str | int) -> Any:
    """Return a collection with tensors on ``device`` in the place of numbers, arrays and tensors.

    Example:
        >>> convert_to_tensors({"x": 1.0}, "cpu")
        {'x': tensor(1.)}
    """

    def make(value: Any) -> Tensor:
        # Whole numbers become 32 bits wide, as the interface has it.
        dtype = {bool: torch.uint8, int: torch.int32, float: torch.float32}.get(type(value))
        return torch.as_tensor(value, dtype=dtype).to(device)

    return apply_to_collection(data, (bool, int, float, np.ndarray, Tensor), make)


def _like(item: Any, values: Any) -> Any:
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*values)
    if hasattr(item, "default_factory"):
        return type(item)(item.default_factory, values)
    return type(item)(values)
