from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from leyden.checkpoint import file
from leyden.utilities.upgrade_checkpoint import main


def old(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    checkpoint = {
        "state_dict": {"w": torch.ones(2)}, "epoch": 1, "global_step": 4, "pytorch-lightning_version": "1.2.10",
        "optimizer_states": [], "lr_schedulers": [], "callbacks": {},
    }  # fmt: skip
    torch.save(checkpoint, path)
    return path


def test_a_file_is_upgraded_and_the_original_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = old(tmp_path / "a.ckpt")
    before = path.read_bytes()
    assert main([str(path)]) == 0
    assert "upgraded" in capsys.readouterr().out
    assert torch.load(path, weights_only=True)["pytorch-lightning_version"] == "2.6.0"
    assert torch.equal(file.load(path)["state_dict"]["w"], torch.ones(2))
    assert (tmp_path / "a.ckpt.bak").read_bytes() == before
    assert main([str(path), "--map-to-cpu"]) == 0
    assert (tmp_path / "a.ckpt.bak").read_bytes() == before


def test_a_folder_is_searched_and_what_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old(tmp_path / "inner" / "a.ckpt"), old(tmp_path / "b.pt")
    (tmp_path / "c.ckpt").write_bytes(b"nothing")
    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "a.ckpt: upgraded" in shown.out and "b.pt" not in shown.out
    assert "c.ckpt" in shown.err
    assert main([str(tmp_path), "--extension", ".none"]) == 2


def test_a_file_of_today_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "new.ckpt"
    file.save({"state_dict": {}, "epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.0"}, path)
    before = path.read_bytes()
    assert main([str(path)]) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "module", ["leyden.utilities.upgrade_checkpoint", "leyden.dropin -m pytorch_lightning.utilities.upgrade_checkpoint"]
)
def test_it_is_a_command(tmp_path: Path, module: str) -> None:
    path = old(tmp_path / "a.ckpt")
    command = [sys.executable, "-W", "error", "-m", *module.split(), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "upgraded" in result.stdout
