"""Bars in a notebook: a cell's output that changes in place."""

from __future__ import annotations

import importlib
import math
import sys
from html import escape
from typing import Any

from leyden.callbacks.progress_display import Display, Metrics, RichProgressBarTheme, Stage, metrics_text


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython is not imported to find out.

    Example:
        >>> in_notebook()
        False
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


class Cell(Display):
    """Bars in a cell's output: one for the pass, one below it for the stage inside.

    Args:
        theme: Its formats and its colour of the bar are used.
        leave: Leave a bar for each finished epoch.
    """

    interval = 0.2

    def __init__(self, theme: RichProgressBarTheme, leave: bool = False) -> None:
        self._theme = theme
        self._leave = leave
        self._left: list[Row] = []
        self._rows: dict[bool, Row] = {}
        self._handle: Any = None

    def draw(self, stage: Stage, metrics: Metrics) -> None:
        """Draw the bars anew."""
        if not stage.nested:
            self._rows.clear()  # the stage inside is over
        self._rows[stage.nested] = Row(stage, metrics, self._theme)
        self._show()

    def records(self, stage: Stage) -> bool:
        """Whether the user asked for it by ``leave=True``."""
        return self._leave and not stage.nested

    def record(self, stage: Stage, metrics: Metrics) -> None:
        """Keep the bar above the live ones."""
        self._rows.clear()
        self._left.append(Row(stage, metrics, self._theme))
        self._show()

    def close(self) -> None:
        """Leave what was drawn last, without the stage inside."""
        if self._rows.pop(True, None) is not None:
            self._show()
        self._handle = None

    def _show(self) -> None:
        picture = Picture([*self._left, *(self._rows[nested] for nested in sorted(self._rows))])
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)


class Row:
    """A stage as text and as HTML."""

    def __init__(self, stage: Stage, metrics: Metrics, theme: RichProgressBarTheme) -> None:
        parts = [stage.batches(), " • ".join(stage.times()), f"{stage.speed():.2f}it/s", metrics_text(metrics, theme)]
        self.description = stage.description
        self.rest = "  ".join(filter(None, parts))
        extent = f'value="{stage.position}" max="{stage.total}"' if math.isfinite(stage.total) else ""
        color = theme.progress_bar if isinstance(theme.progress_bar, str) else ""
        self.bar = f'<progress {extent} style="accent-color: {escape(color)}"></progress>'

    def __str__(self) -> str:
        return f"{self.description}  {self.rest}"

    def html(self) -> str:
        """The bar between its description and the numbers."""
        return f"<div>{escape(self.description)} {self.bar} <code>{escape(self.rest)}</code></div>"


class Picture:
    """What a notebook shows: HTML, and text where there is none."""

    def __init__(self, rows: list[Row]) -> None:
        self.text = "\n".join(map(str, rows))
        self.html = "".join(row.html() for row in rows)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html
