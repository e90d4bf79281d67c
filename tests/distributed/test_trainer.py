"""The Trainer over two real processes that talk over gloo."""

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

warnings.simplefilter("error")
torch.set_num_threads(1)
folder, devices = sys.argv[1], int(sys.argv[2])


class Regression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        x, y, index = batch
        self.seen += index.tolist()
        loss = torch.nn.functional.mse_loss(self.layer(x), y)
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y, index = batch
        self.log("val_mean", index.float().mean())
        self.log("val_sum", float(len(index)), reduce_fx="sum")
        self.log("val_max", index.max().float(), reduce_fx="max")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


torch.manual_seed(3)
x = torch.randn(16, 3)
data = TensorDataset(x, x.sum(1, keepdim=True), torch.arange(16))
uneven = TensorDataset(x[:7], x[:7], torch.arange(7))
module = Regression()
wrapped = {"fit": 0, "validate": 0}


def count(inner, arguments):
    if isinstance(inner, torch.nn.parallel.DistributedDataParallel):
        wrapped[trainer.state.fn] += 1


torch.nn.modules.module.register_module_forward_pre_hook(count)
trainer = pl.Trainer(
    max_epochs=2, accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
)
trainer.fit(module, DataLoader(data, batch_size=8 // devices), DataLoader(uneven, batch_size=2))
metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
saved = str(trainer.checkpoint_callback.best_model_path)
trainer.validate(module, DataLoader(uneven, batch_size=2), verbose=False)
calls = dict(wrapped)

warnings.simplefilter("ignore")  # another version folder: ModelCheckpoint says what it does not restore
resumed = Regression()
again = pl.Trainer(
    max_epochs=3, accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
)
again.fit(resumed, DataLoader(data, batch_size=8 // devices), DataLoader(uneven, batch_size=2), ckpt_path=saved)
torch.manual_seed(5 + trainer.global_rank)  # a plain module, other weights on each rank at first
plain = torch.nn.Linear(3, 1)
supervised = pl.Trainer(
    max_epochs=1, accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", logger=False,
    default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
)
supervised.fit(plain, DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=8 // devices))

torch.save(
    {
        "plain": plain.state_dict(), "weights": module.state_dict(), "seen": module.seen, "metrics": metrics, "saved": saved,
        "calls": calls, "epochs": again.current_epoch, "steps": again.global_step, "resumed": resumed.state_dict(),
    },
    f"{folder}/rank-{trainer.global_rank}-of-{devices}.pt",
)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(folder: Path, devices: int) -> list[dict[str, Any]]:
    """Run the script on ``devices`` processes, as a launcher would start them; return what each saved."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(devices)}
    shared |= {"LOCAL_WORLD_SIZE": str(devices), "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "test"}
    processes = []
    for rank in range(devices):
        own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if devices > 1 else {}
        command = [sys.executable, str(script), str(folder), str(devices)]
        processes.append(subprocess.Popen(command, env=os.environ | own, stderr=subprocess.PIPE, text=True, cwd=folder))
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * devices, errors
    return [torch.load(folder / f"rank-{rank}-of-{devices}.pt") for rank in range(devices)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return run(tmp_path_factory.mktemp("one"), 1)[0], run(tmp_path_factory.mktemp("two"), 2)


def test_ranks_end_with_the_same_weights_as_one_process(results: Any) -> None:
    one, two = results
    for name, weight in one["weights"].items():
        assert torch.equal(two[0]["weights"][name], two[1]["weights"][name])
        torch.testing.assert_close(two[0]["weights"][name], weight, rtol=1e-5, atol=1e-6)


def test_row_110_the_wrapper_is_there_for_fit_only(results: Any) -> None:
    one, two = results
    assert one["calls"] == {"fit": 0, "validate": 0}
    assert [rank["calls"] for rank in two] == [{"fit": 4, "validate": 0}] * 2  # two epochs of two batches


def test_each_training_sample_is_seen_by_one_rank(results: Any) -> None:
    _, two = results
    for epoch in range(2):
        seen = [index for rank in two for index in rank["seen"][epoch * 8 : epoch * 8 + 8]]
        assert sorted(seen) == list(range(16))


def test_epoch_metrics_are_those_of_one_process_on_every_rank(results: Any) -> None:
    one, two = results
    assert one["metrics"]["val_sum"] == 7.0
    assert one["metrics"]["val_mean"] == 3.0
    for rank in two:
        assert rank["metrics"] == pytest.approx(one["metrics"], rel=1e-5)


def test_one_file_is_written_and_every_rank_resumes_from_it(results: Any) -> None:
    one, two = results
    assert two[0]["saved"] == two[1]["saved"]
    assert len(list(Path(two[0]["saved"]).parent.glob("*.ckpt"))) == 1
    for rank in two:
        assert (rank["epochs"], rank["steps"]) == (3, 6) == (one["epochs"], one["steps"])
        for name, weight in one["resumed"].items():
            torch.testing.assert_close(rank["resumed"][name], weight, rtol=1e-5, atol=1e-6)


def test_a_plain_module_is_synchronised_as_well(results: Any) -> None:
    one, two = results
    for name, weight in one["plain"].items():
        assert torch.equal(two[0]["plain"][name], two[1]["plain"][name])
        torch.testing.assert_close(two[0]["plain"][name], weight, rtol=1e-4, atol=1e-5)
