"""ModelSummary: a table of the model's layers when fit begins."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from leyden.callbacks.layer_summary import as_text, check_max_depth, summarize, totals
from leyden.callbacks.notebook_display import in_notebook
from leyden.core.callback import Callback
from leyden.utils.rank import rank_zero_info

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

Columns = list[tuple[str, list[str]]]


class ModelSummary(Callback):
    """Shows the model's layers, parameters and modes when fit begins.

    If the module has an ``example_input_array``, also sizes and floating-point operations. On a terminal and in a
    notebook it is a table of rich; elsewhere plain text, through the logger ``leyden`` at level INFO.

    Args:
        max_depth: How deep to look into the model; -1: all the way, 0: show nothing.
        **summarize_kwargs: For :meth:`summarize`.

    Raises:
        ValueError: ``max_depth`` is no int >= -1.

    Example:
        >>> summary = ModelSummary(max_depth=2)
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        self._max_depth = check_max_depth(max_depth)
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the summary on rank 0."""
        if self._max_depth == 0 or not trainer.is_global_zero:
            return
        found = summarize(pl_module, self._max_depth)
        self.summarize(
            list(found.columns().items()) if found.layers else [],
            found.total_parameters,
            found.trainable_parameters,
            found.model_size,
            found.total_training_modes,
            total_flops=found.total_flops if found.has_sizes else None,
            **self._summarize_kwargs,
        )

    @staticmethod
    def summarize(
        summary_data: Columns,
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int | None = None,
        **summarize_kwargs: Any,
    ) -> None:
        """Show a summary; override it to show it otherwise.

        Args:
            summary_data: The table: each column's name and cells.
            total_parameters: Number of parameters.
            trainable_parameters: Number of those that need gradients.
            model_size: Their size in MB.
            total_training_modes: How many modules are in ``"train"`` and in ``"eval"`` mode.
            total_flops: Operations of the example's forward pass; None without an example.
            **summarize_kwargs: What the constructor was given, for ``rich.table.Table``.
        """
        lines = totals(total_parameters, trainable_parameters, model_size, total_training_modes, total_flops)
        if sys.stdout.isatty() or in_notebook():
            print_table(summary_data, lines, **summarize_kwargs)
        else:
            rank_zero_info(f"\n{as_text(dict(summary_data), lines)}")


class RichModelSummary(ModelSummary):
    """A :class:`ModelSummary` that is a table of rich wherever the output goes.

    Args:
        max_depth: As for :class:`ModelSummary`.
        **summarize_kwargs: Arguments for ``rich.table.Table``, such as ``header_style``.

    Example:
        >>> summary = RichModelSummary(max_depth=-1, header_style="bold")
    """

    @staticmethod
    def summarize(
        summary_data: Columns,
        total_parameters: int,
        trainable_parameters: int,
        model_size: float,
        total_training_modes: dict[str, int],
        total_flops: int | None = None,
        **summarize_kwargs: Any,
    ) -> None:
        """Print the table; see :meth:`ModelSummary.summarize`."""
        lines = totals(total_parameters, trainable_parameters, model_size, total_training_modes, total_flops)
        print_table(summary_data, lines, **summarize_kwargs)


def print_table(columns: Columns, lines: dict[str, str], **table_arguments: Any) -> None:
    """Print a table of rich and the lines under it."""
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

    table = Table(**{"header_style": "bold magenta", **table_arguments})
    for name, _ in columns:
        table.add_column(name, justify="right" if name in ("Params", "FLOPs", "In sizes", "Out sizes") else "left")
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    below = [Text.assemble((name, "bold"), f": {value}") for name, value in lines.items()]
    Console().print(Group(table, *below))  # in one piece, which a notebook shows as one
