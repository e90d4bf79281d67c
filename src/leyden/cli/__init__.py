"""The command line: a program's arguments from the signatures of its classes, in files, variables and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden.cli.allowed import allow_imports
    from leyden.cli.instantiation import instantiate_class, instantiate_module
    from leyden.cli.lightning_cli import LightningCLI
    from leyden.cli.parser import ArgsType, LightningArgumentParser
    from leyden.cli.save_config import SaveConfigCallback
    from leyden.cli.schedulers import (
        LRSchedulerCallable,
        LRSchedulerTypeTuple,
        LRSchedulerTypeUnion,
        OptimizerCallable,
        ReduceLROnPlateau,
    )

__all__ = [
    "ArgsType",
    "LRSchedulerCallable",
    "LRSchedulerTypeTuple",
    "LRSchedulerTypeUnion",
    "LightningArgumentParser",
    "LightningCLI",
    "OptimizerCallable",
    "ReduceLROnPlateau",
    "SaveConfigCallback",
    "allow_imports",
    "instantiate_class",
    "instantiate_module",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ArgsType": "leyden.cli.parser",
        "LRSchedulerCallable": "leyden.cli.schedulers",
        "LRSchedulerTypeTuple": "leyden.cli.schedulers",
        "LRSchedulerTypeUnion": "leyden.cli.schedulers",
        "LightningArgumentParser": "leyden.cli.parser",
        "LightningCLI": "leyden.cli.lightning_cli",
        "OptimizerCallable": "leyden.cli.schedulers",
        "ReduceLROnPlateau": "leyden.cli.schedulers",
        "SaveConfigCallback": "leyden.cli.save_config",
        "allow_imports": "leyden.cli.allowed",
        "instantiate_class": "leyden.cli.instantiation",
        "instantiate_module": "leyden.cli.instantiation",
    },
)
