"""Profilers: where the time of a run goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leyden.legacy.alias import publish
from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden.core.profiler import PassThroughProfiler, Profiler
    from leyden.profilers.advanced import AdvancedProfiler
    from leyden.profilers.pytorch import PyTorchProfiler
    from leyden.profilers.simple import SimpleProfiler
    from leyden.profilers.xla import XLAProfiler

__all__ = ["AdvancedProfiler", "PassThroughProfiler", "Profiler", "PyTorchProfiler", "SimpleProfiler", "XLAProfiler"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "AdvancedProfiler": "leyden.profilers.advanced",
        "PassThroughProfiler": "leyden.core.profiler",
        "Profiler": "leyden.core.profiler",
        "PyTorchProfiler": "leyden.profilers.pytorch",
        "SimpleProfiler": "leyden.profilers.simple",
        "XLAProfiler": "leyden.profilers.xla",
    },
)

publish(__name__)
