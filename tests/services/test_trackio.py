from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trackio
from trackio import sqlite_storage

from helpers_loggers import fit_logging, four_batches
from leyden.loggers import TrackioLogger
from leyden.loggers.dummy import DummyExperiment
from leyden.utils.rank import rank_zero_only


@pytest.fixture
def project(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"leyden-{request.node.name[:20].replace('[', '-').replace(']', '')}".strip("-")
    yield name
    trackio.delete_project(name, force=True)


def table(project: str, name: str) -> list[dict[str, Any]]:
    with sqlite3.connect(sqlite_storage.SQLiteStorage.get_project_db_path(project)) as store:
        store.row_factory = sqlite3.Row
        return [dict(row) for row in store.execute(f"select * from {name}")]


def test_a_run_on_this_machine(tmp_path: Path, project: str) -> None:
    logger = TrackioLogger(project, log_model=True, auto_log_cpu=False)
    assert (logger.name, logger.version, logger.save_dir) == (project, None, None)
    trainer, module = fit_logging(tmp_path, logger, enable_checkpointing=True)
    trainer.test(module, four_batches(), verbose=False)
    rows = [(row["run_name"], row["step"], json.loads(row["metrics"])) for row in table(project, "metrics")]
    assert {name for name, _, _ in rows} == {logger.version}
    assert [step for _, step, row in rows if "loss" in row] == [1, 3, 5, 7]
    assert [step for _, step, row in rows if "mean" in row] == [3, 7]
    assert [step for _, step, row in rows if "test/loss" in row] == [8]
    (config,) = table(project, "configs")
    assert json.loads(config["config"])["lr"] == 0.125
    (artifact,) = table(project, "artifacts")
    assert (artifact["name"], artifact["type"]) == (f"model-{logger.version}", "model")
    assert Path(trainer.checkpoint_callback.best_model_path).parent == (
        tmp_path / project / logger.version / "checkpoints"
    )


def test_all_checkpoints_are_versions_of_one_artifact(tmp_path: Path, project: str) -> None:
    fit_logging(tmp_path, TrackioLogger(project, "run", log_model="all"), enable_checkpointing=True)
    assert len(table(project, "artifact_versions")) == 2
    assert {row["alias"] for row in table(project, "artifact_aliases")} >= {"latest", "best"}


def test_a_named_run_with_a_prefix(project: str) -> None:
    logger = TrackioLogger(project, "first", prefix="val", group="g")
    logger.log_metrics({"a": 1.0}, 3)
    logger.finalize("success")
    logger.log_metrics({"a": 2.0}, 4)  # opens it again
    logger.finalize("failed")
    rows = [(row["run_name"], row["step"], json.loads(row["metrics"])) for row in table(project, "metrics")]
    assert rows == [("first", 3, {"val-a": 1.0}), ("first", 4, {"val-a": 2.0})]


def test_other_ranks_start_no_run(project: str) -> None:
    logger = TrackioLogger(project)
    try:
        rank_zero_only.rank = 1
        logger.log_metrics({"a": 1.0}, 0)
        logger.log_hyperparams({"a": 1})
        logger.finalize("success")
        assert isinstance(logger.experiment, DummyExperiment)
    finally:
        rank_zero_only.rank = None
    assert not sqlite_storage.SQLiteStorage.get_project_db_path(project).exists()
