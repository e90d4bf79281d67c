"""Nested batches: lists, tuples, mappings and dataclasses that hold tensors at any depth.

Containers are rebuilt only where a leaf changed; what did not change is returned as the same object.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

_ATOMS = frozenset({str, bytes, int, float, bool, complex, type(None)})
_PLAIN_CONTAINERS = frozenset({list, tuple, dict})
_BLOCKING = frozenset({"cpu", "mps"})  # targets for which a non-blocking copy is unsafe or without use


def map_tensors(fn: Callable[[Tensor], Any], data: Any) -> Any:
    """Return ``data`` with ``fn`` applied to every tensor in it.

    Walks through lists, tuples, named tuples, mappings, dataclass instances and their subclasses; any other object
    stays as it is. A container in which nothing changed is returned itself, not a copy.

    Example:
        >>> map_tensors(lambda t: t.sum().item(), {"x": torch.ones(3), "name": "a"})
        {'x': 3.0, 'name': 'a'}
    """

    def visit(item: Any) -> Any:
        return fn(item) if isinstance(item, Tensor) else _map_children(visit, item)

    return visit(data)


def move_to_device(data: Any, device: torch.device | str | int) -> Any:
    """Return ``data`` with its tensors, and every object that has a ``.to(device)``, on ``device``.

    Copies are non-blocking unless the target is the CPU. What already lies on ``device`` is returned as the same
    object. A ``.to`` that returns nothing is taken to have worked in place.

    Example:
        >>> batch = [torch.ones(2), "label"]
        >>> move_to_device(batch, "cpu") is batch
        True
    """
    target = device if isinstance(device, torch.device) else torch.device(device)
    non_blocking = target.type not in _BLOCKING

    def visit(item: Any) -> Any:
        if isinstance(item, Tensor):
            return item if item.device == target else item.to(target, non_blocking=non_blocking)
        kind = type(item)
        if kind in _ATOMS:
            return item
        if kind not in _PLAIN_CONTAINERS and not isinstance(item, type) and callable(getattr(item, "to", None)):
            moved = item.to(target)
            return item if moved is None else moved
        return _map_children(visit, item)

    return visit(data)


def detach(data: Any, to_cpu: bool = False) -> Any:
    """Return ``data`` with its tensors cut from the autograd graph and, if asked, on the CPU.

    Example:
        >>> detach({"loss": torch.ones(1, requires_grad=True)})["loss"].requires_grad
        False
    """

    def cut(tensor: Tensor) -> Tensor:
        tensor = tensor.detach() if tensor.requires_grad else tensor
        return tensor.cpu() if to_cpu else tensor

    return map_tensors(cut, data)


def sample_count(batch: Any) -> tuple[int, bool]:
    """Guess how many samples a batch holds: the first dimension of its first tensor.

    A scalar tensor counts 1, and so does a batch without tensors.

    Returns:
        The number of samples, and whether that is ambiguous because the batch's tensors disagree.

    Example:
        >>> sample_count({"x": torch.ones(4, 8), "y": torch.ones(4)})
        (4, False)
        >>> sample_count([torch.ones(4, 8), torch.ones(2, 8)])
        (4, True)
    """
    if isinstance(batch, Tensor):
        return _first_dimension(batch), False
    sizes = (_first_dimension(tensor) for tensor in _tensors(batch))
    first = next(sizes, 1)
    return first, any(size != first for size in sizes)


def _first_dimension(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.dim() else 1


def _tensors(data: Any) -> Iterator[Tensor]:
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, (list, tuple)):
        for item in data:
            yield from _tensors(item)
    elif isinstance(data, Mapping):
        for item in data.values():
            yield from _tensors(item)
    elif dataclasses.is_dataclass(data) and not isinstance(data, type):
        for field in dataclasses.fields(data):
            yield from _tensors(getattr(data, field.name, None))


def _map_children(visit: Callable[[Any], Any], data: Any) -> Any:
    if type(data) in _ATOMS:
        return data
    if isinstance(data, (list, tuple)):
        items = [visit(item) for item in data]
        if all(map(_same, items, data)):
            return data
        return _rebuild_sequence(data, items)
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: new for key, old in data.items() if (new := visit(old)) is not old})
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return _rebuild_dataclass(data, visit)
    return data


def _same(left: Any, right: Any) -> bool:
    return left is right


def _rebuild_sequence(data: list[Any] | tuple[Any, ...], items: list[Any]) -> Any:
    if isinstance(data, list):
        if type(data) is list:
            return items
        clone = copy.copy(data)  # a subclass keeps its attributes
        clone[:] = items
        return clone
    if hasattr(data, "_fields"):
        return type(data)(*items)
    return type(data)(items)


def _rebuild_mapping(data: Mapping[Any, Any], changed: dict[Any, Any]) -> Any:
    if not changed:
        return data
    if type(data) is dict:
        return {**data, **changed}
    try:
        clone: Any = copy.copy(data)  # keeps what a subclass adds: order, default factory, attributes
        for key, value in changed.items():
            clone[key] = value
    except TypeError:  # read-only mappings
        return {**data, **changed}
    return clone


def _rebuild_dataclass(data: Any, visit: Callable[[Any], Any]) -> Any:
    clone = None
    for field in dataclasses.fields(data):
        if not hasattr(data, field.name):
            continue
        old = getattr(data, field.name)
        new = visit(old)
        if new is not old:
            clone = copy.copy(data) if clone is None else clone
            object.__setattr__(clone, field.name, new)  # frozen ones too
    return data if clone is None else clone
