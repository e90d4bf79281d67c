from __future__ import annotations

from typing import Any

import pytest
import torch

from leyden.core.logger import Logger


class Recording(Logger):
    def __init__(self) -> None:
        self.saves = 0

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    @property
    def experiment(self) -> Any:
        return "the experiment"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def save(self) -> None:
        self.saves += 1


def test_logger_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Logger()  # type: ignore[abstract]


def test_defaults_of_a_logger() -> None:
    logger = Recording()
    assert (logger.save_dir, logger.root_dir, logger.log_dir, logger.group_separator) == (None, None, None, "/")
    logger.log_graph(torch.nn.Linear(1, 1))
    logger.after_save_checkpoint(None)  # type: ignore[arg-type]
    logger.finalize("success")
    assert logger.saves == 1
