"""A slot: the values that ``self.log`` takes under one name in one hook, and how an epoch of them becomes one value.

Values on the CPU become Python floats at once; values on an accelerator stay there, and the host reads them only when
a logger, the bar or a monitor asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import Any, NamedTuple

import torch
from torch import Tensor

from leyden.core.hooks import HOOKS
from leyden.errors import MisconfigurationException, bad_value, nearest

REDUCTIONS = {"mean": "mean", "avg": "mean", "sum": "sum", "min": "min", "max": "max"}


class LogArguments(NamedTuple):
    """The arguments of one ``self.log`` call besides name, value and batch size, in the order of its signature."""

    prog_bar: bool
    logger: bool | None
    on_step: bool | None
    on_epoch: bool | None
    reduce_fx: Any
    enable_graph: bool
    sync_dist: bool
    sync_dist_group: Any
    add_dataloader_idx: bool
    metric_attribute: str | None
    rank_zero_only: bool


class Slot:
    """The values logged under one name in one hook; the class says how an epoch's values become one.

    Attributes:
        given: The arguments of the calls, as they came.
        arguments: The same with every default filled in.
        value: The last step's value.
        fresh: It was logged after the metric dictionaries were last brought up to date.
        restored: It comes from a checkpoint, and this process has not logged it yet.
    """

    reduction = "mean"
    start: Any = 0.0

    def __init__(self, name: str, given: tuple[Any, ...], arguments: LogArguments, suffix: str = "") -> None:
        self.name = name
        self.given = given
        self.arguments = arguments
        self.on_step = bool(arguments.on_step)
        self.on_epoch = bool(arguments.on_epoch)
        self.logger = bool(arguments.logger)
        self.suffix = suffix
        self.dtype = torch.get_default_dtype()
        self.fresh = False
        self.restored = False
        self.reset()

    def reset(self) -> None:
        """Begin a new epoch."""
        self.value: Any = None
        self.total: Any = self.start
        self.weight: Any = 0

    @property
    def logged(self) -> bool:
        """Whether this epoch has a value."""
        return self.value is not None

    def add(self, value: Any, weight: Any) -> None:
        """Take one value in."""
        if isinstance(value, Tensor):
            value = value.item() if value.is_cpu else self.on_device(value)
        elif type(value) is not float:
            check_value(self.name, value)
            value = float(value)
        self.value = value
        self.fresh = True
        if self.on_epoch:
            self.accumulate(value, weight)

    def on_device(self, value: Tensor) -> Tensor:
        """A copy that stays on the accelerator, in a type that sums do not spoil."""
        check_value(self.name, value)
        return value.detach().to(self.dtype, copy=True).reshape(())

    def accumulate(self, value: Any, weight: Any) -> None:
        """Add to the epoch's value."""
        self.total = self.total + value * weight
        self.weight = self.weight + weight

    def epoch_value(self) -> Any:
        """The epoch's value so far: a float, or a tensor where the values live on a device."""
        return self.total / self.weight if self.weight else float("nan")

    def key(self, kind: str) -> str:
        """The name a logger sees, for ``kind`` ``"step"`` or ``"epoch"``."""
        forked = f"_{kind}" if self.on_step and self.on_epoch else ""
        return f"{self.name}{forked}{self.suffix}"

    def tensor(self, value: Any) -> Tensor:
        """``value`` as the tensor that the metric dictionaries hold."""
        return value if isinstance(value, Tensor) else torch.tensor(value, dtype=self.dtype)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the running epoch: plain values, enough to build the slot again."""
        return {
            "name": self.name,
            "kind": self.reduction,
            "arguments": list(self.arguments),
            "double": self.dtype == torch.float64,
            "suffix": self.suffix,
            "values": [self.value, self.total, self.weight, self.fresh],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Slot:
        """Build a slot from :meth:`state`."""
        kind = SLOTS.get(state["kind"], MetricSlot)
        slot = kind(state["name"], (), LogArguments(*state["arguments"]), state["suffix"])
        slot.dtype = torch.float64 if state["double"] else slot.dtype
        slot.value, slot.total, slot.weight, slot.fresh = state["values"]
        slot.restored = True
        return slot


class SumSlot(Slot):
    """Adds the values up, unweighted."""

    reduction = "sum"

    def accumulate(self, value: Any, weight: float) -> None:
        self.total = self.total + value
        self.weight += 1

    def epoch_value(self) -> Any:
        return self.total


class MaxSlot(Slot):
    """Keeps the largest value; a NaN stays."""

    reduction = "max"
    start = float("-inf")

    def accumulate(self, value: Any, weight: Any) -> None:
        if isinstance(value, Tensor):
            self.total = self.best(torch.as_tensor(self.total, dtype=value.dtype, device=value.device), value)
        elif self.beats(value, self.total) or value != value:
            self.total = value
        self.weight += 1

    @staticmethod
    def beats(value: Any, best: Any) -> bool:
        """Whether ``value`` is to be kept rather than ``best``; never if ``best`` is a NaN."""
        return bool(value > best)

    @staticmethod
    def best(value: Tensor, other: Tensor) -> Tensor:
        """The one to be kept of two tensors."""
        return torch.maximum(value, other)

    def epoch_value(self) -> Any:
        return self.total


class MinSlot(MaxSlot):
    """Keeps the smallest value; a NaN stays."""

    reduction = "min"
    start = float("inf")

    @staticmethod
    def beats(value: Any, best: Any) -> bool:
        return bool(value < best)

    @staticmethod
    def best(value: Tensor, other: Tensor) -> Tensor:
        return torch.minimum(value, other)


class MetricSlot(Slot):
    """A torchmetrics Metric: it accumulates itself; the epoch's value is its ``compute()``."""

    reduction = "metric"
    start = None
    metric: Any = None

    @property
    def logged(self) -> bool:
        return bool(self.weight)

    def add(self, value: Any, weight: Any) -> None:
        self.metric = value
        self.fresh = True
        if self.on_step and value._forward_cache is not None:
            self.value = self.checked(value._forward_cache)
        self.weight += 1

    def epoch_value(self) -> Any:
        return self.checked(self.metric.compute()) if self.total is None else self.total

    def close(self) -> None:
        """Keep the value of a loader that is over: the next one may go on with the same metric."""
        if self.on_epoch and self.logged:
            self.total = self.epoch_value()

    def checked(self, value: Any) -> Any:
        """What the metric computed, which must be one number."""
        check_value(self.name, value)
        return value.detach().reshape(()) if isinstance(value, Tensor) else float(value)

    def reset(self) -> None:
        super().reset()
        if self.metric is not None:
            self.metric.reset()


SLOTS: dict[str, type[Slot]] = {"mean": Slot, "sum": SumSlot, "max": MaxSlot, "min": MinSlot}


def complete(hook: str, name: str, given: LogArguments) -> LogArguments:
    """Fill in what the hook and the defaults decide; say what is not possible."""
    rule = HOOKS[hook].log if hook in HOOKS else None
    if rule is None:
        raise MisconfigurationException(
            f"`self.log({name!r}, ...)` is not possible in `{hook or 'this place'}`. Fix: log in a step, in "
            "`on_train_epoch_end`, `on_validation_epoch_end`, or in a hook of a batch."
        )
    on_step = rule.on_step if given.on_step is None else bool(given.on_step)
    on_epoch = rule.on_epoch if given.on_epoch is None else bool(given.on_epoch)
    if on_step and not rule.step_allowed:
        raise MisconfigurationException(
            f"`self.log({name!r}, on_step=True)` is not possible in `{hook}`: it runs once per epoch. "
            "Fix: leave `on_step` out."
        )
    if not on_step and not on_epoch:
        raise MisconfigurationException(
            f"`self.log({name!r}, on_step=False, on_epoch=False)` would log nothing. Fix: set one of them to True."
        )
    reduction = given.reduce_fx if isinstance(given.reduce_fx, str) else getattr(given.reduce_fx, "__name__", "")
    if reduction not in REDUCTIONS:
        raise MisconfigurationException(
            bad_value("reduce_fx", given.reduce_fx, "'mean', 'sum', 'min', 'max' or torch's function of that name")
            + nearest(str(reduction), REDUCTIONS)
        )
    return given._replace(
        logger=given.logger is not False,
        on_step=on_step,
        on_epoch=on_epoch,
        reduce_fx=REDUCTIONS[reduction],
        sync_dist=False,  # epoch values always are those of all processes
        sync_dist_group=None,
    )


def check_value(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is a real number or a tensor of one."""
    if isinstance(value, Tensor):
        if value.numel() == 1 and not value.is_complex():
            return
        given, fix = f"a {value.dtype} tensor of shape {tuple(value.shape)}", "reduce it, for example value.mean()"
    elif isinstance(value, Number) and not isinstance(value, complex):
        return
    else:
        given = f"{value!r} ({type(value).__name__})"
        fix = "`self.log_dict(...)`" if isinstance(value, Mapping) else "pass a number"
    raise ValueError(
        f"`self.log({name!r}, value)` got {given}. Accepted: a number, a tensor of one element, or a torchmetrics "
        f"Metric that computes one. Fix: {fix}."
    )
