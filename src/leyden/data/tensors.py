"""Vectorised batches: a ``DataLoader`` over tensors in memory, gathered batch by batch instead of sample by sample.

Values, dtypes, strides, containers and every random draw (when it is made, from which generator) are those of the plain
``DataLoader``. Where that could differ, :func:`gathered` returns None and the plain path is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import data
from torch.utils.data._utils.collate import collate_tensor_fn, default_collate_fn_map

from leyden.data.loaders import takes_each_once

# Types for which gathering rows and stacking rows are known to agree.
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128)
_DTYPES = frozenset((*_FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool))
_BATCHES_PER_SPLIT = 256  # bounds the index views that exist at one time


def gathered(loader: Any, indices: Iterator[list[int]] | None = None) -> Iterator[list[Tensor]] | None:
    """Return an epoch's batches if they can be gathered from tensors, else None.

    As in PyTorch nothing is drawn before the first ``next``; the base seed that ``iter(loader)`` draws is left to the
    caller.

    Args:
        loader: Any loader.
        indices: The lists of indices to take, one for each batch; None for a whole epoch.
    """
    if type(loader) is not data.DataLoader or default_collate_fn_map.get(Tensor) is not collate_tensor_fn:
        return None
    ways = (loader.num_workers, loader.pin_memory, loader.timeout, loader.collate_fn, type(loader.batch_sampler))
    if ways != (0, False, 0, data.default_collate, data.BatchSampler):
        return None
    dataset: Any = loader.dataset
    batch_sampler: Any = loader.batch_sampler
    subset = None
    if type(dataset) is data.Subset:
        dataset, subset = dataset.dataset, _as_rows(dataset.indices, dataset.dataset)
        if subset is None:
            return None
    if type(dataset) is not data.TensorDataset or not all(map(_is_plain, dataset.tensors)):
        return None
    if indices is None and takes_each_once(batch_sampler.sampler, loader.dataset):
        return _pick(dataset.tensors, _split(loader, subset))
    return _listed(loader.dataset, dataset.tensors, subset, iter(batch_sampler) if indices is None else indices)


def _pick(tensors: Sequence[Tensor], batches: Iterator[Tensor]) -> Iterator[list[Tensor]]:
    picks = [tensor.index_select for tensor in tensors]
    for rows in batches:
        yield [pick(0, rows) for pick in picks]


def _split(loader: Any, subset: Tensor | None) -> Iterator[Tensor]:
    """Yield the indices of each batch, for a sequential or a random sampler over the whole data set."""
    sampler, size, length = loader.batch_sampler.sampler, loader.batch_sampler.batch_size, len(loader.dataset)
    if type(sampler) is data.SequentialSampler:
        rows, generator = torch.arange(length, device="cpu"), None
    else:
        generator = sampler.generator or torch.Generator()
        if sampler.generator is None:
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_().item()))
        rows = torch.randperm(length, generator=generator)
    rows = rows if subset is None else subset.index_select(0, rows)
    whole = length - length % size
    for block in rows[:whole].split(size * _BATCHES_PER_SPLIT) if whole else ():  # type: ignore[no-untyped-call]
        yield from block.split(size)
    if generator is not None:
        torch.randperm(length, generator=generator)  # RandomSampler draws once more when it runs out
    if whole < length and not loader.batch_sampler.drop_last:
        yield rows[whole:]


def _listed(
    dataset: Any, tensors: Sequence[Tensor], subset: Tensor | None, indices: Iterator[list[int]]
) -> Iterator[list[Tensor]]:
    for batch in indices:
        try:
            rows = torch.tensor(batch)
            rows = rows if subset is None else subset.index_select(0, rows)
            columns = [tensor.index_select(0, rows) for tensor in tensors]
        except (IndexError, TypeError, ValueError, RuntimeError):
            # Negative, odd or wrong indices: PyTorch's own way, which takes them or says what is wrong.
            columns = data.default_collate([dataset[index] for index in batch])
        yield columns


def _is_plain(tensor: Tensor) -> bool:
    return (
        type(tensor) is Tensor
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype in _DTYPES
        and not (tensor.requires_grad or tensor.is_nested or tensor.is_conj() or tensor.is_neg())
        and tensor.is_contiguous()
    )


def _as_rows(indices: Any, dataset: Any) -> Tensor | None:
    try:
        rows = torch.as_tensor(indices)
    except (TypeError, ValueError, RuntimeError):
        return None
    plain = rows.dtype is torch.int64 and rows.dim() == 1 and rows.device.type == "cpu" and len(rows) > 0
    return rows if plain and rows.min() >= 0 and rows.max() < len(dataset) else None
