"""Loggers: where the numbers of a run go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leyden.legacy.alias import publish
from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden.core.logger import Logger
    from leyden.loggers.comet import CometLogger
    from leyden.loggers.csv_logs import CSVLogger
    from leyden.loggers.dummy import DummyLogger
    from leyden.loggers.mlflow import MLFlowLogger
    from leyden.loggers.tensorboard import TensorBoardLogger
    from leyden.loggers.trackio import TrackioLogger
    from leyden.loggers.wandb import WandbLogger

__all__ = [
    "CSVLogger",
    "CometLogger",
    "DummyLogger",
    "Logger",
    "MLFlowLogger",
    "TensorBoardLogger",
    "TrackioLogger",
    "WandbLogger",
]

_find, __dir__ = lazy_exports(
    __name__,
    {
        "CSVLogger": "leyden.loggers.csv_logs",
        "CometLogger": "leyden.loggers.comet",
        "DummyLogger": "leyden.loggers.dummy",
        "Logger": "leyden.core.logger",
        "MLFlowLogger": "leyden.loggers.mlflow",
        "TensorBoardLogger": "leyden.loggers.tensorboard",
        "TrackioLogger": "leyden.loggers.trackio",
        "WandbLogger": "leyden.loggers.wandb",
    },
)


def __getattr__(name: str) -> Any:
    if name in ("LitLogger", "NeptuneLogger"):
        from leyden.legacy.alias import missing

        raise ImportError(missing(f"{__name__}.{name}"), name=name)
    return _find(name)


publish(__name__)
