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
from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.overrides import is_overridden

STEPS = ("training_step", "validation_step", "test_step", "predict_step")
KEYS = {"training_step": "train_loss", "validation_step": "val_loss", "test_step": "test_loss"}
DEFAULT_LR = 1e-3
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
            fix = "pass torch.nn.functional.mse_loss, say"
            raise TypeError(bad_value("loss", loss, "a function loss(prediction, target)", fix))
        self.model = model
        self.loss = loss
        self.lr = lr

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The wrapped module's output."""
        return self.model(*args, **kwargs)


def is_supervised(module: LightningModule) -> bool:
    """Whether a module overrides ``forward`` and no step."""
    return is_overridden("forward", module, LightningModule) and not any(
        is_overridden(name, module, LightningModule) for name in STEPS
    )


def name_of(module: LightningModule) -> str:
    """The name of the class that the user wrote."""
    return type(module.model if isinstance(module, Supervised) else module).__name__


def steps_of(module: LightningModule) -> dict[str, Callable[..., Any]]:
    """The steps of a module that defines none itself; empty for every other module."""
    if not is_supervised(module):
        return {}
    steps: dict[str, Callable[..., Any]] = {name: SupervisedStep(module, key) for name, key in KEYS.items()}
    if isinstance(module, Supervised):
        steps["predict_step"] = partial(predict_step, module)
    return steps


class SupervisedStep:
    """Predict, compute the loss, log it; the first batch of a fit says in one line how the model is trained."""

    def __init__(self, module: LightningModule, key: str) -> None:
        self.module = module
        self.key = key
        self.loss: Loss | None = module.loss if isinstance(module, Supervised) else None
        self.announced = key != "train_loss"

    def __call__(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        inputs, target = self.pair(batch)
        prediction = self.module(inputs)
        loss_fn = self.loss or infer_loss(prediction, target)
        if not self.announced:
            self.announce(loss_fn)
        loss = loss_fn(prediction, target)
        self.module.log(self.key, loss, prog_bar=True)
        return loss

    def announce(self, loss_fn: Loss) -> None:
        """Say once per fit what was chosen."""
        self.announced = True
        trainer = self.module.trainer
        if self.module.__dict__.get("_announced_in") is trainer._run_now:
            return
        self.module.__dict__["_announced_in"] = trainer._run_now
        optimizer = trainer.optimizers[0]
        loss_name = getattr(loss_fn, "__name__", type(loss_fn).__name__)
        trainer.print(
            f"{name_of(self.module)} defines no training_step: supervised training with "
            f"{type(optimizer).__name__}(lr={optimizer.param_groups[0].get('lr')}) and {loss_name}."
        )

    def pair(self, batch: Any) -> Any:
        """The batch, which has to be input and target."""
        if isinstance(batch, (list, tuple)) and len(batch) == 2:
            return batch
        size = f" of {len(batch)}" if isinstance(batch, (list, tuple, dict)) else ""
        raise MisconfigurationException(
            f"{name_of(self.module)} has no `training_step`, and its batch is not a pair (input, target) but a "
            f"{type(batch).__name__}{size}. Fix: a data set of such pairs, or a LightningModule with "
            "`training_step(self, batch, batch_idx)` that returns the loss."
        )


def predict_step(module: LightningModule, batch: Any, batch_idx: int) -> Any:
    """The prediction for a batch, or for the input of a pair (input, target)."""
    return module(batch[0] if isinstance(batch, (list, tuple)) and len(batch) == 2 else batch)


def infer_loss(prediction: Any, target: Any) -> Loss:
    """Choose the loss by the target.

    Raises:
        MisconfigurationException: The target fits neither rule.
    """
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        whole = not target.is_floating_point() and not target.is_complex()
        if whole and prediction.dim() == target.dim() + 1 and without_classes(prediction) == target.shape:
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


def without_classes(prediction: Tensor) -> Any:
    """The prediction's shape without the dimension of the classes, the second one."""
    return prediction.shape[:1] + prediction.shape[2:]


def learning_rate(module: LightningModule) -> float:
    """What the module, or the plain module in it, calls ``learning_rate`` or ``lr``, else 1e-3."""
    owners: list[Any] = [module, module.hparams]
    if isinstance(module, Supervised):
        owners.append(module.model)
    for owner in owners:
        for name in ("learning_rate", "lr"):
            rate = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
            if isinstance(rate, (int, float)) and not isinstance(rate, bool):
                return float(rate)
    return DEFAULT_LR


def default_optimizer(module: LightningModule) -> Optimizer:
    """Adam, with the rate that the module or its hyper-parameters name, else 1e-3; fused where that is possible."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise MisconfigurationException(
            f"{name_of(module)} has no parameter that needs a gradient. Fix: give it layers with parameters, or unfreeze "
            "some with `requires_grad_(True)`."
        )
    fused = all(p.is_floating_point() and p.device.type in ("cpu", "cuda", "mps") for p in parameters)
    return Adam(parameters, lr=learning_rate(module), fused=fused)
