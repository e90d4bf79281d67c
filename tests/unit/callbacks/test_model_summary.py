from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from leyden.callbacks.model_summary import ModelSummary, RichModelSummary


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 4))
        self.example_input_array = torch.zeros(3, 8)

    def forward(self, x: torch.Tensor) -> Any:
        return self.net(x)


def show(summary: ModelSummary, is_global_zero: bool = True) -> None:
    summary.on_fit_start(SimpleNamespace(is_global_zero=is_global_zero), Net())  # type: ignore[arg-type]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_plain_text_goes_to_the_log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.INFO, logger="leyden"):
        show(ModelSummary())
    assert "0 | net  | Sequential | 36     | train | 192   | [3, 8]   | [3, 4]" in caplog.text
    assert "36        Trainable params" in caplog.text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("summary", "is_global_zero"), [(ModelSummary(0), True), (ModelSummary(), False), (RichModelSummary(0), True)]
)
def test_nothing_is_shown(
    summary: ModelSummary,
    is_global_zero: bool,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.INFO, logger="leyden"):
        show(summary, is_global_zero)
    assert not caplog.text
    assert capsys.readouterr().out == ""


def test_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    show(ModelSummary(max_depth=2))
    text = terminal.getvalue()
    assert "net.0" in text
    assert "[3, 8]" in text
    assert "━" in text
    assert "Trainable params" in text


def test_rich_summary_is_a_table_everywhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    show(RichModelSummary(max_depth=-1, header_style="bold", title="My model"))
    out = capsys.readouterr().out
    assert "My model" in out
    assert "net.0" in out


@pytest.mark.parametrize("kind", [ModelSummary, RichModelSummary])
@pytest.mark.parametrize("max_depth", [-2, "1", 1.0, True])
def test_bad_depth(kind: type[ModelSummary], max_depth: Any) -> None:
    with pytest.raises(ValueError, match="max_depth"):
        kind(max_depth=max_depth)


def test_it_can_be_shown_otherwise() -> None:
    shown: list[Any] = []

    class Mine(ModelSummary):
        @staticmethod
        def summarize(*given: Any, **named: Any) -> None:
            shown.append((given, named))

    show(Mine(max_depth=2, header_style="red"))
    ((columns, total, trainable, size, modes), named) = shown[0]
    assert dict(columns)["Name"] == ["net", "net.0"]
    assert (total, trainable, size) == (36, 36, 36 * 4 / 1e6)
    assert modes == {"train": 2, "eval": 0}
    assert named == {"total_flops": 192, "header_style": "red"}


def test_the_table_of_rich_takes_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    show(RichModelSummary(max_depth=1, title="Layers", show_header=False))
    output = capsys.readouterr().out
    assert "Layers" in output
    assert "Name" not in output
    assert "Total FLOPs: 192" in output
