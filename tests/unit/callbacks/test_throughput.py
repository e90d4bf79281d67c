"""Rates from totals, counted operations, and peaks of devices."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from leyden.callbacks.throughput import FabricThroughputMonitor, Throughput, get_available_flops, measure_flops


def filled(**arguments: Any) -> Throughput:
    throughput = Throughput(**{"window_size": 3, **arguments})
    for number, time in enumerate((1.0, 2.0, 3.0, 5.0), start=1):
        throughput.update(time=time, batches=number, samples=4 * number, lengths=10 * number, flops=100)
    return throughput


def test_totals_come_first_and_rates_with_a_full_window() -> None:
    throughput = Throughput(window_size=3)
    assert throughput.compute() == {}
    throughput.update(time=1.0, batches=1, samples=4)
    throughput.update(time=2.0, batches=2, samples=8)
    assert throughput.compute() == {"time": 2.0, "batches": 2, "samples": 8}
    throughput.update(time=4.0, batches=3, samples=12)
    assert throughput.compute() == {
        "time": 4.0,
        "batches": 3,
        "samples": 12,
        "device/batches_per_sec": 2 / 3,
        "device/samples_per_sec": 8 / 3,
    }
    throughput.reset()
    assert throughput.compute() == {}


def test_all_rates_slide_over_the_window() -> None:
    assert filled(available_flops=1000.0).compute() == {
        "time": 5.0,
        "batches": 4,
        "samples": 16,
        "lengths": 40,
        "device/batches_per_sec": 2 / 3,
        "device/samples_per_sec": 8 / 3,
        "device/items_per_sec": 20 / 3,
        "device/flops_per_sec": 200 / 3,
        "device/mfu": 200 / 3 / 1000,
    }


def test_several_processes_add_up() -> None:
    values = filled(world_size=2).compute()
    for name in ("batches", "samples", "items", "flops"):
        assert values[f"{name}_per_sec"] == 2 * values[f"device/{name}_per_sec"]


def test_the_separator_is_chosen() -> None:
    assert "device.samples_per_sec" in filled(separator=".").compute()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"time": 5.0}, "time"),
        ({"batches": 4}, "batches"),
        ({"samples": 16}, "samples"),
        ({"lengths": 40}, "lengths"),
        ({"samples": 17, "batches": 18}, "samples"),
        ({"lengths": 41, "samples": 42}, "lengths"),
    ],
)
def test_totals_grow_and_contain_one_another(change, name) -> None:
    good = {"time": 6.0, "batches": 5, "samples": 20, "lengths": 50}
    with pytest.raises(ValueError, match=f"`{name}` got"):
        filled().update(**good | change)


@pytest.mark.parametrize(
    "wrong",
    [{"window_size": 1}, {"window_size": 2.0}, {"world_size": 0}, {"available_flops": 0}, {"available_flops": -1}],
)
def test_wrong_arguments_are_named(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Throughput(**wrong)


def test_operations_of_forward_and_backward() -> None:
    with torch.device("meta"):
        model, x = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 2)), torch.randn(4, 32)
    forward = 2 * 4 * 32 * 8 + 2 * 4 * 8 * 2
    assert measure_flops(model, lambda: model(x)) == forward
    weights, inputs = forward, 2 * 4 * 8 * 2  # the first layer's input needs no gradient
    assert measure_flops(model, lambda: model(x), torch.sum) == forward + weights + inputs


T = 1e12


@pytest.mark.parametrize(
    ("name", "dtype", "peak"),
    [
        ("NVIDIA H200", torch.bfloat16, 989.4 * T),
        ("NVIDIA H100 80GB HBM3", torch.float64, 34 * T),
        ("NVIDIA H100 PCIe", "float16", 756 * T),
        ("NVIDIA A100-SXM4-40GB", torch.float32, 19.5 * T),
        ("NVIDIA A10G", torch.bfloat16, 125 * T),
        ("NVIDIA L40S", torch.float16, 362 * T),
        ("NVIDIA L40", torch.float16, 181 * T),
        ("NVIDIA L4", torch.float16, 121 * T),
        ("NVIDIA RTX A6000", torch.float32, 38.7 * T),
        ("NVIDIA GeForce RTX 4090", torch.float32, 82.6 * T),
        ("Tesla V100-SXM2-32GB", torch.float16, 125 * T),
        ("Tesla T4", torch.int8, 130 * T),
    ],
)
def test_peaks_of_known_devices(monkeypatch, name, dtype, peak) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert get_available_flops(torch.device("cuda"), dtype) == peak


@pytest.mark.parametrize(("name", "dtype"), [("Something New", torch.float32), ("Tesla V100", torch.bfloat16)])
def test_unknown_peaks_are_told(monkeypatch, name, dtype) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    with pytest.warns(UserWarning, match=f"{name}.*not known"):
        assert get_available_flops(torch.device("cuda"), dtype) is None


def test_float32_products_that_may_use_tf32(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100")
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    assert get_available_flops(torch.device("cuda"), torch.float32) == 156 * T


def test_with_fabric_values_are_logged() -> None:
    rows: list[Any] = []
    fabric = SimpleNamespace(
        device=torch.device("cpu"), world_size=2, log_dict=lambda metrics, step: rows.append((step, metrics))
    )
    monitor = FabricThroughputMonitor(fabric, window_size=2)
    for number in (1, 2):
        monitor.update(time=float(number), batches=number, samples=number)
        returned = monitor.compute_and_log()
    monitor.compute_and_log(step=7)
    assert [step for step, _ in rows] == [0, 1, 7]
    assert rows[1][1] == returned
    assert returned["samples_per_sec"] == 2.0
