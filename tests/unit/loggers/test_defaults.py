from __future__ import annotations

import sys
from pathlib import Path

import pytest

import leyden as pl
from leyden.engine.config import TrainerArguments
from leyden.loggers import CSVLogger, DummyLogger, TensorBoardLogger
from leyden.loggers.defaults import default_logger, default_loggers


@pytest.mark.parametrize("given", [None, True])
def test_tensorboard_where_it_is_installed(tmp_path: Path, given: bool | None) -> None:
    trainer = pl.Trainer(logger=given, max_epochs=1, default_root_dir=tmp_path, accelerator="cpu")
    assert isinstance(trainer.logger, TensorBoardLogger)
    assert trainer.logger.log_dir == str(tmp_path / "lightning_logs" / "version_0")
    assert not list(tmp_path.iterdir())


def test_csv_files_and_a_warning_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.warns(UserWarning, match="CSV files in `lightning_logs`.*Fix: pip install") as caught:
        trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path, accelerator="cpu")
    assert caught[0].filename == __file__
    assert isinstance(trainer.logger, CSVLogger)
    assert trainer.logger.log_dir == str(tmp_path / "lightning_logs" / "version_0")


def test_tensorboardx_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setattr("leyden.loggers.defaults.is_installed", lambda name: name == "tensorboardX")
    monkeypatch.setattr("leyden.loggers.tensorboard.is_installed", lambda name: name == "tensorboardX")
    assert isinstance(default_logger("."), TensorBoardLogger)


def test_what_was_given() -> None:
    mine = CSVLogger(".")
    for given, expected in ((mine, [mine]), ([mine, mine], [mine, mine]), (False, []), ([], [])):
        assert default_loggers(TrainerArguments.checked({"logger": given})[0], ".") == expected


def test_row_107_fast_dev_run_replaces_what_was_given() -> None:
    arguments, _ = TrainerArguments.checked({"logger": [CSVLogger(".")], "fast_dev_run": True})
    (logger,) = default_loggers(arguments, ".")
    assert isinstance(logger, DummyLogger)
    arguments, _ = TrainerArguments.checked({"logger": False, "fast_dev_run": True})
    assert default_loggers(arguments, ".") == []
