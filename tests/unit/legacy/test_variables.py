from __future__ import annotations

import pytest

import leyden as pl
from leyden.errors import LightningDeprecationWarning
from leyden.legacy.variables import REMOVED, old_variables


@pytest.mark.parametrize("name", sorted(REMOVED))
def test_a_variable_that_is_set_is_said_to_have_no_effect(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.warns(LightningDeprecationWarning, match=f"{name} is an old one without effect"):
        pl.Trainer(barebones=True, max_epochs=1, accelerator="cpu", logger=False)


def test_nothing_is_said_otherwise() -> None:
    assert list(old_variables()) == []
