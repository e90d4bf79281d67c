"""Devices that are free."""

from __future__ import annotations

from contextlib import suppress

import torch

from leyden.errors import bad_value


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """Return the ids of CUDA devices that can be used now; one in exclusive mode may be taken.

    Args:
        num_devices: How many to return; -1 for all that are usable.

    Raises:
        ValueError: The machine has fewer devices, or none.
        RuntimeError: Fewer than ``num_devices`` are usable.
    """
    count, usable = torch.cuda.device_count(), list[int]()
    for index in range(count):
        with suppress(RuntimeError):
            torch.zeros(1, device=torch.device("cuda", index))
            usable.append(index)
    wanted = max(len(usable), 1) if num_devices < 0 else num_devices
    if wanted > len(usable):
        error = ValueError if wanted > count else RuntimeError
        raise error(bad_value("num_devices", num_devices, f"at most {len(usable)}, the number of usable CUDA devices"))
    return usable[:wanted]
