"""What ``self.log`` collects, and what the Trainer's metric dictionaries show.

A value has a slot, keyed by the hook it is logged in, its name and the loader. The first call validates; every later
one is an addition. Values on the CPU become Python floats at once; values on an accelerator stay there, and the host
reads them only when a logger, the bar or a monitor asks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Number
from typing import Any, NamedTuple
from warnings import warn

import torch
from torch import Tensor, nn

from leyden.core.hooks import HOOKS, Hooks
from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value, nearest
from leyden.runtime.strategies.base import Strategy
from leyden.utils.tree import sample_count

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


@dataclass
class Metrics:
    """The dictionaries behind ``callback_metrics``, ``logged_metrics`` and ``progress_bar_metrics``."""

    callback: dict[str, Tensor] = field(default_factory=dict)
    logged: dict[str, Tensor] = field(default_factory=dict)
    bar: dict[str, float] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything; a run begins."""
        self.callback.clear()
        self.logged.clear()
        self.bar.clear()


class Slot:
    """The values logged under one name in one hook; the class says how an epoch's values become one."""

    reduction = "mean"
    start = 0.0

    def __init__(self, name: str, arguments: LogArguments, on_step: bool, on_epoch: bool, suffix: str) -> None:
        self.name = name
        self.arguments = arguments
        self.on_step = on_step
        self.on_epoch = on_epoch
        self.logger = arguments.logger is not False
        self.suffix = suffix
        self.dtype = torch.get_default_dtype()
        self.value: Any = None
        self.fresh = False
        self.restored = False
        self.reset()

    def reset(self) -> None:
        """Begin a new epoch; the last step's value stays readable."""
        self.total: Any = self.start
        self.weight: float = 0

    def add(self, value: Any, weight: float) -> None:
        """Take one value in."""
        if isinstance(value, Tensor):
            if value.is_cpu and not self.arguments.enable_graph:
                value = value.item()
            elif not self.arguments.enable_graph:
                value = value.detach().clone()
        self.value = value
        self.fresh = True
        if self.on_epoch:
            self.accumulate(value, weight)

    def accumulate(self, value: Any, weight: float) -> None:
        """Add to the epoch's value."""
        self.total = self.total + value * weight
        self.weight += weight

    def epoch_value(self) -> Any:
        """The epoch's value so far: a float, or a tensor where the values live on a device."""
        return self.total / self.weight if self.weight else float("nan")

    def key(self, kind: str) -> str:
        """The name a logger sees, for ``kind`` ``"step"`` or ``"epoch"``."""
        forked = f"_{kind}" if self.on_step and self.on_epoch else ""
        return f"{self.name}{forked}{self.suffix}"

    def tensor(self, value: Any) -> Tensor:
        """``value`` as the tensor that ``callback_metrics`` holds."""
        return value if isinstance(value, Tensor) else torch.tensor(value, dtype=self.dtype)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the running epoch: plain values, enough to build the slot again."""
        arguments = self.arguments._replace(reduce_fx=self.reduction, sync_dist_group=None)
        return {
            "name": self.name,
            "kind": self.reduction,
            "arguments": list(arguments),
            "flags": [self.on_step, self.on_epoch, self.dtype == torch.float64],
            "suffix": self.suffix,
            "values": [self.value, self.total, self.weight, self.fresh],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Slot:
        """Build a slot from :meth:`state`."""
        on_step, on_epoch, double = state["flags"]
        kind = SLOTS.get(state["kind"], MetricSlot)
        slot = kind(state["name"], LogArguments(*state["arguments"]), on_step, on_epoch, state["suffix"])
        slot.dtype = torch.float64 if double else slot.dtype
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
    """Keeps the largest value."""

    reduction = "max"
    start = float("-inf")

    def accumulate(self, value: Any, weight: float) -> None:
        self.total = torch.maximum(self.total, value) if isinstance(self.total, Tensor) else self.pick(value)
        self.weight += 1

    def pick(self, value: Any) -> Any:
        """The better of the total, still a number, and ``value``."""
        return value if isinstance(value, Tensor) else max(self.total, value)

    def epoch_value(self) -> Any:
        return self.total


class MinSlot(MaxSlot):
    """Keeps the smallest value."""

    reduction = "min"
    start = float("inf")

    def accumulate(self, value: Any, weight: float) -> None:
        self.total = torch.minimum(self.total, value) if isinstance(self.total, Tensor) else self.pick(value)
        self.weight += 1

    def pick(self, value: Any) -> Any:
        return value if isinstance(value, Tensor) else min(self.total, value)


class MetricSlot(Slot):
    """A torchmetrics Metric: it accumulates itself; the epoch's value is its ``compute()``."""

    reduction = "metric"
    metric: Any = None

    def add(self, value: Any, weight: float) -> None:
        self.metric = value
        self.fresh = True
        if self.on_step:
            self.value = value._forward_cache
        self.weight += 1

    def epoch_value(self) -> Any:
        return self.metric.compute()

    def reset(self) -> None:
        super().reset()
        if self.metric is not None and self.on_epoch:
            self.metric.reset()


SLOTS: dict[str, type[Slot]] = {"mean": Slot, "sum": SumSlot, "max": MaxSlot, "min": MinSlot}


class Results:
    """The slots of one stage of a run.

    Attributes:
        slots: By hook, name and loader.
        batch: The running batch, from which a batch size is guessed when the loader does not tell it.
        batch_size: The number of samples in the running batch, if known.
        dataloader_idx: The running loader in evaluation over several, else None.
    """

    def __init__(self, hooks: Hooks, module: nn.Module, strategy: Strategy) -> None:
        self.hooks = hooks
        self.module = module
        self.strategy = strategy
        self.slots: dict[tuple[str, str, int | None], Slot] = {}
        self.batch: Any = None
        self.batch_size: int | None = None
        self.dataloader_idx: int | None = None
        self._warned_ambiguous = False

    def log(self, name: str, value: Any, arguments: tuple[Any, ...], batch_size: int | None) -> None:
        """Take in one call of ``self.log``."""
        key = (self.hooks.current, name, self.dataloader_idx)
        slot = self.slots.get(key)
        if slot is None:
            slot = self._declare(key, value, LogArguments(*arguments))
        elif slot.restored:
            slot.arguments, slot.restored = LogArguments(*arguments), False
        elif slot.arguments != arguments:
            raise MisconfigurationException(
                f"`self.log({name!r}, ...)` was called twice in `{key[0]}` with different arguments. "
                "Fix: use the same arguments, or another name."
            )
        try:
            slot.add(value, batch_size or self.batch_size or self._guess(slot))
        except (RuntimeError, TypeError):
            check_value(name, value)  # says what is wrong with it, if the value is to blame
            raise

    def _guess(self, slot: Slot) -> int:
        """The batch's first dimension, for a mean over an epoch when nobody told the size."""
        if self.batch is None or not slot.on_epoch or slot.reduction != "mean":
            return 1
        size, ambiguous = sample_count(self.batch)
        if ambiguous and not self._warned_ambiguous:
            self._warned_ambiguous = True
            warn(
                f"The number of samples in a batch is ambiguous; {size} was taken as the weight of "
                f"`self.log({slot.name!r}, ...)` in the epoch's mean. Fix: pass `batch_size=`.",
                PossibleUserWarning,
                stacklevel=4,
            )
        self.batch_size = size
        return size

    def _declare(self, key: tuple[str, str, int | None], value: Any, given: LogArguments) -> Slot:
        hook, name, dataloader_idx = key
        rule = HOOKS[hook].log if hook in HOOKS else None
        if rule is None:
            allowed = ", ".join(sorted(hook.name for hook in HOOKS.values() if hook.log is not None)[:6])
            raise MisconfigurationException(
                f"`self.log({name!r}, ...)` is not possible in `{hook or 'this place'}`. Fix: log in a step or in one "
                f"of the hooks {allowed}, ..."
            )
        on_step = rule.on_step if given.on_step is None else given.on_step
        on_epoch = rule.on_epoch if given.on_epoch is None else given.on_epoch
        if on_step and not rule.step_allowed:
            raise MisconfigurationException(
                f"`self.log({name!r}, on_step=True)` is not possible in `{hook}`: it runs once per epoch. "
                "Fix: leave `on_step` out."
            )
        if not on_step and not on_epoch:
            raise MisconfigurationException(
                f"`self.log({name!r}, on_step=False, on_epoch=False)` would log nothing. Fix: set one of them to True."
            )
        if "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"`self.log({name!r}, ...)`: a name must not contain '/dataloader_idx_'; it is appended for you."
            )
        suffix = f"/dataloader_idx_{dataloader_idx}" if dataloader_idx is not None and given.add_dataloader_idx else ""
        slot = self._slot_class(value, given)(name, given, on_step, on_epoch, suffix)
        if isinstance(slot, MetricSlot):
            self._check_metric(name, value, given.metric_attribute)
        else:
            check_value(name, value)
            if isinstance(value, Tensor) and value.dtype == torch.float64:
                slot.dtype = torch.float64
        if not given.add_dataloader_idx and dataloader_idx is not None:
            shared = self.slots.get((hook, name, None))
            if shared is not None:
                slot = shared
            self.slots[(hook, name, None)] = slot
        self.slots[key] = slot
        return slot

    @staticmethod
    def _slot_class(value: Any, given: LogArguments) -> type[Slot]:
        torchmetrics = sys.modules.get("torchmetrics")
        if torchmetrics is not None and isinstance(value, torchmetrics.Metric):
            return MetricSlot
        reduction = given.reduce_fx if isinstance(given.reduce_fx, str) else getattr(given.reduce_fx, "__name__", "")
        if reduction not in REDUCTIONS:
            raise MisconfigurationException(
                bad_value("reduce_fx", given.reduce_fx, "'mean', 'sum', 'min', 'max' or torch's function of that name")
                + nearest(str(reduction), REDUCTIONS)
            )
        return SLOTS[REDUCTIONS[reduction]]

    def _check_metric(self, name: str, metric: Any, attribute: str | None) -> None:
        if attribute is None and not any(child is metric for child in self.module.modules()):
            raise MisconfigurationException(
                f"`self.log({name!r}, metric)`: the metric is not an attribute of {type(self.module).__name__}, so it "
                "would be neither moved nor reset. Fix: assign it in `__init__` (self.accuracy = ...)."
            )

    # -- reading ----------------------------------------------------------------------------------------------------

    def unique(self) -> Iterable[Slot]:
        """The slots, each once, in the order of their first use."""
        return {id(slot): slot for slot in self.slots.values()}.values()

    def step_row(self) -> dict[str, Any]:
        """The values of the last step for the loggers: floats, or device tensors."""
        return {
            slot.key("step"): slot.value
            for slot in self.unique()
            if slot.on_step and slot.logger and slot.value is not None
        }

    def publish_steps(self, metrics: Metrics) -> None:
        """Show the values of the running step in the metric dictionaries."""
        for slot in self.unique():
            if not slot.fresh or not slot.on_step or slot.value is None:
                continue
            slot.fresh = False
            tensor, key = slot.tensor(slot.value), slot.key("step")
            metrics.callback[key] = metrics.callback[slot.name + slot.suffix] = tensor
            if slot.logger:
                metrics.logged[key] = tensor
            if slot.arguments.prog_bar:
                metrics.bar[key] = float(slot.value)

    def publish_epoch(self, metrics: Metrics) -> dict[str, Any]:
        """Show the epoch's values in the metric dictionaries; return those that loggers get."""
        row: dict[str, Any] = {}
        slots = [slot for slot in self.unique() if slot.on_epoch and slot.weight]
        values = self._reduced(slots)
        for slot, value in zip(slots, values, strict=True):
            tensor, key = slot.tensor(value), slot.key("epoch")
            metrics.callback[key] = metrics.callback[slot.name + slot.suffix] = tensor
            slot.fresh = False
            if slot.logger:
                row[key] = value
                metrics.logged[key] = tensor
            if slot.arguments.prog_bar:
                metrics.bar[key] = float(value)
        return row

    def _reduced(self, slots: list[Slot]) -> list[Any]:
        """The epoch's values, over all processes: one exchange for the sums, one for the maxima, one for the minima."""
        if not self.strategy.is_distributed:
            return [slot.epoch_value() for slot in slots]
        shared = [s for s in slots if not s.arguments.rank_zero_only and not isinstance(s, MetricSlot)]
        device = self.strategy.root_device
        added = [s for s in shared if s.reduction in ("mean", "sum")]
        sums = torch.tensor([float(s.total) for s in added] + [float(s.weight) for s in added], dtype=torch.float64)
        if added:
            sums = self.strategy.reduce(sums.to(device), reduce_op="sum").cpu()
        found: dict[int, Any] = {}
        for index, slot in enumerate(added):
            total, weight = sums[index].item(), sums[index + len(added)].item()
            found[id(slot)] = total / weight if slot.reduction == "mean" else total
        for name in ("max", "min"):
            chosen = [s for s in shared if s.reduction == name]
            if chosen:
                values = torch.tensor([float(s.total) for s in chosen], dtype=torch.float64, device=device)
                best = self.strategy.reduce(values, reduce_op=name)
                found.update({id(s): value for s, value in zip(chosen, best.tolist(), strict=True)})
        return [found[id(slot)] if id(slot) in found else slot.epoch_value() for slot in slots]

    def reset(self) -> None:
        """Begin a new epoch."""
        for slot in self.unique():
            slot.reset()

    def state_dict(self) -> list[dict[str, Any]]:
        """What a checkpoint holds of the running epoch."""
        paths = {id(child): path for path, child in self.module.named_modules()}
        return [
            {"key": list(key), "metric": paths.get(id(getattr(slot, "metric", None))), **slot.state()}
            for key, slot in self.slots.items()
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take back :meth:`state_dict`."""
        for entry in state:
            hook, name, dataloader_idx = entry["key"]
            slot = Slot.from_state(entry)
            if isinstance(slot, MetricSlot):
                slot.metric = self.module.get_submodule(entry["metric"])
            self.slots[(hook, name, dataloader_idx)] = slot


def check_value(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is a number or a tensor of one element."""
    if isinstance(value, Number) or (isinstance(value, Tensor) and value.numel() == 1):
        return
    given, fix = f"{value!r} ({type(value).__name__})", "pass a number"
    if isinstance(value, Tensor):
        given, fix = f"a tensor of shape {tuple(value.shape)}", "reduce it, for example value.mean()"
    elif isinstance(value, Mapping):
        fix = "`self.log_dict(...)`"
    raise ValueError(
        f"`self.log({name!r}, value)` got {given}. Accepted: a number, a tensor of one element, or a torchmetrics "
        f"Metric. Fix: {fix}."
    )


def to_floats(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read the device tensors of a logger's row in one transfer; numbers pass."""
    tensors = [(key, value) for key, value in row.items() if isinstance(value, Tensor)]
    if not tensors:
        return dict(row)
    read = torch.stack([value.detach().reshape(()).to(torch.float64) for _, value in tensors]).tolist()
    return {**row, **{key: number for (key, _), number in zip(tensors, read, strict=True)}}
