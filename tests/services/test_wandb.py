from __future__ import annotations

import json
import os
import re
import struct
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import wandb
from wandb.proto import wandb_internal_pb2

import leyden as pl
from helpers_loggers import Logging, fit_logging, four_batches
from leyden.loggers import CSVLogger, WandbLogger
from leyden.loggers.dummy import DummyExperiment
from leyden.utils.rank import rank_zero_only

BLOCK, HEADER = 32768, 7


@pytest.fixture(autouse=True)
def no_open_run() -> Iterator[None]:
    yield
    wandb.finish()


def records(folder: Path, kind: str) -> list[Any]:
    """The records of a kind in the file of an offline run, once its last one, ``exit``, is there.

    The service writes the file while the program goes on, and ``wandb.finish()`` does not wait for it.
    """
    wandb.finish()
    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 60
    while not any(record.WhichOneof("record_type") == "exit" for record in parse(path.read_bytes())):
        assert time.monotonic() < deadline, "the file was not completed"
        time.sleep(0.02)
    found = parse(path.read_bytes())
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def parse(data: bytes) -> list[Any]:
    """The records in a file, whose format is LevelDB's log."""
    position, part, found = HEADER, b"", []
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        part += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (1, 4):  # the whole of a record, or its last part
            found.append(wandb_internal_pb2.Record.FromString(part))
            part = b""
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    found = []
    for row in records(folder, "history"):
        values = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row.item}
        found.append({name: value for name, value in values.items() if name[0] != "_"})
    return found


def test_a_run_offline(tmp_path: Path) -> None:
    logger = WandbLogger("first", save_dir=tmp_path, project="digits", offline=True, tags=["a"])
    assert (logger.name, logger.version, logger.save_dir) == ("digits", None, str(tmp_path))
    trainer, module = fit_logging(tmp_path, logger, enable_checkpointing=True)
    trainer.test(module, four_batches(), verbose=False)
    assert wandb.run is logger.experiment
    assert (wandb.run.name, wandb.run.tags, wandb.run.offline) == ("first", ("a",), True)
    assert logger.version == wandb.run.id
    assert (
        Path(trainer.checkpoint_callback.best_model_path).parent == tmp_path / "digits" / wandb.run.id / "checkpoints"
    )
    assert dict(wandb.run.config) == {"lr": 0.125, "sizes": [4, 2]}
    lines = rows(tmp_path)
    assert [row["trainer/global_step"] for row in lines if "loss" in row] == [1, 3, 5, 7]
    assert [row["trainer/global_step"] for row in lines if "test/loss" in row] == [8]
    assert [row["epoch"] for row in lines if "mean" in row] == [0, 1]
    axes = {record.glob_name: record.step_metric for record in records(tmp_path, "metric")}
    assert axes["*"] == "trainer/global_step"
    assert records(tmp_path, "artifact") == []


def test_its_makers_are_told_nothing(tmp_path: Path) -> None:
    assert WandbLogger(save_dir=tmp_path, offline=True).experiment.offline
    (service,) = (child for child in psutil.Process().children(recursive=True) if "wandb-core" in child.name())
    assert "--no-observability" in service.cmdline()
    assert "WANDB_ERROR_REPORTING" not in os.environ


@pytest.mark.parametrize(("log_model", "epochs"), [(True, [1]), ("all", [0, 1]), (False, [])])
def test_checkpoints_are_artifacts(tmp_path: Path, log_model: Any, epochs: list[int]) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True, log_model=log_model, checkpoint_name="best-digits")
    fit_logging(tmp_path, logger, enable_checkpointing=True)
    artifacts = records(tmp_path, "artifact")
    assert [json.loads(artifact.metadata)["original_filename"] for artifact in artifacts] == [
        f"epoch={epoch}-step={4 * (epoch + 1)}.ckpt" for epoch in epochs
    ]
    for artifact in artifacts:
        assert (artifact.type, artifact.name, set(artifact.aliases)) == ("model", "best-digits", {"latest", "best"})
        (entry,) = artifact.manifest.contents
        assert entry.path == "model.ckpt"
        assert Path(entry.local_path).stat().st_size == entry.size > 1000


def test_an_artifact_is_named_after_the_run(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True, log_model=True, id="abc", add_file_policy="immutable")
    fit_logging(tmp_path, logger, enable_checkpointing=True)
    assert logger.version == "abc"
    assert [artifact.name for artifact in records(tmp_path, "artifact")] == ["model-abc"]


def test_the_project_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WandbLogger().name == "lightning_logs"
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    assert WandbLogger().name == "mine"
    assert WandbLogger(project="other").name == "other"
    assert WandbLogger(save_dir="a", dir="b").save_dir == "b"
    assert WandbLogger(version="v").version == "v"


def test_hyperparameters_may_change_and_nest(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logger.log_hyperparams({"lr": 1, "net": {"act": torch.nn.ReLU}})
    logger.log_hyperparams({"lr": 2})
    assert dict(logger.experiment.config) == {"lr": 2, "net": {"act": "torch.nn.modules.activation.ReLU"}}


def test_tables_texts_and_media(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True, prefix="val")
    logger.log_table("table", columns=["a", "b"], data=[[1, 2]], step=3)
    logger.log_text("text", columns=["said"], data=[["yes"]])
    pictures = [np.zeros((4, 4), dtype=np.uint8), torch.zeros(3, 4, 4)]
    logger.log_image("image", pictures, step=5, caption=["first", "second"])
    logger.log_audio("sound", [str(wav(tmp_path))], caption=["silence"])
    (tmp_path / "a.mp4").write_bytes(b"not decoded")
    logger.log_video("film", [str(tmp_path / "a.mp4")])
    found = {name: value for row in rows(tmp_path) for name, value in row.items()}
    kinds = {name.removesuffix("/_type"): value for name, value in found.items() if name.endswith("/_type")}
    assert kinds == {
        "val-table": "table-file", "val-text": "table-file", "val-image": "images/separated",
        "val-sound": "audio", "val-film": "videos",
    }  # fmt: skip
    assert found["val-image/captions"] == ["first", "second"]


def wav(folder: Path) -> Path:
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(80))
    return folder / "a.wav"


@pytest.mark.parametrize(("method", "argument"), [("image", "images"), ("audio", "audios"), ("video", "videos")])
def test_media_are_lists(tmp_path: Path, method: str, argument: str) -> None:
    log = getattr(WandbLogger(save_dir=tmp_path, offline=True), f"log_{method}")
    with pytest.raises(TypeError, match=f"`{argument}` got .* Accepted: a list"):
        log("key", torch.zeros(2, 2))
    with pytest.raises(ValueError, match=f"`caption` got .* Accepted: a list of 1, one for each of `{argument}`"):
        log("key", ["a"], caption=["a", "b"])


def test_watch(tmp_path: Path) -> None:
    logger, model = WandbLogger(save_dir=tmp_path, offline=True), torch.nn.Linear(2, 1)
    logger.watch(model, log="all", log_freq=1)
    for step in range(2):
        model.zero_grad()
        model(torch.ones(3, 2)).sum().backward()
        logger.log_metrics({"loss": 1.0}, step)
    logger.experiment.unwatch(model)
    found = " ".join(name for row in rows(tmp_path) for name in row)
    assert re.search("gradients/[^ ]*weight", found)
    assert re.search("parameters/[^ ]*bias", found)


def test_a_run_that_is_open_is_used(tmp_path: Path) -> None:
    mine = wandb.init(project="mine", mode="offline", dir=str(tmp_path))
    with pytest.warns(UserWarning, match=f"The W&B run {mine.id} is open already, and this logger uses it"):
        assert WandbLogger(offline=True).experiment is mine
    logger = WandbLogger(experiment=mine)
    logger.log_metrics({"a": 1.0}, 3)
    assert logger.version == mine.id
    assert rows(tmp_path) == [{"a": 1, "trainer/global_step": 3}]


def test_it_is_there_before_the_hooks_and_the_other_loggers(tmp_path: Path) -> None:
    class Global(Logging):
        def setup(self, stage: str) -> None:
            assert wandb.run is not None
            wandb.log({"by hand": 1})

    logger = WandbLogger(save_dir=tmp_path, offline=True)
    assert logger.opens_first
    trainer = pl.Trainer(
        logger=[CSVLogger(tmp_path), logger], max_epochs=1, log_every_n_steps=1, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(Global(), four_batches())
    lines = rows(tmp_path)
    assert lines[0]["by hand"] == 1
    assert [row["trainer/global_step"] for row in lines if "loss" in row] == [0, 1, 2, 3]


def test_other_ranks_start_no_run(tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=tmp_path, offline=True)
    try:
        rank_zero_only.rank = 1
        logger.log_metrics({"a": 1.0}, 0)
        logger.log_hyperparams({"a": 1})
        logger.log_table("t", columns=["a"], data=[[1]])
        assert isinstance(logger.experiment, DummyExperiment)
        logger.finalize("success")
    finally:
        rank_zero_only.rank = None
    assert wandb.run is None
    assert not list(tmp_path.iterdir())


class Remote:
    """Stands in for the service: what is stored there can be asked for online only."""

    id, entity = "abc", "me"

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def define_metric(self, *arguments: Any, **keywords: Any) -> None: ...

    def use_artifact(self, *arguments: Any, **keywords: Any) -> Remote:
        self.calls.append(("use", arguments, keywords))
        return self

    def artifact(self, *arguments: Any, **keywords: Any) -> Remote:
        self.calls.append(("api", arguments, keywords))
        return self

    def download(self, root: str | None) -> str:
        self.calls.append(("download", root))
        return root or "artifacts/model"


def test_artifacts_of_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run, api = Remote(), Remote()
    assert WandbLogger(experiment=run).use_artifact("me/p/model:v0", "model") is run
    assert run.calls == [("use", ("me/p/model:v0",), {"type": "model"})]
    monkeypatch.setattr(wandb, "Api", lambda: api)
    assert WandbLogger.download_artifact("me/p/model:v0", tmp_path, "model") == str(tmp_path)
    assert api.calls == [("api", ("me/p/model:v0",), {"type": "model"}), ("download", str(tmp_path))]
    monkeypatch.setattr(wandb, "run", run)
    assert WandbLogger.download_artifact("me/p/model:v0") == "artifacts/model"
    assert WandbLogger.download_artifact("me/p/model:v0", use_artifact=False) == "artifacts/model"
    assert [call[0] for call in run.calls] == ["use", "use", "download"]
    monkeypatch.setattr(wandb, "run", None)
