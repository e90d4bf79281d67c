"""Kinds of devices: which there are, how ``devices=`` selects among them, and what they report about themselves."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from typing import Any

import torch

from leyden.errors import MisconfigurationException, bad_value


class Accelerator(ABC):
    """A kind of device; its devices are numbered from 0.

    Attributes:
        name: The device type as torch has it.
    """

    name: str

    @staticmethod
    @abstractmethod
    def is_available() -> bool:
        """Return whether this machine has such a device."""

    @classmethod
    def auto_device_count(cls) -> int:
        """Return how many devices ``devices="auto"`` uses."""
        return 1

    @classmethod
    def parse_devices(cls, devices: Any) -> list[int]:
        """Return the indices that ``devices`` selects: a count, ids, or -1 for all.

        Raises:
            TypeError: A value of a kind that this accelerator does not take.
            MisconfigurationException: No device, the same twice, or one that does not exist.
        """
        return select_ids(devices, cls.auto_device_count())

    @classmethod
    def get_parallel_devices(cls, devices: list[int]) -> list[torch.device]:
        """Return the devices with these indices."""
        return [torch.device(cls.name, index) for index in devices]

    def setup_device(self, device: torch.device) -> None:
        """Make ``device`` the current one of this process."""

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """Return what the device reports about itself, by name."""
        return {}

    def teardown(self) -> None:
        """Give back what the run holds of the device."""


class CPUAccelerator(Accelerator):
    """The processor; ``devices`` is a number of processes."""

    name = "cpu"

    @staticmethod
    def is_available() -> bool:
        return True

    @classmethod
    def parse_devices(cls, devices: Any) -> list[int]:
        count = int(devices) if isinstance(devices, str) and devices.strip().isdecimal() else devices
        accepted = 'an int > 0 such as 2 or "2" (CPUs have no ids), or "auto"'
        if type(count) in (int, list, tuple) and not count:
            raise MisconfigurationException(bad_value("devices", devices, accepted, "write devices=1"))
        if type(count) is not int or count < 0:
            raise TypeError(bad_value("devices", devices, accepted, "write devices=1"))
        return list(range(count))

    @classmethod
    def get_parallel_devices(cls, devices: list[int]) -> list[torch.device]:
        return [torch.device("cpu")] * len(devices)

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        return {"cpu_process_seconds": time.process_time(), "cpu_threads": torch.get_num_threads()}


class CUDAAccelerator(Accelerator):
    """NVIDIA and ROCm GPUs."""

    name = "cuda"

    @staticmethod
    def is_available() -> bool:
        return torch.cuda.is_available()

    @classmethod
    def auto_device_count(cls) -> int:
        # A prompt or a notebook cannot start processes without care, so it gets one device.
        return min(torch.cuda.device_count(), 1) if hasattr(sys, "ps1") else torch.cuda.device_count()

    @classmethod
    def parse_devices(cls, devices: Any) -> list[int]:
        return select_ids(devices, torch.cuda.device_count())

    def setup_device(self, device: torch.device) -> None:
        torch.cuda.set_device(device)

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        return torch.cuda.memory_stats(device)

    def teardown(self) -> None:
        torch.cuda.empty_cache()


class MPSAccelerator(Accelerator):
    """The GPU of an Apple chip; there is one."""

    name = "mps"

    @staticmethod
    def is_available() -> bool:
        return torch.backends.mps.is_available()

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        return {"mps_allocated_bytes": torch.mps.current_allocated_memory()}


ACCELERATORS: dict[str, type[Accelerator]] = {"mps": MPSAccelerator, "cuda": CUDAAccelerator, "cpu": CPUAccelerator}
"""By device type."""


def select_ids(devices: Any, available: int) -> list[int]:
    """Return the ids that ``devices`` selects among ``available`` numbered devices.

    Example:
        >>> select_ids(2, 4), select_ids("2,3", 4), select_ids(-1, 4)
        ([0, 1], [2, 3], [0, 1, 2, 3])

    Raises:
        TypeError: Neither an int, nor a string of ints, nor a list or tuple of ints.
        MisconfigurationException: No device, the same twice, or one that does not exist.
    """
    accepted = f'a count up to {available}, ids below {available} such as [0] or "0,", -1 for all, or "auto"'
    ids = list(devices) if isinstance(devices, (list, tuple)) else [devices]
    if isinstance(devices, str):
        parts = [part.strip() for part in devices.split(",") if part.strip()]
        ids = [int(part) if part.removeprefix("-").isdecimal() else part for part in parts]
    if not all(type(index) is int for index in ids):
        raise TypeError(bad_value("devices", devices, accepted))
    if isinstance(devices, int) or (isinstance(devices, str) and "," not in devices and ids):
        ids = list(range(available if ids[0] == -1 else ids[0]))
    elif ids == [-1]:
        ids = list(range(available))
    if not ids or len(set(ids)) != len(ids) or not all(0 <= index < available for index in ids):
        raise MisconfigurationException(bad_value("devices", devices, accepted, "name existing devices, each once"))
    return ids


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """Return the ids of CUDA devices that can be used now; one in exclusive mode may be taken.

    Args:
        num_devices: How many to return; -1 for all that are usable.

    Raises:
        ValueError: The machine has fewer devices, or none.
        RuntimeError: Fewer than ``num_devices`` are usable.
    """
    count, usable = torch.cuda.device_count(), list[int]()
    if num_devices > count or (num_devices and not count):
        raise ValueError(bad_value("num_devices", num_devices, f"at most {count}, the number of CUDA devices here"))
    for index in range(count):
        try:
            torch.zeros(1, device=torch.device("cuda", index))
            usable.append(index)
        except RuntimeError:
            continue
    if len(usable) < num_devices:
        raise RuntimeError(f"`num_devices` got {num_devices}, but only the CUDA devices {usable} are usable.")
    return usable if num_devices < 0 else usable[:num_devices]
