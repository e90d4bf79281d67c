"""Where progress bars draw: a stage of the run on a terminal, or as lines of text."""

from __future__ import annotations

import contextlib
import math
import select
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn, TaskID
    from rich.style import Style

Metrics = dict[str, Any]


@dataclass
class RichProgressBarTheme:
    """Styles (names or objects of rich) and formats of :class:`RichProgressBar`."""

    description: str | Style = ""
    progress_bar: str | Style = "#6206E0"
    progress_bar_finished: str | Style = "#6206E0"
    progress_bar_pulse: str | Style = "#6206E0"
    batch_progress: str | Style = ""
    time: str | Style = "dim"
    processing_speed: str | Style = "dim underline"
    metrics: str | Style = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


@dataclass
class Stage:
    """A pass over batches, as a display shows it."""

    description: str
    total: int | float
    nested: bool = False
    """Inside fit beside training: the sanity check and validation."""
    position: int = 0
    """Batches done."""
    first: int | None = None
    """Batches that were already done when this process began the pass (it may resume in the middle)."""
    started: float = field(default_factory=monotonic)
    paused: float = 0.0
    """Seconds spent in other stages meanwhile."""
    finished: bool = False

    def seconds(self) -> float:
        """Return the seconds spent in this stage."""
        return monotonic() - self.started - self.paused

    def batches(self) -> str:
        """Return the batches done and their total, where that is known."""
        return f"{self.position}/{int(self.total) if math.isfinite(self.total) else '?'}"

    def speed(self) -> float:
        """Return the batches per second since the stage began."""
        return (self.position - (self.first or 0)) / max(self.seconds(), 1e-9)

    def times(self) -> tuple[str, str]:
        """Return the time spent and the time left, as ``h:mm:ss``."""
        speed = self.speed()
        left = (self.total - self.position) / speed if speed > 0 else math.inf
        return _clock(self.seconds()), _clock(left) if left < 1e8 else "-:--:--"


class Display(ABC):
    """Where a bar draws."""

    interval: float
    """The least number of seconds between two drawings."""

    @abstractmethod
    def draw(self, stage: Stage, metrics: Metrics) -> None:
        """Show how far the stage is."""

    @abstractmethod
    def records(self, stage: Stage) -> bool:
        """Whether the finished stage is to stay on the output."""

    @abstractmethod
    def record(self, stage: Stage, metrics: Metrics) -> None:
        """Show the finished stage for good."""

    def close(self) -> None:
        """Give the output back."""


class Lines(Display):
    """Complete lines on standard output, so that they keep their order among the script's own prints."""

    def __init__(self, interval: float) -> None:
        self.interval = interval

    def draw(self, stage: Stage, metrics: Metrics) -> None:
        """Print a line, unless nothing happened yet."""
        if stage.position:
            self._write(stage, metrics)

    def records(self, stage: Stage) -> bool:
        """Whether the stage is no part of an epoch, whose own line is enough."""
        return not stage.nested

    def record(self, stage: Stage, metrics: Metrics) -> None:
        """Print the last line."""
        self._write(stage, metrics)

    def _write(self, stage: Stage, metrics: Metrics) -> None:
        spent, left = stage.times()
        time = spent if stage.position >= stage.total else f"{spent} ({left} left)"
        parts = [f"{stage.description}: {stage.batches()} batches", time, f"{stage.speed():.2f} it/s"]
        parts += [f"{name}={_text(value, '.4g')}" for name, value in metrics.items()]
        if _accepts_output(sys.stdout):
            with contextlib.suppress(OSError, ValueError):  # the reader has gone, or the stream was closed
                sys.stdout.write(", ".join(parts) + "\n")
                sys.stdout.flush()


class Screen(Display):
    """Live bars on a terminal: one for the pass, one below it for the stage inside."""

    interval = 0.2

    def __init__(self, columns: Iterable[ProgressColumn], console: Console, theme: RichProgressBarTheme, leave: bool):
        from rich.progress import Progress

        # No thread: it would compete with the training for the interpreter.
        self._progress = Progress(*columns, console=console, auto_refresh=False)
        self._tasks: dict[bool, tuple[Stage, TaskID]] = {}
        self._theme = theme
        self._leave = leave

    def draw(self, stage: Stage, metrics: Metrics) -> None:
        """Draw the bars anew."""
        if _accepts_output(self._progress.console.file):
            self._update(stage, metrics)
            self._progress.refresh()

    def records(self, stage: Stage) -> bool:
        """Whether the user asked for it by ``leave=True``."""
        return self._leave and not stage.nested

    def record(self, stage: Stage, metrics: Metrics) -> None:
        """Print the bar above the live ones."""
        task = self._update(stage, metrics)
        row = self._progress.make_tasks_table([item for item in self._progress.tasks if item.id == task])
        self._remove(stage.nested)
        self._progress.refresh()
        self._progress.console.print(row)

    def close(self) -> None:
        """Leave the last drawing on the terminal and show the cursor again."""
        self._progress.stop()

    def _update(self, stage: Stage, metrics: Metrics) -> TaskID:
        theme = self._theme
        fields: dict[str, Any] = {
            "batches": stage.batches(),
            "times": " • ".join(stage.times()),
            "speed": f"{stage.speed():.2f}it/s",
            "metrics": metrics_text(metrics, theme),
        }
        self._progress.start()
        if not stage.nested:
            self._remove(nested=True)  # the stage inside is over
        shown, task = self._tasks.get(stage.nested, (None, None))
        if shown is not stage or task is None:
            self._remove(stage.nested)
            total = stage.total if math.isfinite(stage.total) else None
            task = self._progress.add_task(stage.description, total=total, completed=stage.position, **fields)
            self._tasks[stage.nested] = (stage, task)
        else:
            self._progress.update(task, completed=stage.position, **fields)
        return task

    def _remove(self, nested: bool) -> None:
        if nested in self._tasks:
            self._progress.remove_task(self._tasks.pop(nested)[1])


def _accepts_output(stream: Any) -> bool:
    """Whether writing a line will not block: a full pipe or a paused terminal must not stop the training."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError, TypeError):  # no descriptor behind it, or a system that cannot tell
        return True


def metrics_text(metrics: Metrics, theme: RichProgressBarTheme) -> str:
    """Return the metrics in a theme's format."""
    return theme.metrics_text_delimiter.join(
        f"{name}: {_text(value, theme.metrics_format)}" for name, value in metrics.items()
    )


def _text(value: Any, number_format: str) -> str:
    return format(value, number_format) if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
