from __future__ import annotations

import importlib

import pytest

from leyden.legacy.names import PATHS, REMOVED

TARGETS = sorted({target for names in PATHS.values() for target in names.values()})


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_there(target: str) -> None:
    module, _, attribute = target.partition(":")
    assert hasattr(importlib.import_module(module), attribute)


def test_names_that_are_gone_are_not_in_the_table() -> None:
    for path in REMOVED:
        parent, _, name = path.rpartition(".")
        assert path not in PATHS
        assert name not in PATHS.get(parent, {})


def test_the_main_names_are_under_all_roots() -> None:
    main = {"Callback", "LightningDataModule", "LightningModule", "Trainer", "seed_everything"}
    assert main <= PATHS[""].keys()
    assert main <= PATHS["pytorch"].keys()
