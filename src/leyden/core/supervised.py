"""Models without steps: a module that says only ``forward`` is trained as a supervised model.

The optimizer is Adam, the loss follows from the target: integer classes, cross-entropy; floats of the prediction's
shape, mean squared error. Anything else is asked back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from leyden.core.module import LightningModule
from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.overrides import is_overridden

KEYS = {"training_step": "train_loss", "validation_step": "val_loss", "test_step": "test_loss"}
Loss = Callable[[Any, Any], Tensor]


class Supervised(LightningModule):
    """A plain ``nn.Module``, trained on ``(input, target)`` batches.

    ``trainer.fit(module)`` wraps a plain module in this class by itself. Prediction takes the input of such a pair, or
    the whole batch if it is none.

    Args:
        model: The module; it is trained in place.
        loss: ``loss(prediction, target)``; default: inferred from the target.
        lr: Adam's learning rate; default: the module's ``learning_rate`` or ``lr``, else 1e-3.

    Raises:
        TypeError: ``model`` is no module, or ``loss`` cannot be called.

    Example:
        >>> import torch, leyden as pl
        >>> model = pl.Supervised(torch.nn.Linear(4, 2), lr=0.01)
        >>> model(torch.zeros(1, 4)).shape
        torch.Size([1, 2])
    """

    def __init__(self, model: nn.Module, loss: Loss | None = None, lr: float | None = None) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(bad_value("model", model, "an nn.Module instance"))
        if loss is not None and not callable(loss):
            raise TypeError(bad_value("loss", loss, "a function loss(prediction, target), like functional.mse_loss"))
        self.model = model
        self.loss = loss
        self.lr = learning_rate(model) if lr is None else lr

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped module's output."""
        return self.model(*args, **kwargs)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        """The prediction for a batch, or for the input of a pair (input, target)."""
        return self(batch[0] if is_pair(batch) else batch)


def is_supervised(module: LightningModule) -> bool:
    """Whether a module overrides ``forward`` and no step."""
    base = Supervised if isinstance(module, Supervised) else LightningModule
    steps = any(is_overridden(name, module, base) for name in (*KEYS, "predict_step"))
    return is_overridden("forward", module, LightningModule) and not steps


def name_of(module: LightningModule) -> str:
    """The name of the class that the user wrote."""
    return type(module.model if isinstance(module, Supervised) else module).__name__


def is_pair(batch: Any) -> bool:
    """Whether a batch can be an input and its target."""
    return isinstance(batch, (list, tuple)) and len(batch) == 2


def steps_of(module: LightningModule) -> dict[str, Callable[[Any, int], Tensor]]:
    """The steps of a module that defines none itself; empty for every other module."""
    return {name: make_step(module, key) for name, key in KEYS.items()} if is_supervised(module) else {}


def make_step(module: LightningModule, key: str) -> Callable[[Any, int], Tensor]:
    """A step that predicts, computes the loss and logs it; training says in one line how the model is trained."""
    loss_fn = module.loss if isinstance(module, Supervised) else None

    def step(batch: Any, batch_idx: int) -> Tensor:
        if not is_pair(batch):
            size = f" of {len(batch)}" if isinstance(batch, (list, tuple, dict)) else ""
            text = f"{name_of(module)} has no `training_step`, and its batch is not a pair (input, target) but a"
            fix = "a data set of such pairs, or define `training_step`"
            raise MisconfigurationException(f"{text} {type(batch).__name__}{size}. Fix: {fix}.")
        prediction = module(batch[0])
        chosen = loss_fn or infer_loss(prediction, batch[1])
        if key == "train_loss" and batch_idx == 0:  # the optimizer is known here, and the loss
            announce(module, chosen)
        loss = chosen(prediction, batch[1])
        module.log(key, loss, prog_bar=True)
        return loss

    return step


def announce(module: LightningModule, loss_fn: Loss) -> None:
    """Say what was chosen, once for as long as the choice is the same."""
    optimizer = module.trainer.optimizers[0]
    loss_name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
    text = f"{type(optimizer).__name__}(lr={optimizer.param_groups[0].get('lr')}) and {loss_name}"
    if vars(module).get("_announced") != text:
        vars(module)["_announced"] = text
        module.print(f"{name_of(module)} defines no training_step: supervised training with {text}.")


def infer_loss(prediction: Any, target: Any) -> Loss:
    """Choose the loss by the target.

    Raises:
        MisconfigurationException: The target fits neither rule.
    """
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        shape = prediction.shape
        if target.is_floating_point() and target.shape == shape:
            return functional.mse_loss
        whole = not target.is_floating_point() and not target.is_complex()
        if whole and prediction.dim() > 1 and target.shape == shape[:1] + shape[2:]:  # without that of the classes
            return functional.cross_entropy
    given = [f"{tuple(x.shape)} {x.dtype}" if isinstance(x, Tensor) else type(x).__name__ for x in (prediction, target)]
    text = f"No loss follows from a prediction {given[0]} and a target {given[1]}"
    accepted = "integer classes, or floats of the prediction's shape"
    fix = "leyden.Supervised(model, loss=...), or define `training_step`"
    raise MisconfigurationException(f"{text}. Accepted: {accepted}. Fix: {fix}.")


def learning_rate(module: nn.Module) -> float:
    """What the module or its hyper-parameters call ``learning_rate`` or ``lr``, else 1e-3."""
    for owner in (module, getattr(module, "hparams", None)):
        for name in ("learning_rate", "lr"):
            if isinstance(rate := getattr(owner, name, None), (int, float)):
                return float(rate)
    return 1e-3


def default_optimizer(module: LightningModule) -> Optimizer:
    """Adam, with the rate that the module or its hyper-parameters name, else 1e-3; fused where that is possible."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        fix = "unfreeze some with `requires_grad_(True)`"
        raise MisconfigurationException(f"{name_of(module)} has no parameter that needs a gradient. Fix: {fix}.")
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    return Adam(parameters, lr=learning_rate(module), fused=fused)
