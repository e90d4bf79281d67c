from __future__ import annotations

import pytest

from leyden.legacy.utilities.enums import GradClipAlgorithmType, LightningEnum


class Mode(LightningEnum):
    MIN = "min"
    MAX = "max"


def test_members_compare_without_regard_to_case() -> None:
    assert Mode.MIN == "MIN" and Mode.MIN == "min" and Mode.MIN != Mode.MAX and Mode.MIN != 3
    assert {Mode.MIN: 1}["min"] == 1


def test_members_are_found_by_name_or_value() -> None:
    assert Mode.from_str("Min") is Mode.MIN
    with pytest.raises(ValueError, match="Accepted: .*'min', 'max'"):
        Mode.from_str("mean")


def test_the_algorithms_of_clipping() -> None:
    assert GradClipAlgorithmType.supported_types() == ["value", "norm"]
    assert GradClipAlgorithmType.supported_type("norm") and not GradClipAlgorithmType.supported_type("none")
