"""Random number generators: seed all, capture all, restore all."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from leyden.errors import bad_value
from leyden.utils.rank import rank_zero_info, rank_zero_warn

_LARGEST = 2**32 - 1  # what numpy takes


def seed_everything(seed: int | None = None, workers: bool = False, verbose: bool = True) -> int:
    """Seed Python's, numpy's and torch's generators (CPU and accelerators).

    Sets the environment variables ``PL_GLOBAL_SEED`` and ``PL_SEED_WORKERS``, which child processes inherit.

    Args:
        seed: 0 to 2**32 - 1. None: the value of ``PL_GLOBAL_SEED``, or 0 with a warning if that is not set.
        workers: Also seed the workers of data loaders, per sample, so that their number does not matter.
        verbose: Say which seed was set.

    Returns:
        The seed that was set.

    Raises:
        ValueError: The seed is no whole number or out of range.

    Example:
        >>> seed_everything(42, verbose=False)
        42
    """
    source, given = ("PL_GLOBAL_SEED", os.environ.get("PL_GLOBAL_SEED")) if seed is None else ("seed", seed)
    if given is None:
        given = 0
        rank_zero_warn("No seed was given and PL_GLOBAL_SEED is not set: the seed is 0.", stacklevel=2)
    digits = str(given).strip()
    if not digits.isdecimal() or int(digits) > _LARGEST:
        raise ValueError(bad_value(source, given, f"a whole number from 0 to {_LARGEST}", "seed_everything(42)"))
    value = int(digits)
    if verbose:
        rank_zero_info(f"Seed set to {value}")
    os.environ["PL_GLOBAL_SEED"] = str(value)
    os.environ["PL_SEED_WORKERS"] = str(int(bool(workers)))
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return value


def capture_rng(include_cuda: bool = True) -> dict[str, Any]:
    """Return the state of every global generator: Python, numpy, torch's CPU, every CUDA device if CUDA is in use.

    The result holds plain types and tensors only, so that ``torch.load(weights_only=True)`` reads it.

    Example:
        >>> state = capture_rng()
        >>> first = torch.rand(3)
        >>> restore_rng(state)
        >>> torch.equal(first, torch.rand(3))
        True
    """
    # Global state is MT19937's; its 624 words travel as int32, which every reader of tensors knows.
    name, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(words.view(np.int32)), position, has_gauss, gauss),  # type: ignore[union-attr]
        "torch": torch.get_rng_state(),
    }
    if include_cuda and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_rng(state: Mapping[str, Any]) -> None:
    """Set every generator to a state from :func:`capture_rng`; CUDA devices that are not here are passed over."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().view(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        for device, generator_state in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
            torch.cuda.set_rng_state(generator_state.cpu(), device)


@contextlib.contextmanager
def isolate_rng(include_cuda: bool = True) -> Iterator[None]:
    """Leave every generator, on exit, as it was on entry.

    Example:
        >>> before = torch.get_rng_state()
        >>> with isolate_rng():
        ...     _ = torch.rand(1)
        >>> torch.equal(before, torch.get_rng_state())
        True
    """
    state = capture_rng(include_cuda)
    try:
        yield
    finally:
        restore_rng(state)
