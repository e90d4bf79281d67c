from __future__ import annotations

import inspect
from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import pytest

import leyden as pl
from leyden.legacy.utilities.parsing import (
    clean_namespace,
    collect_init_args,
    get_init_args,
    is_picklable,
    lightning_getattr,
    lightning_hasattr,
    lightning_setattr,
    parse_class_init_keys,
)


def test_what_can_be_pickled() -> None:
    assert is_picklable({"a": [1, "b"]})
    assert not is_picklable(lambda: 0)
    assert not is_picklable(number for number in [1])


@pytest.mark.parametrize("kind", [dict, Namespace])
def test_cleaning_removes_what_cannot_be_pickled_and_says_so(kind: Any) -> None:
    hparams = kind(lr=0.1, hook=lambda: 0)
    with pytest.warns(UserWarning, match="'hook' cannot be pickled"):
        clean_namespace(hparams)
    assert (hparams if kind is dict else vars(hparams)) == {"lr": 0.1}


def test_what_init_calls_its_arguments() -> None:
    class Model:
        def __init__(this, width: int, *rest: int, flag: bool = True, **options: Any) -> None: ...

    class Plain:
        def __init__(self) -> None: ...

    assert parse_class_init_keys(Model) == ("this", "rest", "options")
    assert parse_class_init_keys(Plain) == ("self", None, None)


class Base:
    def __init__(self, width: int, **options: Any) -> None:
        frame = inspect.currentframe()
        assert frame is not None
        self.own = get_init_args(frame)
        self.all = collect_init_args(frame, [])
        self.bases = collect_init_args(frame, [], classes=(str,))


class Child(Base):
    def __init__(self, depth: int, name: str = "x") -> None:
        super().__init__(depth * 2, bias=True)


def test_the_arguments_of_init_are_read_from_its_frame() -> None:
    child = Child(4)
    assert child.own == {"width": 8, "bias": True}
    assert child.all == [{"width": 8, "bias": True}, {"depth": 4, "name": "x"}]
    assert child.bases == []


def test_a_function_that_is_no_init_has_no_arguments_of_one() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    assert get_init_args(frame) == {}


@pytest.fixture
def module() -> pl.LightningModule:
    made = pl.LightningModule()
    made.hparams.update(rate=1, own=2)
    made.own = 3  # type: ignore[assignment]
    made._trainer = SimpleNamespace(datamodule=SimpleNamespace(rate=4))  # type: ignore[assignment]
    return made


def test_an_attribute_is_found_in_data_module_hparams_and_module(module: pl.LightningModule) -> None:
    assert lightning_hasattr(module, "rate")
    assert not lightning_hasattr(module, "nothing")
    assert lightning_getattr(module, "rate") == 4
    assert lightning_getattr(module, "own") == 2
    module._trainer = None
    assert lightning_getattr(module, "rate") == 1


def test_an_attribute_is_set_wherever_it_is(module: pl.LightningModule) -> None:
    lightning_setattr(module, "rate", 9)
    assert (module.hparams["rate"], module._trainer.datamodule.rate) == (9, 9)  # type: ignore[union-attr]
    assert not hasattr(module, "rate")


@pytest.mark.parametrize("act", [lightning_getattr, lambda module, name: lightning_setattr(module, name, 1)])
def test_an_attribute_that_is_nowhere_is_an_error(module: pl.LightningModule, act: Any) -> None:
    with pytest.raises(AttributeError, match="Neither LightningModule, nor its hparams, nor its data module has 'no'"):
        act(module, "no")
