from __future__ import annotations

import csv
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from leyden.loggers.csv_logs import CSVLogger, ExperimentWriter
from leyden.loggers.dummy import DummyExperiment
from leyden.utils.rank import rank_zero_only


def rows_of(logger: CSVLogger) -> list[dict[str, str]]:
    with open(Path(logger.log_dir, "metrics.csv"), newline="") as file:
        return list(csv.DictReader(file))


def test_nothing_on_disk_before_the_first_value(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    assert (logger.name, logger.version, logger.save_dir) == ("lightning_logs", 0, str(tmp_path))
    assert logger.log_dir == str(tmp_path / "lightning_logs" / "version_0")
    assert logger.rows_written == 0
    logger.save()
    logger.finalize("success")
    assert list(tmp_path.iterdir()) == []


def test_layout(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_hyperparams({"lr": 0.1})
    logger.log_hyperparams(Namespace(layers=(1, 2)))
    logger.log_metrics({"z": 1, "a": torch.tensor(2.0), "epoch": 0}, 3)
    logger.log_metrics({"b": float("nan"), "epoch": 1.0}, None)
    logger.finalize("success")
    folder = tmp_path / "lightning_logs" / "version_0"
    assert sorted(path.name for path in folder.iterdir()) == ["hparams.yaml", "metrics.csv"]
    assert (folder / "metrics.csv").read_text() == "a,b,epoch,step,z\n2.0,,0,3,1\n,nan,1,1,\n"
    assert yaml.safe_load((folder / "hparams.yaml").read_text()) == {"lr": 0.1, "layers": [1, 2]}


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ({"version": 7}, "lightning_logs/version_7"),
        ({"version": "mine"}, "lightning_logs/mine"),
        ({"name": ""}, "version_0"),
        ({"name": None}, "version_0"),
        ({"name": "a/b"}, "a/b/version_0"),
    ],
)
def test_folders(tmp_path: Path, arguments: dict[str, Any], folder: str) -> None:
    logger = CSVLogger(tmp_path, **arguments)
    logger.log_metrics({"a": 1.0}, 0)
    logger.save()
    assert (tmp_path / folder / "metrics.csv").is_file()


def test_next_version_is_above_the_highest(tmp_path: Path) -> None:
    for name in ("version_3", "version_10", "version_x", "other"):
        (tmp_path / "lightning_logs" / name).mkdir(parents=True)
    (tmp_path / "lightning_logs" / "version_99").touch()  # no folder
    assert CSVLogger(tmp_path).version == 11


def test_prefix(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, prefix="run")
    logger.log_metrics({"a": 1.0}, 0)
    logger.save()
    assert rows_of(logger) == [{"run-a": "1.0", "step": "0"}]


def test_rows_are_flushed_by_step_and_by_number(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=3)
    logger.log_metrics({"a": 0}, 0)
    logger.log_metrics({"a": 1}, 1)
    assert not Path(logger.log_dir, "metrics.csv").exists()
    logger.log_metrics({"a": 2}, 2)
    assert len(rows_of(logger)) == 3
    for _ in range(3):
        logger.log_metrics({"a": 3}, 3)
    assert len(rows_of(logger)) == logger.rows_written == 6


def test_values_are_those_of_the_call(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    metrics = {"a": torch.tensor(1.0)}
    logger.log_metrics(metrics, 0)
    metrics["a"] += 1
    metrics["b"] = torch.tensor(0.0)
    logger.save()
    assert rows_of(logger) == [{"a": "1.0", "step": "0"}]


def test_a_new_column_keeps_the_rows(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    logger.log_metrics({"b": 1, "with, comma": 2}, 0)
    logger.save()
    logger.log_metrics({"a": 3}, 1)
    logger.save()
    logger.log_metrics({"b": 4}, 2)
    logger.save()
    assert rows_of(logger) == [
        {"a": "", "b": "1", "step": "0", "with, comma": "2"},
        {"a": "3", "b": "", "step": "1", "with, comma": ""},
        {"a": "", "b": "4", "step": "2", "with, comma": ""},
    ]
    assert [path.name for path in Path(logger.log_dir).iterdir()] == ["metrics.csv"]


def test_rows_of_known_columns_are_only_appended(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, flush_logs_every_n_steps=10)
    logger.log_metrics({"a": 0}, 0)
    logger.save()
    path = Path(logger.log_dir, "metrics.csv")
    file_number = path.stat().st_ino
    with open(path, newline="") as reader:  # a file that is read while it grows
        assert reader.read() == "a,step\n0,0\n"
        for step in range(1, 1000):
            logger.log_metrics({"a": step}, step)
        logger.save()
        assert reader.read() == "".join(f"{step},{step}\n" for step in range(1, 1000))
    assert path.stat().st_ino == file_number


def test_older_file_of_the_same_version_is_removed_with_a_warning(tmp_path: Path) -> None:
    first = CSVLogger(tmp_path, version=5)
    first.log_metrics({"old": 1}, 0)
    first.save()
    second = CSVLogger(tmp_path, version=5)
    second.log_metrics({"new": 1}, 0)
    with pytest.warns(UserWarning, match=r"metrics\.csv of an earlier run was removed"):
        second.save()
    assert rows_of(second) == [{"new": "1", "step": "0"}]


@pytest.mark.parametrize(("keep", "kept"), [(0, 0), (2, 2), (9, 4)])
def test_truncate_continues_an_older_file(tmp_path: Path, keep: int, kept: int) -> None:
    first = CSVLogger(tmp_path, version=0)
    for step in range(4):
        first.log_metrics({"a": step}, step)
    first.save()
    second = CSVLogger(tmp_path, version=0)
    second.truncate(keep)
    assert second.rows_written == kept
    second.log_metrics({"a": 10}, 10)
    second.log_metrics({"b": 11}, 11)
    second.save()
    assert [row["step"] for row in rows_of(second)] == [*map(str, range(kept)), "10", "11"]
    assert second.rows_written == kept + 2


def test_truncate_own_rows(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    for step in range(4):
        logger.log_metrics({"a": step}, step)
    logger.truncate(1)
    logger.log_metrics({"a": 5}, 5)
    logger.save()
    assert [row["step"] for row in rows_of(logger)] == ["0", "5"]


def test_truncate_drops_a_torn_last_line(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version=0)
    logger.log_metrics({"a": 1}, 0)
    logger.save()
    with open(Path(logger.log_dir, "metrics.csv"), "a") as file:
        file.write("0.")  # a writer was killed here
    again = CSVLogger(tmp_path, version=0)
    again.truncate(1)
    again.log_metrics({"a": 2}, 1)
    again.save()
    assert rows_of(again) == [{"a": "1", "step": "0"}, {"a": "2", "step": "1"}]


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    try:
        rank_zero_only.rank = 1
        assert isinstance(logger.experiment, DummyExperiment)
        logger.log_metrics({"a": 1}, 0)
        logger.log_hyperparams({"a": 1})
        logger.finalize("success")
    finally:
        rank_zero_only.rank = None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, None])
def test_bad_flush_interval(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match="flush_logs_every_n_steps"):
        CSVLogger(tmp_path, flush_logs_every_n_steps=value)


def test_remote_store() -> None:
    pytest.importorskip("fsspec")
    from fsspec.implementations.memory import MemoryFileSystem

    store = MemoryFileSystem()
    root = "memory://csv-logger-test"
    try:
        for version in range(2):
            logger = CSVLogger(root, name="run")
            logger.log_hyperparams({"a": 1})
            logger.log_metrics({"a": 1}, 0)
            logger.save()
            logger.log_metrics({"a": 2}, 1)
            logger.save()
            assert logger.version == version
            assert logger.log_dir == f"{root}/run/version_{version}"
        assert store.cat_file("/csv-logger-test/run/version_1/metrics.csv") == b"a,step\n1,0\n2,1\n"
        assert store.cat_file("/csv-logger-test/run/version_1/hparams.yaml") == b"a: 1\n"
    finally:
        store.rm("/csv-logger-test", recursive=True)


def test_writer_alone(tmp_path: Path) -> None:
    writer = ExperimentWriter(str(tmp_path / "logs"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        writer.save()
        writer.log_metrics({"a": 1.0})
        writer.save()
    assert (tmp_path / "logs" / "metrics.csv").read_text() == "a,step\n1.0,0\n"
    assert writer.columns == ["a", "step"]


def test_row_79_a_new_column_rewrites_and_an_older_file_goes(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, version=0)
    for step, row in enumerate([{"b": 1}, {"b": 2, "a": 3}]):
        logger.log_metrics(row, step)
        logger.save()
    assert Path(logger.log_dir, "metrics.csv").read_text().splitlines() == ["a,b,step", ",1,0", "3,2,1"]
    again = CSVLogger(tmp_path, version=0)
    again.log_metrics({"c": 1}, 0)
    with pytest.warns(UserWarning, match="of an earlier run was removed"):
        again.save()
    assert rows_of(again) == [{"c": "1", "step": "0"}]
