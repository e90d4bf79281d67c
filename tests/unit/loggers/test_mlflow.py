"""What needs no mlflow; the rest is in tests/services/test_mlflow.py."""

from __future__ import annotations

import sys

import pytest

from leyden.loggers import MLFlowLogger


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs mlflow: pip install "leyden\[mlflow\]"'):
        MLFlowLogger()


def test_log_model_is_checked_first() -> None:
    with pytest.raises(ValueError, match="`log_model` got 'some'"):
        MLFlowLogger(log_model="some")  # type: ignore[arg-type]
