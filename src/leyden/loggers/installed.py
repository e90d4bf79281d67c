"""The libraries of loggers: there or not, and imported without what they would tell their makers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

from leyden.utils.optional import require
from leyden.utils.seed import isolate_rng

COMET_OPT_OUT = {"COMET_ERROR_TRACKING_ENABLE": "false"}
"""Comet reports its own errors to its makers from the moment it is imported, which tensorboardX does too."""


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it.

    Example:
        >>> is_installed("json"), is_installed("no_such_module")
        (True, False)
    """
    return importlib.util.find_spec(module) is not None


def check_installed(module: str, extra: str) -> None:
    """Find a library when a logger is made, so that a run does not start without it; the logger imports it later.

    Raises:
        ImportError: It is not installed; the message holds the line that installs it.
    """
    if not is_installed(module):
        require(module, extra)


@contextmanager
def starting(**settings: str) -> Iterator[None]:
    """Import and start a library in this block: with its settings, and without a trace in the run's random numbers.

    Args:
        settings: Environment variables, set for the block alone; those that the user has set stay as they are.

    Example:
        >>> with starting(LEYDEN_EXAMPLE="off"):
        ...     os.environ["LEYDEN_EXAMPLE"]
        'off'
        >>> "LEYDEN_EXAMPLE" in os.environ
        False
    """
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        with isolate_rng():
            yield
    finally:
        for name in added:
            os.environ.pop(name, None)
