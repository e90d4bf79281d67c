from __future__ import annotations

import copy
import io
import math
import os
import pickle
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from leyden.callbacks.progress import (
    PlainProgress,
    ProgressBar,
    RichProgressBar,
    TimedProgressBar,
    default_progress_bar,
    get_standard_metrics,
)
from leyden.callbacks.progress_display import Display, RichProgressBarTheme, Stage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Canvas(Display):
    """Writes down what a bar asks for; ``interval`` decides whether drawings are always or never due."""

    def __init__(self, interval: float, records: bool) -> None:
        self.interval = interval
        self.calls: list[tuple[str, str, str, dict[str, Any]]] = []
        self._records = records

    def draw(self, stage: Stage, metrics: dict[str, Any]) -> None:
        self.calls.append(("draw", stage.description, stage.batches(), metrics))

    def records(self, stage: Stage) -> bool:
        return self._records and not stage.nested

    def record(self, stage: Stage, metrics: dict[str, Any]) -> None:
        self.calls.append(("record", stage.description, stage.batches(), metrics))

    def close(self) -> None:
        self.calls.append(("close", "", "", {}))


class CanvasBar(TimedProgressBar):
    def __init__(self, interval: float = 0.0, records: bool = False) -> None:
        super().__init__()
        self.canvas = Canvas(interval, records)

    def _open(self, trainer: Any) -> Display:
        return self.canvas

    def shown(self, kind: str) -> list[tuple[str, str]]:
        return [(stage, batches) for called, stage, batches, _ in self.canvas.calls if called == kind]


class Run:
    """Stands in for a Trainer: the attributes that bars read, and the hooks in the order of a run."""

    def __init__(self, **attributes: Any) -> None:
        self.reads = 0
        self.is_global_zero = True
        self.loggers: list[Any] = [SimpleNamespace(version=3)]
        self.max_epochs: int | None = 2
        self.current_epoch = 0
        self.num_training_batches: int | float = 4
        self.num_val_batches: list[int | float] = [2, 1]
        self.num_sanity_val_batches: list[int | float] = [1, 1]
        self.num_test_batches: list[int | float] = [2]
        self.num_predict_batches: list[int | float] = [3]
        self.sanity_checking = False
        self.state = SimpleNamespace(fn="fit")
        vars(self).update(attributes)

    @property
    def progress_bar_metrics(self) -> dict[str, float]:
        self.reads += 1
        return {"loss": 0.25}

    def validate(self, bar: Any, batches: list[int | float]) -> None:
        bar.on_validation_start(self, None)
        for loader, count in enumerate(batches):
            for index in range(int(count)):
                bar.on_validation_batch_end(self, None, None, None, index, loader)
        bar.on_validation_end(self, None)

    def fit(self, bar: Any, epochs: int = 2, first: int = 0, batches: int = 4) -> None:
        bar.setup(self, None, "fit")
        self.sanity_checking = True
        self.validate(bar, self.num_sanity_val_batches)
        self.sanity_checking = False
        for self.current_epoch in range(epochs):
            bar.on_train_epoch_start(self, None)
            for index in range(first, batches):
                bar.on_train_batch_end(self, None, {"loss": 0}, None, index)
            self.validate(bar, self.num_val_batches)
            bar.on_train_epoch_end(self, None)
        bar.on_train_end(self, None)
        bar.teardown(self, None, "fit")

    def test(self, bar: Any) -> None:
        self.state.fn = "test"
        bar.setup(self, None, "test")
        bar.on_test_start(self, None)
        for index in range(2):
            bar.on_test_batch_end(self, None, None, None, index)
        bar.on_test_end(self, None)
        bar.teardown(self, None, "test")


def plain_fit(capsys: pytest.CaptureFixture[str], run: Run, **arguments: Any) -> list[str]:
    run.fit(PlainProgress(), **arguments)
    out, err = capsys.readouterr()
    assert not err
    assert "\r" not in out
    assert out.endswith("\n")
    return out.splitlines()


def test_default_bar_depends_on_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert type(default_progress_bar()) is PlainProgress
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert type(default_progress_bar()) is RichProgressBar


def test_plain_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    lines = plain_fit(capsys, Run())
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 0/1: 4/4 batches, 0:00:00, ")
    assert lines[1].startswith("Epoch 1/1: 4/4 batches, ")
    assert all(line.endswith(" it/s, v_num=3, loss=0.25") for line in lines)


def test_plain_line_with_unknown_totals(capsys: pytest.CaptureFixture[str]) -> None:
    lines = plain_fit(capsys, Run(max_epochs=-1, num_training_batches=math.inf, num_val_batches=[]), epochs=1)
    assert len(lines) == 1
    assert lines[0].startswith("Epoch 0: 4/? batches, 0:00:00 (-:--:-- left), ")


def test_plain_line_at_the_end_of_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    Run().test(PlainProgress())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Testing: 2/2 batches")


def test_plain_lines_within_a_stage_when_due(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run()
    run.fit(PlainProgress(interval=1e-9), epochs=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" batches")[0] for line in lines] == [
        "Sanity Checking: 1/2",
        "Sanity Checking: 2/2",
        "Sanity Checking: 2/2",
        "Epoch 0/1: 1/4",
        "Epoch 0/1: 2/4",
        "Epoch 0/1: 3/4",
        "Epoch 0/1: 4/4",
        "Validation: 1/3",
        "Validation: 2/3",
        "Validation: 3/3",
        "Validation: 3/3",
        "Epoch 0/1: 4/4",
    ]


def test_metrics_are_read_only_for_a_drawing() -> None:
    run = Run()
    run.fit(CanvasBar(interval=1e9), epochs=2)
    assert run.reads == 2  # the first drawing and the last
    run = Run()
    run.fit(CanvasBar(interval=1e9, records=True), epochs=2)
    assert run.reads == 3  # the first drawing and the epochs


def test_last_drawing_shows_the_finished_epoch() -> None:
    bar = CanvasBar(interval=1e9)
    Run().fit(bar)
    assert bar.canvas.calls[-2:] == [("draw", "Epoch 1/1", "4/4", {"v_num": 3, "loss": 0.25}), ("close", "", "", {})]
    assert bar.shown("close") == [("", "")]


def test_every_stage_is_drawn_when_always_due() -> None:
    bar = CanvasBar()
    Run().fit(bar, epochs=1)
    assert list(dict.fromkeys(bar.shown("draw"))) == [
        ("Sanity Checking", "0/2"),
        ("Sanity Checking", "1/2"),
        ("Sanity Checking", "2/2"),
        ("Epoch 0/1", "0/4"),
        ("Epoch 0/1", "1/4"),
        ("Epoch 0/1", "2/4"),
        ("Epoch 0/1", "3/4"),
        ("Epoch 0/1", "4/4"),
        ("Validation", "0/3"),
        ("Validation", "1/3"),
        ("Validation", "2/3"),
        ("Validation", "3/3"),
    ]


def test_validation_outside_fit_is_its_own_run() -> None:
    bar = CanvasBar(interval=1e9, records=True)
    run = Run(state=SimpleNamespace(fn="validate"))
    bar.setup(run, None, "validate")  # type: ignore[arg-type]
    run.validate(bar, run.num_val_batches)
    assert bar.shown("record") == [("Validation", "3/3")]
    assert bar.shown("close") == [("", "")]


def test_prediction() -> None:
    bar: Any = CanvasBar(interval=1e9, records=True)
    run = Run(state=SimpleNamespace(fn="predict"))
    bar.setup(run, None, "predict")
    bar.on_predict_start(run, None)
    for index in range(3):
        bar.on_predict_batch_end(run, None, None, None, index)
    bar.on_predict_end(run, None)
    assert bar.shown("record") == [("Predicting", "3/3")]


def test_epoch_resumed_in_the_middle() -> None:
    bar = CanvasBar(interval=1e9, records=True)
    Run().fit(bar, epochs=1, first=2)
    assert bar.shown("record") == [("Epoch 0/1", "4/4")]


def test_epoch_cut_short_is_shown_as_it_is() -> None:
    bar: Any = CanvasBar(interval=1e9, records=True)
    run = Run()
    bar.setup(run, None, "fit")
    bar.on_train_epoch_start(run, None)
    bar.on_train_batch_end(run, None, None, None, 0)
    bar.on_train_end(run, None)
    assert bar.shown("record") == [("Epoch 0/1", "1/4")]


@pytest.mark.parametrize("records", [True, False])
def test_exception_shows_the_state_without_reading_metrics(records: bool) -> None:
    bar: Any = CanvasBar(interval=1e9, records=records)
    run = Run()
    bar.setup(run, None, "fit")
    bar.on_train_epoch_start(run, None)
    bar.on_train_batch_end(run, None, None, None, 0)
    bar.on_validation_start(run, None)
    reads = run.reads
    bar.on_exception(run, None, RuntimeError("device failed"))
    bar.teardown(run, None, "fit")
    assert bar.canvas.calls[-2][:3] == ("record" if records else "draw", "Epoch 0/1", "1/4")
    assert bar.shown("close") == [("", "")]
    assert run.reads == reads


def test_exception_before_anything_began() -> None:
    bar: Any = CanvasBar()
    bar.on_exception(Run(), None, RuntimeError())
    assert bar.canvas.calls == []


def test_silent_bars(capsys: pytest.CaptureFixture[str]) -> None:
    off = RichProgressBar(refresh_rate=0)
    assert off.is_disabled
    other_rank = PlainProgress(interval=1e-9)
    for bar, run in ((off, Run()), (other_rank, Run(is_global_zero=False))):
        run.fit(bar)
        assert run.reads == 0
    assert capsys.readouterr().out == ""


def test_disable_and_enable_during_a_run() -> None:
    bar: Any = CanvasBar()
    run = Run()
    bar.setup(run, None, "fit")
    bar.on_train_epoch_start(run, None)
    bar.disable()
    bar.on_train_batch_end(run, None, None, None, 0)
    bar.enable()
    bar.on_train_batch_end(run, None, None, None, 1)
    assert bar.shown("draw") == [("Epoch 0/1", "0/4"), ("Epoch 0/1", "2/4")]


def test_rich_bar_without_a_terminal_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Run().fit(RichProgressBar())
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Epoch 0/1", "Epoch 1/1"]


@pytest.mark.parametrize("leave", [False, True])
def test_rich_bar_on_a_terminal(leave: bool) -> None:
    output = Terminal()
    theme = RichProgressBarTheme(metrics_format=".1f", metrics_text_delimiter="; ")
    bar = RichProgressBar(leave=leave, theme=theme, console_kwargs={"file": output, "width": 120})
    stdout = sys.stdout
    Run().fit(bar)
    text = output.getvalue()
    assert "Sanity Checking" in text
    assert "Epoch 1/1" in text
    assert "4/4" in text
    assert "v_num: 3; loss: 0.2" in text
    assert ("Epoch 0/1" in text) == leave  # otherwise too quick to be drawn
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back
    assert sys.stdout is stdout
    Run().test(bar)  # the same bar serves the next run
    assert "Testing" in output.getvalue()[len(text) :]


def test_rich_bar_lets_users_choose_columns_and_metrics() -> None:
    from rich.progress import TextColumn

    class Mine(RichProgressBar):
        def configure_columns(self, trainer: Any) -> list[Any]:
            return [TextColumn("<{task.fields[metrics]}>")]

        def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
            metrics = super().get_metrics(trainer, pl_module)
            metrics.pop("v_num", None)
            return metrics

    output = Terminal()
    Run().fit(Mine(console_kwargs={"file": output}))
    assert "<loss: 0.250> \x1b[3mloss: 0.250" in output.getvalue()  # the metrics follow the columns that one configures


def test_every_style_of_the_theme_is_used() -> None:
    styles = ["description", "progress_bar", "progress_bar_finished", "progress_bar_pulse", "batch_progress"]
    styles += ["time", "processing_speed"]
    theme = RichProgressBarTheme(**{name: f"rgb({number},0,0)" for number, name in enumerate(styles)})
    columns = RichProgressBar(theme=theme).configure_columns(None)  # type: ignore[arg-type]
    used = {str(value) for column in columns for value in vars(column).values()}
    assert {f"rgb({number},0,0)" for number in range(len(styles))} <= used
    output = Terminal()
    theme = RichProgressBarTheme(metrics="bold red")
    Run().fit(RichProgressBar(theme=theme, console_kwargs={"file": output, "color_system": "standard"}))
    assert "\x1b[1;31mv_num" in output.getvalue()


def test_closed_and_full_outputs_do_not_stop_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    Run().fit(PlainProgress())

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    with open(reader, "rb") as source:
        with open(writer, "w") as full:  # nobody reads: a write would wait for ever
            monkeypatch.setattr(sys, "stdout", full)
            Run().fit(PlainProgress())
        assert set(source.read()) == {ord("x")}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([], {}),
        ([None], {}),
        ([""], {}),
        ([0], {"v_num": 0}),
        (["abcdefgh"], {"v_num": "efgh"}),
        ([1, "xyz"], {"v_num": "1_xyz"}),
        ([2, 2], {"v_num": "2"}),
    ],
)
def test_version_number(versions: list[Any], expected: dict[str, Any]) -> None:
    run: Any = Run(loggers=[SimpleNamespace(version=version) for version in versions])
    assert get_standard_metrics(run) == expected


def test_logged_name_replaces_the_bar_s_own() -> None:
    class Versioned(Run):
        @property
        def progress_bar_metrics(self) -> dict[str, float]:
            return {"v_num": 1.5}

    run: Any = Versioned()
    with pytest.warns(UserWarning, match="v_num"):
        assert ProgressBar().get_metrics(run, None) == {"v_num": 1.5}  # type: ignore[arg-type]


def test_base_class_for_users(capsys: pytest.CaptureFixture[str]) -> None:
    class Percent(ProgressBar):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
            self.print(f"{(batch_idx + 1) / self.total_train_batches:.0%}", end=" ")

    bar = Percent()
    with pytest.raises(TypeError, match="no run has begun"):
        _ = bar.trainer
    run: Any = Run()
    run.fit(bar, epochs=1)
    assert capsys.readouterr().out == "25% 50% 75% 100% "
    assert bar.trainer is run
    assert bar.total_val_batches == 3
    assert [bar.has_dataloader_changed(index) for index in (0, 0, 1)] == [True, False, True]
    assert bar.total_val_batches_current_dataloader == 1
    bar.reset_dataloader_idx_tracker()
    assert bar.total_val_batches_current_dataloader == 2
    assert bar.total_test_batches_current_dataloader == 2
    assert bar.total_predict_batches_current_dataloader == 3
    run.sanity_checking = True
    assert bar.total_val_batches == 2


@pytest.mark.parametrize("bar", [PlainProgress(), RichProgressBar()])
def test_bars_can_be_copied(bar: TimedProgressBar) -> None:
    assert type(copy.deepcopy(bar)) is type(pickle.loads(pickle.dumps(bar))) is type(bar)


@pytest.mark.parametrize("value", [-1, 1.5, "10", True])
def test_bad_refresh_rate(value: Any) -> None:
    with pytest.raises(ValueError, match="refresh_rate"):
        RichProgressBar(refresh_rate=value)


@pytest.mark.parametrize("value", [0, -1, "10", math.nan])
def test_bad_interval(value: Any) -> None:
    with pytest.raises(ValueError, match="interval"):
        PlainProgress(interval=value)
