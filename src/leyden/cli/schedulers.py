"""Types for the signatures of modules that a command line builds: optimizers and schedulers that are made later."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Union

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedulers
from torch.optim.lr_scheduler import LRScheduler


class ReduceLROnPlateau(torch_schedulers.ReduceLROnPlateau):
    """torch's scheduler of the same name, which also says what it monitors.

    Args:
        optimizer: Whose learning rates it lowers.
        monitor: The name of a logged value.
        args: Those of ``torch.optim.lr_scheduler.ReduceLROnPlateau``.
        kwargs: Likewise.

    Example:
        >>> import torch
        >>> ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1)], lr=0.1), "val_loss", patience=3).monitor
        'val_loss'
    """

    def __init__(self, optimizer: Optimizer, monitor: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(optimizer, *args, **kwargs)
        self.monitor = monitor


LRSchedulerTypeTuple = (LRScheduler, ReduceLROnPlateau)
"""What counts as a scheduler, for ``isinstance``."""

LRSchedulerTypeUnion = Union[LRScheduler, ReduceLROnPlateau]  # noqa: UP007  # evaluated where signatures are read
"""The same as a type."""

OptimizerCallable = Callable[[Iterable[Any]], Optimizer]
"""A parameter of a module that is an optimizer still without its parameters: ``self.optimizer(self.parameters())``."""

LRSchedulerCallable = Callable[[Optimizer], LRSchedulerTypeUnion]
"""A parameter of a module that is a scheduler still without its optimizer."""
