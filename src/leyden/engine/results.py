"""What ``self.log`` collects, and what the Trainer's metric dictionaries show.

A value has a slot, keyed by the hook it is logged in, its name and the loader. The first call validates; every later
one is an addition.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from leyden.core.hooks import HOOKS, Hooks
from leyden.engine.slots import Key, LogArguments, MetricSlot, Slot, check_value, complete
from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value
from leyden.runtime.strategies.base import Strategy
from leyden.utils.rank import rank_zero_warn
from leyden.utils.tree import sample_count


@dataclass
class Metrics:
    """The dictionaries behind ``callback_metrics``, ``logged_metrics`` and ``progress_bar_metrics``."""

    callback: dict[str, Tensor] = field(default_factory=dict)
    logged: dict[str, Tensor] = field(default_factory=dict)
    bar: dict[str, float] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget everything: a run begins, or the sanity check is over."""
        for values in (self.callback, self.logged, self.bar):
            values.clear()


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

    def __init__(self, hooks: Hooks, module: nn.Module, strategy: Strategy) -> None:
        self.hooks = hooks
        self.module = module
        self.strategy = strategy
        self.slots: dict[Key, Slot] = {}
        self.batch: Any = None
        self.batch_size: int | None = None
        self.dataloader_idx: int | None = None
        self.evaluation = False
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
        if self.batch is None or not slot.on_epoch or not slot.weighted:
            return 1
        size, ambiguous = sample_count(self.batch)
        if ambiguous and not self._warned_ambiguous:
            self._warned_ambiguous = True
            text = f"The number of samples in a batch is ambiguous; {size} was taken for `self.log({slot.name!r}, ...)`"
            rank_zero_warn(f"{text} in the epoch's mean. Fix: pass `batch_size=`.", category=PossibleUserWarning)
        self.batch_size = size
        return size

    def _declare(self, key: Key, value: Any, given: LogArguments) -> Slot:
        """Check the first call of a name in a hook, and make its slot."""
        name = key[1]
        if not isinstance(name, str):
            raise TypeError(bad_value("name", name, "a str", "self.log('loss', value)"))
        if "/dataloader_idx_" in name:
            text = "a name must not contain '/dataloader_idx_', which is appended for you"
            raise MisconfigurationException(f"`self.log({name!r}, ...)`: {text}.")
        torchmetrics = sys.modules.get("torchmetrics")
        if torchmetrics is not None and isinstance(value, torchmetrics.Metric):
            if given.metric_attribute is None and not any(child is value for child in self.module.modules()):
                text = f"the metric is not an attribute of {type(self.module).__name__}: neither moved nor reset"
                fix = "assign it in `__init__` (self.accuracy = ...)"
                raise MisconfigurationException(f"`self.log({name!r}, metric)`: {text}. Fix: {fix}.")
            return self._add(key, MetricSlot(key, given))
        slot = Slot(key, given)
        check_value(name, value)
        if isinstance(value, Tensor) and value.dtype == torch.float64:
            slot.dtype = torch.float64
        return self._add(key, slot)

    def _add(self, key: Key, slot: Slot) -> Slot:
        """Keep a slot under its key; with ``add_dataloader_idx=False`` all loaders have the first one's."""
        others = (s for (hook, name, _), s in self.slots.items() if (hook, name, s.suffix) == (*key[:2], slot.suffix))
        kept = self.slots[key] = next(others, slot)
        if kept is not slot and slot.given:
            self._compare(key, kept, slot.given)
        return kept

    @staticmethod
    def _compare(key: Key, slot: Slot, given: tuple[Any, ...]) -> None:
        """A second call may say the same in other words, nothing else."""
        if slot.given and complete(key[0], key[1], LogArguments(*given)) != slot.arguments:
            text = f"`self.log({key[1]!r}, ...)` was called twice in `{key[0]}` with different arguments"
            raise MisconfigurationException(f"{text}. Fix: use the same arguments, or another name.")
        slot.given = given

    # -- reading ----------------------------------------------------------------------------------------------------

    def unique(self) -> Iterable[Slot]:
        """The slots, each once, in the order of their first use."""
        return dict.fromkeys(self.slots.values())

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
            if slot.fresh and slot.on_step and slot.value is not None:
                self._put(metrics, slot, "step", slot.value)

    def publish_epoch(self, metrics: Metrics) -> dict[str, Any]:
        """Show the epoch's values in the metric dictionaries; return those that loggers get.

        The epoch's batches are over: from here on, :meth:`show` shows epoch values.
        """
        self.batch = None
        self._agree()
        slots = self._of_epoch()
        values = self._reduced(slots)
        for slot, value in zip(slots, values, strict=True):
            self._put(metrics, slot, "epoch", value)
        return {slot.key("epoch"): value for slot, value in zip(slots, values, strict=True) if slot.logger}

    def show(self, metrics: Metrics) -> None:
        """Bring the metric dictionaries up to date while a hook runs; no other process takes part."""
        if self.batch is not None:
            self.publish_steps(metrics)
            return
        alone = not self.strategy.is_distributed  # a Metric's compute() is a matter of all processes
        for slot in self._of_epoch():
            if slot.fresh and (alone or not isinstance(slot, MetricSlot)):
                self._put(metrics, slot, "epoch", slot.epoch_value())

    def _put(self, metrics: Metrics, slot: Slot, kind: str, value: Any) -> None:
        tensor, key = value if isinstance(value, Tensor) else torch.tensor(value, dtype=slot.dtype), slot.key(kind)
        slot.fresh = False
        if kind == "epoch" or not self.evaluation:
            metrics.callback[key] = metrics.callback[slot.name + slot.suffix] = tensor
        if slot.logger:
            metrics.logged[key] = tensor
        if slot.arguments.prog_bar:
            metrics.bar[key] = float(value)

    # -- the epoch, over all processes --------------------------------------------------------------------------------

    def _of_epoch(self) -> list[Slot]:
        """The slots that have a value for the epoch; over several processes in an order that is the same on all."""
        keys = sorted(self.slots, key=repr) if self.strategy.is_distributed else self.slots
        return [s for s in dict.fromkeys(self.slots[key] for key in keys) if s.on_epoch and s.logged]

    def _agree(self) -> None:
        """See that all processes logged the same; one that had no batch takes the others' names, with no weight.

        Raises:
            MisconfigurationException: A process that logged something did not log what another did.
        """
        strategy, slots = self.strategy, {s for s in self._of_epoch() if not s.arguments.rank_zero_only}
        keys = {key for key, slot in self.slots.items() if slot in slots}
        digest = zlib.crc32(repr(sorted(keys, key=repr)).encode())
        extremes = strategy.reduce(torch.tensor([digest, -digest]), reduce_op="max").tolist()
        if extremes[0] == -extremes[1]:
            return
        own = {tuple(entry["key"]): entry for entry in self.state_dict() if tuple(entry["key"]) in keys}
        logged = [strategy.broadcast(own, src=rank) for rank in range(strategy.world_size)]
        union = {key: entry for entries in logged for key, entry in entries.items()}
        for rank, entries in enumerate(logged):
            loaders = {key[2] for key in entries if of_batch(key)}  # those of which it had a batch
            missing = [k for k in union if k not in entries and (k[2] in loaders or not of_batch(k))]
            if missing:
                text = f"Process {rank} did not log {sorted(map(repr, missing))} (hook, name, loader), as others did"
                fix = "log the same names on every process, or pass `rank_zero_only=True`"
                raise MisconfigurationException(f"{text}. Fix: {fix}.")
        for key in sorted(union.keys() - keys, key=repr):
            slot = self._restored(union[key])
            slot.value, slot.total, slot.weight = float("nan"), slot.start, 0
            self._add(key, slot)

    def _reduced(self, slots: list[Slot]) -> list[Any]:
        """The epoch's values, over all processes: one exchange for the sums, one for the maxima, one for the minima."""
        found: dict[Slot, Any] = {}
        for exchange in ("sum", "max", "min") if self.strategy.is_distributed else ():
            chosen = [s for s in slots if s.exchange == exchange and type(s) is Slot and not s.arguments.rank_zero_only]
            if chosen:
                pairs = torch.tensor([(float(s.total), float(s.weight)) for s in chosen], dtype=torch.float64)
                pairs = self.strategy.reduce(pairs.to(self.strategy.root_device), reduce_op=exchange)
                found |= {s: s.reduced(*pair) for s, pair in zip(chosen, pairs.tolist(), strict=True)}
        return [found[slot] if slot in found else slot.epoch_value() for slot in slots]

    def close_loader(self) -> None:
        """One of several loaders is over: keep the values of its Metrics."""
        if self.strategy.is_distributed:
            return  # a process without a batch of this loader would be missing
        for (_, _, index), slot in self.slots.items():
            if index == self.dataloader_idx and slot.suffix and isinstance(slot, MetricSlot) and slot.on_epoch:
                slot.kept = slot.epoch_value()

    def reset(self) -> None:
        """Begin a new epoch."""
        for slot in self.unique():
            slot.reset()

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def state_dict(self) -> list[dict[str, Any]]:
        """What a checkpoint holds of the running epoch: plain values, enough to make the slots again."""
        paths = {id(child): path for path, child in self.module.named_modules()}
        return [
            {
                "key": list(key),
                "metric": paths.get(id(getattr(slot, "metric", None))),
                "arguments": list(slot.arguments),
                "dtype": str(slot.dtype).removeprefix("torch."),
                "values": [slot.value, slot.total, slot.weight, slot.fresh],
            }
            for key, slot in self.slots.items()
            if not isinstance(slot, MetricSlot) or id(slot.metric) in paths
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take back :meth:`state_dict`, instead of what was logged so far."""
        self.slots.clear()
        for entry in state:
            self._add((*entry["key"],), self._restored(entry))

    def _restored(self, entry: Mapping[str, Any]) -> Slot:
        """The slot of an entry of :meth:`state_dict`."""
        kind = Slot if entry["metric"] is None else MetricSlot
        slot = kind((*entry["key"],), LogArguments(*entry["arguments"]))
        if isinstance(slot, MetricSlot):
            slot.metric = self.module.get_submodule(entry["metric"])
        slot.given, slot.dtype = (), getattr(torch, entry["dtype"])
        slot.value, slot.total, slot.weight, slot.fresh = entry["values"]
        return slot


def of_batch(key: Key) -> bool:
    """Whether a value was logged in a hook of a batch, which a process without one does not run."""
    rule = HOOKS[key[0]].log
    return rule is not None and rule.step_allowed


def to_floats(row: Mapping[str, Any]) -> dict[str, Any]:
    """A logger's row as floats; device tensors are read in one transfer."""
    tensors = [value for value in row.values() if isinstance(value, Tensor)]
    read = iter(torch.stack([value.to(torch.float64) for value in tensors]).tolist() if tensors else ())
    return {key: next(read) if isinstance(value, Tensor) else float(value) for key, value in row.items()}
