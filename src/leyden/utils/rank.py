"""Which process this is, and messages that only the first one writes."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist

from leyden.errors import LightningDeprecationWarning, PossibleUserWarning

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("leyden")

_INSIDE = (f"{Path(__file__).parents[1]}{os.sep}", f"{Path(torch.__file__).parent}{os.sep}", contextlib.__file__)
_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "JSM_NAMESPACE_RANK")


def rank() -> int:
    """Return this process's global rank: from the process group if there is one, else from the environment, else 0."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    values = (os.environ.get(variable, "") for variable in _RANK_VARIABLES)
    return next((int(value) for value in values if value.isdecimal()), 0)


class _RankZeroOnly:
    """The decorator :data:`rank_zero_only`; an object so that its ``rank`` can be read and set."""

    def __init__(self) -> None:
        self._rank: int | None = None

    @property
    def rank(self) -> int:
        """The rank by which decorated functions decide: the one that was set, else :func:`rank`."""
        return rank() if self._rank is None else self._rank

    @rank.setter
    def rank(self, value: int | None) -> None:
        self._rank = value

    def __call__(self, fn: Callable[P, R], default: R | None = None) -> Callable[P, R | None]:
        @functools.wraps(fn)
        def on_rank_zero(*args: P.args, **kwargs: P.kwargs) -> R | None:
            return fn(*args, **kwargs) if self.rank == 0 else default

        return on_rank_zero


rank_zero_only = _RankZeroOnly()
"""Decorator for functions and methods that only the process with rank 0 is to run; the others get ``default`` (None)."""


def announce(message: object, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
    """Log on this rank (logger ``leyden``); where nobody set up logging, print to stderr, from INFO on.

    Example:
        >>> announce("epoch %d", 3)
    """
    if log.hasHandlers():
        log.log(level, message, *args, **kwargs)
    elif level >= (log.level or logging.INFO):
        print(str(message) % args if args else message, file=sys.stderr)


@rank_zero_only
def rank_zero_info(message: object, *args: Any, **kwargs: Any) -> None:
    """:func:`announce` on rank 0, at level INFO."""
    announce(message, *args, **kwargs)


def rank_zero_warn(
    message: str | Warning, stacklevel: int | None = None, category: type[Warning] = UserWarning
) -> None:
    """Warn on rank 0; ``POSSIBLE_USER_WARNINGS=0`` silences every :class:`~leyden.errors.PossibleUserWarning`.

    Args:
        message: What is wrong, and what to write.
        stacklevel: As in :func:`warnings.warn`, 1 being the line of this call; None: the program's line from which this
            package was entered.
        category: The class of the warning.
    """
    silenced = os.environ.get("POSSIBLE_USER_WARNINGS") in ("0", "off") and issubclass(category, PossibleUserWarning)
    if rank_zero_only.rank == 0 and not silenced:
        frame, level = sys._getframe(), 1
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
            frame, level = frame.f_back, level + 1
        warnings.warn(message, category, stacklevel=level if stacklevel is None else stacklevel + 1)


def rank_zero_deprecation(message: str | Warning, stacklevel: int | None = None) -> None:
    """Warn on rank 0 that an old name was used; the message shows the line to write today."""
    rank_zero_warn(message, stacklevel and stacklevel + 1, LightningDeprecationWarning)
