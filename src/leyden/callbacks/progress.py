"""Progress bars: a live bar on a terminal, one complete line every few seconds elsewhere.

A batch costs the bar a look at the clock. Metrics are read, and anything is drawn, a few times a second at most.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from leyden.callbacks.notebook_display import Cell, in_notebook
from leyden.callbacks.progress_display import Display, Lines, Metrics, RichProgressBarTheme, Screen, Stage
from leyden.callbacks.requirements import is_count
from leyden.core.callback import Callback
from leyden.errors import bad_value
from leyden.legacy.alias import publish
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


def default_progress_bar() -> ProgressBar:
    """Return the bar for this standard output: live on a terminal and in a notebook, else plain lines.

    Example:
        >>> isinstance(default_progress_bar(), ProgressBar)
        True
    """
    return RichProgressBar() if sys.stdout.isatty() or in_notebook() else PlainProgress()


def get_standard_metrics(trainer: Trainer) -> Metrics:
    """Return what every bar shows: ``v_num``, the loggers' versions joined by ``_`` (of a str the last 4 characters)."""
    versions = [logger.version for logger in trainer.loggers]
    short = [version[-4:] if isinstance(version, str) else version for version in versions if version not in (None, "")]
    if not short:
        return {}
    return {"v_num": short[0] if len(versions) == 1 else "_".join(dict.fromkeys(map(str, short)))}


class ProgressBar(Callback):
    """Base class of progress bars: what there is to show. Subclasses draw.

    Example:
        >>> class Dots(ProgressBar):
        ...     def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        ...         print(f"{batch_idx + 1}/{self.total_train_batches}")
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None
        self._enabled = True
        self._dataloader_idx: int | None = None

    @property
    def trainer(self) -> Trainer:
        """The Trainer of the current run.

        Raises:
            TypeError: There was no run yet.
        """
        if self._trainer is None:
            raise TypeError(f"`{type(self).__name__}.trainer` is there from `setup` on; no run has begun yet.")
        return self._trainer

    @property
    def is_enabled(self) -> bool:
        """Whether this bar draws."""
        return self._enabled

    @property
    def is_disabled(self) -> bool:
        """Whether this bar is silent."""
        return not self.is_enabled

    def disable(self) -> None:
        """Stop drawing; the Trainer calls it on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Draw again."""
        self._enabled = True

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print without disturbing the bar."""
        print(*args, **kwargs)

    @property
    def sanity_check_description(self) -> str:
        """What the sanity check's bar is called."""
        return "Sanity Checking"

    @property
    def train_description(self) -> str:
        """What training is called; its bar shows the epoch instead."""
        return "Training"

    @property
    def validation_description(self) -> str:
        """What the validation bar is called."""
        return "Validation"

    @property
    def test_description(self) -> str:
        """What the test bar is called."""
        return "Testing"

    @property
    def predict_description(self) -> str:
        """What the prediction bar is called."""
        return "Predicting"

    @property
    def total_train_batches(self) -> int | float:
        """Training batches per epoch; ``inf`` when unknown. It may change from epoch to epoch."""
        batches: int | float = self.trainer.num_training_batches
        return batches

    @property
    def total_val_batches(self) -> int | float:
        """Validation batches of all loaders; in the sanity check its own."""
        return sum(self._val_batches())

    @property
    def total_val_batches_current_dataloader(self) -> int | float:
        """Validation batches of the loader that runs now."""
        return self._of_current_dataloader(self._val_batches())

    @property
    def total_test_batches_current_dataloader(self) -> int | float:
        """Test batches of the loader that runs now."""
        return self._of_current_dataloader(self.trainer.num_test_batches)

    @property
    def total_predict_batches_current_dataloader(self) -> int | float:
        """Prediction batches of the loader that runs now."""
        return self._of_current_dataloader(self.trainer.num_predict_batches)

    def has_dataloader_changed(self, dataloader_idx: int) -> bool:
        """Note the loader that runs now; return whether it is another one than at the last call."""
        changed = dataloader_idx != self._dataloader_idx
        self._dataloader_idx = dataloader_idx
        return changed

    def reset_dataloader_idx_tracker(self) -> None:
        """Forget the loader that was noted."""
        self._dataloader_idx = None

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> Metrics:
        """Return what the bar shows: ``v_num`` and the values logged with ``prog_bar=True``. Override to change it."""
        standard = get_standard_metrics(trainer)
        logged = trainer.progress_bar_metrics
        if taken := standard.keys() & logged.keys():
            rank_zero_warn(f"The progress bar shows its own {sorted(taken)}, replaced by what was logged by that name.")
        return {**standard, **logged}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note the Trainer; draw on rank 0 only."""
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def _val_batches(self) -> Iterable[int | float]:
        trainer = self.trainer
        batches: list[int | float] = (
            trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        )
        return batches

    def _of_current_dataloader(self, batches: Iterable[int | float]) -> int | float:
        return list(batches)[self._dataloader_idx or 0]


class TimedProgressBar(ProgressBar, ABC):
    """What live bars and plain lines share: following the run, and drawing by the clock on a :class:`Display`."""

    monitors = True  # its on_train_epoch_end runs last, when the epoch's values are complete

    def __init__(self) -> None:
        super().__init__()
        self._stage = self._train = Stage("", 0, finished=True)
        self._display: Display | None = None
        self._metrics: Metrics = {}  # what was drawn last
        self._drawn = -math.inf  # when
        self._due = math.inf

    @abstractmethod
    def _open(self, trainer: Trainer) -> Display:
        """Make the display of a run."""

    def disable(self) -> None:
        """Stop drawing."""
        super().disable()
        self._due = math.inf

    def enable(self) -> None:
        """Draw again."""
        super().enable()
        self._due = -math.inf

    # Per batch: a number kept, a look at the clock.

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        self._train.position = batch_idx + 1
        if monotonic() >= self._due:
            self._tick(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch."""
        self._stage.position += 1
        if monotonic() >= self._due:
            self._tick(trainer, pl_module)

    on_test_batch_end = on_validation_batch_end
    on_predict_batch_end = on_validation_batch_end

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the epoch's bar."""
        last = -1 if trainer.max_epochs is None else trainer.max_epochs - 1
        epoch = f"{trainer.current_epoch}/{last}" if last >= 0 else str(trainer.current_epoch)
        self._train = Stage(f"Epoch {epoch}", self.total_train_batches)
        self._begin(self._train, trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the epoch's bar."""
        self._finish(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the bar and leave it."""
        self._end(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar of a validation or of the sanity check."""
        description = self.sanity_check_description if trainer.sanity_checking else self.validation_description
        nested = trainer.sanity_checking or trainer.state.fn == "fit"
        self._begin(Stage(description, self.total_val_batches, nested), trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the bar; inside fit go back to the epoch's."""
        if not self._stage.nested:
            self._end(trainer, pl_module)
            return
        self._finish(trainer, pl_module)
        self._train.paused += self._stage.seconds()
        self._stage = self._train

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar."""
        self._begin(Stage(self.test_description, sum(trainer.num_test_batches)), trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the bar and leave it."""
        self._end(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the bar."""
        self._begin(Stage(self.predict_description, sum(trainer.num_predict_batches)), trainer, pl_module)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish the bar and leave it."""
        self._end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Show how far the run came."""
        self._stage = self._train if self._stage.nested else self._stage
        if self._display is not None and self.is_enabled and not self._stage.finished:
            # Not today's metrics: reading them waits for a device that may be what failed.
            show = self._display.record if self._display.records(self._stage) else self._display.draw
            show(self._stage, self._metrics)
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the output back, whatever happened."""
        self._close()

    def _begin(self, stage: Stage, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stage = stage
        if self.is_enabled:
            if self._display is None:
                self._display = self._open(trainer)
            self._draw_if_due(self._display, trainer, pl_module)
            self._due = -math.inf  # so that the first batch says where the stage begins

    def _tick(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._display is None:  # disabled, or a subclass left out a hook that begins a stage
            self._due = math.inf
            return
        if self._stage.first is None:
            self._stage.first = self._stage.position - 1
        self._draw_if_due(self._display, trainer, pl_module)

    def _draw_if_due(self, display: Display, trainer: Trainer, pl_module: LightningModule) -> None:
        if monotonic() >= self._drawn + display.interval:
            self._draw(display, trainer, pl_module)
        self._due = self._drawn + display.interval

    def _draw(self, display: Display, trainer: Trainer, pl_module: LightningModule) -> None:
        self._metrics = self.get_metrics(trainer, pl_module)
        display.draw(self._stage, self._metrics)
        self._drawn = monotonic()

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stage, display = self._stage, self._display
        if display is None or stage.finished or not self.is_enabled:
            return
        stage.finished = True
        if display.records(stage):
            self._metrics = self.get_metrics(trainer, pl_module)
            display.record(stage, self._metrics)
            self._drawn = monotonic()
        else:
            self._draw_if_due(display, trainer, pl_module)

    def _end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, pl_module)
        if self._display is not None and self.is_enabled and not self._display.records(self._stage):
            self._draw(self._display, trainer, pl_module)
        self._close()

    def _close(self) -> None:
        if self._display is not None:
            self._display.close()
        self._display = None
        self._stage = self._train = Stage("", 0, finished=True)
        self._drawn, self._due = -math.inf, math.inf


class PlainProgress(TimedProgressBar):
    """One complete line every few seconds and at the end of each epoch: for batch jobs and pipes.

    Args:
        interval: Seconds between two lines within an epoch.

    Raises:
        ValueError: ``interval`` is no positive number.

    Example:
        >>> import leyden as pl
        >>> bar = PlainProgress(interval=60)
    """

    def __init__(self, interval: float = 10.0) -> None:
        if not isinstance(interval, int | float) or not interval > 0:
            raise ValueError(bad_value("interval", interval, "seconds > 0"))
        super().__init__()
        self.interval = interval

    def _open(self, trainer: Trainer) -> Display:
        return Lines(self.interval)


class RichProgressBar(TimedProgressBar):
    """Live bars on a terminal and in a notebook; plain lines every ten seconds elsewhere.

    Args:
        refresh_rate: 0 switches the bar off. Any other value leaves the pace to the clock: five drawings a second at
            most, whatever a batch takes.
        leave: Leave a bar for each finished epoch.
        theme: Colours and formats.
        console_kwargs: Arguments for ``rich.console.Console``.

    Raises:
        ValueError: ``refresh_rate`` is no int >= 0.

    Example:
        >>> bar = RichProgressBar(theme=RichProgressBarTheme(progress_bar="green"), leave=True)
    """

    def __init__(
        self,
        refresh_rate: int = 100,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not is_count(refresh_rate, 0):
            raise ValueError(bad_value("refresh_rate", refresh_rate, "an int >= 0; 0 switches the bar off"))
        super().__init__()
        self._refresh_rate = refresh_rate
        self.leave = leave
        self.theme = RichProgressBarTheme() if theme is None else theme
        self.console_kwargs = console_kwargs or {}

    @property
    def refresh_rate(self) -> int:
        """The value given; 0 means that the bar is off."""
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:
        """Whether this bar draws."""
        return self._enabled and self._refresh_rate > 0

    def configure_columns(self, trainer: Trainer) -> list[ProgressColumn]:
        """Return rich's columns for a bar, without that of the metrics, which follows them.

        ``task.fields`` has ``batches``, ``times``, ``speed`` and ``metrics``, each a str.
        """
        from rich.progress import BarColumn, TextColumn

        theme = self.theme
        return [
            TextColumn("{task.description}", style=theme.description, markup=False),
            BarColumn(
                complete_style=theme.progress_bar,
                finished_style=theme.progress_bar_finished,
                pulse_style=theme.progress_bar_pulse,
            ),
            TextColumn("{task.fields[batches]}", style=theme.batch_progress, markup=False),
            TextColumn("{task.fields[times]}", style=theme.time, markup=False),
            TextColumn("{task.fields[speed]}", style=theme.processing_speed, markup=False),
        ]

    def _open(self, trainer: Trainer) -> Display:
        from rich.console import Console
        from rich.progress import TextColumn
        from rich.table import Column

        if in_notebook():
            return Cell(self.theme, self.leave)
        console = Console(**self.console_kwargs)
        if not console.is_terminal or console.is_dumb_terminal:
            return Lines(interval=10.0)
        text, style = "{task.fields[metrics]}", self.theme.metrics
        metrics = TextColumn(text, style=style, markup=False, table_column=Column(overflow="fold"))
        return Screen([*self.configure_columns(trainer), metrics], console, self.theme, self.leave)


if not TYPE_CHECKING:
    __getattr__, _ = publish(__name__)  # the bars that have files of their own
