"""Callbacks that change training, over two real processes that talk over gloo."""

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
from leyden.callbacks import BackboneFinetuning, EMAWeightAveraging, ModelPruning, StochasticWeightAveraging

warnings.simplefilter("error")
torch.set_num_threads(1)
folder, devices = sys.argv[1], int(sys.argv[2])


class Net(pl.LightningModule):
    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(3)
        self.backbone = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3) if norm else torch.nn.Tanh())
        self.layer = torch.nn.Linear(3, 1)
        self.validated = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.mse_loss(self.layer(self.backbone(x)), y)

    def validation_step(self, batch, batch_idx):
        self.validated.append([tensor.clone() for tensor in self.state_dict().values()])

    def configure_optimizers(self):
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.1, momentum=0.9)


generator = torch.Generator().manual_seed(5)
x = torch.randn(16, 3, generator=generator)
data = TensorDataset(x, x.sum(1, keepdim=True))
SCENARIOS = {
    "backbone": (False, lambda: BackboneFinetuning(1)),
    "moving average": (True, lambda: EMAWeightAveraging(decay=0.5)),
    "stochastic": (True, lambda: StochasticWeightAveraging(0.05, 1)),
    "pruning": (False, lambda: ModelPruning("random_unstructured", amount=3, resample_parameters=True)),
}
results = {}
for name, (norm, make) in SCENARIOS.items():
    module = Net(norm)
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", logger=False,
        default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        callbacks=[make()],
    )
    loader = DataLoader(data, batch_size=8 // devices)
    torch.manual_seed(trainer.global_rank)
    trainer.fit(module, loader, loader)
    results[name] = module.state_dict(), module.validated[-1]
torch.save(results, f"{folder}/rank{trainer.global_rank}.pt")
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def run(folder: Path, devices: int) -> list[dict[str, Any]]:
    """Run the script under torchrun's variables; return what each process saved."""
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if devices > 1:
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(devices)}
        environment |= {"LOCAL_WORLD_SIZE": str(devices), "TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0"}
    command = [sys.executable, str(folder / "script.py"), str(folder), str(devices)]
    ranks = [environment | ({"RANK": str(r), "LOCAL_RANK": str(r)} if devices > 1 else {}) for r in range(devices)]
    processes = [subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) for env in ranks]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * devices, "\n".join(errors)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(devices)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("training_callbacks")
    return run(folder / "one", 1)[0], run(folder / "two", 2)


def test_an_unfrozen_backbone_gets_the_gradients_of_all_processes(results):
    alone, both = results[0]["backbone"][0], [rank["backbone"][0] for rank in results[1]]
    for name, tensor in alone.items():
        torch.testing.assert_close(both[0][name], tensor)
        assert torch.equal(both[0][name], both[1][name])


@pytest.mark.parametrize("name", ["moving average", "stochastic", "pruning"])
def test_every_process_validates_and_ends_with_the_same_weights(name, results):
    one, other = (rank[name] for rank in results[1])
    assert all(map(torch.equal, one[1], other[1]))
    for key, tensor in one[0].items():
        if "running" not in key:  # each process has its own statistics; those of the first one are saved
            assert torch.equal(tensor, other[0][key]), key


def test_weights_pruned_at_random_are_the_same_ones(results):
    one, other = (rank["pruning"][0] for rank in results[1])
    zeros = [int(sum((tensor == 0).sum() for tensor in state.values())) for state in (one, other)]
    assert zeros == [9, 9]
