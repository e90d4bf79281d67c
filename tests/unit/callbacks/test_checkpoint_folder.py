"""The folder of checkpoint files."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from leyden.callbacks import checkpoint_folder as folder


@pytest.mark.parametrize(("version", "name"), [(3, "version_3"), ("mine", "mine")])
def test_default_is_the_first_loggers_folder(tmp_path, version, name):
    logger = SimpleNamespace(save_dir=str(tmp_path), name="logs", version=version)
    trainer = SimpleNamespace(loggers=[logger, None], default_root_dir="elsewhere")
    assert folder.default_folder(trainer) == str(tmp_path / "logs" / name / "checkpoints")


def test_paths_are_resolved_and_urls_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder.absolute("~/runs/../checks") == str(tmp_path / "checks")
    assert folder.absolute("s3://bucket/runs") == "s3://bucket/runs"


def test_a_folder_is_made_and_left_empty(tmp_path):
    assert folder.prepare(str(tmp_path / "a" / "b"), needed=1) == ""
    assert (tmp_path / "a" / "b").is_dir()
    assert not folder.is_filled(str(tmp_path / "a" / "b"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    problem = folder.prepare(str(tmp_path / "file" / "below"), needed=1)
    assert problem.startswith(f"`dirpath` got '{tmp_path}/file/below'")
    assert "this fails with" in problem


def test_too_small_a_disk_is_named(tmp_path):
    module = torch.nn.Module()
    module.big = torch.nn.Parameter(torch.empty(10**7, 10**10, device="meta"))
    assert folder.weight_bytes(module) == 4 * 10**17
    assert "400000000000.0 MB free; this has" in folder.prepare(str(tmp_path), folder.weight_bytes(module))


@pytest.mark.parametrize(
    ("dirpath", "path", "inside"),
    [
        ("/a/b", "/a/b/c.ckpt", True),
        ("/a/b", "/a/b/c/d.ckpt", True),
        ("/a/b", "/a/bc.ckpt", False),
        ("/a/b", "/a/b/../c.ckpt", False),
        ("s3://a/b", "s3://a/b/c.ckpt", True),
        ("s3://a/b", "s3://a/c.ckpt", False),
    ],
)
def test_what_lies_inside(dirpath, path, inside):
    assert folder.holds(dirpath, path) is inside


def test_removing_a_link_keeps_its_target(tmp_path):
    (tmp_path / "target").mkdir()
    folder.link(str(tmp_path / "target"), str(tmp_path / "last"))
    assert folder.names_of(tmp_path / "last") == {str(tmp_path / "last"), str(tmp_path / "target")}
    folder.remove(str(tmp_path / "last"))
    folder.remove(str(tmp_path / "last"))  # gone already
    assert os.listdir(tmp_path) == ["target"]


def test_a_link_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "last").mkdir()
    folder.link(str(tmp_path / "new"), str(tmp_path / "last"))
    assert os.readlink(tmp_path / "last") == "new"
