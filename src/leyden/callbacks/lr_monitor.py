"""Logging learning rates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from leyden.callbacks.requirements import require
from leyden.core.callback import Callback
from leyden.core.optimizers import LRSchedulerConfig
from leyden.errors import MisconfigurationException

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class LearningRateMonitor(Callback):
    """Log the learning rate of every optimizer, and put it among ``trainer.callback_metrics``.

    The name is ``lr-<Optimizer>``; a second optimizer of a class gets ``-1`` appended, and so on. The ``name`` of a
    scheduler's dict stands in its place. Of several parameter groups each has its own: ``lr-Adam/pg1``, or the group's
    ``name`` after the slash.

    Args:
        logging_interval: ``"step"`` logs at the steps that ``log_every_n_steps`` chooses, ``"epoch"`` when an epoch
            begins; None: as often as each optimizer's scheduler steps, and both ways for an optimizer without one.
        log_momentum: Also log the momentum (the first beta), as ``<name>-momentum``.
        log_weight_decay: Also log the weight decay, as ``<name>-weight_decay``.
        log_key_prefix: Put this before each name, for example ``"optim/"``.

    Raises:
        MisconfigurationException: An argument has another value; at the start of fit: there is no logger, or two groups
            of an optimizer have one name.

    Attributes:
        lrs: What was logged so far in this fit, by name.
        last_momentum_values: The last momenta, by the name they are logged under.
        last_weight_decay_values: The last weight decays, likewise.

    Example:
        >>> import leyden as pl
        >>> monitor = pl.callbacks.LearningRateMonitor(logging_interval="step")
        >>> monitor.lrs
        {}
    """

    def __init__(
        self,
        logging_interval: str | None = None,
        log_momentum: bool = False,
        log_weight_decay: bool = False,
        log_key_prefix: str | None = None,
    ) -> None:
        require(
            logging_interval in (None, "step", "epoch"), "logging_interval", logging_interval, "'step', 'epoch' or None"
        )
        require(isinstance(log_momentum, bool), "log_momentum", log_momentum, "True or False")
        require(isinstance(log_weight_decay, bool), "log_weight_decay", log_weight_decay, "True or False")
        require(isinstance(log_key_prefix, str | None), "log_key_prefix", log_key_prefix, "a text or None")
        self.logging_interval = logging_interval
        self.log_momentum = log_momentum
        self.log_weight_decay = log_weight_decay
        self.log_key_prefix = log_key_prefix
        self.lrs: dict[str, list[float]] = {}
        self.last_momentum_values: dict[str, float] = {}
        self.last_weight_decay_values: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a Trainer without a logger; forget the last fit."""
        if stage != "fit":
            return
        if not trainer.loggers:
            raise MisconfigurationException(
                "`LearningRateMonitor` has nowhere to log to: the Trainer has no logger. Fix: leave out `logger=False` "
                "(or `barebones=True`), or the callback."
            )
        self.lrs, self.last_momentum_values, self.last_weight_decay_values = {}, {}, {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the names."""
        self._read(trainer, "step")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is due per epoch."""
        if self.logging_interval != "step":
            self._log(trainer, "epoch")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Log what is due per step, when the step is one of those that are logged."""
        every, steps = trainer.log_every_n_steps, trainer._progress.stepped + 1
        window_begins = batch_idx % trainer._run_now.window.size == 0
        if every and steps % every == 0 and window_begins and self.logging_interval != "epoch":
            self._log(trainer, "step")

    def _log(self, trainer: Trainer, interval: str) -> None:
        rates, others = self._read(trainer, interval)
        for name, rate in rates.items():
            first = name.removesuffix("/pg1")
            if first != name and first in self.lrs:  # it was the only group until now
                self.lrs[name] = self.lrs.pop(first)
            self.lrs.setdefault(name, []).append(rate)
        row = rates | others
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in row.items()})
        trainer._run_now.log_row(row, trainer._progress.stepped)

    def _read(self, trainer: Trainer, interval: str) -> tuple[dict[str, float], dict[str, float]]:
        """The rates that are due at an interval, and what else is logged with them."""
        rates, others = dict[str, float](), dict[str, float]()
        for name, optimizer, own in named_optimizers(trainer.optimizers, trainer.lr_scheduler_configs):
            if self.logging_interval is None and own not in (None, interval):
                continue
            for key, group in named_groups(f"{self.log_key_prefix or ''}{name}", optimizer):
                rates[key] = float(group["lr"])
                if self.log_momentum:
                    momentum = group["betas"][0] if "betas" in group else group.get("momentum", 0.0)
                    others[f"{key}-momentum"] = self.last_momentum_values[f"{key}-momentum"] = float(momentum)
                if self.log_weight_decay:
                    decay = float(group.get("weight_decay", 0.0))
                    others[f"{key}-weight_decay"] = self.last_weight_decay_values[f"{key}-weight_decay"] = decay
        return rates, others


def named_optimizers(
    optimizers: Sequence[Optimizer], configs: Sequence[LRSchedulerConfig]
) -> Iterator[tuple[str, Optimizer, str | None]]:
    """Name each optimizer; those that have a scheduler come first, with its interval, the others with None."""
    owners = [(getattr(config.scheduler, "optimizer", None), config) for config in configs]
    scheduled = [(owner, config.name, config.interval) for owner, config in owners if isinstance(owner, Optimizer)]
    others = [(o, None, None) for o in optimizers if not any(o is owner for owner, _, _ in scheduled)]
    seen = Counter[str]()
    for optimizer, given, interval in [*scheduled, *others]:
        name = given or f"lr-{type(optimizer).__name__}"
        yield (f"{name}-{seen[name]}" if seen[name] else name), optimizer, interval
        seen[name] += 1


def named_groups(name: str, optimizer: Optimizer) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name the parameter groups of an optimizer.

    Raises:
        MisconfigurationException: Two groups have one name.

    Example:
        >>> weight, bias = torch.ones(2), torch.ones(1)
        >>> sgd = torch.optim.SGD([{"params": [weight], "name": "weights"}, {"params": [bias]}], lr=0.1)
        >>> [key for key, _ in named_groups("lr-SGD", sgd)]
        ['lr-SGD/weights', 'lr-SGD/pg2']
    """
    groups = optimizer.param_groups
    given = Counter(group["name"] for group in groups if "name" in group)
    if twice := [text for text, count in given.items() if count > 1]:
        raise MisconfigurationException(
            f"`LearningRateMonitor` names the values of {name!r} by parameter group, and several groups are called "
            f"{', '.join(map(repr, twice))}. Fix: give each group of the optimizer a `name` of its own."
        )
    for number, group in enumerate(groups, start=1):
        several = len(groups) > 1 or "name" in group
        yield (f"{name}/{group.get('name', f'pg{number}')}" if several else name), group
