from __future__ import annotations

import os

import pytest
import torch

from leyden.legacy.utilities.seed import reset_seed
from leyden.utils.seed import isolate_rng, seed_everything


def test_reset_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "")  # so that what a test sets is undone
        monkeypatch.delenv(variable)
    with isolate_rng():
        reset_seed()
        assert "PL_GLOBAL_SEED" not in os.environ
        seed_everything(5, workers=True)
        drawn = torch.randn(1)
        reset_seed()
        assert torch.equal(torch.randn(1), drawn)
    assert os.environ["PL_SEED_WORKERS"] == "1"
