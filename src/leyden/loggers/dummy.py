"""Loggers and experiments that take every call and record nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from leyden.core.logger import Logger
from leyden.utils.rank import rank_zero_only


def rank_zero_experiment(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a logger's ``experiment``: other ranks than 0 get a :class:`DummyExperiment`."""

    @functools.wraps(fn)
    def experiment(self: Any) -> Any:
        if rank_zero_only.rank > 0:
            return DummyExperiment()
        found = fn(self)
        return DummyExperiment() if found is None else found

    return experiment


class DummyExperiment:
    """An experiment that takes every call and does nothing.

    Example:
        >>> DummyExperiment().add_image("x", 3)
    """

    def nop(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__"):  # Python's protocols (copy, pickle, ...) must see what is really there
            raise AttributeError(name)
        return self.nop

    def __getitem__(self, index: int) -> DummyExperiment:
        return self

    def __setitem__(self, *args: Any) -> None:
        """Do nothing."""

    def __iter__(self) -> Iterator[DummyExperiment]:
        return iter(())


class DummyLogger(Logger):
    """A logger that takes every call and records nothing; ``fast_dev_run`` puts it in place of the real ones."""

    def __init__(self) -> None:
        self._experiment = DummyExperiment()

    @property
    def experiment(self) -> DummyExperiment:
        """An object that takes every call."""
        return self._experiment

    @property
    def name(self) -> str:
        """Empty."""
        return ""

    @property
    def version(self) -> str:
        """Empty."""
        return ""

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def __getitem__(self, index: int) -> DummyLogger:
        return self

    def __iter__(self) -> Iterator[DummyLogger]:
        return iter(())

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name.startswith("__") or name == "_experiment":  # the latter: copied without __init__
            raise AttributeError(name)
        return self._experiment.nop
