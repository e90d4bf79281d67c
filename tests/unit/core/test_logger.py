from __future__ import annotations

import pytest
import torch

from helpers_loggers import Recording
from leyden.core.logger import Logger


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
