from __future__ import annotations

from typing import get_args

import torch
from torch.optim.lr_scheduler import LRScheduler

from leyden.cli import LRSchedulerCallable, LRSchedulerTypeTuple, LRSchedulerTypeUnion, OptimizerCallable
from leyden.cli import ReduceLROnPlateau as Plateau


def test_the_plateau_scheduler_says_what_it_monitors() -> None:
    scheduler = Plateau(torch.optim.SGD([torch.zeros(1)], lr=1.0), "val_loss", patience=0, factor=0.5)
    assert scheduler.monitor == "val_loss"
    assert isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert scheduler.get_last_lr() == [0.5]


def test_the_types_name_optimizers_and_schedulers() -> None:
    assert LRSchedulerTypeTuple == (LRScheduler, Plateau) == get_args(LRSchedulerTypeUnion)
    assert get_args(OptimizerCallable)[1] is torch.optim.Optimizer
    assert get_args(LRSchedulerCallable) == ([torch.optim.Optimizer], LRSchedulerTypeUnion)
