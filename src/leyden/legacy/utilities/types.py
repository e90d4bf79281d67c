"""Types that programs use in annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, Protocol, TypedDict, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

TRAIN_DATALOADERS = Any
EVAL_DATALOADERS = Any
LRSchedulerType = LRScheduler | ReduceLROnPlateau
LRSchedulerTypeUnion = LRSchedulerType
LRSchedulerPLType = LRSchedulerType
LRSchedulerTypeTuple = (LRScheduler, ReduceLROnPlateau)
EVALUATE_OUTPUT = list[Mapping[str, float]]
PREDICT_OUTPUT = list[Any] | list[list[Any]]
METRIC = Tensor | int | float
CollectibleGroup = Any
DEVICE = torch.device | str | int
PATH = str | Path
MAP_LOCATION_TYPE = DEVICE | Callable[..., Any] | Mapping[Any, Any] | None


class LRSchedulerConfigType(TypedDict, total=False):
    """The value of ``lr_scheduler`` in what ``configure_optimizers`` returns."""

    scheduler: Any
    name: str | None
    interval: str
    frequency: int
    reduce_on_plateau: bool
    monitor: str | None
    strict: bool


class OptimizerConfig(TypedDict):
    """What ``configure_optimizers`` returns for an optimizer alone."""

    optimizer: Optimizer


class OptimizerLRSchedulerConfig(TypedDict):
    """What ``configure_optimizers`` returns for an optimizer and its scheduler."""

    optimizer: Optimizer
    lr_scheduler: LRScheduler | ReduceLROnPlateau | LRSchedulerConfigType
    monitor: NotRequired[str]


@runtime_checkable
class Steppable(Protocol):
    """Whatever can be stepped."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step."""


@runtime_checkable
class Optimizable(Steppable, Protocol):
    """Whatever works as an optimizer."""

    param_groups: list[dict[Any, Any]]
    defaults: dict[Any, Any]
    state: Any

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state back."""


Parameters = Iterator[nn.Parameter] | Sequence[nn.Parameter]
