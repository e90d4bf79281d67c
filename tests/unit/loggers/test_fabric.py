from __future__ import annotations

import inspect
from pathlib import Path

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers_loggers import read_scalars
from leyden import loggers
from leyden.loggers.fabric import CSVLogger, TensorBoardLogger


def test_csv_logger(tmp_path: Path) -> None:
    logger = CSVLogger(root_dir=tmp_path, name="digits", version=2, prefix="a", flush_logs_every_n_steps=1)
    logger.log_metrics({"loss": 0.5}, 0)
    assert Path(logger.log_dir, "metrics.csv").read_text() == "a-loss,step\n0.5,0\n"
    assert logger.log_dir == str(tmp_path / "digits" / "version_2")
    assert isinstance(logger, loggers.CSVLogger)


def test_tensorboard_logger(tmp_path: Path) -> None:
    logger = TensorBoardLogger(root_dir=tmp_path)
    assert (logger.name, logger.version) == ("lightning_logs", 0)
    logger.log_metrics({"loss": 0.5}, 0)
    logger.log_graph(torch.nn.Linear(2, 1), torch.zeros(3, 2))
    logger.finalize("success")
    assert read_scalars(logger.log_dir) == {"loss": [(0, 0.5)]}
    assert EventAccumulator(logger.log_dir).Reload().Graph().node
    assert isinstance(logger, loggers.TensorBoardLogger)


def test_the_arguments_of_the_tensorboard_logger(tmp_path: Path) -> None:
    names = list(inspect.signature(TensorBoardLogger).parameters)
    assert names == ["root_dir", "name", "version", "default_hp_metric", "prefix", "sub_dir", "kwargs"]
    logger = TensorBoardLogger(tmp_path, "digits", 2, False, "a", "sub", max_queue=1)
    logger.log_metrics({"loss": 0.5}, 0)
    logger.log_hyperparams({"lr": 1})
    logger.finalize("success")
    assert logger.log_dir == str(tmp_path / "digits" / "version_2" / "sub")
    assert read_scalars(logger.log_dir) == {"a-loss": [(0, 0.5)]}
