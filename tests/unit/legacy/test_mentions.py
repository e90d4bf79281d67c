from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from leyden.core.module import LightningModule
from leyden.legacy.mentions import mentions, returns_something


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any) -> Any:
        return function(*args)

    return call


class Base:
    def setup(self) -> None:
        self.width = self.depth

    def helper(self) -> dict[str, int]:
        return {"log": 1}


class Child(Base):
    def on_epoch_end(self) -> None:
        super().on_epoch_end()  # type: ignore[misc]

    @property
    def value(self) -> Any:
        return [self.inner for _ in range(2)]

    @staticmethod
    def free(self: Any) -> Any:
        return self.of_anything

    @decorated
    def step(self) -> Any:
        self.log("x", 1, sync_dist_op="mean")  # type: ignore[attr-defined]
        return self.helper()

    def explicit(self) -> None:
        super(Child, self).old()  # type: ignore[misc]  # noqa: UP008  # as it was written once


def test_what_the_functions_of_a_class_and_its_bases_mention() -> None:
    found = mentions(Child)
    assert found.methods == {"setup", "helper", "on_epoch_end", "value", "free", "step", "explicit"}
    assert found.of_self["depth"] == {"setup"}
    assert found.of_self["inner"] == {"value"}
    assert found.sets == {"width"}
    assert found.of_super == {"on_epoch_end", "old"}
    assert "sync_dist_op" in found.all_words


def test_words_are_those_of_a_function_and_of_what_it_calls() -> None:
    assert "log" in mentions(Child).words("step")
    assert "log" not in mentions(Child).words("setup")


def test_a_call_from_elsewhere_in_the_class_makes_a_helper() -> None:
    assert mentions(Child).calls_itself("helper")
    assert not mentions(Child).calls_itself("on_epoch_end")  # itself alone, with super


def test_the_framework_is_not_read() -> None:
    assert mentions(LightningModule).methods == frozenset()


def test_classes_are_read_once_and_not_kept() -> None:
    import gc
    import weakref

    kind: Any = type("Local", (Base,), {})
    assert mentions(kind) is mentions(kind)
    gone = weakref.ref(kind)
    del kind
    gc.collect()
    assert gone() is None


def nothing() -> None:
    return


def early(flag: bool) -> Any:
    if flag:
        return 1
    return None


@pytest.mark.parametrize(
    ("function", "returns"),
    [(nothing, False), (early, True), (lambda: [1], True), (decorated(nothing), False), (print, False)],
)
def test_whether_a_function_returns_something(function: Callable[..., Any], returns: bool) -> None:
    assert returns_something(function) is returns
