"""Norms of gradients, to look at or to log."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from leyden.errors import bad_value


def grad_norm(module: nn.Module, norm_type: float | str, group_separator: str = "/") -> dict[str, Tensor]:
    """Return the norm of each parameter's gradient, and that of all of them together.

    In ``on_before_optimizer_step`` gradients are complete, unscaled and not yet clipped:
    ``self.log_dict(grad_norm(self, norm_type=2))``.

    Args:
        module: Whose parameters; those without a gradient are left out.
        norm_type: The p of the p-norm, positive; "inf" for the largest absolute value.
        group_separator: Stands between ``grad_{p}_norm`` and a parameter's name.

    Returns:
        ``grad_{p}_norm/{name}`` for each parameter, and ``grad_{p}_norm_total``; scalars. Empty without gradients.

    Raises:
        ValueError: ``norm_type`` is not positive.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> layer(torch.full((1, 1), 3.0)).sum().backward()
        >>> {name: round(norm.item(), 2) for name, norm in grad_norm(layer, 2).items()}
        {'grad_2.0_norm/weight': 3.0, 'grad_2.0_norm/bias': 1.0, 'grad_2.0_norm_total': 3.16}
    """
    p = float(norm_type)
    if not p > 0:
        raise ValueError(bad_value("norm_type", norm_type, "a positive number, or 'inf'"))
    gradients = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}
    names = [f"grad_{p}_norm{group_separator}{name}" for name in gradients]
    norms = [torch.linalg.vector_norm(gradient.detach(), p) for gradient in gradients.values()]
    total = {f"grad_{p}_norm_total": torch.linalg.vector_norm(torch.stack(norms), p)} if norms else {}
    return dict(zip(names, norms, strict=True)) | total
