from __future__ import annotations

from collections.abc import Iterator

import pytest

import leyden as pl
from leyden.legacy.utilities.registries import AcceleratorRegistry, StrategyRegistry
from leyden.runtime import resolve
from leyden.runtime.accelerators import ACCELERATORS, CPUAccelerator
from leyden.runtime.resolve import STRATEGIES
from leyden.runtime.strategies.single import SingleDeviceStrategy


class Mine(SingleDeviceStrategy):
    def __init__(self, flag: bool = False) -> None:
        super().__init__("cpu")
        self.flag = flag


@pytest.fixture(autouse=True)
def unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(STRATEGIES), dict(ACCELERATORS), dict(resolve._KINDS)
    yield
    for table, kept in zip((STRATEGIES, ACCELERATORS, resolve._KINDS), before, strict=True):
        table.clear()
        table.update(kept)


def test_what_is_registered_by_default() -> None:
    assert {"ddp", "single_device"} <= set(StrategyRegistry.available_strategies())
    assert AcceleratorRegistry.available_accelerators() >= {"cpu", "cuda", "mps"}
    assert "ddp" in StrategyRegistry and len(StrategyRegistry) == len(list(StrategyRegistry))
    assert "Registered: " in repr(StrategyRegistry)


def test_a_strategy_is_registered_with_arguments_and_used_by_its_name() -> None:
    StrategyRegistry.register("mine", Mine, description="x", flag=True)
    strategy = pl.Trainer(strategy="mine", accelerator="cpu", devices=1, logger=False, barebones=True).strategy
    assert isinstance(strategy, Mine) and strategy.flag
    StrategyRegistry.remove("mine")
    assert "mine" not in StrategyRegistry


def test_it_is_a_decorator_too_and_names_are_taken_once() -> None:
    assert StrategyRegistry.register("decorated")(Mine) is Mine
    assert isinstance(StrategyRegistry.get("decorated"), Mine)
    with pytest.raises(ValueError, match="registered already"):
        StrategyRegistry.register("decorated", Mine)
    StrategyRegistry.register("decorated", Mine, override=True, flag=True)
    assert StrategyRegistry.get("decorated").flag


def test_an_unknown_name_is_an_error_or_the_default() -> None:
    with pytest.raises(KeyError, match="ddp"):
        StrategyRegistry.get("nothing")
    assert StrategyRegistry.get("nothing", default=1) == 1


def test_an_accelerator_is_registered_and_used_by_its_name() -> None:
    class Mine(CPUAccelerator):
        pass

    AcceleratorRegistry.register("mine", Mine)
    assert isinstance(pl.Trainer(accelerator="mine", devices=1, logger=False, barebones=True).accelerator, Mine)
