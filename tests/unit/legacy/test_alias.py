from __future__ import annotations

import sys
from importlib.metadata import DistributionFinder

import pytest

from leyden.legacy.alias import VERSION, AliasFinder, AliasModule

FINDER = AliasFinder()


def module(name: str) -> AliasModule:
    spec = FINDER.find_spec(name)
    assert spec is not None
    made = FINDER.create_module(spec)
    assert isinstance(made, AliasModule)
    return made


def test_importing_the_finder_installs_nothing() -> None:
    assert not any(isinstance(finder, AliasFinder) for finder in sys.meta_path)


def test_other_modules_are_left_to_the_other_finders() -> None:
    assert FINDER.find_spec("torch") is None
    assert FINDER.find_spec("lightning_utilities") is None


@pytest.mark.parametrize(
    "root", ["lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric"]
)
def test_roots_carry_a_version(root: str) -> None:
    assert module(root).__version__ == VERSION


def test_modules_under_two_roots_differ_and_share_their_classes() -> None:
    first, second = module("pytorch_lightning.callbacks"), module("lightning.pytorch.callbacks")
    assert first is not second
    assert first.Callback is second.Callback


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pytorch_lightning.callbacks.EarlyStoping", "Did you mean 'EarlyStopping'?"),
        ("pytorch_lightning.calbacks", "Did you mean 'callbacks'?"),
        ("pytorch_lightning.Timer", "`Timer` is in `lightning.pytorch.callbacks`"),
        ("lightning.pytorch.metrics", "torchmetrics"),
        ("pytorch_lightning.callbacks.GPUStatsMonitor", "DeviceStatsMonitor"),
        ("lightning.zzz", "is not in this version of Leyden"),
    ],
)
def test_what_is_missing_is_an_import_error_that_helps(name: str, hint: str) -> None:
    with pytest.raises(ImportError) as caught:
        FINDER.find_spec(name)
    assert name in str(caught.value)
    assert hint in str(caught.value)


def test_a_class_is_no_module() -> None:
    assert FINDER.find_spec("lightning.pytorch.callbacks.EarlyStopping") is None


def test_asking_for_a_missing_attribute_is_an_attribute_error() -> None:
    assert not hasattr(module("pytorch_lightning"), "nothing")


def test_names_are_listed() -> None:
    root = module("pytorch_lightning")
    assert "Trainer" in root.__all__
    assert {"Trainer", "callbacks", "loggers"} <= set(dir(root))


@pytest.mark.parametrize("name", ["lightning", "pytorch_lightning", "Pytorch-Lightning", "lightning-fabric"])
def test_metadata_of_the_distributions(name: str) -> None:
    (found,) = FINDER.find_distributions(DistributionFinder.Context(name=name))
    assert found.version == VERSION


def test_no_metadata_for_others() -> None:
    assert list(FINDER.find_distributions(DistributionFinder.Context(name="torch"))) == []
