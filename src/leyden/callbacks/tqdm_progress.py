"""TQDMProgressBar: bars by tqdm, one for each stage, which subclasses may make otherwise."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from leyden.callbacks.notebook_display import in_notebook
from leyden.callbacks.progress import ProgressBar
from leyden.callbacks.requirements import is_count
from leyden.errors import bad_value
from leyden.utils.optional import require

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

PAUSE = 0.1
"""Seconds between two drawings of a bar: reading what was logged may wait for the device."""

COLAB = ("COLAB_GPU", "COLAB_JUPYTER_IP")
"""Variables of Google Colab, where frequent drawing freezes the page."""


@cache
def tqdm_class() -> Any:
    """Return tqdm's class, the widget in a notebook that has them, with numbers of a fixed width.

    Raises:
        ImportError: tqdm is not installed.
    """
    widget = in_notebook() and find_spec("ipywidgets") is not None
    base: Any = require("tqdm.notebook" if widget else "tqdm", "tqdm").tqdm

    class Tqdm(base):  # type: ignore[misc]  # the base is imported on use
        """A bar whose numbers keep their width: 0.100 rather than 0.1."""

        @staticmethod
        def format_num(n: Any) -> str:
            """Return a float with zeros at its end up to five characters; anything else as tqdm has it."""
            if not isinstance(n, float | int):
                return str(n)
            text: str = base.format_num(n)
            if isinstance(n, int) or not math.isfinite(n) or "e" in text or len(text) >= len("0.100"):
                return text
            return (text if "." in text else f"{text}.").ljust(len("0.100"), "0")

    return Tqdm


def __getattr__(name: str) -> Any:
    if name == "Tqdm":
        return tqdm_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class TQDMProgressBar(ProgressBar):
    """Bars by tqdm for the sanity check, training, validation, test and prediction.

    Subclasses may override ``init_train_tqdm`` and its kin, :meth:`get_metrics` and the hooks; the bars are
    ``train_progress_bar``, ``val_progress_bar``, ``test_progress_bar`` and ``predict_progress_bar``. A bar is drawn ten
    times a second at most.

    Args:
        refresh_rate: Batches between two drawings; 0 switches the bars off. On Colab 1 means 20, and the variable
            ``TQDM_MINITERS`` raises it.
        process_position: The line of the bars, for several processes on one terminal.
        leave: Leave the bar of each epoch.

    Raises:
        ValueError: ``refresh_rate`` or ``process_position`` is no int >= 0.
        ImportError: tqdm is not installed (when a run begins).

    Example:
        >>> class Mine(TQDMProgressBar):
        ...     def init_validation_tqdm(self):
        ...         bar = super().init_validation_tqdm()
        ...         bar.set_description("checking")
        ...         return bar
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        for name, number in (("refresh_rate", refresh_rate), ("process_position", process_position)):
            if not is_count(number, 0):
                raise ValueError(bad_value(name, number, "an int >= 0"))
        super().__init__()
        self._refresh_rate = _resolved(refresh_rate)
        self._process_position = process_position
        self._leave = leave
        self._bars: dict[str, Any] = {}
        self._drawn = -math.inf

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the bars, which hold files and locks."""
        return {**vars(self), "_bars": {}}

    @property
    def refresh_rate(self) -> int:
        """Batches between two drawings."""
        return self._refresh_rate

    @property
    def process_position(self) -> int:
        """The line of the bars."""
        return self._process_position

    @property
    def is_enabled(self) -> bool:
        """Whether this bar draws."""
        return self._enabled and self._refresh_rate > 0

    @property
    def train_progress_bar(self) -> Any:
        """Training's bar.

        Raises:
            TypeError: There was none yet; so for the other three.
        """
        return self._bar("train")

    @train_progress_bar.setter
    def train_progress_bar(self, bar: Any) -> None:
        self._bars["train"] = bar

    @property
    def val_progress_bar(self) -> Any:
        """The bar of validation and of the sanity check."""
        return self._bar("val")

    @val_progress_bar.setter
    def val_progress_bar(self, bar: Any) -> None:
        self._bars["val"] = bar

    @property
    def test_progress_bar(self) -> Any:
        """The test's bar."""
        return self._bar("test")

    @test_progress_bar.setter
    def test_progress_bar(self, bar: Any) -> None:
        self._bars["test"] = bar

    @property
    def predict_progress_bar(self) -> Any:
        """Prediction's bar."""
        return self._bar("predict")

    @predict_progress_bar.setter
    def predict_progress_bar(self, bar: Any) -> None:
        self._bars["predict"] = bar

    # What a subclass may make otherwise.

    def init_sanity_tqdm(self) -> Any:
        """Make the sanity check's bar."""
        return self._make(self.sanity_check_description, leave=False)

    def init_train_tqdm(self) -> Any:
        """Make training's bar."""
        return self._make(self.train_description, leave=True, smoothing=0)

    def init_validation_tqdm(self) -> Any:
        """Make validation's bar; inside fit it lies below training's."""
        inside = self.trainer.state.fn == "fit"
        return self._make(self.validation_description, leave=not inside, line=int(inside))

    def init_test_tqdm(self) -> Any:
        """Make the test's bar."""
        return self._make(self.test_description, leave=True)

    def init_predict_tqdm(self) -> Any:
        """Make prediction's bar."""
        return self._make(self.predict_description, leave=True)

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        """Print above the bars."""
        live = next((bar for bar in self._bars.values() if not bar.disable), None)
        if live is None:
            print(*args, sep=sep, **kwargs)
        else:
            live.write(sep.join(map(str, args)), **kwargs)

    # Following the run.

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the bar."""
        self.val_progress_bar = self.init_sanity_tqdm()

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close it."""
        self.val_progress_bar.close()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make training's bar."""
        self.train_progress_bar = self.init_train_tqdm()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's bar."""
        if self._leave and self.train_progress_bar.disable and self.is_enabled:  # the last epoch's was left
            self.train_progress_bar = self.init_train_tqdm()
        self._restart(self.train_progress_bar, self.total_train_batches, f"Epoch {trainer.current_epoch}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch."""
        if self._advance(self.train_progress_bar, batch_idx + 1):
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's values; leave the bar if asked to."""
        self._show_metrics(trainer, pl_module)
        if self._leave:
            self.train_progress_bar.close()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self.train_progress_bar.close()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make validation's bar."""
        if not trainer.sanity_checking:
            self.val_progress_bar = self.init_validation_tqdm()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start a loader's bar."""
        if self.has_dataloader_changed(dataloader_idx):
            name = self.sanity_check_description if trainer.sanity_checking else self.validation_description
            total = self.total_val_batches_current_dataloader
            self._restart(self.val_progress_bar, total, f"{name} DataLoader {dataloader_idx}")

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
        self._advance(self.val_progress_bar, batch_idx + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar; show what was logged beside training's."""
        self.reset_dataloader_idx_tracker()
        if not trainer.sanity_checking:
            if trainer.state.fn == "fit":
                self._show_metrics(trainer, pl_module)
            self.val_progress_bar.close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the bar."""
        self.test_progress_bar = self.init_test_tqdm()

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start a loader's bar."""
        if self.has_dataloader_changed(dataloader_idx):
            total, name = self.total_test_batches_current_dataloader, self.test_description
            self._restart(self.test_progress_bar, total, f"{name} DataLoader {dataloader_idx}")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch."""
        self._advance(self.test_progress_bar, batch_idx + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self.test_progress_bar.close()
        self.reset_dataloader_idx_tracker()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the bar."""
        self.predict_progress_bar = self.init_predict_tqdm()

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Start a loader's bar."""
        if self.has_dataloader_changed(dataloader_idx):
            total, name = self.total_predict_batches_current_dataloader, self.predict_description
            self._restart(self.predict_progress_bar, total, f"{name} DataLoader {dataloader_idx}")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the batch."""
        self._advance(self.predict_progress_bar, batch_idx + 1)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self.predict_progress_bar.close()
        self.reset_dataloader_idx_tracker()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bars where they stand."""
        for bar in self._bars.values():
            bar.close()
        self.reset_dataloader_idx_tracker()

    def _bar(self, stage: str) -> Any:
        if stage not in self._bars:
            raise TypeError(f"`{type(self).__name__}.{stage}_progress_bar` is there once its stage has begun.")
        return self._bars[stage]

    def _make(self, description: str, leave: bool, line: int = 0, **arguments: Any) -> Any:
        return tqdm_class()(
            desc=description,
            position=2 * self.process_position + line,
            disable=self.is_disabled,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stdout,
            bar_format=self.BAR_FORMAT,
            **arguments,
        )

    def _restart(self, bar: Any, total: int | float, description: str) -> None:
        bar.set_description(description, refresh=False)
        bar.reset(total=convert_inf(total))
        self._drawn = -math.inf

    def _advance(self, bar: Any, count: int) -> bool:
        """Set the count; return whether the bar was drawn."""
        if bar.disable or not self.is_enabled:
            return False
        bar.n = count
        now = monotonic()
        last = count == bar.total
        if not last and (count % self._refresh_rate or now < self._drawn + PAUSE):
            return False
        self._drawn = now
        bar.refresh()
        return True

    def _show_metrics(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.train_progress_bar.disable:
            self.train_progress_bar.set_postfix(self.get_metrics(trainer, pl_module))


def convert_inf(total: int | float | None) -> int | float | None:
    """Return a total as tqdm takes it: None where it is not known.

    Example:
        >>> convert_inf(3), convert_inf(float("inf"))
        (3, None)
    """
    return None if total is None or not math.isfinite(total) else total


def _resolved(refresh_rate: int) -> int:
    if refresh_rate == 1 and any(name in os.environ for name in COLAB):
        return 20
    return max(refresh_rate, int(os.environ.get("TQDM_MINITERS", "0"))) if refresh_rate else 0
