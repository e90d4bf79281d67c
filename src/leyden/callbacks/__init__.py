"""Callbacks: what a run does beside training, switched on by a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden.callbacks.early_stopping import EarlyStopping
    from leyden.callbacks.model_checkpoint import ModelCheckpoint
    from leyden.callbacks.model_summary import ModelSummary, RichModelSummary
    from leyden.callbacks.progress import PlainProgress, ProgressBar, RichProgressBar
    from leyden.callbacks.progress_display import RichProgressBarTheme
    from leyden.callbacks.timer import Timer
    from leyden.core.callback import Callback, Checkpoint

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "ModelCheckpoint",
    "ModelSummary",
    "PlainProgress",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "RichProgressBarTheme",
    "Timer",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "Callback": "leyden.core.callback",
        "Checkpoint": "leyden.core.callback",
        "EarlyStopping": "leyden.callbacks.early_stopping",
        "ModelCheckpoint": "leyden.callbacks.model_checkpoint",
        "ModelSummary": "leyden.callbacks.model_summary",
        "PlainProgress": "leyden.callbacks.progress",
        "ProgressBar": "leyden.callbacks.progress",
        "RichModelSummary": "leyden.callbacks.model_summary",
        "RichProgressBar": "leyden.callbacks.progress",
        "RichProgressBarTheme": "leyden.callbacks.progress_display",
        "Timer": "leyden.callbacks.timer",
    },
)
