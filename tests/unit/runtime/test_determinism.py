from __future__ import annotations

import os

import pytest
import torch

from leyden.runtime.determinism import apply_determinism


def state() -> tuple[bool, bool, bool, str | None]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize(
    ("deterministic", "benchmark", "expected"),
    [
        (True, None, (True, False, False, ":4096:8")),
        ("warn", None, (True, True, False, ":4096:8")),
        (True, True, (True, False, True, ":4096:8")),
        (False, None, (False, False, True, None)),
        (None, None, (False, False, True, None)),
        (None, False, (False, False, False, None)),
    ],
)
def test_sets_what_is_asked_and_restores(
    deterministic: bool | str | None,
    benchmark: bool | None,
    expected: tuple[bool, bool, bool, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = state()
    restore = apply_determinism(deterministic, benchmark)
    try:
        assert state() == expected
    finally:
        restore()
    assert state() == before


def test_a_workspace_that_the_user_set_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    restore = apply_determinism(True, None)
    try:
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    finally:
        restore()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
