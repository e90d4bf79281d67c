from __future__ import annotations

from typing import Any

import pytest
import torch

from leyden.errors import ConfigurationErrors, MisconfigurationException
from leyden.runtime.accelerators import CPUAccelerator
from leyden.runtime.environments import LightningEnvironment, TorchElasticEnvironment
from leyden.runtime.precision import DoublePrecision, MixedPrecision
from leyden.runtime.resolve import CheckpointIO, resolve
from leyden.runtime.strategies.ddp import DDPStrategy
from leyden.runtime.strategies.single import SingleDeviceStrategy

CUDA = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*TorchElasticEnvironment.required, "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def launched(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    values = (rank, world_size, rank, "127.0.0.1", 29500)
    for name, value in zip(TorchElasticEnvironment.required, values, strict=True):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(world_size))


class IO:
    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None: ...
    def load_checkpoint(self, path: Any, map_location: Any = None) -> dict[str, Any]:
        return {}

    def remove_checkpoint(self, path: Any) -> None: ...


def test_one_cpu() -> None:
    runtime = resolve(accelerator="cpu")
    assert isinstance(runtime.accelerator, CPUAccelerator)
    assert isinstance(runtime.strategy, SingleDeviceStrategy)
    assert isinstance(runtime.environment, LightningEnvironment)
    assert (runtime.device_ids, runtime.num_devices, runtime.num_nodes) == ((0,), 1, 1)
    assert (runtime.precision.precision, runtime.checkpoint_io) == ("32-true", None)


@pytest.mark.skipif(CUDA or torch.backends.mps.is_available(), reason="has a GPU")
def test_auto_falls_to_the_cpu_and_gpu_does_not() -> None:
    assert resolve().accelerator.name == "cpu"
    for name in ("gpu", "cuda", "mps"):
        with pytest.raises(MisconfigurationException, match=f"`accelerator` got '{name}'"):
            resolve(accelerator=name)


@pytest.mark.parametrize(
    ("given", "name"),
    [(None, "32-true"), (32, "32-true"), ("32", "32-true"), (64, "64-true"), ("64", "64-true"), ("16-true", "16-true")]
    + [("bf16-true", "bf16-true"), ("bf16-mixed", "bf16-mixed"), ("64-true", "64-true")],
)
def test_precision_names(given: Any, name: str) -> None:
    assert resolve(accelerator="cpu", precision=given).precision.precision == name


@pytest.mark.parametrize(("given", "warnings"), [("bf16", 1), ("16-mixed", 1), (16, 2), ("16", 2)])
def test_16_bit_on_the_cpu_is_bfloat16_and_said_so(given: Any, warnings: int) -> None:
    with pytest.warns(UserWarning) as caught:
        precision = resolve(accelerator="cpu", precision=given).precision
    assert isinstance(precision, MixedPrecision) and precision.precision == "bf16-mixed" and precision.scaler is None
    assert len(caught) == warnings and all("precision=" in str(warning.message) for warning in caught)


def test_plugins_take_their_places() -> None:
    precision, checkpoint_io, environment = DoublePrecision(), IO(), LightningEnvironment()
    runtime = resolve(accelerator="cpu", plugins=[environment, precision, checkpoint_io])
    assert runtime.precision is precision and runtime.environment is environment
    assert isinstance(runtime.checkpoint_io, CheckpointIO) and runtime.checkpoint_io is checkpoint_io
    assert resolve(accelerator="cpu", plugins=precision).precision is precision


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"accelerator": "gppu"}, ValueError, "Did you mean 'gpu'"),
        ({"accelerator": None}, ValueError, "`accelerator` got None"),
        ({"accelerator": True}, ValueError, "`accelerator` got True"),
        ({"accelerator": "tpu"}, MisconfigurationException, "`accelerator` got 'tpu'"),
        ({"devices": None}, TypeError, "`devices` got None"),
        ({"devices": True}, TypeError, "`devices` got True"),
        ({"devices": 1.0}, TypeError, "`devices` got 1.0"),
        ({"devices": 0}, MisconfigurationException, "`devices` got 0"),
        ({"num_nodes": 0}, ValueError, "`num_nodes` got 0"),
        ({"num_nodes": "2"}, ValueError, "`num_nodes` got '2'"),
        ({"num_nodes": True}, ValueError, "`num_nodes` got True"),
        ({"strategy": "dpp"}, ValueError, "Did you mean 'ddp'"),
        ({"strategy": None}, ValueError, "`strategy` got None"),
        ({"strategy": "dp"}, ValueError, "`strategy` got 'dp'"),
        ({"strategy": "fsdp"}, ValueError, "This version does not have"),
        ({"strategy": "deepspeed_stage_2"}, ValueError, "This version does not have"),
        ({"strategy": "ddp_spawn"}, ValueError, "This version does not have"),
        ({"strategy": "single_device", "devices": 2}, MisconfigurationException, "`strategy` got"),
        ({"strategy": "ddp", "devices": 2}, MisconfigurationException, "torchrun --nproc-per-node=2"),
        ({"devices": 2}, MisconfigurationException, "torchrun --nproc-per-node=2"),
        ({"num_nodes": 2}, MisconfigurationException, "torchrun --nnodes=2 --nproc-per-node=1"),
        ({"precision": "fp15"}, ValueError, "`precision` got 'fp15'"),
        ({"precision": "bf16-mxied"}, ValueError, "Did you mean 'bf16-mixed'"),
        ({"precision": True}, ValueError, "`precision` got True"),
        ({"precision": 32, "plugins": DoublePrecision()}, ValueError, "DoublePrecision"),
        ({"plugins": [DoublePrecision(), DoublePrecision()]}, MisconfigurationException, "at most one each"),
        ({"plugins": "ddp_sharded"}, MisconfigurationException, "`plugins` got 'ddp_sharded'"),
    ],
)
def test_one_mistake_has_its_own_type(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        resolve(**{"accelerator": "cpu", **arguments})
    assert not isinstance(caught.value, ConfigurationErrors)


def test_all_mistakes_come_at_once() -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        resolve(accelerator="cpuu", devices=True, num_nodes=0, strategy="dpp", precision="fp15")
    named = [str(error).split("`")[1] for error in caught.value.errors]
    assert named == ["accelerator", "devices", "num_nodes", "strategy", "precision"]


def test_a_launcher_decides_devices_and_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, rank=1, world_size=2)
    strategy = resolve(accelerator="cpu").strategy
    assert isinstance(strategy, DDPStrategy) and strategy.is_distributed and not strategy.is_global_zero
    assert (strategy.world_size, strategy.global_rank, strategy.local_rank) == (2, 1, 1)
    assert strategy.distributed_sampler_kwargs == {"num_replicas": 2, "rank": 1}
    with pytest.raises(MisconfigurationException, match="Accepted: devices=2 and num_nodes=1"):
        resolve(accelerator="cpu", devices=1)
    with pytest.raises(MisconfigurationException, match="`sync_batchnorm` got True"):
        resolve(accelerator="cpu", sync_batchnorm=True)
    assert isinstance(resolve(accelerator="cpu", devices=1, strategy="single_device").strategy, SingleDeviceStrategy)


@pytest.mark.parametrize("name", ["ddp", "ddp_find_unused_parameters_true", "ddp_find_unused_parameters_false"])
def test_ddp_with_one_process_needs_no_launcher(name: str) -> None:
    assert isinstance(resolve(accelerator="cpu", strategy=name).strategy, DDPStrategy)


def test_a_strategy_object_is_used_as_it_is() -> None:
    strategy = DDPStrategy(static_graph=True)
    assert resolve(accelerator="cpu", strategy=strategy).strategy is strategy
