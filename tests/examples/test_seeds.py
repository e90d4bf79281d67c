"""The scripts of two guides written for PyTorch Lightning run as they stand, under ``python -m leyden.dropin``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers_loggers import read_scalars

SEEDS = Path(__file__).parent / "seeds"


def run(script: str, *arguments: object, cwd: Path, **trainer: object) -> list[str]:
    """Run a script in a folder of its own; Trainer arguments that it leaves out come from the environment."""
    defaults = {f"PL_TRAINER_{name.upper()}": str(value) for name, value in trainer.items()}
    result = subprocess.run(
        [sys.executable, "-m", "leyden.dropin", str(SEEDS / script), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | defaults | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.splitlines()


def value(lines: list[str], name: str) -> float:
    (line,) = (line for line in lines if line.startswith(f"{name} "))
    return float(line.split()[-1])


def test_the_version_is_printed_and_arguments_arrive(tmp_path: Path) -> None:
    version, arguments = run("version.py", "--lr", 0.1, "data", cwd=tmp_path)
    assert version.startswith("2.6.")
    assert arguments == "arguments: ['--lr', '0.1', 'data']"


def test_quick_start(tmp_path: Path) -> None:
    lines = run("quick_start.py", cwd=tmp_path, limit_train_batches=10, limit_val_batches=2)
    assert "ReduceLROnPlateau has no `monitor`: it follows 'val_loss'." in lines
    text = "Accuracy of the network on the 10000 test images: "
    assert lines[-1].startswith(text)
    assert float(lines[-1].removeprefix(text).removesuffix(" %")) > 90
    assert any(line.startswith("Epoch 9/9: 10/10 batches") for line in lines)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    assert checkpoint.name == "epoch=9-step=100.ckpt"


@pytest.mark.parametrize("script", ["my_model.py", "create_model.py"])
def test_a_model_without_steps_learns(tmp_path: Path, script: str) -> None:
    lines = run(script, cwd=tmp_path)
    assert value(lines, "after") < 0.5 * value(lines, "before")
    assert any("supervised training with Adam(lr=0.001)" in line for line in lines)


def test_linear_regression_has_the_losses_of_the_plain_loop(tmp_path: Path) -> None:
    lines = run("linear_regression.py", cwd=tmp_path)
    assert lines[-2:] == ["losses 200 200 True", "parameters True"]
    (events,) = tmp_path.rglob("events.out.tfevents.*")
    assert len(read_scalars(events.parent)["train_loss"]) == 200
    assert list(tmp_path.rglob("*.ckpt"))


def test_data_module(tmp_path: Path) -> None:
    limits = {"max_epochs": 1, "limit_train_batches": 3, "limit_val_batches": 2, "limit_test_batches": 4}
    lines = run("data_module.py", cwd=tmp_path, **limits)
    assert [line for line in lines if line.startswith(("prepare", "setup"))] == [
        "prepare_data",
        "setup fit",
        "setup test",
    ]
    assert [line for line in lines if line.startswith("batches")] == ["batches 3 [2]", "batches [4]"]


def test_data_is_prepared_once_per_data_path(tmp_path: Path) -> None:
    limits = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1}
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    prepared = [
        run("data_module.py", path, cwd=tmp_path, **limits).count("prepare_data") for path in (here, here, there)
    ]
    assert prepared == [1, 0, 1]
