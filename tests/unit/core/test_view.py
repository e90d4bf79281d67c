"""Views: what lies at a path, a copy of the default where the path ends, and what may be set."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from leyden.core.view import View


class Owner:
    run: Any = None

    epoch = View[int]("run.progress.epoch", "The epoch.", 0)
    names = View[list[str]]("run.names", "The names.", [])
    loaders = View[Any]("run.evaluations.val.given", "The loaders.")
    twice = View[int](lambda owner: 2 * owner.epoch, "Twice the epoch.")
    width = View[int]("run", "The width.", 3, change=lambda owner, value: setattr(owner, "run", value))


def test_a_path_ends_in_what_lies_there_or_in_the_default() -> None:
    owner = Owner()
    assert (owner.epoch, owner.names, owner.loaders, owner.twice) == (0, [], None, 0)
    owner.run = SimpleNamespace(progress=SimpleNamespace(epoch=4), names=["a"], evaluations={"val": None})
    assert (owner.epoch, owner.names, owner.loaders, owner.twice) == (4, ["a"], None, 8)


def test_a_default_is_the_reader_s_own() -> None:
    owner = Owner()
    owner.names.append("mine")
    assert owner.names == []


def test_what_has_no_setter_is_read_only_and_documented() -> None:
    owner = Owner()
    with pytest.raises(AttributeError):
        owner.epoch = 1
    owner.width = 5
    assert owner.width == 5
    assert Owner.epoch.__doc__ == "The epoch."
