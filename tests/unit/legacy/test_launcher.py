from __future__ import annotations

import pytest

from leyden.legacy.launcher import launched_with

DEFAULTS = {"devices": "auto", "num_nodes": 1, "precision": None}


def test_without_the_command_line_nothing_changes(monkeypatch):
    monkeypatch.setenv("LT_DEVICES", "3")
    assert launched_with({"devices": 2}, DEFAULTS) == {"devices": 2}


def test_what_the_command_line_gives_replaces_defaults(monkeypatch):
    monkeypatch.setenv("LT_CLI_USED", "1")
    monkeypatch.setenv("LT_DEVICES", "3")
    monkeypatch.setenv("LT_NUM_NODES", "2")
    assert launched_with(DEFAULTS, DEFAULTS) == {"devices": "3", "num_nodes": 2, "precision": None}
    assert launched_with({"devices": 3}, DEFAULTS) == {"devices": "3"}


def test_two_places_that_disagree(monkeypatch):
    monkeypatch.setenv("LT_CLI_USED", "1")
    monkeypatch.setenv("LT_DEVICES", "3")
    with pytest.raises(ValueError, match=r"`devices` got 2 \(int\). Accepted: '3', which the command line gives"):
        launched_with({"devices": 2}, DEFAULTS)
