from __future__ import annotations

from typing import Any

import pytest
import torch

from leyden.legacy.utilities.registries import StrategyRegistry
from leyden.runtime.resolve import resolve
from leyden.runtime.strategies.base import Strategy
from leyden.runtime.strategies.single import SingleDeviceStrategy


class Doubling(SingleDeviceStrategy):
    """A user's own strategy."""

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        return tensor * 2


def test_the_interface_alone_is_no_strategy() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Strategy()  # type: ignore[abstract]


def test_a_users_strategy_is_taken() -> None:
    strategy = resolve(accelerator="cpu", strategy=Doubling()).strategy
    assert strategy.reduce(torch.tensor(2)).item() == 4


def test_a_strategy_registered_under_a_name() -> None:
    StrategyRegistry.register("doubling", Doubling, device="cpu")
    try:
        assert isinstance(resolve(accelerator="cpu", strategy="doubling").strategy, Doubling)
        assert "doubling" in StrategyRegistry.available_strategies()
    finally:
        StrategyRegistry.remove("doubling")
    with pytest.raises(ValueError, match="`strategy` got 'doubling'"):
        resolve(accelerator="cpu", strategy="doubling")
