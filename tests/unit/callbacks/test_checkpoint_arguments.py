"""What a ModelCheckpoint refuses."""

from __future__ import annotations

from typing import Any

import pytest

from leyden.callbacks.checkpoint_arguments import check_arguments, check_link
from leyden.errors import MisconfigurationException

GOOD: dict[str, Any] = {"mode": "min", "monitor": "loss", "save_top_k": 1, "save_last": None, "filename": None}


@pytest.mark.parametrize(
    "change",
    [{}, {"mode": "max"}, {"save_top_k": -1}, {"save_top_k": 9}, {"save_last": "link"}, {"filename": "{loss}"}],
)
def test_what_is_accepted(change: dict[str, Any]) -> None:
    check_arguments(**GOOD | change)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"mode": "mim"}, "mode"),
        ({"save_top_k": -2}, "save_top_k"),
        ({"save_top_k": True}, "save_top_k"),
        ({"save_top_k": 1.0}, "save_top_k"),
        ({"save_top_k": 2, "monitor": None}, "save_top_k"),
        ({"save_last": "links"}, "save_last"),
        ({"filename": "{loss"}, "filename"),
    ],
)
def test_what_is_refused_is_named(change: dict[str, Any], name: str) -> None:
    with pytest.raises(MisconfigurationException, match=f"`{name}` got"):
        check_arguments(**GOOD | change)


def test_a_link_needs_a_local_folder() -> None:
    check_link("link", "/tmp/runs")
    check_link("link", None)
    check_link(True, "s3://bucket/runs")
    with pytest.raises(ValueError, match="save_last=True"):
        check_link("link", "s3://bucket/runs")
