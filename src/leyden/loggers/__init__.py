"""Loggers: where the numbers of a run go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden.core.logger import Logger
    from leyden.loggers.csv_logs import CSVLogger
    from leyden.loggers.dummy import DummyLogger

__all__ = ["CSVLogger", "DummyLogger", "Logger"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "CSVLogger": "leyden.loggers.csv_logs",
        "DummyLogger": "leyden.loggers.dummy",
        "Logger": "leyden.core.logger",
    },
)
