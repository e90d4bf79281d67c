from __future__ import annotations

import logging
import warnings

import pytest

from leyden.errors import LightningDeprecationWarning, PossibleUserWarning
from leyden.legacy.utilities.messages import (
    WarningCache,
    disable_possible_user_warnings,
    rank_prefixed_message,
    rank_zero_debug,
)


def test_everything_is_said_once() -> None:
    cache = WarningCache()
    with pytest.warns(UserWarning, match="hello"):
        cache.warn("hello")
    cache.warn("hello")
    with pytest.warns(LightningDeprecationWarning, match="old"):
        cache.deprecation("old")
    cache.info("new")
    assert cache == {"hello", "old", "new"}


def test_possible_mistakes_can_be_silenced() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        disable_possible_user_warnings()
        warnings.warn("x", PossibleUserWarning, stacklevel=1)
        warnings.warn("y", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["y"]


def test_messages_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="leyden"):
        rank_zero_debug("detail %d", 1)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("DEBUG", "detail 1")]


def test_the_rank_before_a_message() -> None:
    assert rank_prefixed_message("m", 1) == "[rank: 1] m"
    assert rank_prefixed_message("m", None) == "m"
