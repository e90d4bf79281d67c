"""A signal that reaches one process ends all of them at the same step, with a checkpoint that continues exactly."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

SCRIPT = """
import os
import signal
import sys

import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

torch.set_num_threads(1)
folder, stop_at, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3] or None


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.dropout = torch.nn.Linear(3, 1), torch.nn.Dropout(0.5)

    def training_step(self, batch, batch_idx):
        if stop_at == self.global_step and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return self.layer(self.dropout(batch[0])).square().mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)


pl.seed_everything(1, verbose=False)
data = TensorDataset(torch.randn(160, 3))
module = Net()
trainer = pl.Trainer(
    max_epochs=2, accelerator="cpu", devices=2, strategy="ddp", default_root_dir=folder, logger=False,
    enable_progress_bar=False, enable_model_summary=False, callbacks=[pl.callbacks.ModelCheckpoint(folder + "/saved")],
)
trainer.fit(module, DataLoader(data, batch_size=2, shuffle=True), ckpt_path=resume)
torch.save((module.state_dict(), trainer.global_step), f"{folder}/rank-{trainer.global_rank}.pt")
"""


def run(folder: Path, stop_at: int, resume: str = "") -> list[int]:
    """Run two processes; return their exit codes."""
    (folder / "script.py").write_text(SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    shared |= {"GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(folder / "script.py"), str(folder), str(stop_at), resume]
    processes = [
        subprocess.Popen(command, env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, cwd=folder)
        for rank in range(2)
    ]
    return [process.wait(timeout=90) for process in processes]


def weights(folder: Path) -> Any:
    return [torch.load(folder / f"rank-{rank}.pt") for rank in range(2)]


def test_a_signal_to_one_process_stops_both_and_the_run_continues_exactly(tmp_path: Path) -> None:
    calm, stopped = tmp_path / "calm", tmp_path / "stopped"
    calm.mkdir()
    stopped.mkdir()
    assert run(calm, stop_at=-1) == [0, 0]
    assert run(stopped, stop_at=5) == [143, 143]
    saved = stopped / "saved" / "interrupted.ckpt"
    assert torch.load(saved, weights_only=True)["global_step"] == 16
    assert run(stopped, stop_at=-1, resume=str(saved)) == [0, 0]
    for (calm_weights, calm_steps), (resumed_weights, steps) in zip(weights(calm), weights(stopped), strict=True):
        assert steps == calm_steps == 80
        for name, weight in calm_weights.items():
            assert torch.equal(weight, resumed_weights[name])
