"""Fabric over two real processes that talk over gloo, beside DistributedDataParallel by hand."""

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
import copy
import sys
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from leyden import Fabric

warnings.simplefilter("error")
torch.set_num_threads(1)
folder = sys.argv[1]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.layer(x)).square().mean()

    def training_step(self, x):
        return self(x)

    def score(self, x):
        return self.norm(self.layer(x)).pow(3).mean()

    def size(self):
        return 2


class Program(Fabric):
    def run(self, a):
        return [a, self.global_rank]


fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
out = {"before": []}
model = Net()
for early in (
    lambda: fabric.setup(model), lambda: fabric.setup_optimizers(torch.optim.SGD(model.parameters())),
    lambda: fabric.setup_dataloaders([1]), fabric.barrier, lambda: fabric.broadcast(1), lambda: fabric.all_gather(1),
    lambda: fabric.all_reduce(1), lambda: fabric.save(folder + "/x", {}), lambda: fabric.load(folder + "/x"),
):
    try:
        early()
    except RuntimeError as error:
        out["before"].append(str(error))
fabric.launch()
rank = fabric.global_rank
out |= {"rank": rank, "ranks": [fabric.local_rank, fabric.node_rank, fabric.world_size, fabric.is_global_zero]}

# A loop of one's own beside the same loop by hand; every rank starts from other weights.
torch.manual_seed(rank)
mine, own = Net(), Net()
data = TensorDataset(torch.randn(21, 3, generator=torch.Generator().manual_seed(1)))
own.load_state_dict(mine.state_dict())
by_hand = nn.parallel.DistributedDataParallel(own)
sampler = DistributedSampler(data, 2, rank, shuffle=True, seed=0)
optimizer = torch.optim.Adam(own.parameters(), lr=0.01)
for epoch in range(2):
    sampler.set_epoch(epoch)
    for (batch,) in DataLoader(data, batch_size=4, sampler=sampler):
        optimizer.zero_grad()
        by_hand(batch).backward()
        optimizer.step()
out["by hand"] = copy.deepcopy(own.state_dict())

model, optimizer = fabric.setup(mine, torch.optim.Adam(mine.parameters(), lr=0.01))
loader = fabric.setup_dataloaders(DataLoader(data, batch_size=4, shuffle=True))
out["batches"], out["seen"] = len(loader), []
for epoch in range(2):
    for (batch,) in loader:
        out["seen"] += [batch]
        optimizer.zero_grad()
        fabric.backward(model(batch) if epoch else model.training_step(batch))
        optimizer.step()
out["fabric"] = copy.deepcopy(model.state_dict())

# Files: one process writes, all read.
fabric.save(folder + "/all.ckpt", {"model": model, "rank": rank})
out["loaded"] = fabric.load(folder + "/all.ckpt")

# Accumulation, methods, evaluation loaders.
def gradients():
    return mine.layer.weight.grad.clone()

batch = torch.randn(4, 3)
optimizer.zero_grad()
with fabric.no_backward_sync(model):
    fabric.backward(model(batch))
out["local"] = gradients()
with fabric.no_backward_sync(model, enabled=False):
    fabric.backward(model(batch))
out["synced"] = gradients()
out["size"] = model.size()
try:
    model.score(batch)
except RuntimeError as error:
    out["unmarked"] = str(error)
model.mark_forward_method(model.score)
optimizer.zero_grad()
fabric.backward(model.score(batch))
out["marked"] = gradients()
first = fabric.setup_dataloaders(DataLoader(data, batch_size=4), use_distributed_sampler=False)
out["whole"] = torch.cat([batch for (batch,) in first])

# A compiled module.
compiled = torch.compile(Net(), backend="eager")
for reapply in (True, False):
    wrapped = fabric.setup(compiled, _reapply_compile=reapply)
    wrapped.zero_grad()
    fabric.backward(wrapped(torch.ones(4, 3) * (1 + rank) + torch.arange(4.0).unsqueeze(1)))
    out[f"compiled {reapply}"] = [list(wrapped.state_dict())[0], wrapped.layer.bias.grad.clone()]

# Collectives.
out["gathered"] = fabric.all_gather({"x": torch.tensor([rank]), "n": rank, "name": "a"})
out["reduced"] = fabric.all_reduce([torch.tensor(1.0 + rank), rank])
out["summed"] = fabric.all_reduce(rank + 1, reduce_op="sum")
out["broadcast"] = fabric.broadcast({"rank": rank}, src=1)
with fabric.rank_zero_first():
    out["first"] = rank == 0 or open(folder + "/written").read()
    open(folder + "/written", "w").write("by rank 0")
fabric.barrier("end")
fabric.print("said once")
out["run"] = Program(accelerator="cpu", devices=2, strategy="ddp").run(3)
torch.save(out, f"{folder}/{rank}.pt")
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("fabric")
    (folder / "script.py").write_text(SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(folder / "script.py"), str(folder)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        streams = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors for _, errors in streams)
    assert [output for output, _ in streams] == ["said once\n", ""]
    return [torch.load(Path(folder, f"{rank}.pt"), weights_only=True) for rank in range(2)]


def test_nothing_works_before_launch(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert len(one["before"]) == 9
        assert set(one["before"]) == {"With 2 processes call `fabric.launch()` first, after Fabric(...)."}


def test_each_process_knows_its_place(ranks: list[dict[str, Any]]) -> None:
    assert [one["rank"] for one in ranks] == [0, 1]
    assert [one["ranks"] for one in ranks] == [[0, 0, 2, True], [1, 0, 2, False]]


def test_a_loop_equals_ddp_by_hand_bit_for_bit(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert list(one["fabric"]) == list(one["by hand"])
        # The running statistics are each process's own.
        assert all(torch.equal(one["fabric"][name], one["by hand"][name]) for name in one["by hand"])
    for name in ("layer.weight", "norm.weight"):
        assert torch.equal(ranks[0]["fabric"][name], ranks[1]["fabric"][name])


def test_each_process_sees_its_share_in_another_order_each_epoch(ranks: list[dict[str, Any]]) -> None:
    assert [one["batches"] for one in ranks] == [3, 3]
    epochs = [[torch.cat(one["seen"][start : start + 3]) for one in ranks] for start in (0, 3)]
    for shares in epochs:
        assert [len(share) for share in shares] == [11, 11]  # 21 samples: one is seen twice
        assert len({tuple(row) for share in shares for row in share.tolist()}) == 21
    assert not torch.equal(epochs[0][0], epochs[1][0])
    assert all(len(one["whole"]) == 21 for one in ranks)


def test_one_process_writes_and_all_read(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["loaded"]["rank"] == 0
        assert torch.equal(one["loaded"]["model"]["layer.weight"], one["fabric"]["layer.weight"])


def test_no_backward_sync_leaves_gradients_local(ranks: list[dict[str, Any]]) -> None:
    assert not torch.equal(ranks[0]["local"], ranks[1]["local"])
    assert torch.equal(ranks[0]["synced"], ranks[1]["synced"])


def test_marked_methods_exchange_gradients_and_unmarked_ones_are_refused(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["size"] == 2
        assert one["unmarked"].startswith("`Net.score()` makes a forward pass that the strategy does not see")
        assert "Fix: model.mark_forward_method('score')" in one["unmarked"]
    assert torch.equal(ranks[0]["marked"], ranks[1]["marked"])


@pytest.mark.parametrize("reapply", [True, False])
def test_a_compiled_module_keeps_names_and_exchanges_gradients(ranks: list[dict[str, Any]], reapply: bool) -> None:
    names, gradients = zip(*(one[f"compiled {reapply}"] for one in ranks), strict=True)
    assert set(names) == {"layer.weight"}
    assert torch.equal(*gradients)


def test_collectives(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["gathered"]["x"].tolist() == [[0], [1]]
        assert one["gathered"]["n"].tolist() == [0, 1]
        assert one["gathered"]["name"] == "a"
        assert [value.item() for value in one["reduced"]] == [1.5, 0.5]
        assert one["summed"].item() == 3
        assert one["broadcast"] == {"rank": 1}


def test_rank_zero_runs_a_block_first(ranks: list[dict[str, Any]]) -> None:
    assert [one["first"] for one in ranks] == [True, "by rank 0"]


def test_a_program_as_a_method(ranks: list[dict[str, Any]]) -> None:
    assert [one["run"] for one in ranks] == [[3, 0], [3, 1]]
