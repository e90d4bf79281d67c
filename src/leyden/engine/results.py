"""What ``self.log`` collects, and what the Trainer's metric dictionaries show.

A value has a slot, keyed by the hook it is logged in, its name and the loader. The first call validates; every later
one is an addition.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from leyden.core.hooks import Hooks
from leyden.engine.slots import SLOTS, LogArguments, MetricSlot, Slot, check_value, complete
from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value
from leyden.runtime.strategies.base import Strategy
from leyden.utils.tree import sample_count


@dataclass
class Metrics:
    """The dictionaries behind ``callback_metrics``, ``logged_metrics`` and ``progress_bar_metrics``."""

    callback: dict[str, Tensor] = field(default_factory=dict)
    logged: dict[str, Tensor] = field(default_factory=dict)
    bar: dict[str, float] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything: a run begins, or the sanity check is over."""
        self.callback.clear()
        self.logged.clear()
        self.bar.clear()


class Results:
    """The slots of one stage of a run.

    Attributes:
        slots: By hook, name and loader.
        batch: The running batch, from which a batch size is guessed when the loader does not tell it; None between
            epochs, where what is logged shows its epoch value at once.
        batch_size: The number of samples in the running batch, if known.
        dataloader_idx: The running loader in evaluation over several, else None.
        evaluation: The stage changes no weights: values of single steps go to the loggers, not to the callbacks.
    """

    def __init__(self, hooks: Hooks, module: nn.Module, strategy: Strategy, evaluation: bool = False) -> None:
        self.hooks = hooks
        self.module = module
        self.strategy = strategy
        self.evaluation = evaluation
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
        elif slot.given != arguments:
            self._compare(key, slot, arguments)
        if batch_size is None:
            batch_size = self.batch_size or self._guess(slot)
        try:
            slot.add(value, batch_size)
        except (RuntimeError, TypeError, AttributeError):
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
        """Check the first call of a name in a hook, and make its slot."""
        hook, name, dataloader_idx = key
        if not isinstance(name, str):
            raise TypeError(bad_value("name", name, "a str", "self.log('loss', value)"))
        if "/dataloader_idx_" in name:
            raise MisconfigurationException(
                f"`self.log({name!r}, ...)`: a name must not contain '/dataloader_idx_'; it is appended for you."
            )
        arguments = complete(hook, name, given)
        suffix = f"/dataloader_idx_{dataloader_idx}" if dataloader_idx is not None and given.add_dataloader_idx else ""
        shared = [s for (at, called, _), s in self.slots.items() if (at, called) == (hook, name) and not s.suffix]
        if shared and not suffix:  # add_dataloader_idx=False: the loaders add to one value
            self._compare(key, shared[0], given)
            self.slots[key] = shared[0]
            return shared[0]
        torchmetrics = sys.modules.get("torchmetrics")
        slot: Slot
        if torchmetrics is not None and isinstance(value, torchmetrics.Metric):
            self._check_metric(name, value, given.metric_attribute)
            slot = MetricSlot(name, given, arguments, suffix)
        else:
            check_value(name, value)
            slot = SLOTS[arguments.reduce_fx](name, given, arguments, suffix)
            if isinstance(value, Tensor) and value.dtype == torch.float64:
                slot.dtype = torch.float64
        self.slots[key] = slot
        return slot

    @staticmethod
    def _compare(key: tuple[str, str, int | None], slot: Slot, given: tuple[Any, ...]) -> None:
        """A second call may say the same in other words, nothing else."""
        if not slot.restored and complete(key[0], key[1], LogArguments(*given)) != slot.arguments:
            raise MisconfigurationException(
                f"`self.log({key[1]!r}, ...)` was called twice in `{key[0]}` with different arguments. "
                "Fix: use the same arguments, or another name."
            )
        if slot.restored:
            slot.given, slot.restored = given, False

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
        """The values of the last step for the loggers: floats, or device tensors; of the running loader alone."""
        return {
            slot.key("step"): slot.value
            for (_, _, index), slot in self.slots.items()
            if slot.on_step and slot.logger and slot.value is not None and index == self.dataloader_idx
        }

    def publish_steps(self, metrics: Metrics) -> None:
        """Show the values of the running step in the metric dictionaries."""
        for slot in self.unique():
            if not slot.fresh or not slot.on_step or slot.value is None:
                continue
            slot.fresh = False
            tensor, key = slot.tensor(slot.value), slot.key("step")
            if not self.evaluation:
                metrics.callback[key] = metrics.callback[slot.name + slot.suffix] = tensor
            if slot.logger:
                metrics.logged[key] = tensor
            if slot.arguments.prog_bar:
                metrics.bar[key] = float(slot.value)

    def publish_epoch(self, metrics: Metrics) -> dict[str, Any]:
        """Show the epoch's values in the metric dictionaries; return those that loggers get.

        The epoch's batches are over: from here on, :meth:`show` shows epoch values.
        """
        self.batch = None
        slots = [slot for slot in self.unique() if slot.on_epoch and slot.logged]
        return self._put(metrics, slots, self._reduced(slots))

    def show(self, metrics: Metrics) -> None:
        """Bring the metric dictionaries up to date while a hook runs; no other process takes part."""
        if self.batch is not None:
            self.publish_steps(metrics)
        else:
            slots = [slot for slot in self.unique() if slot.fresh and slot.on_epoch and slot.logged]
            self._put(metrics, slots, [slot.epoch_value() for slot in slots])

    @staticmethod
    def _put(metrics: Metrics, slots: Iterable[Slot], values: Iterable[Any]) -> dict[str, Any]:
        row: dict[str, Any] = {}
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

    def close_loader(self) -> None:
        """One of several loaders is over."""
        for (_, _, index), slot in self.slots.items():
            if index == self.dataloader_idx and slot.suffix and isinstance(slot, MetricSlot):
                slot.close()

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
            if not isinstance(slot, MetricSlot) or id(slot.metric) in paths
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take back :meth:`state_dict`."""
        for entry in state:
            hook, name, dataloader_idx = entry["key"]
            slot = Slot.from_state(entry)
            if isinstance(slot, MetricSlot):
                slot.metric = self.module.get_submodule(entry["metric"])
            self.slots[(hook, name, dataloader_idx)] = slot


def to_floats(row: Mapping[str, Any]) -> dict[str, Any]:
    """A logger's row as floats; device tensors are read in one transfer."""
    tensors = [value for value in row.values() if isinstance(value, Tensor)]
    read = iter(torch.stack([value.to(torch.float64) for value in tensors]).tolist() if tensors else ())
    return {key: next(read) if isinstance(value, Tensor) else float(value) for key, value in row.items()}
