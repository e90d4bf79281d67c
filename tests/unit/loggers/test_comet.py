"""What needs no comet_ml; the rest is in tests/services/test_comet.py."""

from __future__ import annotations

import sys

import pytest

from leyden.loggers import CometLogger


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "comet_ml", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs comet_ml: pip install "leyden\[comet\]"'):
        CometLogger()


def test_log_model_is_checked_first() -> None:
    with pytest.raises(ValueError, match="`log_model` got 'some'"):
        CometLogger(log_model="some")  # type: ignore[arg-type]


def test_arguments_have_names() -> None:
    with pytest.raises(TypeError, match="positional argument"):
        CometLogger("key")  # type: ignore[misc]
