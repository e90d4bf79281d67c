"""Why backward cannot start at a loss, said in words."""

from __future__ import annotations

from torch import Tensor, nn

from leyden.errors import MisconfigurationException


class LossError(MisconfigurationException, RuntimeError):
    """``training_step`` returned a loss that no gradient can be computed of; the message says why and what to do."""


def explain(loss: Tensor, module: nn.Module) -> LossError | None:
    """Say what is wrong with a loss that backward refused; None if nothing is wrong with the loss itself.

    Example:
        >>> import torch
        >>> print(explain(torch.ones(2), nn.Linear(1, 1)))
        `training_step` gave a loss of shape (2,), and a loss is a single number. Fix: return loss.mean().
    """
    name = type(module).__name__
    if loss.numel() != 1:
        text = f"`training_step` gave a loss of shape {tuple(loss.shape)}, and a loss is a single number"
        return LossError(f"{text}. Fix: return loss.mean().")
    if loss.requires_grad:
        return None
    if not any(parameter.requires_grad for parameter in module.parameters()):
        fix = "unfreeze some, for example `self.head.requires_grad_(True)`"
        return LossError(f"There is nothing to train: no parameter of {name} has requires_grad=True. Fix: {fix}.")
    fix = "compute it from the module's output without .detach(), .item(), torch.no_grad() or a change to integers"
    return LossError(f"`training_step` of {name} gave a loss that needs no gradient ({loss.dtype}). Fix: {fix}.")
