from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "demo.py"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = os.environ | {"PYTHONWARNINGS": "error::UserWarning"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def result(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(cwd=folder)


def test_it_keeps_its_promises(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "FAILED" not in result.stdout
    (accuracy,) = (line.split()[1] for line in result.stdout.splitlines() if line.startswith("   accuracy "))
    assert float(accuracy) >= 0.97


def test_the_interrupted_training_ends_with_the_same_weights(result: subprocess.CompletedProcess[str]) -> None:
    fingerprints = [line.split()[-1] for line in result.stdout.splitlines() if "SHA-256" in line]
    assert len(fingerprints) == 2
    assert fingerprints[0] == fingerprints[1]
    assert len(fingerprints[0]) == 64
    assert "in epoch 5, after batch 20 of 40" in result.stdout
    assert "exit code 130" in result.stdout


def test_it_says_where_its_files_lie(result: subprocess.CompletedProcess[str], folder: Path) -> None:
    lines = [line.split() for line in result.stdout.splitlines()]
    files = {line[0]: folder / line[1] for line in lines if line and line[0] in ("metrics", "curves", "checkpoint")}
    assert files["metrics"].read_text().startswith("epoch,")
    assert files["curves"].read_bytes().startswith(b"\x89PNG")
    assert files["checkpoint"].stat().st_size > 100_000
    assert (files["checkpoint"].parent / "last.ckpt").exists()


def test_a_broken_promise_is_an_exit_code(tmp_path: Path) -> None:
    result = run("--epochs", "1", cwd=tmp_path)
    assert result.returncode == 1
    assert "FAILED: accuracy of at least 0.97" in result.stdout
    assert "FAILED: a process that trains in the same way comes to the middle of an epoch" in result.stdout
    assert "Traceback" not in result.stderr
