"""What every test of the command line runs under."""

from __future__ import annotations

import pytest

from leyden.cli import allowed


@pytest.fixture(autouse=True)
def a_program_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No arguments of pytest's, no seed left behind, nothing allowed that something else allowed."""
    monkeypatch.setattr("sys.argv", ["main.py"])
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")  # so that it is put back
        monkeypatch.delenv(name)
    for names in ("_added", "_own", "_named"):
        monkeypatch.setattr(allowed, names, type(getattr(allowed, names))())
