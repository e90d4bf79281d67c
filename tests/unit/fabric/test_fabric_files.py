"""What Fabric saves and loads."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

import leyden as pl
from leyden.errors import CheckpointError


@pytest.fixture
def fabric():
    return pl.Fabric(accelerator="cpu", devices=1)


@pytest.fixture
def trained(fabric):
    model = nn.Linear(2, 1)
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters()))
    fabric.backward(model(torch.ones(3, 2)).sum())
    optimizer.step()
    return {"model": model, "optimizer": optimizer, "step": 3, "config": {"lr": 0.1}, "mean": torch.ones(2)}


class Counter:
    def __init__(self, value):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def test_a_file_holds_state_dicts_and_plain_values(fabric, trained):
    fabric.save("deep/in/all.ckpt", trained | {"raw": trained["model"].module, "counter": Counter(5)})
    held = torch.load("deep/in/all.ckpt", weights_only=True)
    assert list(held) == ["model", "optimizer", "step", "config", "mean", "raw", "counter"]
    assert list(held["model"]) == list(held["raw"]) == ["weight", "bias"]
    assert torch.equal(held["model"]["weight"], trained["model"].weight)
    assert held["optimizer"]["state"][0]["step"].item() == 1
    assert (held["step"], held["config"], held["counter"]) == (3, {"lr": 0.1}, {"value": 5})


def test_load_restores_in_place_and_returns_the_rest(fabric, trained):
    fabric.save("all.ckpt", trained | {"counter": Counter(5)})
    model = nn.Linear(2, 1)
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters()))
    counter = Counter(0)
    state = {"model": model, "optimizer": optimizer, "step": 0, "counter": counter}
    assert list(fabric.load("all.ckpt", state)) == ["config", "mean"]
    assert torch.equal(model.weight, trained["model"].weight)
    assert optimizer.state_dict()["state"][0]["step"].item() == 1
    assert (state["step"], counter.value) == (3, 5)
    assert state["model"] is model


def test_load_without_a_state_returns_everything(fabric, trained):
    fabric.save("all.ckpt", trained)
    assert list(fabric.load("all.ckpt")) == list(fabric.load("all.ckpt", {})) == list(trained)


def test_a_name_that_the_file_lacks(fabric, trained):
    fabric.save("all.ckpt", trained)
    other = nn.Linear(2, 1)
    before = other.weight.detach().clone()
    with pytest.raises(KeyError, match=r"all.ckpt holds no 'stepp'. Did you mean 'step'\? Fix: strict=False"):
        fabric.load("all.ckpt", {"model": other, "stepp": 0})
    assert torch.equal(other.weight, before)
    state = {"model": other, "stepp": 0}
    assert "step" in fabric.load("all.ckpt", state, strict=False)
    assert state["stepp"] == 0
    assert torch.equal(other.weight, trained["model"].weight)


def test_weights_must_match_unless_not_strict(fabric, trained):
    fabric.save("all.ckpt", trained)
    with pytest.raises(RuntimeError, match="size mismatch"):
        fabric.load("all.ckpt", {"model": nn.Linear(3, 1)})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        fabric.load("all.ckpt", {"model": nn.Linear(2, 1, bias=False)})
    fabric.load("all.ckpt", {"model": nn.Linear(2, 1, bias=False)}, strict=False)


def test_a_filter_keeps_some_entries(fabric, trained):
    keep = {"model": lambda name, value: "bias" in name and value.numel() == 1, "config": lambda name, value: False}
    fabric.save("some.ckpt", trained, filter=keep)
    held = fabric.load("some.ckpt")
    assert list(held["model"]) == ["bias"]
    assert held["config"] == {}
    assert held["step"] == 3


@pytest.mark.parametrize(
    ("filter", "error", "message"),
    [
        ({"modle": lambda name, value: True}, ValueError, "`filter` has 'modle'.*Did you mean 'model'"),
        ({"model": 3}, TypeError, "`filter` got"),
        (lambda name, value: True, TypeError, "`filter` got"),
    ],
)
def test_wrong_filters(fabric, trained, filter, error, message):
    with pytest.raises(error, match=message):
        fabric.save("some.ckpt", trained, filter=filter)
    assert not Path("some.ckpt").exists()


def test_load_raw_reads_one_state_dict_of_any_program(fabric, trained):
    torch.save(nn.Linear(2, 1).state_dict(), "weights.pt")
    fabric.load_raw("weights.pt", trained["model"])
    assert torch.equal(trained["model"].weight, torch.load("weights.pt")["weight"])
    fabric.load_raw("weights.pt", nn.Linear(2, 1, bias=False), strict=False)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        fabric.load_raw("weights.pt", nn.Linear(2, 1, bias=False))
    torch.save(trained["optimizer"].state_dict(), "optimizer.pt")
    fabric.load_raw("optimizer.pt", trained["optimizer"])
    with pytest.raises(TypeError, match="`obj` got 3"):
        fabric.load_raw("weights.pt", 3)


class Command:
    def __reduce__(self):
        return print, ("ran",)


def test_no_code_in_a_file_runs_unless_asked_for(fabric, capsys):
    Path("evil.ckpt").write_bytes(pickle.dumps({"model": Command()}))
    torch.save({"model": Command()}, "evil.pt")
    for name in ("evil.ckpt", "evil.pt"):
        for weights_only in (None, True):
            with pytest.raises(CheckpointError, match="cannot be loaded"):
                fabric.load(name, weights_only=weights_only)
            with pytest.raises(CheckpointError, match="cannot be loaded"):
                fabric.load_raw(name, nn.Linear(1, 1), weights_only=weights_only)
    assert capsys.readouterr().out == ""
    fabric.load("evil.pt", weights_only=False)
    assert capsys.readouterr().out == "ran\n"


def test_what_only_free_unpickling_loads_is_told(fabric):
    with pytest.warns(UserWarning, match=r"checkpoint\['value'\] is a fractions.Fraction, which only"):
        fabric.save("all.ckpt", {"value": Fraction(1, 3)})
    with pytest.raises(CheckpointError, match="all.ckpt"):
        fabric.load("all.ckpt")
    assert fabric.load("all.ckpt", weights_only=False) == {"value": Fraction(1, 3)}


def test_a_damaged_file_is_refused(fabric, trained):
    fabric.save("all.ckpt", trained)
    content = bytearray(Path("all.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    Path("all.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        fabric.load("all.ckpt")


def test_a_plugin_reads_and_writes_instead():
    class Files:
        def __init__(self):
            self.held = {}

        def save_checkpoint(self, checkpoint, path, storage_options=None):
            self.held[path] = checkpoint

        def load_checkpoint(self, path, *args, **kwargs):
            return dict(self.held[path])

        def remove_checkpoint(self, path):
            del self.held[path]

    fabric = pl.Fabric(accelerator="cpu", devices=1, plugins=Files())
    fabric.save("here", {"step": 3})
    assert fabric.load("here") == {"step": 3}
    assert not Path("here").exists()
