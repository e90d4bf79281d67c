"""Names that programs of 0.x and 1.x import, and that are gone."""

from __future__ import annotations

import pytest

from leyden.callbacks import ProgressBar
from leyden.legacy.alias import missing


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pytorch_lightning.data_loader", "leave the decorator out"),
        ("pytorch_lightning.core.decorators", "leave the decorators out"),
        ("pytorch_lightning.EvalResult", r"self.log\("),
        ("pytorch_lightning.TrainResult", r"self.log\("),
        ("pytorch_lightning.Result", r"self.log\("),
        ("pytorch_lightning.callbacks.GPUStatsMonitor", "DeviceStatsMonitor"),
        ("pytorch_lightning.callbacks.XLAStatsMonitor", "DeviceStatsMonitor"),
        ("pytorch_lightning.callbacks.QuantizationAwareTraining", "torch's own quantization"),
        ("pytorch_lightning.callbacks.ProgressBarBase", "`ProgressBar` today.*TQDMProgressBar"),
        ("pytorch_lightning.loggers.LoggerCollection", "a list of loggers"),
        ("pytorch_lightning.loggers.TestTubeLogger", "CSVLogger"),
    ],
)
def test_names_that_are_gone_say_what_to_do(name: str, line: str) -> None:
    message = missing(name)
    assert name.rpartition(".")[2] in message
    with pytest.raises(ImportError, match=line):
        raise ImportError(message)


def test_the_bar_that_everything_derives_from_takes_no_refresh_rate() -> None:
    with pytest.raises(TypeError, match="refresh_rate"):
        ProgressBar(refresh_rate=20)  # type: ignore[call-arg]
