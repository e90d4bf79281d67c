"""ModelSummary: a table of the model's layers when fit begins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from leyden.callbacks.layer_summary import ModelSummary as Summary
from leyden.callbacks.layer_summary import check_max_depth, summarize
from leyden.core.callback import Callback
from leyden.utils.rank import rank_zero_info

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class ModelSummary(Callback):
    """Shows the model's layers, parameters and modes when fit begins, and sizes if it has an ``example_input_array``.

    On a terminal it is a table of rich; elsewhere plain text, through the logger ``leyden`` at level INFO.

    Args:
        max_depth: How deep to look into the model; -1: all the way, 0: show nothing.

    Raises:
        ValueError: ``max_depth`` is no int >= -1.

    Example:
        >>> summary = ModelSummary(max_depth=2)
    """

    def __init__(self, max_depth: int = 1) -> None:
        self._max_depth = check_max_depth(max_depth)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the summary on rank 0."""
        if self._max_depth == 0 or not trainer.is_global_zero:
            return
        summary = summarize(pl_module, self._max_depth)
        if sys.stdout.isatty():
            self._print_table(summary)
        else:
            rank_zero_info(f"\n{summary}")

    def _print_table(self, summary: Summary, **table_arguments: Any) -> None:
        from rich.console import Console
        from rich.table import Table

        console = Console()
        table = Table(**{"header_style": "bold magenta", **table_arguments})
        columns = summary.columns()
        for name in columns:
            table.add_column(name, justify="right" if name in ("Params", "In sizes", "Out sizes") else "left")
        for row in zip(*columns.values(), strict=True):
            table.add_row(*(cell.replace("[", r"\[") for cell in row))
        console.print(table)
        for name, value in summary.totals().items():
            console.print(f"[bold]{name}[/]: {value}", highlight=False)


class RichModelSummary(ModelSummary):
    """A :class:`ModelSummary` that is a table of rich wherever the output goes.

    Args:
        max_depth: As for :class:`ModelSummary`.
        **summarize_kwargs: Arguments for ``rich.table.Table``, such as ``header_style``.

    Example:
        >>> summary = RichModelSummary(max_depth=-1, header_style="bold")
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        super().__init__(max_depth)
        self._table_arguments = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table on rank 0."""
        if self._max_depth != 0 and trainer.is_global_zero:
            self._print_table(summarize(pl_module, self._max_depth), **self._table_arguments)
