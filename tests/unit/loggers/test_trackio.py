"""What needs no trackio; the rest is in tests/services/test_trackio.py."""

from __future__ import annotations

import sys

import pytest

from leyden.loggers import TrackioLogger


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs trackio: pip install "leyden\[trackio\]"'):
        TrackioLogger()


def test_log_model_is_checked_first() -> None:
    with pytest.raises(ValueError, match="`log_model` got 'some'"):
        TrackioLogger(log_model="some")  # type: ignore[arg-type]
