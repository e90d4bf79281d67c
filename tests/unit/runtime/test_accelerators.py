from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from helpers_loggers import Recording
from leyden.callbacks.device_stats_monitor import DeviceStatsMonitor
from leyden.errors import MisconfigurationException
from leyden.legacy.utilities.registries import AcceleratorRegistry
from leyden.runtime.accelerators import Accelerator, CPUAccelerator, CUDAAccelerator, MPSAccelerator
from leyden.runtime.resolve import resolve


@pytest.mark.parametrize(("devices", "count"), [(1, 1), (3, 3), ("2", 2), (" 4 ", 4)])
def test_cpu_takes_a_number_of_processes(devices: Any, count: int) -> None:
    assert CPUAccelerator.parse_devices(devices) == list(range(count))


@pytest.mark.parametrize("devices", [0, "0", [], ()])
def test_cpu_refuses_none_at_all(devices: Any) -> None:
    with pytest.raises(MisconfigurationException, match="`devices` got .* Accepted: .* Fix: write devices=1"):
        CPUAccelerator.parse_devices(devices)


@pytest.mark.parametrize("devices", [[0], [0, 1], "0,1", -1, "-1", 1.0, 0.0, None, True, False, "abc", ""])
def test_cpu_refuses_ids_and_other_kinds(devices: Any) -> None:
    with pytest.raises(TypeError, match="`devices` got"):
        CPUAccelerator.parse_devices(devices)


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("devices", "ids"),
    [(2, [0, 1]), ("2", [0, 1]), ("1,3", [1, 3]), ("2,", [2]), ([3, 0], [3, 0]), ((1,), [1])]
    + [(every, [0, 1, 2, 3]) for every in (-1, "-1", [-1], 4)],
)
def test_numbered_devices_by_count_or_id(devices: Any, ids: list[int]) -> None:
    assert CUDAAccelerator.parse_devices(devices) == ids


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize("devices", [0, "0", [], "0,0", [1, 1], [4], "3,4", 5, -2, [-2]])
def test_numbered_devices_that_do_not_exist(devices: Any) -> None:
    with pytest.raises(MisconfigurationException, match="`devices` got"):
        CUDAAccelerator.parse_devices(devices)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize("devices", [None, True, [True], 1.0, [0.0], "1.0", "abc", "0,a", {"a": 1}, ""])
def test_numbered_devices_of_a_wrong_kind(devices: Any) -> None:
    with pytest.raises(TypeError, match="`devices` got"):
        CUDAAccelerator.parse_devices(devices)


def test_ids_become_devices() -> None:
    assert CUDAAccelerator.get_parallel_devices([1, 3]) == [torch.device("cuda:1"), torch.device("cuda:3")]
    assert CPUAccelerator.get_parallel_devices([0, 1]) == [torch.device("cpu")] * 2


def test_the_machine_is_asked_through_torch() -> None:
    assert CPUAccelerator.is_available() and CPUAccelerator.auto_device_count() == 1
    assert CUDAAccelerator.is_available() is torch.cuda.is_available()
    assert MPSAccelerator.is_available() is torch.backends.mps.is_available()


class Counting(Accelerator):
    """A kind of device of the user's own, with the methods that Lightning's interface asks for, and no name."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def setup_device(self, device: torch.device) -> None:
        self.calls.append(f"setup {device}")

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        return {"load": 0.5}

    def teardown(self) -> None:
        self.calls.append("teardown")

    @staticmethod
    def parse_devices(devices: Any) -> list[int]:
        return list(range(int(devices)))

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        return [torch.device("cpu", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True


class Rows(Recording):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append(metrics)


def test_an_accelerator_of_the_users_own() -> None:
    accelerator, rows = Counting(), Rows()
    trainer = pl.Trainer(
        accelerator=accelerator, max_epochs=1, logger=rows, callbacks=DeviceStatsMonitor(cpu_stats=False),
        log_every_n_steps=1, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    assert trainer.accelerator is accelerator
    trainer.fit(nn.Linear(2, 1), DataLoader(TensorDataset(torch.ones(2, 2), torch.ones(2, 1)), batch_size=2))
    assert accelerator.calls == ["setup cpu:0", "teardown"]
    assert {"DeviceStatsMonitor.on_train_batch_end/load": 0.5} in rows.rows


def test_an_accelerator_registered_under_a_name() -> None:
    AcceleratorRegistry.register("counting", Counting)
    try:
        assert isinstance(resolve(accelerator="counting", devices=1).accelerator, Counting)
        assert "counting" in AcceleratorRegistry.available_accelerators()
        with pytest.raises(ValueError, match="'counting', which is registered already"):
            AcceleratorRegistry.register("counting", Counting)
    finally:
        AcceleratorRegistry.remove("counting")


def test_the_processor_has_no_statistics_of_its_own() -> None:
    assert CPUAccelerator().get_device_stats(torch.device("cpu")) == {}
    CPUAccelerator().teardown()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_statistics_of_a_cuda_device() -> None:
    assert "allocated_bytes.all.current" in CUDAAccelerator().get_device_stats(torch.device("cuda", 0))


@pytest.mark.parametrize("name", ["tpu", "xla", "hpu"])
def test_devices_that_this_version_does_not_know(name: str) -> None:
    with pytest.raises(MisconfigurationException, match=f"`accelerator` got '{name}'.*a kind that this machine has"):
        resolve(accelerator=name)
