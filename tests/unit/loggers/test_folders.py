from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from leyden.loggers import CSVLogger, TensorBoardLogger
from leyden.loggers.folders import join, write_hparams

BOTH = pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])


@BOTH
def test_one_more_than_the_highest_version(kind: Any, tmp_path: Path) -> None:
    for name in ("version_2", "version_10", "version_x", "other"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "version_99").touch()
    logger = kind(tmp_path, name="runs")
    assert logger.version == 11
    (tmp_path / "runs" / "version_11").mkdir()
    assert logger.version == 11  # it is found once
    assert kind("memory://nowhere").version == 0


@BOTH
def test_the_home_folder_and_variables(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PART", "part")
    assert kind("~/$PART").save_dir == str(tmp_path / "part")
    assert kind("s3://bucket/$PART").save_dir == "s3://bucket/$PART"


@BOTH
def test_prefix(kind: Any) -> None:
    assert kind(".", prefix="a").prefixed({"b": 1}) == {"a-b": 1}
    assert kind(".").prefixed({"b": 1}) == {"b": 1}


def test_join_paths_and_urls() -> None:
    assert join("a", "b") == str(Path("a", "b"))
    assert join("s3://bucket/a/", "b") == "s3://bucket/a/b"


def test_hparams_are_plain_yaml(tmp_path: Path) -> None:
    write_hparams(str(tmp_path), {"b": (1, 2), "a": len})
    text = (tmp_path / "hparams.yaml").read_text()
    assert yaml.safe_load(text) == {"b": [1, 2], "a": "builtins.len"}
    assert text.startswith("b:")
