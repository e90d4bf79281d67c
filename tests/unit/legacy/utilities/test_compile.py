from __future__ import annotations

import pytest
import torch
from torch import nn

from leyden.demos.boring_classes import BoringModel
from leyden.legacy.utilities.compile import STEPS, from_compiled, to_uncompiled


def test_a_compiled_module_is_a_module_with_compiled_steps_and_back() -> None:
    module = BoringModel()
    made = from_compiled(torch.compile(module, backend="eager"))
    assert made is module
    assert set(STEPS) <= set(vars(made))
    assert made._compiler_ctx["compiler"] == "dynamo"
    assert made.training_step(torch.ones(2, 32), 0)["loss"].shape == ()
    assert to_uncompiled(made) is module
    assert made._compiler_ctx is None
    assert not set(STEPS) & set(vars(made))


def test_what_torch_compile_returned_has_its_module_inside() -> None:
    module = BoringModel()
    assert to_uncompiled(torch.compile(module, backend="eager")) is module


@pytest.mark.parametrize("model", [BoringModel(), nn.Linear(1, 1), torch.compile(nn.Linear(1, 1))])
def test_what_is_not_a_compiled_module_is_refused(model: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"the result of torch.compile\(lightning_module\)"):
        from_compiled(model)


def test_what_is_not_compiled_is_refused() -> None:
    with pytest.raises(ValueError, match="a compiled LightningModule"):
        to_uncompiled(BoringModel())
