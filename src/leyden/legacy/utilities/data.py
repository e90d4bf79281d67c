"""What programs ask about batches and loaders."""

from __future__ import annotations

import os
from typing import Any
from warnings import warn

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.legacy.utilities.collections import leaves
from leyden.utils.rank import rank_zero_warn
from leyden.utils.tree import sample_count


def extract_batch_size(batch: Any) -> int:
    """Return the number of samples in a batch: the first dimension of its first tensor; a scalar counts 1.

    Raises:
        MisconfigurationException: The batch holds no tensor.

    Example:
        >>> extract_batch_size({"x": torch.ones(4, 8), "y": torch.ones(4)})
        4
    """
    if next(leaves(batch, Tensor), None) is None:
        raise MisconfigurationException(
            "The batch holds no tensor, so its size is unknown. Fix: self.log(..., batch_size=...)."
        )
    size, ambiguous = sample_count(batch)
    if ambiguous:
        text = f"The tensors of the batch disagree about its size; it is taken to be {size}. "
        warn(f"{text}Fix: self.log(..., batch_size=...).", PossibleUserWarning, stacklevel=2)
    return size


def sized_len(dataloader: object) -> int | None:
    """Return ``len(dataloader)``, None where there is none.

    Example:
        >>> sized_len([1, 2]), sized_len(iter([]))
        (2, None)
    """
    try:
        return len(dataloader)  # type: ignore[arg-type]  # asked for
    except (TypeError, NotImplementedError):
        return None


def has_iterable_dataset(dataloader: object) -> bool:
    """Return whether a loader reads an ``IterableDataset``."""
    return isinstance(getattr(dataloader, "dataset", None), IterableDataset)


def has_len(dataloader: object) -> bool:
    """Return whether a loader has a length; warn of one without batches."""
    length = sized_len(dataloader)
    if length == 0:
        rank_zero_warn(f"`{type(dataloader).__name__}` has no batches.", 2)
    return length is not None


def has_len_all_ranks(
    dataloader: object, strategy: Any, allow_zero_length_dataloader_with_multiple_devices: bool = False
) -> bool:
    """Return whether a loader has a length on every process.

    Args:
        dataloader: This process's loader.
        strategy: Knows the other processes.
        allow_zero_length_dataloader_with_multiple_devices: Let some processes have no batch.

    Raises:
        RuntimeError: Some processes have batches and others none.
    """
    length = sized_len(dataloader)
    if length is None:
        return False
    own = torch.tensor(length, device=strategy.root_device)
    total = int(strategy.reduce(own, reduce_op="sum"))
    if total == 0:
        rank_zero_warn(f"`{type(dataloader).__name__}` has no batches on any process.", 2)
    if total > 0 and length == 0 and not allow_zero_length_dataloader_with_multiple_devices:
        raise RuntimeError(f"`{type(dataloader).__name__}` has batches on other processes and none on this one.")
    return True


def suggested_max_num_workers(local_world_size: int) -> int:
    """Return how many loader workers each of ``local_world_size`` processes of a machine may use.

    Raises:
        ValueError: ``local_world_size`` is less than 1.
    """
    if local_world_size < 1:
        raise ValueError(f"`local_world_size` got {local_world_size}. Accepted: an int >= 1.")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // local_world_size)


def is_shared_filesystem(strategy: Any, path: str | os.PathLike[str] | None = None, timeout: int = 3) -> bool:
    """Return whether all processes see the same files: True for one machine and for a URL.

    Args:
        strategy: Knows the other processes.
        path: A folder; default: the working directory.
        timeout: Has no effect: the processes wait for each other instead.
    """
    folder = os.fspath(path or os.getcwd())
    if strategy.world_size == 1 or "://" in folder:
        return True
    mark = strategy.broadcast(os.path.join(folder, f".leyden_{os.getpid()}"))
    if strategy.is_global_zero:
        with open(mark, "w"):
            pass
    strategy.barrier()
    seen = strategy.reduce_boolean_decision(os.path.exists(mark))
    strategy.barrier()
    if strategy.is_global_zero:
        os.remove(mark)
    return bool(seen)
