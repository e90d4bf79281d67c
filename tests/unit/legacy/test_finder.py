from __future__ import annotations

import sys
from importlib.metadata import DistributionFinder

import pytest

from leyden.legacy.alias import VERSION, AliasModule
from leyden.legacy.finder import AliasFinder

FINDER = AliasFinder()


def test_importing_the_finder_installs_nothing() -> None:
    assert not any(isinstance(finder, AliasFinder) for finder in sys.meta_path)


def test_other_modules_are_left_to_the_other_finders() -> None:
    assert FINDER.find_spec("torch") is None
    assert FINDER.find_spec("lightning_utilities") is None
    assert FINDER.find_spec("leyden.callbacks") is None


def test_a_module_of_the_table_is_found() -> None:
    spec = FINDER.find_spec("lightning.pytorch.callbacks")
    assert spec is not None
    assert spec.loader is not None
    assert isinstance(spec.loader.create_module(spec), AliasModule)


@pytest.mark.parametrize("name", ["pytorch_lightning.calbacks", "lightning.pytorch.strategies.FSDPStrategy"])
def test_what_is_missing_is_an_import_error_that_says_so(name: str) -> None:
    with pytest.raises(ImportError, match=name):
        FINDER.find_spec(name)


def test_a_class_is_no_module() -> None:
    assert FINDER.find_spec("lightning.pytorch.callbacks.EarlyStopping") is None


@pytest.mark.parametrize("name", ["lightning", "pytorch_lightning", "Pytorch-Lightning", "lightning-fabric"])
def test_metadata_of_the_distributions(name: str) -> None:
    (found,) = FINDER.find_distributions(DistributionFinder.Context(name=name))
    assert found.version == VERSION
    assert found.read_text("top_level.txt") == name.lower().replace("-", "_") + "\n"
    assert found.requires is None


def test_no_metadata_for_others() -> None:
    assert list(FINDER.find_distributions(DistributionFinder.Context(name="torch"))) == []
