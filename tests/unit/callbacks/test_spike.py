"""Spike detection: what is a spike, what is written, and how a run ends."""

from __future__ import annotations

import json
import math
import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, fit, loader, trainer
from leyden.callbacks.spike import FabricSpikeDetection, SpikeDetection, SpikeTracker, TrainingSpikeException
from leyden.engine.nonfinite import NonFiniteLossError


class Losses(Regression):
    """Has the losses of a list, whatever the weights are."""

    def __init__(self, *losses: float) -> None:
        super().__init__()
        self.losses = losses

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch, batch_idx) * 0 + self.losses[batch_idx]


def spikes(losses: list[float], **arguments: Any) -> list[int]:
    tracker = SpikeTracker(**arguments)
    return [index for index, loss in enumerate(losses) if tracker.is_spike(loss)]


@pytest.mark.parametrize(
    ("losses", "arguments", "found"),
    [
        ([2.0, 2.0, 5.9], {}, []),  # less than 2.0 times the mean away
        ([2.0, 2.0, 6.0], {}, [2]),
        ([2.0, 2.0, -9.0], {}, []),  # better is no spike
        ([2.0, 2.0, -2.0], {"mode": "max"}, [2]),
        ([-2.0, -2.0, 2.0], {}, [2]),
        ([2.0, 2.0, 4.0], {"rtol": None, "atol": 2.0}, [2]),
        ([2.0, 2.0, 3.9], {"rtol": None, "atol": 2.0}, []),
        ([2.0, 2.0, 4.0], {"atol": 2.0}, []),  # both tolerances count
        ([2.0, 2.0, 2.1], {"rtol": None}, [2]),
        ([10.0, 12.0, 14.0, 18.0], {"rtol": 0.5}, [3]),  # the mean of all
        ([10.0, 12.0, 14.0, 18.0], {"rtol": 0.5, "window": 2}, []),  # the mean of the last two is 13
        ([1.0, 1.0, 9.0, 1.0, 9.0], {}, [2, 4]),  # a spike does not enter the mean
        ([1.0, 100.0], {"warmup": 2}, []),
        ([1.0, 100.0], {"warmup": 1}, [1]),
        ([1.0, math.nan, math.inf], {}, [1, 2]),
        ([1.0, math.nan, math.inf, 1.0, 5.0], {"finite_only": False}, [4]),
        ([math.nan, 1.0], {}, []),  # the first batch is for warming up
    ],
)
def test_what_is_a_spike(losses, arguments, found) -> None:
    assert spikes(losses, **arguments) == found


def test_a_run_ends_and_the_batches_are_written() -> None:
    callback = SpikeDetection()
    with pytest.raises(TrainingSpikeException, match="batch 2") as caught:
        fit(Losses(1.0, 1.0, 50.0, 1.0), callbacks=[callback])
    assert caught.value.batch_idx == 2
    assert isinstance(caught.value, RuntimeError)
    with open("skip_batches.json") as file:
        assert json.load(file) == [1, 2]
    assert callback.bad_batches == [1, 2]


def test_a_run_without_spikes_writes_nothing() -> None:
    fit(Losses(1.0, 1.2, 1.1, 0.9), callbacks=[SpikeDetection()])
    assert os.listdir() == []


@pytest.mark.parametrize(("given", "path"), [("x/y.json", "x/y.json"), ("folder", "folder/skip_batches.json")])
def test_where_the_batches_are_written(given, path) -> None:
    with pytest.raises(TrainingSpikeException):
        fit(Losses(1.0, 9.0, 1.0, 1.0), callbacks=[SpikeDetection(exclude_batches_path=given)])
    assert os.path.exists(path)


def test_a_loss_that_is_not_finite_is_a_spike_and_not_the_trainer_s_error() -> None:
    callback = SpikeDetection()
    made = trainer(callbacks=[callback])
    with pytest.raises(TrainingSpikeException, match="batch 3"):
        made.fit(Losses(1.0, 1.0, 1.0, math.nan), loader())
    made.callbacks.remove(callback)  # without it, the Trainer judges again
    made.fit_loop.max_epochs = 2
    with pytest.raises(NonFiniteLossError):
        made.fit(Losses(1.0, 1.0, 1.0, math.nan), loader())


def test_it_may_leave_them_to_the_trainer() -> None:
    with pytest.raises(NonFiniteLossError):
        fit(Losses(1.0, math.nan, 1.0, 1.0), callbacks=[SpikeDetection(finite_only=False)])


def test_steps_without_a_loss_are_passed_over() -> None:
    class Manual(Losses):
        def __init__(self) -> None:
            super().__init__(1.0, 50.0, 1.0, 1.0)
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.optimizers().step()
            return None

    fit(Manual(), callbacks=[SpikeDetection()])


def test_state_continues_the_mean_and_the_list() -> None:
    first, second = SpikeDetection(warmup=2), SpikeDetection(warmup=2)
    for loss in (1.0, 1.0, 1.0):
        first.is_spike(loss)
    first.note(2, write=False)
    second.load_state_dict(first.state_dict())
    assert second.is_spike(5.0)
    assert second.bad_batches == [1, 2]
    second.note(3, write=False)
    assert second.bad_batches == [1, 2, 3]


def test_it_is_saved_in_checkpoints() -> None:
    made = fit(Losses(1.0, 1.0, 1.0, 1.0), callbacks=[SpikeDetection()])
    made.save_checkpoint("a.ckpt")
    state = torch.load("a.ckpt", weights_only=True)["callbacks"]["SpikeDetection"]
    assert state["losses"] == [1.0] * 4
    assert state["last_val"] == 1.0


def test_with_fabric() -> None:
    fabric = SimpleNamespace(world_size=1, is_global_zero=True)
    detection = FabricSpikeDetection()
    assert not isinstance(detection, pl.Callback)
    detection.on_train_batch_end(fabric, torch.tensor(1.0, requires_grad=True), None, 0)
    with pytest.raises(TrainingSpikeException):
        detection.on_train_batch_end(fabric=fabric, loss=torch.tensor(9.0), batch=None, batch_idx=1)
    assert os.path.exists("skip_batches.json")


@pytest.mark.parametrize(
    "wrong", [{"mode": "mix"}, {"window": 0}, {"window": 1.5}, {"warmup": -1}, {"atol": -1}, {"rtol": math.nan}]
)
def test_wrong_arguments_are_named(wrong) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` got"):
        SpikeDetection(**wrong)
