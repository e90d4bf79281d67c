"""What `self.log` makes of the values of two processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = """
import sys
import warnings

import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

torch.set_num_threads(1)
folder = sys.argv[1]


class Logs(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.uneven = False

    def on_test_epoch_start(self):
        self.log("start", 1.0 + self.global_rank)

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("v", batch[0].mean())
        self.log("shared", batch[0].mean(), add_dataloader_idx=False)

    def test_step(self, batch, batch_idx):
        (x,) = batch
        self.log("mean", x.mean())
        self.log("sum", x.sum(), reduce_fx="sum")
        self.log("max", x.max(), reduce_fx="max")
        self.log("min", x.min(), reduce_fx="min")
        if self.global_rank == 0:
            self.log("first", 1.0, rank_zero_only=True)
        if self.uneven and self.global_rank == 1:
            self.log("uneven", 1.0)


def data(count):
    return DataLoader(TensorDataset(torch.arange(float(count))), batch_size=2)


trainer = pl.Trainer(
    max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=False, enable_progress_bar=False,
    enable_model_summary=False, enable_checkpointing=False,
)
module = Logs()
found = {"rank": trainer.global_rank}
for count in (7, 1):
    found[count] = trainer.test(module, data(count), verbose=False)
    found[f"shown {count}"] = {name: float(value) for name, value in trainer.callback_metrics.items()}
found["several"] = trainer.validate(module, [data(1), data(8), data(1)], verbose=False)
module.uneven = True
try:
    trainer.test(module, data(8), verbose=False)
except Exception as error:
    found["error"] = f"{type(error).__name__}: {error}"
torch.save(found, f"{folder}/{trainer.global_rank}.pt")
torch.distributed.destroy_process_group()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[Any, Any]]:
    folder: Path = tmp_path_factory.mktemp("logging")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    shared |= {"LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_row_74_every_process_gets_the_values_of_all(ranks: list[dict[Any, Any]]) -> None:
    for found in ranks:
        [row] = found[7]
        assert row.pop("first", 1.0) == 1.0
        assert row == {"start": 1.5, "mean": 3.0, "sum": 21.0, "max": 6.0, "min": 0.0}


def test_a_process_without_a_batch_has_no_weight(ranks: list[dict[Any, Any]]) -> None:
    for found in ranks:
        [row] = found[1]
        assert row.pop("first", 1.0) == 1.0
        assert row == {"start": 1.5, "mean": 0.0, "sum": 0.0, "max": 0.0, "min": 0.0}
        assert found["shown 1"].items() >= row.items()


def test_a_process_without_a_batch_of_one_loader_has_no_weight_there(ranks: list[dict[Any, Any]]) -> None:
    shared = pytest.approx(28 / 10)  # 0..7 and two loaders with a 0
    for found in ranks:
        assert found["several"] == [
            {"v/dataloader_idx_0": 0.0, "shared": shared},
            {"v/dataloader_idx_1": 3.5, "shared": shared},
            {"v/dataloader_idx_2": 0.0, "shared": shared},
        ]


def test_row_75_rank_zero_only_values_are_those_of_the_first_process(ranks: list[dict[Any, Any]]) -> None:
    assert ranks[0]["shown 7"]["first"] == 1.0
    assert "first" not in ranks[1]["shown 7"]


def test_a_name_that_one_process_lacks_is_an_error_on_all(ranks: list[dict[Any, Any]]) -> None:
    for found in ranks:
        assert "Process 0 did not log" in found["error"]
        assert "'uneven'" in found["error"]
