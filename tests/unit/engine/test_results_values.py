"""What is no value to log."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers_results import Probe, fit


@pytest.mark.parametrize("value", ["text", None, {"a": 1.0}, [1.0], torch.ones(2), object()], ids=repr)
def test_values_that_cannot_be_logged(value: Any) -> None:
    with pytest.raises(ValueError, match=r"`self.log\('x', value\)` got"):
        fit(Probe(training_step=lambda module, *_: module.log("x", value)))


def test_a_nested_dict_cannot_be_logged() -> None:
    with pytest.raises(ValueError, match=r"`self.log\('x', value\)` got \{'a': 1.0\}"):
        fit(Probe(training_step=lambda module, *_: module.log_dict({"x": {"a": 1.0}})))
