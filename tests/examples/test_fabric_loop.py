from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "fabric_loop.py"


def run(folder: Path, *command: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", *command],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def accuracy(output: str) -> float:
    return float(output.splitlines()[-1].removeprefix("accuracy "))


def test_it_learns_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = run(tmp_path, str(SCRIPT), "--epochs", "4")
    assert first.startswith("1 process, autocast: False\nepoch 1: loss")
    assert "\nepoch 4: loss" in first
    second = run(tmp_path, str(SCRIPT), "--epochs", "5", "--precision", "bf16-mixed")
    assert second.startswith("1 process, autocast: True\nepoch 5: loss")
    assert accuracy(second) >= 0.93
