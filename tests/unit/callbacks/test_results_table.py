"""The table that validate and test print."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from helpers_results import Probe, numbers, trainer
from leyden.callbacks.results_table import print_results, shown


def lines(capsys: Any) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
    module.log("loss", batch_idx + 10.0 * dataloader_idx)
    if dataloader_idx == 1:
        module.log("only", 0.25)


def test_one_loader(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().test(Probe(test_step=log), numbers())
    assert lines(capsys) == [["test", "metric", "value"], ["loss", "0.5"]]


def test_several_loaders_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().validate(Probe(validation_step=log), [numbers(), numbers()])
    assert lines(capsys) == [
        ["validate", "metric", "DataLoader", "0", "DataLoader", "1"],
        ["loss", "0.5", "10.5"],
        ["only", "0.25"],
    ]


def test_nothing_logged_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    trainer().test(Probe(), numbers())
    trainer().test(Probe(test_step=log), numbers(), verbose=False)
    assert capsys.readouterr().out == ""


def test_a_terminal_gets_a_frame(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_results([{"loss[bold]": 0.5}], "test metric")
    printed = capsys.readouterr().out
    assert "loss[bold]" in printed
    assert "┃" in printed


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (16777217.0, "16777217"), (0.1, "0.1"), (0.10000000149011612, "0.1"), (1 / 3, "0.3333333")]
    + [(1e-9, "1e-09"), (1e20, "1e+20"), (float("nan"), "nan"), (float("-inf"), "-inf"), (-0.5, "-0.5")],
)
def test_numbers(value: float, text: str) -> None:
    assert shown(value) == text
