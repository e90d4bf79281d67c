"""Nested batches: lists, tuples, mappings and dataclasses that hold tensors at any depth.

Containers are rebuilt only where a leaf changed; what did not change is returned as the same object.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from operator import setitem
from typing import Any

import torch
from torch import Tensor

_ATOMS = frozenset({str, bytes, int, float, bool, complex, type(None)})


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
    non_blocking = target.type not in ("cpu", "mps")  # there it is unsafe or without use

    def visit(item: Any) -> Any:
        if isinstance(item, Tensor):
            return item if item.device == target else item.to(target, non_blocking=non_blocking)
        if type(item) in _ATOMS or isinstance(item, type):
            return item
        if callable(getattr(item, "to", None)):
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
    sizes = [tensor.shape[0] if tensor.dim() else 1 for tensor in _tensors(batch)] or [1]
    return sizes[0], len(set(sizes)) > 1


def _tensors(data: Any) -> Iterator[Tensor]:
    if isinstance(data, Tensor):
        yield data
    else:
        for child in _children(data).values():
            yield from _tensors(child)


def _map_children(visit: Callable[[Any], Any], data: Any) -> Any:
    changed = {key: new for key, old in _children(data).items() if (new := visit(old)) is not old}
    return _replace(data, changed) if changed else data


def _children(data: Any) -> Mapping[Any, Any]:
    """What a container holds, by index, key or field; of any other object nothing."""
    if type(data) in _ATOMS:
        return {}
    if isinstance(data, (list, tuple)):
        return dict(enumerate(data))
    if isinstance(data, Mapping):
        return data
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        names = (field.name for field in dataclasses.fields(data))
        return {name: getattr(data, name) for name in names if hasattr(data, name)}
    return {}


def _replace(data: Any, changed: dict[Any, Any]) -> Any:
    """A copy of a container with other children; it keeps what a subclass adds: order, default factory, attributes."""
    if isinstance(data, tuple):
        items = [changed.get(index, item) for index, item in enumerate(data)]
        return type(data)(*items) if hasattr(data, "_fields") else type(data)(items)
    put = setitem if isinstance(data, (list, Mapping)) else object.__setattr__  # frozen dataclasses too
    try:
        clone = copy.copy(data)
        for key, value in changed.items():
            put(clone, key, value)
    except TypeError:  # a read-only mapping
        return {**data, **changed}
    return clone
