"""What ``Fabric.setup`` returns in place of the user's module, loader and optimizer, and what a LightningModule sees."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from operator import call
from typing import Any

import torch
from torch import nn

from leyden.core.optimizers import LightningOptimizer
from leyden.data.order import Stream
from leyden.errors import bad_value, nearest
from leyden.runtime.precision import Precision
from leyden.utils.tree import map_tensors, move_to_device

STEPS = ("training_step", "validation_step", "test_step", "predict_step")


class FabricModule(nn.Module):
    """The user's module: called, it runs in Fabric's number format and through the strategy.

    Attributes are read from and set on the user's module, and so are the names in its state dict and parameters. The
    methods ``training_step``, ``validation_step``, ``test_step`` and ``predict_step`` run as the forward pass does, and
    so do those that :meth:`mark_forward_method` names. Floating-point outputs come back in torch's default type.

    Args:
        original: The user's module.
        target: What a forward pass calls: the user's module, or its compiled self.
        carrier: What target and marked methods are called through: the strategy's wrapper, or ``operator.call``.
        precision: The number format.

    Attributes:
        module: The user's module.
    """

    def __init__(
        self, original: nn.Module, target: nn.Module, carrier: Callable[..., Any], precision: Precision
    ) -> None:
        super().__init__()
        self.module = original
        # Not as sub-modules: they hold the same parameters.
        self.__dict__.update(_target=target, _carrier=carrier, _precision=precision, _marked={*STEPS})

    @property
    def device(self) -> torch.device:
        """Where the module's parameters lie."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the module's forward pass."""
        return self._run(self._target, *args, **kwargs)

    def mark_forward_method(self, method: str | Callable[..., Any]) -> None:
        """Let a method run as the forward pass does: in the number format, and with gradients exchanged.

        Args:
            method: Its name, or the method itself.

        Raises:
            TypeError: Neither a name nor a method.
            ValueError: It is ``forward``, which needs no mark.
            AttributeError: The module has no such method.

        Example:
            >>> class Net(nn.Linear):
            ...     def score(self, x):
            ...         return self(x).sum()
            >>> from leyden import Fabric
            >>> model = Fabric(accelerator="cpu", devices=1).setup(Net(2, 1))
            >>> model.mark_forward_method("score")
        """
        method = inspect.unwrap(method) if callable(method) else method
        name = method.__name__ if inspect.ismethod(method) else method
        if not isinstance(name, str):
            raise TypeError(bad_value("method", method, "a method of the module, or its name"))
        if name == "forward":
            raise ValueError("`forward` runs as the forward pass already. Fix: mark other methods only.")
        if not inspect.ismethod(getattr(self.module, name, None)):
            kind = type(self.module)
            raise AttributeError(f"{kind.__name__} has no method {name!r} to mark.{nearest(name, dir(kind))}")
        self._marked.add(name)

    def _run(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        precision = self._precision
        if precision.convert_input is not None:
            args, kwargs = precision.convert_input((args, kwargs))
        with (precision.forward_context or nullcontext)():
            output = self._carrier(method, *args, **kwargs)
        if precision.forward_context is None:
            return output
        return map_tensors(lambda t: t.to(torch.get_default_dtype()) if t.is_floating_point() else t, output)

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """A method called past the strategy: right only if it makes no forward pass."""

        def refuse(module: nn.Module, inputs: Any) -> None:
            if module in {*self.modules()}:
                name = method.__name__
                raise RuntimeError(
                    f"`{type(self.module).__name__}.{name}()` makes a forward pass that the strategy does not see, so "
                    f"gradients would not be exchanged. Fix: model.mark_forward_method({name!r}) after setup."
                )

        @functools.wraps(method)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with nn.modules.module.register_module_forward_pre_hook(refuse):
                return method(*args, **kwargs)

        return guarded

    # Names are those of the user's module.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.load_state_dict(*args, **kwargs)

    def named_modules(self, *args: Any, **kwargs: Any) -> Any:
        return self.module.named_modules(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "module":
            return super().__getattr__(name)
        value = getattr(self.module, name)
        if name in self._marked:
            return functools.partial(self._run, value)
        return self._guarded(value) if inspect.ismethod(value) and self._carrier is not call else value

    def __setattr__(self, name: str, value: Any) -> None:
        own = name in self.__dict__ or hasattr(type(self), name) or name == "module"
        (super().__setattr__ if own else functools.partial(setattr, self.module))(name, value)


class FabricLoader:
    """The user's loader: iterated as PyTorch does it, with the batches moved and the epochs counted for its sampler.

    Args:
        loader: The loader over this process's samples; its attributes are read through.
        device: Where batches are moved; None: nowhere.
    """

    def __init__(self, loader: Any, device: torch.device | None) -> None:
        self.loader, self.device, self._epoch, self._stream = loader, device, 0, Stream(loader)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self._stream.set_epoch(self._epoch)
        self._epoch += 1
        batches = (batch for batch, _ in self._stream.start())
        return batches if self.device is None else (move_to_device(batch, self.device) for batch in batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(vars(self).get("loader"), name)  # none yet while it is copied


class FabricTrainer:
    """What ``self.trainer`` is in a LightningModule that Fabric set up: the little that needs no Trainer."""

    current_epoch = global_step = 0
    gradient_clip_val = gradient_clip_algorithm = None
    lr_scheduler_configs = ()

    def __init__(self, fabric: Any) -> None:
        self.fabric, self.precision_plugin, self.manual_backward = fabric, fabric._precision, fabric.backward
        self.optimizers: list[LightningOptimizer] = []
        self._run_now = self

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(self.fabric, name):
            return getattr(self.fabric, name)
        raise AttributeError(f"`self.trainer.{name}` needs a Trainer, and this module runs under Fabric.")


def is_wrapped(obj: object) -> bool:
    """Return whether ``obj`` came from ``Fabric.setup`` or one of its kin.

    Example:
        >>> is_wrapped(nn.Linear(1, 1))
        False
    """
    return isinstance(getattr(obj, "_orig_mod", obj), (FabricModule, FabricLoader, LightningOptimizer))


def unwrap(obj: Any) -> Any:
    """Return the user's own object behind a wrapped one, and any other object itself."""
    if isinstance(obj, LightningOptimizer):
        return obj.optimizer
    return obj.module if isinstance(obj, FabricModule) else obj
