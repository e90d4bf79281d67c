"""The profilers that have a name."""

from __future__ import annotations

import importlib

from leyden.core.profiler import Profiler

NAMES = {"simple": "SimpleProfiler", "advanced": "AdvancedProfiler", "pytorch": "PyTorchProfiler", "xla": "XLAProfiler"}
"""What ``Trainer(profiler=...)`` takes, and the class it stands for, which is in the module of that name."""


def profiler_of(given: Profiler | str | None) -> Profiler | None:
    """Return the profiler that was given, or make the one of that name.

    Example:
        >>> type(profiler_of("Simple")).__name__
        'SimpleProfiler'
    """
    if not isinstance(given, str):
        return given
    name = given.lower()
    made: Profiler = getattr(importlib.import_module(f"leyden.profilers.{name}"), NAMES[name])()
    return made
