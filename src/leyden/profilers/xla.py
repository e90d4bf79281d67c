"""The profiler of XLA devices, which this package does not run on."""

from __future__ import annotations

from leyden.core.profiler import Profiler
from leyden.errors import MisconfigurationException


class XLAProfiler(Profiler):
    """Refuses to be made, and says what to use instead.

    Args:
        port: The port of the trace server.

    Raises:
        MisconfigurationException: Always: there are no XLA devices here.
    """

    def __init__(self, port: int = 9012) -> None:
        raise MisconfigurationException(
            "`XLAProfiler` traces XLA devices (TPU), and Leyden runs on CPU, CUDA and MPS. Fix: profiler='pytorch'."
        )
