from __future__ import annotations

import re
from pathlib import Path

import pytest

from leyden.callbacks.removed_signatures import old_values
from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.hooks import HOOKS
from leyden.core.module import LightningModule
from leyden.legacy import hooks as old

BASES = {"c": Callback, "m": LightningModule, "d": LightningDataModule}


@pytest.mark.parametrize("row", old.CALLED, ids=lambda row: row.name)
def test_old_hooks_are_called_beside_hooks_of_today(row: old.OldHook) -> None:
    assert all(HOOKS[hook].dispatched for hook in row.today)
    assert row.line
    for letter in row.owners:
        assert not hasattr(BASES[letter], row.name)


@pytest.mark.parametrize("name", sorted(old.INSTEAD))
def test_old_methods_run_with_methods_of_today(name: str) -> None:
    owners, today = old.INSTEAD[name]
    for letter in owners:
        assert hasattr(BASES[letter], today)
        assert not hasattr(BASES[letter], name)
    assert old.line_for(name).startswith(("`def ", "at the end"))


@pytest.mark.parametrize("name", sorted({**old.REFUSED, **old.ATTRIBUTES, **old.MISSING["m"], **old.MISSING["d"]}))
def test_what_is_gone_is_not_there(name: str) -> None:
    assert not hasattr(LightningModule, name)
    assert not hasattr(LightningDataModule, name)


def test_every_old_parameter_has_a_value() -> None:
    known = old_values(None, list).keys()  # type: ignore[arg-type]  # the values ask for the run later
    assert {name for names in old.PARAMETERS.values() for name in names} == known


def test_hooks_with_other_parameters_are_hooks_of_today() -> None:
    assert {*old.TODAY, *old.PARAMETERS} <= HOOKS.keys()


def test_each_name_is_in_one_table() -> None:
    tables = [
        {row.name for row in old.CALLED},
        set(old.INSTEAD),
        set(old.REFUSED),
        set(old.MISSING),
        set(old.ATTRIBUTES),
    ]
    assert sum(map(len, tables)) == len(set.union(*tables))


def test_the_guide_names_every_old_hook() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "from-1x.md").read_text(encoding="utf-8")
    names = {row.name for row in old.CALLED} | old.INSTEAD.keys() | old.REFUSED.keys() | old.ATTRIBUTES.keys()
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", guide)] == []
