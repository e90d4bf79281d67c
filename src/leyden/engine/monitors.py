"""Decisions by logged values: schedulers that wait for a metric, and monitored names that nobody logs."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import TYPE_CHECKING, Any
from warnings import warn

from leyden.core.callback import Callback
from leyden.core.hooks import HOOKS, PER_EPOCH, overridden
from leyden.core.module import LightningModule
from leyden.core.optimizers import LRSchedulerConfig
from leyden.errors import MisconfigurationException, nearest

if TYPE_CHECKING:
    from leyden.engine.run import Run


def step_schedulers(run: Run, steps_now: bool, epoch_over: bool, *, plateau: bool) -> None:
    """Step the schedulers whose turn it is.

    Args:
        run: The run.
        steps_now: The optimizer stepped on this batch: it is the turn of the schedulers per step.
        epoch_over: The epoch's batches are over: it is the turn of the schedulers per epoch.
        plateau: Those that wait for a metric, or the others.
    """
    if not run.module.automatic_optimization:
        return
    progress = run.progress
    for config in run.schedulers:
        if config.reduce_on_plateau != plateau:
            continue
        if config.interval == "step":
            due = steps_now and progress.batch % config.frequency == 0
        else:
            due = epoch_over and (progress.epoch + 1) % config.frequency == 0
        if due:
            step_scheduler(run, config)


def step_scheduler(run: Run, config: LRSchedulerConfig) -> None:
    """Step one scheduler, with its metric if it has one."""
    metric: Any = None
    if config.reduce_on_plateau and config.monitor is not None:
        run.results.publish_steps(run.metrics)
        metric = run.metrics.callback.get(config.monitor)
        if metric is None:
            message = missing_monitor(type(config.scheduler).__name__, config.monitor, run.metrics.callback)
            if config.strict:
                raise MisconfigurationException(message)
            warn(message, stacklevel=2)
            return
    with run.hooks.inside("lr_scheduler_step"):
        run.module.lr_scheduler_step(config.scheduler, metric)


def missing_monitor(who: str, monitor: str, available: Iterable[str]) -> str:
    """The message about a monitored name that was not logged."""
    names = sorted(available)
    return (
        f"`{who}(monitor={monitor!r})`: nothing of that name was logged. Available: {names}.{nearest(monitor, names)} "
        f"Fix: `self.log({monitor!r}, value)`, or another `monitor`."
    )


def decide_assumed_monitors(run: Run) -> None:
    """A bare ReduceLROnPlateau follows ``val_loss``, if the validation just run logged it."""
    for config in run.schedulers:
        if not config.assumed_monitor:
            continue
        if config.monitor not in (run.sanity_keys or ()):
            raise MisconfigurationException(
                f"{type(config.scheduler).__name__} steps on a metric and no `monitor` was named; 'val_loss', which "
                f"would be taken, was not logged. Available: {sorted(run.sanity_keys or ())}. "
                "Fix: return {'optimizer': o, 'lr_scheduler': {'scheduler': s, 'monitor': 'your_metric'}}."
            )
        config.assumed_monitor = False
        run.trainer.print(f"{type(config.scheduler).__name__} has no `monitor`: it follows 'val_loss'.")


def check_monitors(run: Run) -> None:
    """After the first step: a monitored name that neither validation nor the step logged is a mistake.

    Names that an epoch hook, or a line of the steps not reached yet, may still log are given the benefit of the doubt.
    """
    if run.validates and run.sanity_keys is None:
        return
    known = set(run.sanity_keys or ())
    for slot in run.train_results.unique():
        known |= {slot.name + slot.suffix, slot.key("step"), slot.key("epoch")}
    wanted: list[tuple[str, str, type[Exception]]] = [
        (type(c).__name__, monitor, RuntimeError if hasattr(c, "stopping_threshold") else MisconfigurationException)
        for c in run.callbacks
        if c.monitors and (monitor := getattr(c, "monitor", None)) and getattr(c, "strict", True)
    ]
    wanted += [
        (type(c.scheduler).__name__, c.monitor, MisconfigurationException)
        for c in run.schedulers
        if c.reduce_on_plateau and c.monitor and c.strict and not c.assumed_monitor
    ]
    for who, monitor, error in wanted:
        if monitor not in known and not _may_still_be_logged(run, monitor):
            raise error(missing_monitor(who, monitor, known))


def _may_still_be_logged(run: Run, monitor: str) -> bool:
    epoch_hooks = [hook.name for hook in HOOKS.values() if hook.log is PER_EPOCH]
    owners: list[tuple[object, type]] = [(run.module, LightningModule)]
    owners += [(callback, Callback) for callback in run.callbacks if not callback.monitors and not _ours(callback)]
    if any(overridden(owner, name, base) for owner, base in owners for name in epoch_hooks):
        return True
    return any(_mentions(function, monitor) for function in _methods(type(run.module)))


def _ours(callback: Callback) -> bool:
    return type(callback).__module__.split(".")[0] == "leyden"


def _methods(kind: type) -> Iterable[Any]:
    for base in kind.__mro__:
        if base is LightningModule:
            break
        yield from (value for value in vars(base).values() if hasattr(value, "__code__"))


def _mentions(function: Any, text: str) -> bool:
    def search(code: CodeType) -> bool:
        return any(c == text or (isinstance(c, CodeType) and search(c)) for c in code.co_consts)

    return search(function.__code__)
