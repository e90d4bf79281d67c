from __future__ import annotations

import io
import math
from time import monotonic

import pytest
from rich.console import Console
from rich.progress import TextColumn

from leyden.callbacks.progress_display import Lines, RichProgressBarTheme, Screen, Stage


def test_stage_speed_and_times() -> None:
    stage = Stage("Epoch 0", 100, position=60, first=40, started=monotonic() - 50, paused=40)
    assert stage.seconds() == pytest.approx(10, abs=0.1)
    assert stage.speed() == pytest.approx(2, rel=0.01)
    assert stage.batches() == "60/100"
    assert stage.times()[0] == "0:00:10"
    assert stage.times()[1] in ("0:00:19", "0:00:20")


def test_stage_without_end_or_progress() -> None:
    assert Stage("Epoch 0", math.inf, position=3).batches() == "3/?"
    assert Stage("Epoch 0", 10).times()[1] == "-:--:--"
    assert Stage("Epoch 0", math.inf, position=3).times()[1] == "-:--:--"


def test_lines_are_silent_before_the_first_batch(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(10.0)
    lines.draw(Stage("Epoch 0", 10), {})
    assert capsys.readouterr().out == ""
    lines.draw(Stage("Epoch 0", 10, position=5), {"loss": 3e-5, "name": "x"})
    assert capsys.readouterr().out.endswith("loss=3e-05, name=x\n")


def test_screen_shows_one_stage_inside_another() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80)
    column = TextColumn("{task.description} {task.fields[batches]}", markup=False)
    screen = Screen([column], console, RichProgressBarTheme(), leave=False)

    def frame(stage: Stage) -> str:
        before = len(output.getvalue())
        screen.draw(stage, {})
        return output.getvalue()[before:]

    train, validation = Stage("[train]", 10, position=4), Stage("validation", 2, nested=True, position=1)
    assert "[train] 4/10" in frame(train)
    both = frame(validation)
    assert both.index("[train] 4/10") < both.index("validation 1/2")
    train.position = 5
    assert "validation" not in frame(train).splitlines()[-1]
    screen.close()
    assert output.getvalue().rstrip().endswith("\x1b[?25h")
