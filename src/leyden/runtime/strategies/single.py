"""One process, one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from leyden.errors import MisconfigurationException
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
        self._chosen = None if device is None else torch.device(device)
        self.root_device = self._chosen or torch.device("cpu")

    def configure(self, devices: Sequence[torch.device], environment: ClusterEnvironment, num_nodes: int) -> None:
        if len(devices) * num_nodes > 1:
            raise MisconfigurationException(
                f"`strategy` got a single-device strategy, with {len(devices)} device(s) on {num_nodes} node(s). "
                "Accepted: one device on one node. Fix: write strategy='ddp', or devices=1 and num_nodes=1."
            )
        self.root_device = self._chosen or devices[0]

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        return tensor

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        return tensor

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return obj

    def barrier(self, name: str | None = None) -> None:
        return None

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        return decision
