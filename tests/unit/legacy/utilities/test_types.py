from __future__ import annotations

from typing import get_type_hints

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

from leyden.core.optimizers import wrap_optimizer
from leyden.legacy.utilities.types import LRSchedulerTypeTuple, Optimizable, OptimizerLRSchedulerConfig, Steppable


def test_optimizers_and_schedulers_are_of_these_types() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
    assert isinstance(optimizer, Optimizable) and isinstance(wrap_optimizer(optimizer), Optimizable)
    assert isinstance(StepLR(optimizer, 1), LRSchedulerTypeTuple)
    assert isinstance(ReduceLROnPlateau(optimizer), LRSchedulerTypeTuple)
    assert isinstance(StepLR(optimizer, 1), Steppable) and not isinstance(StepLR(optimizer, 1), Optimizable)


def test_a_configuration_is_a_dict_with_these_keys() -> None:
    assert set(get_type_hints(OptimizerLRSchedulerConfig)) == {"optimizer", "lr_scheduler", "monitor"}
