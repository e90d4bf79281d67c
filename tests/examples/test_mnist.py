from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "examples" / "mnist.py"


def write(path: Path, values: torch.Tensor) -> None:
    content = struct.pack(f">HBB{values.dim()}I", 0, 8, values.dim(), *values.shape) + values.numpy().tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_digits(folder: Path, part: str, count: int, ending: str) -> None:
    """Write images whose class is the position of a bright bar, with some noise."""
    labels = torch.arange(count, dtype=torch.uint8) % 10
    images = torch.randint(0, 40, (count, 28, 28), dtype=torch.uint8)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[4 + 2 * label : 6 + 2 * label] = 255
    write(folder / f"{part}-images-idx3-ubyte{ending}", images)
    write(folder / f"{part}-labels-idx1-ubyte{ending}", labels)


def run(*arguments: object, cwd: Path, packages: Path | None = None) -> subprocess.CompletedProcess[str]:
    path = {} if packages is None else {"PYTHONPATH": str(packages)}
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | path
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_it_learns_from_idx_files(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(0)
    data = tmp_path / "data"
    data.mkdir()
    write_digits(data, "train", 720, ending)
    write_digits(data, "t10k", 100, ending)
    result = run("--epochs", 3, "--batch-size", 20, "--output", tmp_path / "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    line = result.stdout.splitlines()[-1]
    assert line.startswith("test accuracy ")
    assert float(line.split()[2].rstrip(",")) > 0.9
    assert list((tmp_path / "out").rglob("*.ckpt"))


def test_without_files_it_says_where_to_put_them(tmp_path: Path) -> None:
    result = run("--data", tmp_path / "digits", cwd=tmp_path)
    assert result.returncode == 1
    assert str(tmp_path / "digits") in result.stderr
    assert result.stderr.count("-ubyte[.gz]") == 4
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("error", ["ImportError", "RuntimeError"])
def test_a_torchvision_that_does_not_import_is_no_obstacle(tmp_path: Path, error: str) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "torchvision.py").write_text(f"raise {error}('operator does not exist')")
    result = run("--download", cwd=tmp_path, packages=tmp_path / "packages")
    assert result.returncode == 1
    assert "operator does not exist" in result.stderr
    assert "Put these files" in result.stderr
    assert "Traceback" not in result.stderr
