from __future__ import annotations

from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
from torch import nn

from leyden.legacy.utilities.layer_sync import TorchSyncBatchNorm
from leyden.runtime.environments import LightningEnvironment
from leyden.runtime.strategies.ddp import DDPStrategy, destroy_process_group


def test_arguments_that_ddp_does_not_have() -> None:
    with pytest.raises(TypeError, match="'find_unused_parameter'. Did you mean 'find_unused_parameters'"):
        DDPStrategy(find_unused_parameter=True)
    with pytest.raises(TypeError, match="'device_ids'"):
        DDPStrategy(device_ids=[0])


def test_mps_has_no_ddp() -> None:
    with pytest.raises(ValueError, match="`strategy` got 'ddp'"):
        DDPStrategy().configure([torch.device("mps", 0)], LightningEnvironment(), 1)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).sum()


def test_one_process_trains_without_a_launcher() -> None:
    strategy = DDPStrategy()
    strategy.configure([torch.device("cpu")], LightningEnvironment(), 1)
    strategy.setup_environment()
    try:
        net = Net()
        strategy.model_to_device(net)
        strategy.wrap(net)
        strategy.step("training_step")(torch.ones(3, 2)).backward()
        assert net.layer.weight.grad is not None and net.layer.weight.grad.tolist() == [[3.0, 3.0]]
        assert strategy.all_gather(torch.ones(1)).shape == (1,)
        assert strategy.broadcast([1]) == [1] and strategy.reduce(torch.ones(1)).item() == 1.0
        strategy.barrier()
        strategy.teardown()
        assert dist.is_initialized() and strategy.module is None  # later runs of the program use the group again
    finally:
        destroy_process_group()
    assert not dist.is_initialized()


def test_what_reaches_torch() -> None:
    strategy = DDPStrategy(process_group_backend="gloo", timeout=timedelta(seconds=30), static_graph=True)
    strategy.configure([torch.device("cpu")], LightningEnvironment(), 1)
    strategy.setup_environment()
    try:
        assert dist.get_backend() == "gloo"
        wrapped = strategy.wrap(strategy.model_to_device(Net()))
        assert isinstance(wrapped, nn.parallel.DistributedDataParallel)
        assert (wrapped.static_graph, wrapped.find_unused_parameters) == (True, False)
    finally:
        destroy_process_group()


def test_synchronised_batchnorm_takes_the_place_of_batchnorm() -> None:
    strategy = DDPStrategy()
    strategy.layer_sync = TorchSyncBatchNorm()
    strategy.configure([torch.device("cpu")], LightningEnvironment(), 1)
    strategy.setup_environment()
    try:
        net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        strategy.wrap(strategy.model_to_device(net), manual=True)  # DDP itself takes it on GPUs only
        assert isinstance(net[1], nn.SyncBatchNorm)
        strategy.teardown()
        assert isinstance(net[1], nn.BatchNorm1d)
    finally:
        destroy_process_group()


def test_a_frozen_module_needs_no_gradient_averaging() -> None:
    strategy = DDPStrategy()
    strategy.configure([torch.device("cpu")], LightningEnvironment(), 1)
    strategy.setup_environment()
    try:
        net = Net().requires_grad_(False)
        assert strategy.model_to_device(net) is strategy.wrap(net)
        with strategy.block_backward_sync():
            assert strategy.step("training_step")(torch.zeros(1, 2)).requires_grad is False
    finally:
        destroy_process_group()
