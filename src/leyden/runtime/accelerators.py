"""Kinds of devices: which there are, and how ``devices=`` selects among them."""

from __future__ import annotations

import ast
import sys
from contextlib import suppress
from typing import Any

import torch

from leyden.errors import MisconfigurationException, bad_value


class Accelerator:
    """A kind of device that torch knows by its name; its devices are numbered from 0.

    Attributes:
        name: The device type as torch has it.
    """

    name: str

    @classmethod
    def is_available(cls) -> bool:
        """Return whether this machine has such a device."""
        return bool(torch.get_device_module(cls.name).is_available())

    @classmethod
    def auto_device_count(cls) -> int:
        """Return how many devices ``devices="auto"`` uses."""
        count = int(torch.get_device_module(cls.name).device_count())
        # A prompt or a notebook cannot start processes without care, so it gets one device.
        return min(count, 1) if hasattr(sys, "ps1") else count

    @classmethod
    def parse_devices(cls, devices: Any) -> list[int]:
        """Return the indices that ``devices`` selects.

        Args:
            devices: A count, ids such as ``[0, 2]``, -1 for all, or any of these as text.

        Raises:
            TypeError: A value of a kind that this accelerator does not take.
            MisconfigurationException: No device, the same twice, or one that does not exist.
        """
        available = int(torch.get_device_module(cls.name).device_count())
        accepted = f'a count up to {available}, ids below {available} such as [0] or "0,", -1 for all, or "auto"'
        value = _read(devices)
        ids = list(value) if isinstance(value, (list, tuple)) else [value]
        if not all(type(index) is int for index in ids):
            raise TypeError(bad_value("devices", devices, accepted))
        if ids == [-1]:
            return list(range(available))
        if isinstance(value, int):
            ids = list(range(value))
        if not ids or len(set(ids)) != len(ids) or not set(ids) <= set(range(available)):
            raise MisconfigurationException(bad_value("devices", devices, accepted, "name existing devices, each once"))
        return ids

    @classmethod
    def get_parallel_devices(cls, devices: list[int]) -> list[torch.device]:
        """Return the devices with these indices."""
        return [torch.device(cls.name, index) for index in devices]

    def setup_device(self, device: torch.device) -> None:
        """Make ``device`` the current one of this process."""

    def teardown(self) -> None:
        """Called when a run ends."""

    def get_device_stats(self, device: torch.device) -> dict[str, Any]:
        """Return what the device's allocator knows, in bytes and counts; empty for the CPU."""
        stats = getattr(torch.get_device_module(self.name), "memory_stats", None)
        return {} if stats is None else dict(stats(device))


class CPUAccelerator(Accelerator):
    """The processor; ``devices`` is a number of processes."""

    name = "cpu"

    @classmethod
    def parse_devices(cls, devices: Any) -> list[int]:
        count = _read(devices)
        if type(count) is int and count > 0:
            return list(range(count))
        nothing = type(count) in (int, list, tuple) and not count
        error = MisconfigurationException if nothing else TypeError
        accepted = 'an int > 0 such as 2 or "2" (CPUs have no ids), or "auto"'
        raise error(bad_value("devices", devices, accepted, "write devices=1"))

    @classmethod
    def get_parallel_devices(cls, devices: list[int]) -> list[torch.device]:
        return [torch.device("cpu")] * len(devices)


class CUDAAccelerator(Accelerator):
    """NVIDIA and ROCm GPUs."""

    name = "cuda"

    def setup_device(self, device: torch.device) -> None:
        torch.cuda.set_device(device)


class MPSAccelerator(Accelerator):
    """The GPU of an Apple chip; there is one."""

    name = "mps"


ACCELERATORS: dict[str, type[Accelerator]] = {"mps": MPSAccelerator, "cuda": CUDAAccelerator, "cpu": CPUAccelerator}
"""By device type."""


def _read(devices: Any) -> Any:
    """Read ``devices`` that came as text, such as ``"2"`` or ``"0,1"``."""
    with suppress(ValueError, SyntaxError):
        return ast.literal_eval(devices) if isinstance(devices, str) else devices
    return devices
