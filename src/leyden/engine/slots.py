"""A slot: the values that ``self.log`` takes under one name in one hook, and how an epoch of them becomes one value.

Values on the CPU become Python floats at once; values on an accelerator stay there, and the host reads them only when
a logger, the bar or a monitor asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, nan
from numbers import Number
from operator import add
from typing import Any, NamedTuple

import torch
from torch import Tensor

from leyden.core.hooks import HOOKS
from leyden.errors import MisconfigurationException, bad_value, nearest

Key = tuple[str, str, int | None]
"""Hook, name, loader (None in training, and in evaluation over one loader)."""


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


def largest(best: Any, value: Any) -> Any:
    """The larger of two numbers or tensors; a NaN stays."""
    if isinstance(value, Tensor):
        return value.clamp(min=best)
    return value if value > best or value != value else best


def smallest(best: Any, value: Any) -> Any:
    """The smaller of two numbers or tensors; a NaN stays."""
    return -largest(-best, -value)


REDUCTIONS: dict[str, tuple[float, Callable[[Any, Any], Any], str]] = {
    "mean": (0.0, add, "sum"),
    "sum": (0.0, add, "sum"),
    "max": (-inf, largest, "max"),
    "min": (inf, smallest, "min"),
}
"""How an epoch's values become one: where it starts, how a value is taken in, how processes put their totals together."""


class Slot:
    """The values logged under one name in one hook.

    Attributes:
        given: The arguments of the calls, as they came; empty until this process logs what a checkpoint restored.
        arguments: The same with every default filled in.
        value: The last step's value.
        fresh: It was logged after the metric dictionaries were last brought up to date.
    """

    def __init__(self, key: Key, given: LogArguments) -> None:
        hook, self.name, index = key
        self.given: tuple[Any, ...] = given
        self.arguments = filled = complete(hook, self.name, given)
        self.logger, self.on_step, self.on_epoch = filled.logger, filled.on_step, filled.on_epoch
        self.suffix = f"/dataloader_idx_{index}" if index is not None and filled.add_dataloader_idx else ""
        self.weighted = filled.reduce_fx == "mean"
        self.start, self.combine, self.exchange = REDUCTIONS[filled.reduce_fx]
        self.dtype = torch.get_default_dtype()
        self.fresh = False
        self.reset()

    def reset(self) -> None:
        """Begin a new epoch."""
        self.value: Any = None
        self.total: Any = self.start
        self.weight: Any = 0

    @property
    def logged(self) -> bool:
        """Whether this epoch has a value."""
        return self.value is not None or bool(self.weight)

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
            self.total = self.total + value * weight if self.weighted else self.combine(self.total, value)
            self.weight = self.weight + weight

    def on_device(self, value: Tensor) -> Tensor:
        """A copy that stays on the accelerator, in a type that sums do not spoil."""
        check_value(self.name, value)
        return value.detach().to(self.dtype, copy=True).reshape(())

    def reduced(self, total: Any, weight: Any) -> Any:
        """The epoch's value that a total and its weight stand for."""
        if self.weighted:
            return total / weight if weight else nan
        return total

    def epoch_value(self) -> Any:
        """The epoch's value so far: a float, or a tensor where the values live on a device."""
        return self.reduced(self.total, self.weight)

    def key(self, kind: str) -> str:
        """The name a logger sees, for ``kind`` ``"step"`` or ``"epoch"``."""
        forked = f"_{kind}" if self.on_step and self.on_epoch else ""
        return f"{self.name}{forked}{self.suffix}"


class MetricSlot(Slot):
    """A torchmetrics Metric: it accumulates itself; the epoch's value is its ``compute()``.

    Attributes:
        kept: The value of a loader that is over: the next one may go on with the same metric.
    """

    metric: Any = None
    kept: Any = None

    def reset(self) -> None:
        super().reset()
        self.kept = None
        if self.metric is not None:
            self.metric.reset()

    def add(self, value: Any, weight: Any) -> None:
        self.metric = value
        self.fresh = True
        if self.on_step and value._forward_cache is not None:
            self.value = self.checked(value._forward_cache)
        self.weight += 1

    def epoch_value(self) -> Any:
        return self.checked(self.metric.compute()) if self.kept is None else self.kept

    def checked(self, value: Any) -> Any:
        """What the metric computed, which must be one number."""
        check_value(self.name, value)
        return value.detach().reshape(()) if isinstance(value, Tensor) else float(value)


def complete(hook: str, name: str, given: LogArguments) -> LogArguments:
    """Fill in what the hook and the defaults decide; say what is not possible."""
    rule = HOOKS[hook].log if hook in HOOKS else None
    if rule is None:
        fix = "log in a step, in `on_train_epoch_end`, `on_validation_epoch_end`, or in a hook of a batch"
        text = f"`self.log({name!r}, ...)` is not possible in `{hook or 'this place'}`"
        raise MisconfigurationException(f"{text}. Fix: {fix}.")
    on_step = rule.on_step if given.on_step is None else bool(given.on_step)
    on_epoch = rule.on_epoch if given.on_epoch is None else bool(given.on_epoch)
    if on_step and not rule.step_allowed:
        text = f"`self.log({name!r}, on_step=True)` is not possible in `{hook}`, which runs once per epoch"
        raise MisconfigurationException(f"{text}. Fix: leave `on_step` out.")
    if not on_step and not on_epoch:
        text = f"`self.log({name!r}, on_step=False, on_epoch=False)` would log nothing"
        raise MisconfigurationException(f"{text}. Fix: set one of them to True.")
    reduction = str(getattr(given.reduce_fx, "__name__", given.reduce_fx))
    reduction = "mean" if reduction == "avg" else reduction
    if reduction not in REDUCTIONS:
        text = bad_value("reduce_fx", given.reduce_fx, "'mean', 'sum', 'min', 'max' or torch's function of that name")
        raise MisconfigurationException(text + nearest(reduction, REDUCTIONS))
    given = given._replace(sync_dist=False, sync_dist_group=None)  # epoch values always are those of all processes
    return given._replace(logger=given.logger is not False, on_step=on_step, on_epoch=on_epoch, reduce_fx=reduction)


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
    accepted = "a number, a tensor of one element, or a torchmetrics Metric that computes one"
    raise ValueError(f"`self.log({name!r}, value)` got {given}. Accepted: {accepted}. Fix: {fix}.")
