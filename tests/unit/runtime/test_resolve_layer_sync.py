"""A LayerSync plugin: its layers train in the place of the module's own."""

from __future__ import annotations

import pytest
from torch import nn

from helpers_fit import Regression, loader, trainer
from leyden.errors import MisconfigurationException
from leyden.plugins import LayerSync, TorchSyncBatchNorm
from leyden.runtime.strategies.ddp import destroy_process_group


class Counting(LayerSync):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def apply(self, model: nn.Module) -> nn.Module:
        self.calls.append("apply")
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        self.calls.append("revert")
        return model


def test_it_is_applied_for_fit_and_reverted_after() -> None:
    plugin = Counting()
    made, module = trainer(strategy="ddp", devices=1, plugins=[plugin]), Regression()
    try:
        made.fit(module, loader())
    finally:
        destroy_process_group()
    assert plugin.calls == ["apply", "revert"]


def test_two_of_them_are_one_too_many() -> None:
    with pytest.raises(MisconfigurationException, match="at most one each"):
        trainer(plugins=[TorchSyncBatchNorm(), Counting()])
