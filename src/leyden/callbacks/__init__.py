"""Callbacks: what a run does beside training, switched on by a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leyden.legacy.alias import publish
from leyden.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from leyden.callbacks.device_stats_monitor import DeviceStatsMonitor
    from leyden.callbacks.early_stopping import EarlyStopping
    from leyden.callbacks.finetuning import BackboneFinetuning, BaseFinetuning
    from leyden.callbacks.gradient_accumulation_scheduler import GradientAccumulationScheduler
    from leyden.callbacks.lambda_function import LambdaCallback
    from leyden.callbacks.lr_monitor import LearningRateMonitor
    from leyden.callbacks.model_checkpoint import ModelCheckpoint
    from leyden.callbacks.model_summary import ModelSummary, RichModelSummary
    from leyden.callbacks.on_exception_checkpoint import OnExceptionCheckpoint
    from leyden.callbacks.prediction_writer import BasePredictionWriter
    from leyden.callbacks.progress import PlainProgress, ProgressBar, RichProgressBar
    from leyden.callbacks.progress_display import RichProgressBarTheme
    from leyden.callbacks.pruning import ModelPruning
    from leyden.callbacks.spike import SpikeDetection
    from leyden.callbacks.stochastic_weight_avg import StochasticWeightAveraging
    from leyden.callbacks.throughput_monitor import ThroughputMonitor
    from leyden.callbacks.timer import Timer
    from leyden.callbacks.tqdm_progress import TQDMProgressBar
    from leyden.callbacks.weight_averaging import EMAWeightAveraging, WeightAveraging
    from leyden.core.callback import Callback, Checkpoint

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "Callback",
    "Checkpoint",
    "DeviceStatsMonitor",
    "EMAWeightAveraging",
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "LambdaCallback",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelPruning",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "PlainProgress",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "RichProgressBarTheme",
    "SpikeDetection",
    "StochasticWeightAveraging",
    "TQDMProgressBar",
    "ThroughputMonitor",
    "Timer",
    "WeightAveraging",
]

_find, __dir__ = lazy_exports(
    __name__,
    {
        "BackboneFinetuning": "leyden.callbacks.finetuning",
        "BaseFinetuning": "leyden.callbacks.finetuning",
        "BasePredictionWriter": "leyden.callbacks.prediction_writer",
        "Callback": "leyden.core.callback",
        "Checkpoint": "leyden.core.callback",
        "DeviceStatsMonitor": "leyden.callbacks.device_stats_monitor",
        "EMAWeightAveraging": "leyden.callbacks.weight_averaging",
        "EarlyStopping": "leyden.callbacks.early_stopping",
        "GradientAccumulationScheduler": "leyden.callbacks.gradient_accumulation_scheduler",
        "LambdaCallback": "leyden.callbacks.lambda_function",
        "LearningRateMonitor": "leyden.callbacks.lr_monitor",
        "ModelCheckpoint": "leyden.callbacks.model_checkpoint",
        "ModelPruning": "leyden.callbacks.pruning",
        "ModelSummary": "leyden.callbacks.model_summary",
        "OnExceptionCheckpoint": "leyden.callbacks.on_exception_checkpoint",
        "PlainProgress": "leyden.callbacks.progress",
        "ProgressBar": "leyden.callbacks.progress",
        "RichModelSummary": "leyden.callbacks.model_summary",
        "RichProgressBar": "leyden.callbacks.progress",
        "RichProgressBarTheme": "leyden.callbacks.progress_display",
        "SpikeDetection": "leyden.callbacks.spike",
        "StochasticWeightAveraging": "leyden.callbacks.stochastic_weight_avg",
        "TQDMProgressBar": "leyden.callbacks.tqdm_progress",
        "ThroughputMonitor": "leyden.callbacks.throughput_monitor",
        "Timer": "leyden.callbacks.timer",
        "WeightAveraging": "leyden.callbacks.weight_averaging",
    },
)
_find_elsewhere, _ = publish(__name__)


def __getattr__(name: str) -> Any:
    return _find(name) if name in __all__ else _find_elsewhere(name)
