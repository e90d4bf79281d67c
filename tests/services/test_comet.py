"""comet_ml is left to the logger to import, so that its opt-outs are seen to work."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
import torch

from helpers_loggers import Logging, fit_logging, four_batches
from leyden.loggers import CometLogger
from leyden.loggers.dummy import DummyExperiment
from leyden.utils.rank import rank_zero_only


def archive(logger: CometLogger, folder: Path) -> list[dict[str, Any]]:
    """End the experiment and return the messages in its archive."""
    logger.experiment.end()
    (path,) = folder.glob(f"{logger.version}*.zip")
    with zipfile.ZipFile(path) as file:
        return [json.loads(line) for line in file.read("messages.json").splitlines()]


def metrics(messages: list[dict[str, Any]], name: str) -> list[tuple[int, int | None]]:
    found = [message["payload"]["metric"] for message in messages if message["type"] == "metric_msg"]
    return [(metric["step"], metric["epoch"]) for metric in found if metric["metricName"] == name]


def test_a_run_offline(tmp_path: Path) -> None:
    logger = CometLogger(project="digits", online=False, offline_directory=str(tmp_path), name="first", log_model=True)
    assert (logger.name, logger.version, logger.save_dir) == ("digits", None, str(tmp_path))
    trainer, module = fit_logging(tmp_path, logger, enable_checkpointing=True)
    trainer.test(module, four_batches(), verbose=False)
    assert logger.version == logger.experiment.get_key()
    messages = archive(logger, tmp_path)
    assert metrics(messages, "loss") == [(1, 0), (3, 0), (5, 1), (7, 1)]
    assert metrics(messages, "test/loss") == [(8, 2)]
    parameters = [m["payload"].get("param", {}) for m in messages if m["type"] == "parameter_msg"]
    assert [p["paramValue"] for p in parameters if p.get("paramName") == "lr"] == [0.125]
    uploads = [message["payload"] for message in messages if message["type"] == "file_upload"]
    names = [upload["additional_params"].get("fileName") for upload in uploads]
    assert "epoch=1-step=8.ckpt" in names
    assert any("Linear" in json.dumps(message) for message in messages if message["type"] == "graph")


def test_prefix_and_nested_hyperparameters(tmp_path: Path) -> None:
    logger = CometLogger(online=False, offline_directory=str(tmp_path), prefix="run")
    logger.log_metrics({"a": torch.tensor(1.0), "epoch": 3.0}, 2)
    logger.log_hyperparams({"net": {"act": torch.nn.ReLU, "sizes": (1, 2)}})
    text = json.dumps(messages := archive(logger, tmp_path))
    assert metrics(messages, "run-a") == [(2, 3)]
    assert "net/act" in text
    assert "torch.nn.modules.activation.ReLU" in text


def test_nothing_is_asked_of_machine_and_network(tmp_path: Path) -> None:
    logger = CometLogger(online=False, offline_directory=str(tmp_path))
    types = {message["type"] for message in archive(logger, tmp_path)}
    assert not types & {"cloud_details", "installed_packages", "os_packages"}
    assert not sentry_sdk.get_client().is_active()


def test_an_experiment_has_the_key_it_is_given(tmp_path: Path) -> None:
    key = "a" * 40
    logger = CometLogger(online=False, offline_directory=str(tmp_path), experiment_key=key, mode="create")
    assert logger.experiment.get_key() == logger.version == key
    logger.experiment.end()


def test_old_arguments_are_translated(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        logger = CometLogger(project_name="p", experiment_name="e", save_dir=str(tmp_path), offline=True)
    assert len(caught) == 4
    assert "CometLogger(project=...) today" in str([str(warning.message) for warning in caught])
    assert (logger.name, logger.save_dir) == ("p", str(tmp_path))
    assert type(logger.experiment).__name__ == "OfflineExperiment"
    logger.experiment.end()


def test_other_ranks_start_no_experiment(tmp_path: Path) -> None:
    logger = CometLogger(online=False, offline_directory=str(tmp_path))
    try:
        rank_zero_only.rank = 1
        logger.log_metrics({"a": 1.0}, 0)
        logger.log_hyperparams({"a": 1})
        logger.log_graph(Logging())
        logger.finalize("success")
        assert isinstance(logger.experiment, DummyExperiment)
    finally:
        rank_zero_only.rank = None
    assert not list(tmp_path.iterdir())
