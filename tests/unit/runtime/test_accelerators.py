from __future__ import annotations

from typing import Any

import pytest
import torch

from leyden.errors import MisconfigurationException
from leyden.runtime.accelerators import (
    CPUAccelerator,
    CUDAAccelerator,
    MPSAccelerator,
    find_usable_cuda_devices,
    select_ids,
)


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


@pytest.mark.parametrize(
    ("devices", "ids"),
    [(2, [0, 1]), ("2", [0, 1]), ("1,3", [1, 3]), ("2,", [2]), ([3, 0], [3, 0]), ((1,), [1])]
    + [(every, [0, 1, 2, 3]) for every in (-1, "-1", [-1], 4)],
)
def test_numbered_devices_by_count_or_id(devices: Any, ids: list[int]) -> None:
    assert select_ids(devices, available=4) == ids


@pytest.mark.parametrize("devices", [0, "0", [], "0,0", [1, 1], [4], "3,4", 5, -2, [-2]])
def test_numbered_devices_that_do_not_exist(devices: Any) -> None:
    with pytest.raises(MisconfigurationException, match="`devices` got"):
        select_ids(devices, available=4)


@pytest.mark.parametrize("devices", [None, True, [True], 1.0, [0.0], "1.0", "abc", "0,a", {"a": 1}, ""])
def test_numbered_devices_of_a_wrong_kind(devices: Any) -> None:
    with pytest.raises(TypeError, match="`devices` got"):
        select_ids(devices, available=4)


def test_ids_become_devices() -> None:
    assert CUDAAccelerator.get_parallel_devices([1, 3]) == [torch.device("cuda:1"), torch.device("cuda:3")]
    assert CPUAccelerator.get_parallel_devices([0, 1]) == [torch.device("cpu")] * 2


def test_the_machine_is_asked_through_torch() -> None:
    assert CPUAccelerator.is_available() and CPUAccelerator.auto_device_count() == 1
    assert CUDAAccelerator.is_available() is torch.cuda.is_available()
    assert MPSAccelerator.is_available() is torch.backends.mps.is_available()


def test_usable_cuda_devices_are_never_more_than_there_are() -> None:
    with pytest.raises(ValueError, match="`num_devices` got 100"):
        find_usable_cuda_devices(100)
