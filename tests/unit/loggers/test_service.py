from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from helpers_loggers import fit_logging
from leyden.callbacks import ModelCheckpoint
from leyden.loggers.checkpoints import SavedCheckpoint
from leyden.loggers.service import ServiceLogger
from leyden.utils.rank import rank_zero_only


class Service(ServiceLogger):
    """A service that keeps what it is sent."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._experiment = "open"
        self.rows: list[dict[str, Any]] = []
        self.files: list[tuple[str, ...]] = []
        self.saves = 0

    name = "service"
    version = 0

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        self.rows.append(self.prefixed(metrics))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def save(self) -> None:
        self.saves += 1

    def _log_checkpoint(self, saved: SavedCheckpoint) -> None:
        assert Path(saved.path).is_file()
        self.files.append((os.path.basename(saved.path), *saved.aliases))


def files_of(tmp_path: Path, log_model: Any, **arguments: Any) -> list[tuple[str, ...]]:
    callback = ModelCheckpoint(monitor="mean", mode="min", filename="{epoch}", **arguments)
    service = Service(log_model=log_model)
    fit_logging(tmp_path, service, max_epochs=3, enable_checkpointing=True, callbacks=[callback])
    return service.files


def test_checkpoints_at_the_end(tmp_path: Path) -> None:
    assert files_of(tmp_path, True) == [("epoch=2.ckpt", "latest", "best")]


def test_all_checkpoints_as_they_are_saved(tmp_path: Path) -> None:
    all_of_them = [(f"epoch={epoch}.ckpt", "latest", "best") for epoch in range(3)]
    assert files_of(tmp_path / "a", "all") == all_of_them
    assert files_of(tmp_path / "b", True, save_top_k=-1) == all_of_them


def test_no_checkpoints(tmp_path: Path) -> None:
    assert files_of(tmp_path, False) == []


@pytest.mark.parametrize("status", ["failed", "success"])
def test_a_run_that_failed_sends_none(tmp_path: Path, status: str) -> None:
    service, callback = Service(log_model=True), ModelCheckpoint()
    (tmp_path / "a.ckpt").touch()
    callback.best_model_path = str(tmp_path / "a.ckpt")
    service.after_save_checkpoint(callback)
    assert service.files == []
    service.finalize(status)
    assert service.files == ([] if status == "failed" else [("a.ckpt", "latest", "best")])
    assert service.saves == 1


def test_prefix() -> None:
    service = Service(prefix="run")
    service.log_metrics({"loss": 1.0})
    assert service.rows == [{"run-loss": 1.0}]


def test_a_copy_has_no_connection() -> None:
    assert pickle.loads(pickle.dumps(Service(prefix="x")))._experiment is None


def test_other_ranks_do_nothing() -> None:
    service = Service(log_model=True)
    try:
        rank_zero_only.rank = 2
        service.finalize("success")
    finally:
        rank_zero_only.rank = None
    assert service.saves == 0


@pytest.mark.parametrize("wrong", ["some", 2, None])
def test_log_model_is_checked(wrong: Any) -> None:
    with pytest.raises(ValueError, match="`log_model` got .* Accepted: True, False or 'all'"):
        Service(log_model=wrong)


@pytest.mark.parametrize("name", ["LitLogger", "NeptuneLogger"])
def test_names_that_are_not_offered(name: str) -> None:
    import leyden.loggers

    with pytest.raises(ImportError, match=f"{name}.*use another logger, such as `TensorBoardLogger`"):
        getattr(leyden.loggers, name)
    with pytest.raises(ImportError, match="use another logger"):
        exec(f"from leyden.loggers import {name}")
