"""What the engine asks of, and does to, the loaders that users hand in."""

from __future__ import annotations

import copy
import itertools
import math
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils import data
from torch.utils.data import DataLoader

from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value
from leyden.utils.rank import rank_zero_warn
from leyden.utils.seed import isolate_rng


def loader_length(loader: Any) -> int | None:
    """Return the number of batches of an epoch, or None if the loader does not know it.

    Example:
        >>> loader_length([1, 2, 3]), loader_length(iter([1, 2, 3]))
        (3, None)
    """
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None


def check_loader(loader: Any, argument: str) -> None:
    """Raise TypeError unless ``loader`` can be iterated for batches.

    Args:
        loader: One loader, not a collection of loaders.
        argument: Where it came from, for the message: ``"train_dataloaders"`` or ``"val_dataloader()"``.
    """
    map_style = isinstance(loader, data.Dataset) and not isinstance(loader, data.IterableDataset)
    iterable = isinstance(loader, Iterable) or hasattr(type(loader), "__getitem__")
    if map_style or isinstance(loader, (str, bytes)) or not iterable:
        accepted = "a DataLoader or another iterable of batches"
        raise TypeError(bad_value(argument, loader, accepted, "pass DataLoader(dataset, batch_size=32)"))


def limit_batches(length: int | None, limit: float, argument: str) -> int | float:
    """Return how many batches of a loader to run.

    Args:
        length: Batches in the loader; None if unknown.
        limit: An int counts batches (True is 1), and so does a float above 1; a float from 0.0 to 1.0 is a fraction,
            rounded down.
        argument: The name of the Trainer argument, for messages.

    Returns:
        The number of batches; ``math.inf`` for all of a loader of unknown length.

    Raises:
        MisconfigurationException: A fraction of an unknown length, or one that gives no batch.

    Example:
        >>> limit_batches(10, 1, "limit_val_batches"), limit_batches(10, 1.0, "limit_val_batches")
        (1, 10)
    """
    total = math.inf if length is None else length
    if isinstance(limit, int) or limit > 1:
        return min(total, int(limit))
    if limit in (0.0, 1.0) or length == 0:
        return total if limit else 0
    if length is None:
        fix = "give a number of batches as an int, or 1.0 for all"
        raise MisconfigurationException(bad_value(argument, limit, "an int or 1.0: the loader has no length", fix))
    if length * limit < 1:
        fix = f"write {argument}=1 for one batch, or a fraction of at least 1/{length}"
        raise MisconfigurationException(bad_value(argument, limit, f"what gives a batch of {length}", fix))
    return int(length * limit)


def samplers(loader: Any) -> list[Any]:
    """Return the loader's batch sampler and sampler, and the samplers that these wrap, each once."""
    pending = [getattr(loader, "batch_sampler", None), getattr(loader, "sampler", None)]
    found: dict[int, Any] = {}
    for sampler in pending:
        if sampler is not None and id(sampler) not in found:
            found[id(sampler)] = sampler
            pending.append(getattr(sampler, "sampler", None))
    return list(found.values())


def takes_each_once(sampler: Any, dataset: Any) -> bool:
    """Whether it is PyTorch's own sequential or random sampler, and takes every sample of the data set once."""
    kind = type(sampler)
    known = kind is data.SequentialSampler or (kind is data.RandomSampler and not sampler.replacement)
    return known and len(sampler) == len(sampler.data_source) == len(dataset)


def replace(loader: DataLoader[Any], **attributes: Any) -> DataLoader[Any]:
    """Return a shallow copy of ``loader`` with some attributes replaced; it shares everything else, and no workers.

    Unlike a call of the class it keeps what a subclass set in its own ``__init__``.
    """
    clone: DataLoader[Any] = object.__new__(type(loader))
    clone.__dict__.update(loader.__dict__, **attributes, _iterator=None)
    return clone


def without_shuffle(loader: Any) -> Any:
    """Return a loader that gives the samples of a shuffling ``DataLoader`` in order, with a warning.

    A subset stays that subset. Loaders that do not shuffle, and iterables that are no ``DataLoader`` over a map-style
    data set, are returned as they are. To share out the samples too, call :func:`distributed_loader` afterwards.
    """
    sampler = _sampler(loader)
    in_order = isinstance(sampler, (data.SequentialSampler, ShardSampler)) or getattr(sampler, "shuffle", None) is False
    if in_order or not isinstance(sampler, data.Sampler):
        return loader
    if isinstance(sampler, data.DistributedSampler):
        ordered: Any = copy.copy(sampler)
        ordered.shuffle = False
    elif type(sampler) is data.SubsetRandomSampler:
        ordered = sorted(sampler.indices)
    else:
        ordered = data.SequentialSampler(loader.dataset)
    text = "`overfit_batches` repeats the same batches: shuffling is turned off. Fix: DataLoader(..., shuffle=False)."
    rank_zero_warn(text, category=PossibleUserWarning)
    return _with_sampler(loader, ordered)


def distributed_loader(loader: Any, rank: int, world_size: int, mode: str) -> Any:
    """Return a loader over this rank's share of the samples.

    In training every rank gets the same number of samples: the first are repeated at the end (with ``drop_last`` the
    last are left out instead), as PyTorch's ``DistributedSampler`` does it. In evaluation the samples come in order and
    none is repeated or left out, so ranks may differ by one sample. A sampler of the user's own is kept, and its indices
    are dealt out in turn. For prediction ``drop_last`` is turned off, also on one rank.

    Iterables that are no ``DataLoader``, iterable-style data sets and loaders that have a ``DistributedSampler`` already
    are returned as they are: they share out their samples themselves.

    Args:
        loader: The user's loader; it is not changed.
        rank: This process, 0 to ``world_size - 1``.
        world_size: Number of processes.
        mode: ``"train"``, or a stage of evaluation: ``"validate"``, ``"test"``, ``"predict"`` or ``"sanity_check"``.
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, data.IterableDataset):
        return loader
    sampler = _sampler(loader)
    if mode == "predict" and isinstance(loader.batch_sampler, data.BatchSampler):
        loader = _with_sampler(loader, sampler, drop_last=False)
    if world_size == 1 or any(isinstance(item, (data.DistributedSampler, ShardSampler)) for item in samplers(loader)):
        return loader
    train = mode == "train"
    if sampler is None:  # a batch sampler that wraps none: deal out its batches
        return replace(loader, batch_sampler=ShardSampler(loader.batch_sampler, rank, world_size, wrap=train))
    if takes_each_once(sampler, loader.dataset):
        if train:
            shuffle = type(sampler) is data.RandomSampler
            shard: Any = data.DistributedSampler(
                loader.dataset, world_size, rank, shuffle=shuffle, seed=_global_seed(), drop_last=loader.drop_last
            )
            return _with_sampler(loader, shard)
        sampler = data.SequentialSampler(loader.dataset)
    return _with_sampler(loader, ShardSampler(sampler, rank, world_size, wrap=train, drop_last=loader.drop_last))


@dataclass(eq=False)
class ShardSampler(data.Sampler[Any]):
    """One rank's share of what another sampler yields: every ``world_size``-th item, from ``rank`` on.

    The other sampler draws from the global seed and the epoch, so that all ranks see the same order; one that has no
    length is dealt out as it comes.

    Args:
        sampler: The sampler over all samples (or over all batches).
        rank: This process, 0 to ``world_size - 1``.
        world_size: Number of processes.
        wrap: Give every rank the same number of items, by repeating the first ones.
        drop_last: With ``wrap``, leave the last items out instead.
        epoch: Which order to draw; :meth:`set_epoch` sets it.

    Example:
        >>> list(ShardSampler(range(5), 1, 2)), list(ShardSampler(range(5), 1, 2, wrap=True))
        ([1, 3], [1, 3, 0])
    """

    sampler: Any
    rank: int
    world_size: int
    wrap: bool = False
    drop_last: bool = False
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Draw another order from the next ``iter`` on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Any]:
        if loader_length(self.sampler) is None:
            return itertools.islice(iter(self.sampler), self.rank, None, self.world_size)
        with isolate_rng(include_cuda=False):
            seed = (_global_seed() + self.epoch) % 2**32  # as PyTorch's, within what numpy takes
            random.seed(seed)
            np.random.seed(seed)
            torch.default_generator.manual_seed(seed)
            items = list(self.sampler)
        return itertools.islice(itertools.cycle(items), self.rank, self._total(len(items)), self.world_size)

    def __len__(self) -> int:
        return len(range(self.rank, self._total(len(self.sampler)), self.world_size))

    def _total(self, length: int) -> int:
        if not self.wrap:
            return length
        return (length if self.drop_last else length + self.world_size - 1) // self.world_size * self.world_size


def _global_seed() -> int:
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def _sampler(loader: Any) -> Any:
    """Return the sampler of single samples; None if there is none that could be replaced."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, data.IterableDataset):
        return None
    if loader.batch_sampler is None:
        return loader.sampler
    return loader.batch_sampler.sampler if isinstance(loader.batch_sampler, data.BatchSampler) else None


def _with_sampler(loader: DataLoader[Any], sampler: Any, **batching: Any) -> DataLoader[Any]:
    """Return a copy of ``loader`` with another sampler; ``batching`` is set in it and in its batch sampler."""
    if loader.batch_sampler is None:
        return replace(loader, sampler=sampler)
    batch_sampler = copy.copy(loader.batch_sampler)
    vars(batch_sampler).update(batching, sampler=sampler)
    return replace(loader, sampler=sampler, batch_sampler=batch_sampler, **batching)
