import pytest

import leyden as pl
from leyden.errors import MisconfigurationException
from leyden.profilers import XLAProfiler


def test_it_refuses_and_says_what_to_use_instead() -> None:
    with pytest.raises(MisconfigurationException, match="profiler='pytorch'"):
        XLAProfiler(port=9012)
    with pytest.raises(MisconfigurationException, match="profiler='pytorch'"):
        pl.Trainer(accelerator="cpu", max_epochs=1, profiler="xla")
