"""One process, one device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from leyden.errors import MisconfigurationException, bad_value
from leyden.runtime.environments import ClusterEnvironment
from leyden.runtime.strategies.base import Strategy


class SingleDeviceStrategy(Strategy):
    """Runs on one device; nothing stands between the loop and the module.

    Args:
        device: The device; by default the one that ``accelerator`` and ``devices`` select.

    Example:
        >>> SingleDeviceStrategy("cpu").reduce(torch.tensor(2.0))
        tensor(2.)
    """

    def __init__(self, device: torch.device | str | int | None = None) -> None:
        self._device = device

    def configure(self, devices: Sequence[torch.device], environment: ClusterEnvironment, num_nodes: int) -> None:
        if len(devices) * num_nodes > 1:
            accepted = f"a strategy for {len(devices)} device(s) on {num_nodes} node(s)"
            fix = "write strategy='ddp', or devices=1 and num_nodes=1"
            raise MisconfigurationException(bad_value("strategy", "single_device", accepted, fix))
        self.root_device = devices[0] if self._device is None else torch.device(self._device)
