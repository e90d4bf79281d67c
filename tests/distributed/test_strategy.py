"""DDP between two real processes that talk over gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

SCRIPT = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from leyden.runtime.resolve import resolve

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2, momentum=1.0)

    def training_step(self, batch, batch_idx):
        return {"loss": self.norm(self.layer(batch)).pow(3).mean() + self.layer(batch).pow(2).mean()}

    def validation_step(self, batch):
        return self.norm(self.layer(batch))


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.always, self.rank_one, self.never = (nn.Parameter(torch.ones(1)) for _ in range(3))

    def training_step(self, rank):
        return self.always * (1 + 2 * rank) + (self.rank_one * 4 if rank else 0)


def grads(module):
    return {name: None if p.grad is None else p.grad.clone() for name, p in module.named_parameters()}


strategy = resolve(accelerator="cpu", devices=2, strategy="ddp").strategy
strategy.setup_environment()
strategy.setup_environment()
rank = strategy.global_rank
out = {"rank": rank, "world_size": strategy.world_size, "is_global_zero": strategy.is_global_zero}

# Automatic: every rank starts from other weights and sees another batch.
torch.manual_seed(rank)
net = Net()
batches = torch.randn(2, 5, 3)
assert strategy.model_to_device(net) is net
strategy.wrap(net)
out["state"] = {name: value.clone() for name, value in net.state_dict().items()}
out["batches"] = batches
step = strategy.step("training_step")
step(batches[0], batch_idx=0)["loss"].backward()
out["averaged"] = grads(net)
net.zero_grad()
with strategy.block_backward_sync():
    step(batches[0], 0)["loss"].backward()
out["local"] = grads(net)
step(batches[1], 1)["loss"].backward()
out["accumulated"] = grads(net)
out["buffers_before"] = net.norm.running_mean.clone()
strategy.sync_buffers()
out["buffers_after"] = net.norm.running_mean.clone()
net.eval()
if rank == 0:  # a rank may evaluate while the other has nothing left
    strategy.step("validation_step")(batches[0])
strategy.teardown()

# Manual and unused parameters.
branches = strategy.model_to_device(Branches())
with torch.no_grad():
    branches.always += rank
strategy.wrap(branches, manual=True)
out["manual_start"] = branches.always.detach().clone()
for _ in range(2):
    strategy.step("training_step")(rank).backward()
    strategy.reduce_gradients()
out["manual"] = grads(branches)
strategy.teardown()
unused = resolve(accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true").strategy
unused.setup_environment()
branches = unused.model_to_device(Branches())
unused.wrap(branches)
unused.step("training_step")(rank).backward()
out["unused"] = grads(branches)
unused.teardown()

# Collectives.
value = torch.tensor([1.0 + rank, 4.0 - rank])
for op in ("mean", "sum", "min", "max", dist.ReduceOp.SUM):
    out[f"reduce {op}"] = strategy.reduce(value, reduce_op=op)
out["reduce int"] = strategy.reduce(torch.tensor(rank))
out["reduce text"] = strategy.reduce("text")
out["unchanged"] = value
try:
    strategy.reduce(value, reduce_op="maximum")
except ValueError as error:
    out["reduce error"] = str(error)
with torch.inference_mode():
    out["inference"] = strategy.reduce(torch.ones(1), reduce_op="sum") + strategy.all_gather(torch.ones(1)).sum()
leaf = torch.tensor([1.0 + rank], requires_grad=True)
gathered = strategy.all_gather(leaf, sync_grads=True)
(gathered.flatten() * torch.tensor([2.0, 3.0])).sum().backward()
out["gathered"], out["gathered grad"] = gathered.detach(), leaf.grad
out["gathered plain"] = strategy.all_gather(leaf).requires_grad
out["gathered scalar"] = strategy.all_gather(torch.tensor(rank))
out["gathered strided"] = strategy.all_gather(torch.arange(4).reshape(2, 2).T + rank)
out["broadcast"] = strategy.broadcast({"rank": rank, "tensor": value}, src=1)
out["decisions"] = [
    strategy.reduce_boolean_decision(mine, all=every) for mine in (True, rank == 0, False) for every in (True, False)
]
strategy.barrier("end")
torch.save(out, f"{sys.argv[1]}/{rank}.pt")
"""


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ddp")
    (folder / "script.py").write_text(SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(folder / "script.py"), str(folder)],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    assert errors == ["", ""]  # no warning about a process group left open, either
    return [torch.load(Path(folder, f"{rank}.pt"), weights_only=True) for rank in range(2)]


class Net(nn.Module):
    """The script's module, to compute by hand what it should have found."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2, momentum=1.0)
        self.load_state_dict(state)

    def gradients(self, *batches: torch.Tensor) -> dict[str, torch.Tensor]:
        for batch in batches:
            (self.norm(self.layer(batch)).pow(3).mean() + self.layer(batch).pow(2).mean()).backward()
        return {
            name: parameter.grad.clone() for name, parameter in self.named_parameters() if parameter.grad is not None
        }


def average(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: (left[name] + right[name]) / 2 for name in left}


def test_ranks_start_from_the_weights_of_rank_zero(ranks: list[dict[str, Any]]) -> None:
    torch.testing.assert_close(ranks[0]["state"], ranks[1]["state"], rtol=0, atol=0)
    assert [(one["rank"], one["world_size"], one["is_global_zero"]) for one in ranks] == [(0, 2, True), (1, 2, False)]


def test_names_in_the_state_dict_are_the_modules_own(ranks: list[dict[str, Any]]) -> None:
    assert list(ranks[0]["state"])[:3] == ["layer.weight", "layer.bias", "norm.weight"]


def test_gradients_are_the_average_over_ranks(ranks: list[dict[str, Any]]) -> None:
    parts = [Net(one["state"]).gradients(one["batches"][0]) for one in ranks]
    for one in ranks:
        torch.testing.assert_close(one["averaged"], average(*parts))


def test_row_111_accumulation_keeps_gradients_local_until_the_last_backward(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        torch.testing.assert_close(one["local"], Net(one["state"]).gradients(one["batches"][0]))
    parts = [Net(one["state"]).gradients(*one["batches"]) for one in ranks]
    for one in ranks:
        torch.testing.assert_close(one["accumulated"], average(*parts))


def test_evaluation_sees_the_buffers_of_rank_zero(ranks: list[dict[str, Any]]) -> None:
    assert not torch.equal(ranks[0]["buffers_before"], ranks[1]["buffers_before"])
    for one in ranks:
        assert torch.equal(one["buffers_after"], ranks[0]["buffers_before"])


def test_manual_gradients_are_averaged_where_any_rank_has_one(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["manual_start"].item() == 1.0
        assert (one["manual"]["always"].item(), one["manual"]["rank_one"].item()) == (4.0, 4.0)
        assert one["manual"]["never"] is None


def test_unused_parameters(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert (one["unused"]["always"].item(), one["unused"]["rank_one"].item()) == (2.0, 2.0)


def test_reduce(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["reduce mean"].tolist() == [1.5, 3.5]
        assert one["reduce sum"].tolist() == one["reduce RedOpType.SUM"].tolist() == [3.0, 7.0]
        assert (one["reduce min"].tolist(), one["reduce max"].tolist()) == ([1.0, 3.0], [2.0, 4.0])
        assert (one["reduce int"].item(), one["reduce text"], one["inference"].item()) == (0.5, "text", 4.0)
        assert one["unchanged"].tolist() == [1.0 + one["rank"], 4.0 - one["rank"]]
        assert "`reduce_op` got 'maximum'" in one["reduce error"] and "Did you mean 'max'" in one["reduce error"]


def test_all_gather_and_its_gradient(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["gathered"].tolist() == [[1.0], [2.0]]
        assert one["gathered grad"].tolist() == [[4.0], [6.0]][one["rank"]]  # both ranks used both slices
        assert one["gathered plain"] is False
        assert one["gathered scalar"].tolist() == [0, 1]
        assert one["gathered strided"].tolist() == [[[0, 2], [1, 3]], [[1, 3], [2, 4]]]


def test_broadcast_and_decisions(ranks: list[dict[str, Any]]) -> None:
    for one in ranks:
        assert one["broadcast"]["rank"] == 1 and one["broadcast"]["tensor"].tolist() == [2.0, 3.0]
        assert one["decisions"] == [True, True, False, True, False, False]
