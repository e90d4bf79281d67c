"""A compiled module as a LightningModule, and back."""

from __future__ import annotations

from typing import Any

from torch import nn

from leyden.errors import bad_value

STEPS = ("forward", "training_step", "validation_step", "test_step", "predict_step")


def from_compiled(model: nn.Module) -> Any:
    """Return the LightningModule inside what ``torch.compile`` returned, with its steps compiled.

    Args:
        model: The result of ``torch.compile(module)``.

    Raises:
        ValueError: It is something else, or not a LightningModule inside.
    """
    module = getattr(model, "_orig_mod", None)
    if module is None or not hasattr(module, "training_step"):
        raise ValueError(bad_value("model", model, "the result of torch.compile(lightning_module)"))
    context: Any = model.dynamo_ctx
    module._compiler_ctx = {"compiler": "dynamo", "dynamo_ctx": context, "original_forward": module.forward}
    for name in STEPS:
        setattr(module, name, context(getattr(module, name)))
    return module


def to_uncompiled(model: nn.Module) -> Any:
    """Return the LightningModule without compiled steps.

    Args:
        model: What :func:`from_compiled` or ``torch.compile`` returned.

    Raises:
        ValueError: It is not compiled.
    """
    module = getattr(model, "_orig_mod", model)
    if getattr(module, "_compiler_ctx", None) is None and module is model:
        raise ValueError(bad_value("model", model, "a compiled LightningModule"))
    for name in STEPS:
        vars(module).pop(name, None)
    module._compiler_ctx = None
    return module
