"""The table of values that validate and test print."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_results(rows: Sequence[dict[str, float]], title: str) -> None:
    """Print one column per loader: a framed table on a terminal, aligned text elsewhere."""
    columns = [{name.split("/dataloader_idx_")[0]: shown(value) for name, value in row.items()} for row in rows]
    names = sorted({name for column in columns for name in column})
    if not names:
        return
    header = [title, *(["value"] if len(rows) == 1 else [f"DataLoader {index}" for index in range(len(rows))])]
    lines = [[name, *(column.get(name, "") for column in columns)] for name in names]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table(*header)
        for line in lines:
            table.add_row(*line)
        Console(markup=False, highlight=False).print(table)
        return
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    for line in [header, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def shown(value: float) -> str:
    """A value with the digits that float32 has; a whole number as such."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.7g}"
