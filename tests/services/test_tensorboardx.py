"""TensorBoardLogger writes through tensorboardX where only that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers_loggers import fit_logging, read_scalars
from leyden.loggers import TensorBoardLogger


def test_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.loggers.tensorboard.is_installed", lambda name: name == "tensorboardX")
    logger = TensorBoardLogger(tmp_path)
    assert type(logger.experiment).__module__.startswith("tensorboardX")
    fit_logging(tmp_path, logger)
    lines = read_scalars(logger.log_dir)
    assert [step for step, _ in lines["loss"]] == [1, 3, 5, 7]
    assert lines["hp_metric"] == [(0, -1.0)]
