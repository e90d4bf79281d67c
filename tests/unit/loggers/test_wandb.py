"""What needs no wandb; the rest is in tests/services/test_wandb.py."""

from __future__ import annotations

import sys

import pytest

from leyden.loggers import WandbLogger


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs wandb: pip install "leyden\[wandb\]"'):
        WandbLogger()


def test_log_model_is_checked_first() -> None:
    with pytest.raises(ValueError, match="`log_model` got 'some'"):
        WandbLogger(log_model="some")  # type: ignore[arg-type]


def test_add_file_policy_is_checked() -> None:
    with pytest.raises(ValueError, match="`add_file_policy` got 'copy' .* Accepted: 'mutable' or 'immutable'"):
        WandbLogger(add_file_policy="copy")  # type: ignore[arg-type]
