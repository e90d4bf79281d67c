"""Leyden: a thin, fast, exact and safe training framework for PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden import callbacks, cli, loggers, profilers
    from leyden.core.callback import Callback
    from leyden.core.datamodule import LightningDataModule
    from leyden.core.module import LightningModule
    from leyden.core.supervised import Supervised
    from leyden.data.combined import CombinedLoader
    from leyden.fabric.fabric import Fabric
    from leyden.trainer import Trainer
    from leyden.utils.seed import seed_everything

__version__ = "0.1.0"

__all__ = [
    "Callback",
    "CombinedLoader",
    "Fabric",
    "LightningDataModule",
    "LightningModule",
    "Supervised",
    "Trainer",
    "__version__",
    "callbacks",
    "cli",
    "loggers",
    "profilers",
    "seed_everything",
]

_SUBPACKAGES = (
    "accelerators", "callbacks", "cli", "core", "demos", "fabric", "loggers", "plugins", "profilers", "pytorch",
    "strategies", "trainer", "utilities",
)  # fmt: skip

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Callback": "leyden.core.callback",
        "CombinedLoader": "leyden.data.combined",
        "Fabric": "leyden.fabric.fabric",
        "LightningDataModule": "leyden.core.datamodule",
        "LightningModule": "leyden.core.module",
        "Supervised": "leyden.core.supervised",
        "Trainer": "leyden.trainer",
        "seed_everything": "leyden.utils.seed",
    },
    subpackages=_SUBPACKAGES,
)
