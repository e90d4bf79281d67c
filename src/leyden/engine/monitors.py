"""Decisions by logged values: schedulers that wait for a metric, and monitored names that nobody logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from warnings import warn

from leyden.core.callback import Checkpoint
from leyden.core.optimizers import LRSchedulerConfig
from leyden.core.supervised import steps_of
from leyden.engine.logged_names import is_ours, logged_names
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
    """After the first step: a monitored name that was not logged, and that no line of the program logs, is a mistake.

    Wherever that is not certain, nothing is said here; the monitor itself says it when it misses its value.
    """
    known = {"epoch", "step"} | set(run.sanity_keys or ()) | set(run.metrics.callback)
    for slot in run.train_results.unique():
        known |= {slot.name + slot.suffix, slot.key("step"), slot.key("epoch")}
    missing = [wanted for wanted in monitored(run) if wanted[1] not in known]
    if not missing or steps_of(run.module):
        return
    names = logged_names(run.module, run.callbacks, {"training", "validation"} if run.validates else {"training"})
    for who, monitor, error in missing:
        if names is not None and not any(monitor.startswith(name) for name in names):
            raise error(missing_monitor(who, monitor, known - {"epoch", "step"} | names))


def monitored(run: Run) -> Iterator[tuple[str, str, type[Exception]]]:
    """Who looks for which name without fail, and the error it raises if the name is missing."""
    for callback in run.callbacks if not run.arguments.fast_dev_run else ():
        kind, monitor = type(callback), getattr(callback, "monitor", None)
        if not callback.monitors or not is_ours(kind) or not isinstance(monitor, str):
            continue
        if isinstance(callback, Checkpoint):
            if run.validates and getattr(callback, "save_top_k", None) != 0:  # without validation it only warns
                yield kind.__name__, monitor, MisconfigurationException
        elif getattr(callback, "strict", False) and (
            run.validates or getattr(callback, "_check_on_train_epoch_end", None) is not False
        ):
            yield kind.__name__, monitor, RuntimeError
    for config in run.schedulers if run.module.automatic_optimization else ():
        if config.reduce_on_plateau and config.monitor and config.strict and not config.assumed_monitor:
            yield type(config.scheduler).__name__, config.monitor, MisconfigurationException
