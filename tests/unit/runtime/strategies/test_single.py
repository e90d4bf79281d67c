from __future__ import annotations

import pytest
import torch
from torch import nn

from leyden.errors import MisconfigurationException
from leyden.runtime.environments import LightningEnvironment
from leyden.runtime.strategies.single import SingleDeviceStrategy


class Module(nn.Module):
    def training_step(self, batch: int) -> int:
        return batch + 1


def test_nothing_stands_between_the_loop_and_the_module() -> None:
    strategy = SingleDeviceStrategy()
    strategy.configure([torch.device("cpu")], LightningEnvironment(), 1)
    strategy.setup_environment()
    module = Module()
    assert strategy.model_to_device(module) is module
    assert strategy.wrap(module) is module
    assert strategy.step("training_step") == module.training_step
    with strategy.block_backward_sync():
        strategy.reduce_gradients()
        strategy.sync_buffers()
    strategy.teardown()
    assert strategy.module is None


def test_a_world_of_one() -> None:
    strategy = SingleDeviceStrategy("cpu")
    value = torch.ones(2)
    assert strategy.is_global_zero and not strategy.is_distributed and strategy.world_size == 1
    assert strategy.distributed_sampler_kwargs == {"num_replicas": 1, "rank": 0}
    assert strategy.reduce(value) is value and strategy.all_gather(value) is value
    assert strategy.broadcast({"a": 1}) == {"a": 1}
    assert strategy.reduce_boolean_decision(True) and not strategy.reduce_boolean_decision(False, all=False)
    strategy.barrier("end")


def test_the_device_moves_the_module() -> None:
    strategy = SingleDeviceStrategy("meta")
    strategy.configure([torch.device("cpu")], LightningEnvironment(), 1)
    assert strategy.root_device.type == "meta"
    assert strategy.model_to_device(nn.Linear(1, 1)).weight.device.type == "meta"


def test_more_than_one_device_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="`strategy` got .* Fix: write strategy='ddp'"):
        SingleDeviceStrategy().configure([torch.device("cpu")] * 2, LightningEnvironment(), 1)
