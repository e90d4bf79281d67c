"""Models without steps: a module that says only ``forward`` is trained as a supervised model.

The optimizer is Adam, the loss follows from the target: integer classes, cross-entropy; floats of the prediction's
shape, mean squared error. Anything else is asked back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from leyden.core.module import LightningModule
from leyden.errors import MisconfigurationException
from leyden.utils.overrides import is_overridden

STEPS = ("training_step", "validation_step", "test_step")
DEFAULT_LR = 1e-3


class Supervised(LightningModule):
    """A plain ``nn.Module``, trained on ``(input, target)`` batches.

    ``trainer.fit(module)`` wraps a plain module in this class by itself.

    Args:
        model: The module; it is trained in place.
        loss: ``loss(prediction, target)``; default: inferred from the target.
        lr: Adam's learning rate; default 1e-3.

    Example:
        >>> import torch, leyden as pl
        >>> model = pl.Supervised(torch.nn.Linear(4, 2), lr=0.01)
        >>> model(torch.zeros(1, 4)).shape
        torch.Size([1, 2])
    """

    def __init__(
        self, model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor] | None = None, lr: float = DEFAULT_LR
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.lr = lr

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped module's output."""
        return self.model(*args, **kwargs)


def is_supervised(module: LightningModule) -> bool:
    """Whether a module overrides ``forward`` and no step."""
    return is_overridden("forward", module, LightningModule) and not any(
        is_overridden(name, module, LightningModule) for name in (*STEPS, "predict_step")
    )


def steps_of(module: LightningModule) -> dict[str, Callable[..., Any]]:
    """The steps of a module that defines none itself; empty for every other module."""
    if not is_supervised(module):
        return {}
    kinds = {"training_step": "train_loss", "validation_step": "val_loss", "test_step": "test_loss"}
    return {name: partial(supervised_step, module, key) for name, key in kinds.items()}


def supervised_step(module: LightningModule, key: str, batch: Any, batch_idx: int) -> Tensor:
    """Predict, compute the loss, log it."""
    if not isinstance(batch, (list, tuple)) or len(batch) != 2:
        raise MisconfigurationException(
            f"{type(module).__name__} has no `training_step`, and its batch is not a pair (input, target) but "
            f"{type(batch).__name__}. Fix: define `training_step(self, batch, batch_idx)` and return the loss."
        )
    inputs, target = batch
    prediction = module(inputs)
    loss_fn = getattr(module, "loss", None) if isinstance(module, Supervised) else None
    loss: Tensor = (loss_fn or infer_loss(prediction, target))(prediction, target)
    module.log(key, loss, prog_bar=True)
    return loss


def infer_loss(prediction: Any, target: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """Choose the loss by the target.

    Raises:
        MisconfigurationException: The target fits neither rule.
    """
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        if not target.is_floating_point() and prediction.dim() == target.dim() + 1:
            return functional.cross_entropy
        if target.is_floating_point() and target.shape == prediction.shape:
            return functional.mse_loss
    shapes = [tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in (prediction, target)]
    kind = target.dtype if isinstance(target, Tensor) else type(target).__name__
    raise MisconfigurationException(
        f"No loss follows from a prediction of shape {shapes[0]} and a target of shape {shapes[1]} ({kind}). "
        "Accepted: integer classes (cross-entropy), or floats of the prediction's shape (mean squared error). "
        "Fix: leyden.Supervised(model, loss=...), or define `training_step`."
    )


def default_optimizer(module: LightningModule) -> Optimizer:
    """Adam, with the rate that the module or its hyper-parameters name, else 1e-3; fused where that is possible."""
    hparams = module.hparams
    candidates = [getattr(module, name, None) or hparams.get(name) for name in ("learning_rate", "lr")]
    lr = next((float(rate) for rate in candidates if isinstance(rate, (int, float))), DEFAULT_LR)
    parameters = [p for p in module.parameters() if p.requires_grad]
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    if not parameters:
        raise MisconfigurationException(f"{type(module).__name__} has no parameter that needs a gradient.")
    return Adam(parameters, lr=lr, fused=fused)
