"""Number formats: what a module is converted to, what its inputs are, and the context its steps run in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.tree import map_tensors


class Precision:
    """32-bit floats, and the base of the other formats.

    ``convert_input`` and ``forward_context`` are ``None`` where there is nothing to do, so that a loop decides once
    whether it calls them. A subclass overrides them with ordinary methods.

    Attributes:
        precision: The name as ``Trainer(precision=...)`` has it.
        convert_input: Returns a batch with its floating tensors converted.
        forward_context: Returns the context that forward passes run in; a new one for each call.
        scaler: The gradient scaler of float16 training; the optimizer step goes through it.
    """

    precision: str = "32-true"
    convert_input: Callable[[Any], Any] | None = None
    forward_context: Callable[[], AbstractContextManager[Any]] | None = None
    scaler: torch.amp.GradScaler | None = None

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Return ``module`` with its parameters and buffers in this format."""
        return module

    def module_init_context(self) -> AbstractContextManager[Any]:
        """Return a context in which new modules are made in this format."""
        return nullcontext()

    @functools.cached_property
    def unscaled(self) -> dict[Optimizer, bool]:
        """The optimizers whose gradients are unscaled, and whether they have stepped with them."""
        return {}

    def scale(self, loss: Tensor, alone: bool = False) -> Tensor:
        """Return ``loss`` times the scale, which the steps since the last backward adapt first.

        Args:
            loss: The loss.
            alone: There is one optimizer: gradients that were unscaled and not stepped with are given up.
        """
        if self.scaler is None:
            return loss
        self.update_scale(alone)
        return self.scaler.scale(loss)

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Divide an optimizer's gradients by the scale; of several calls before its step, the first one does it."""
        if self.scaler is not None and optimizer not in self.unscaled:
            self.scaler.unscale_(optimizer)
            self.unscaled[optimizer] = False

    def optimizer_step(self, optimizer: Optimizer) -> None:
        """Let an optimizer step, unless its gradients overflowed."""
        assert self.scaler is not None
        self.unscale_gradients(optimizer)
        self.scaler.step(optimizer)
        self.unscaled[optimizer] = True

    def update_scale(self, alone: bool = False) -> None:
        """Adapt the scale, once for all optimizers that stepped with it; unless ``alone``, one still to step keeps it."""
        if self.scaler is not None and self.unscaled and (alone or all(self.unscaled.values())):
            self.scaler.update()
            self.unscaled.clear()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this object: the scaler's state."""
        return self.scaler.state_dict() if self.scaler is not None else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the scaler's state from a checkpoint."""
        if self.scaler is not None and state_dict:
            self.scaler.load_state_dict(state_dict)


_CASTS = {torch.float64: nn.Module.double, torch.float16: nn.Module.half, torch.bfloat16: nn.Module.bfloat16}


class WholePrecision(Precision):
    """Everything in one format: parameters, floating inputs, and tensors made within a step."""

    dtype: torch.dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        return _CASTS[self.dtype](module)

    def convert_input(self, data: Any) -> Any:
        return map_tensors(lambda tensor: tensor.to(self.dtype) if tensor.is_floating_point() else tensor, data)

    def module_init_context(self) -> AbstractContextManager[Any]:
        return _default_dtype(self.dtype)

    forward_context = module_init_context


class DoublePrecision(WholePrecision):
    """64-bit floats for parameters, inputs and what a step makes ("64-true").

    Example:
        >>> DoublePrecision().convert_module(nn.Linear(1, 1)).weight.dtype
        torch.float64
    """

    precision = "64-true"
    dtype = torch.float64


class HalfPrecision(WholePrecision):
    """16-bit floats for parameters, inputs and what a step makes.

    Args:
        precision: "bf16-true" or "16-true".

    Raises:
        ValueError: Another name.
    """

    def __init__(self, precision: str = "16-true") -> None:
        self.precision = precision
        self.dtype = _dtype(precision, "true")


class MixedPrecision(Precision):
    """32-bit parameters, forward passes under autocast; float16 scales its loss.

    Args:
        precision: "bf16-mixed" or "16-mixed".
        device: The device or its type, such as "cpu" or "cuda".
        scaler: Replaces the default ``torch.amp.GradScaler`` of "16-mixed".

    Raises:
        ValueError: Another name.
        MisconfigurationException: A scaler together with "bf16-mixed".
    """

    def __init__(
        self, precision: str, device: torch.device | str = "cuda", scaler: torch.amp.GradScaler | None = None
    ) -> None:
        device_type = torch.device(device).type
        if precision == "bf16-mixed" and scaler is not None:
            accepted = "None, since bfloat16 has the range of float32 and needs no scaler"
            raise MisconfigurationException(bad_value("scaler", scaler, accepted, "leave it out or use '16-mixed'"))
        if precision == "16-mixed" and scaler is None:
            scaler = torch.amp.GradScaler(device_type)
        self.precision = precision
        self.scaler = scaler
        self.forward_context = functools.partial(torch.autocast, device_type, dtype=_dtype(precision, "mixed"))


def _dtype(precision: str, kind: str) -> torch.dtype:
    dtypes = {f"bf16-{kind}": torch.bfloat16, f"16-{kind}": torch.float16}
    if precision not in dtypes:
        raise ValueError(bad_value("precision", precision, " or ".join(map(repr, dtypes))))
    return dtypes[precision]


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)
