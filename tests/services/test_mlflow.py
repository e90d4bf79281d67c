from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers_loggers import fit_logging, four_batches
from leyden.loggers import MLFlowLogger
from leyden.loggers.dummy import DummyExperiment
from leyden.utils.rank import rank_zero_only


def steps(logger: MLFlowLogger, name: str) -> list[int]:
    return [metric.step for metric in logger.experiment.get_metric_history(logger.run_id, name)]


def test_a_run_in_the_embedded_store(tmp_path: Path) -> None:
    logger = MLFlowLogger(
        "digits", run_name="first", tags={"data": "arange"}, save_dir=tmp_path / "mlruns", log_model=True
    )
    assert not list(tmp_path.iterdir())
    trainer, module = fit_logging(tmp_path, logger, enable_checkpointing=True)
    client = logger.experiment
    run = client.get_run(logger.run_id)
    assert (run.info.run_name, run.info.status, run.data.tags["data"]) == ("first", "FINISHED", "arange")
    assert run.data.params == {"lr": "0.125", "sizes": "[4, 2]"}
    assert steps(logger, "loss") == [1, 3, 5, 7]
    assert steps(logger, "mean") == [3, 7]
    trainer.test(module, four_batches(), verbose=False)
    assert steps(logger, "test/loss") == [8]
    assert client.get_experiment(logger.experiment_id).name == "digits"
    assert (logger.name, logger.version, logger.save_dir) == (
        logger.experiment_id, logger.run_id, str(tmp_path / "mlruns"),
    )  # fmt: skip
    folder = tmp_path / "mlruns" / logger.experiment_id / logger.run_id / "checkpoints"
    assert Path(trainer.checkpoint_callback.best_model_path).parent == folder
    assert (tmp_path / "mlruns" / "mlflow.db").is_file()
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ


@pytest.mark.parametrize(("log_model", "epochs"), [(True, [1]), ("all", [0, 1]), (False, [])])
def test_checkpoints_are_artifacts(tmp_path: Path, log_model: Any, epochs: list[int]) -> None:
    logger = MLFlowLogger(save_dir=tmp_path, log_model=log_model)
    fit_logging(tmp_path, logger, enable_checkpointing=True)
    client, names = logger.experiment, [f"epoch={epoch}-step={4 * (epoch + 1)}" for epoch in epochs]
    listed = client.list_artifacts(logger.run_id, "model/checkpoints")
    assert [artifact.path for artifact in listed] == [f"model/checkpoints/{name}" for name in names]
    for name in names:
        folder = Path(client.download_artifacts(logger.run_id, f"model/checkpoints/{name}"))
        assert sorted(path.name for path in folder.iterdir()) == ["aliases.txt", f"{name}.ckpt", "metadata.yaml"]
        assert (folder / "aliases.txt").read_text().split() == ["latest", "best"]
        assert yaml.safe_load((folder / "metadata.yaml").read_text())["original_filename"] == f"{name}.ckpt"
        assert torch.load(folder / f"{name}.ckpt", weights_only=True)["global_step"] == int(name.partition("step=")[2])


def test_names_and_values_that_mlflow_refuses(tmp_path: Path) -> None:
    logger = MLFlowLogger(save_dir=tmp_path, prefix="run")
    with pytest.warns(UserWarning, match="'run-a:b@c' is recorded as 'run-abc'"):
        logger.log_metrics({"a:b@c": torch.tensor(1.0)}, 2)
    with pytest.warns(UserWarning, match="the metric 'run-note' with the value 'x' is left out"):
        logger.log_metrics({"note": "x", "val/loss": float("nan")})
    with pytest.warns(UserWarning, match=r"'net\(1\)/lr' is recorded as 'net1/lr'"):
        logger.log_hyperparams({"net(1)": {"lr": 0.5}})
    run = logger.experiment.get_run(logger.run_id)
    assert set(run.data.metrics) == {"run-abc", "run-val/loss"}
    assert run.data.params == {"net1/lr": "0.5"}


def test_many_hyperparameters_and_metrics_go_in_parts(tmp_path: Path) -> None:
    logger = MLFlowLogger(save_dir=tmp_path)
    logger.log_hyperparams({f"p{number}": "x" * number for number in range(250)})
    logger.log_metrics({f"m{number}": number for number in range(1100)}, 0)
    run = logger.experiment.get_run(logger.run_id)
    assert (len(run.data.params), len(run.data.metrics)) == (250, 1100)
    assert run.data.params["p249"] == "x" * 249


@pytest.mark.parametrize(("status", "expected"), [("failed", "FAILED"), ("finished", "FINISHED")])
def test_how_a_run_ended(tmp_path: Path, status: str, expected: str) -> None:
    logger = MLFlowLogger(save_dir=tmp_path)
    logger.finalize(status)  # not begun
    assert not list(tmp_path.iterdir())
    assert logger.experiment.get_run(logger.run_id).info.status == "RUNNING"
    logger.finalize(status)
    assert logger.experiment.get_run(logger.run_id).info.status == expected


def test_a_run_is_gone_on_with(tmp_path: Path) -> None:
    first, other = MLFlowLogger(save_dir=tmp_path), MLFlowLogger(save_dir=tmp_path)
    assert first.experiment_id == other.experiment_id
    assert first.run_id != other.run_id
    first.log_metrics({"a": 1.0}, 0)
    again = MLFlowLogger(save_dir=tmp_path, run_id=first.run_id, synchronous=True)
    again.log_metrics({"a": 2.0}, 1)
    assert again.experiment_id == first.experiment_id
    assert steps(first, "a") == [0, 1]


def test_a_store_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mine.db")
    logger = MLFlowLogger(artifact_location=(tmp_path / "files").as_uri())
    assert logger.save_dir is None
    assert logger.experiment.get_experiment(logger.experiment_id).artifact_location.endswith("/files")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.db"]
    assert MLFlowLogger(tracking_uri=f"sqlite:///{tmp_path}/other.db").save_dir is None


def test_folders_are_refused_by_mlflow_itself(tmp_path: Path) -> None:
    logger = MLFlowLogger(tracking_uri=f"file:{tmp_path}/mlruns")
    with pytest.raises(Exception, match="sqlite:///mlflow.db"):
        fit_logging(tmp_path, logger)


def test_other_ranks_start_no_run(tmp_path: Path) -> None:
    logger = MLFlowLogger(save_dir=tmp_path)
    try:
        rank_zero_only.rank = 1
        logger.log_metrics({"a": 1.0}, 0)
        logger.log_hyperparams({"a": 1})
        logger.finalize("success")
        assert isinstance(logger.experiment, DummyExperiment)
        assert (logger.name, logger.version) == (None, None)
    finally:
        rank_zero_only.rank = None
    assert not list(tmp_path.iterdir())
