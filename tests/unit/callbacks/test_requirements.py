"""What callbacks ask of their arguments."""

from __future__ import annotations

import math

import pytest

from leyden.callbacks.requirements import is_count, is_number, require
from leyden.errors import MisconfigurationException


@pytest.mark.parametrize(
    ("value", "right"), [(1, True), (7, True), (0, False), (True, False), (1.0, False), ("1", False)]
)
def test_a_count(value, right):
    assert is_count(value, 1) is right


@pytest.mark.parametrize(
    ("value", "right"),
    [(0, True), (0.5, True), (1, True), (1.1, False), (-0.1, False), (True, False), (math.nan, False)],
)
def test_a_number_in_a_range(value, right):
    assert is_number(value, 0.0, 1.0) is right


def test_what_does_not_hold_is_named():
    with pytest.raises(MisconfigurationException, match=r"`amount` got 'a' \(str\). Accepted: a number. Fix: write 1."):
        require(False, "amount", "a", "a number", "write 1")
    require(True, "amount", 1, "a number")
