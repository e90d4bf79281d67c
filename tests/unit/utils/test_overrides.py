from __future__ import annotations

import functools
from typing import Any

import pytest

from leyden.core.callback import Callback
from leyden.utils.overrides import accepts_argument, is_overridden, positional_count


class Mixin:
    def on_train_end(self, trainer: Any, pl_module: Any) -> None: ...


class Quiet(Callback):
    pass


class Loud(Quiet):
    def on_train_start(self, trainer: Any, pl_module: Any) -> None: ...


class Mixed(Mixin, Callback):
    pass


def test_overridden_by_a_subclass_or_a_mixin() -> None:
    assert is_overridden("on_train_start", Loud())
    assert not is_overridden("on_train_start", Quiet())
    assert not is_overridden("on_train_end", Loud())
    assert is_overridden("on_train_end", Mixed())


def test_overridden_on_the_instance() -> None:
    callback = Quiet()
    callback.on_train_end = lambda trainer, pl_module: None  # type: ignore[method-assign]
    assert is_overridden("on_train_end", callback)
    callback.on_train_end = functools.partial(callback.on_train_start)  # type: ignore[method-assign]
    assert is_overridden("on_train_end", callback)


def test_base_can_be_given() -> None:
    assert not is_overridden("on_train_start", Loud(), Loud)
    assert is_overridden("on_train_start", Loud(), Quiet)
    assert is_overridden("on_train_end", Mixin(), Callback)


def test_method_that_no_one_has() -> None:
    assert not is_overridden("on_lunch", Loud())


def test_method_the_base_lacks_counts_when_there() -> None:
    class WithExtra(Callback):
        def on_lunch(self) -> None: ...

    assert is_overridden("on_lunch", WithExtra())


def test_method_set_to_none_is_not_overridden() -> None:
    callback = Loud()
    callback.on_train_start = None  # type: ignore[method-assign, assignment]
    assert not is_overridden("on_train_start", callback)


def test_unknown_base() -> None:
    with pytest.raises(ValueError, match="pass `base`"):
        is_overridden("setup", object())


def test_accepts_argument() -> None:
    def named(batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...
    def only_keyword(batch: Any, *, dataloader_idx: int) -> None: ...
    def only_positional(dataloader_idx: int, /) -> None: ...
    def anything(**kwargs: Any) -> None: ...
    def without(batch: Any, *args: Any) -> None: ...

    @functools.wraps(named)
    def wrapped(*args: Any, **kwargs: Any) -> None: ...

    accepting = [named, only_keyword, anything, wrapped]
    assert all(accepts_argument(fn, "dataloader_idx") for fn in accepting)
    assert not any(accepts_argument(fn, "dataloader_idx") for fn in [only_positional, without, dict.fromkeys])


def test_positional_count() -> None:
    class Module:
        def training_step(self, batch: Any, batch_idx: int = 0, *, flag: bool = False) -> None: ...

    assert positional_count(Module().training_step) == 2
    assert positional_count(Module.training_step) == 3
    assert positional_count(lambda: None) == 0
    assert positional_count(lambda batch, *rest: None) is None
    assert positional_count(functools.partial(Module().training_step, 1)) == 1
    assert positional_count(type) is None
