"""The loggers as programs that use Fabric make them: the folder is called ``root_dir``."""

from __future__ import annotations

import os
from typing import Any

from leyden.loggers import csv_logs, tensorboard


class CSVLogger(csv_logs.CSVLogger):
    """:class:`leyden.loggers.CSVLogger` with ``root_dir`` for ``save_dir``.

    Example:
        >>> CSVLogger(root_dir="logs", name="digits").root_dir
        'logs/digits'
    """

    def __init__(
        self,
        root_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        prefix: str = "",
        flush_logs_every_n_steps: int = 100,
    ) -> None:
        super().__init__(root_dir, name, version, prefix, flush_logs_every_n_steps)


class TensorBoardLogger(tensorboard.TensorBoardLogger):
    """:class:`leyden.loggers.TensorBoardLogger` with ``root_dir`` for ``save_dir``; a graph is drawn whenever asked for.

    Example:
        >>> TensorBoardLogger(root_dir="logs", name="digits").root_dir
        'logs/digits'
    """

    def __init__(
        self,
        root_dir: str | os.PathLike[str],
        name: str | None = "lightning_logs",
        version: int | str | None = None,
        default_hp_metric: bool = True,
        prefix: str = "",
        sub_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_dir, name, version, True, default_hp_metric, prefix, sub_dir, **kwargs)
