from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from leyden.errors import MisconfigurationException
from leyden.runtime.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision


def test_float32_asks_for_nothing() -> None:
    precision = Precision()
    module = nn.Linear(2, 1)
    assert precision.convert_module(module) is module
    assert (precision.convert_input, precision.forward_context, precision.scaler) == (None, None, None)
    assert precision.state_dict() == {}


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        (DoublePrecision(), torch.float64),
        (HalfPrecision("bf16-true"), torch.bfloat16),
        (HalfPrecision("16-true"), torch.float16),
    ],
)
def test_whole_formats_convert_modules_inputs_and_what_a_step_makes(precision: Precision, dtype: torch.dtype) -> None:
    module = precision.convert_module(nn.BatchNorm1d(2))
    assert {tensor.dtype for tensor in module.state_dict().values()} == {dtype, torch.int64}
    assert precision.convert_input is not None and precision.forward_context is not None
    batch = precision.convert_input({"x": torch.ones(2), "y": torch.ones(2, dtype=torch.int64), "name": "a"})
    assert (batch["x"].dtype, batch["y"].dtype, batch["name"]) == (dtype, torch.int64, "a")
    with precision.forward_context():
        assert torch.ones(1).dtype == dtype
    with precision.module_init_context():
        assert nn.Linear(1, 1).weight.dtype == dtype
    with contextlib.suppress(KeyError), precision.forward_context():
        raise KeyError
    assert torch.ones(1).dtype == torch.float32


def test_mixed_computes_in_bfloat16_and_keeps_float32_parameters() -> None:
    precision = MixedPrecision("bf16-mixed", "cpu")
    module = precision.convert_module(nn.Linear(2, 1))
    assert precision.forward_context is not None and precision.convert_input is None and precision.scaler is None
    for _ in range(2):
        with precision.forward_context(), precision.forward_context():
            assert module(torch.ones(1, 2)).dtype == torch.bfloat16
    assert module(torch.ones(1, 2)).dtype == module.weight.dtype == torch.float32


def test_float16_scales_its_loss_and_the_scale_is_saved() -> None:
    precision = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=8.0))
    assert precision.scaler is not None
    assert precision.scaler.scale(torch.tensor(2.0)).item() == 16.0
    other = MixedPrecision("16-mixed", "cpu")
    other.load_state_dict(precision.state_dict())
    assert other.scaler is not None and other.scaler.get_scale() == 8.0


def test_names_and_scalers_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="`precision` got '32-true'"):
        MixedPrecision("32-true", "cpu")
    with pytest.raises(ValueError, match="`precision` got 'bf16-mixed'"):
        HalfPrecision("bf16-mixed")
    with pytest.raises(MisconfigurationException, match="`scaler` got .* Accepted: None"):
        MixedPrecision("bf16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))


def test_the_cache_of_casts_ends_with_the_context() -> None:
    """A weight that the optimizer changed between two steps is cast anew."""
    precision, layer = MixedPrecision("bf16-mixed", "cpu"), nn.Linear(1, 1, bias=False)
    assert precision.forward_context is not None
    results = []
    for value in (1.0, 2.0):
        nn.init.constant_(layer.weight, value)
        with precision.forward_context():
            results.append(layer(torch.ones(1, 1)).item())
    assert results == [1.0, 2.0]
