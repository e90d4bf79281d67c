"""Decisions by logged values: schedulers that wait for a metric, and monitored names that nobody logs."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

from leyden.core.callback import Checkpoint
from leyden.core.optimizers import LRSchedulerConfig
from leyden.engine.signatures import one_edit_apart
from leyden.errors import MisconfigurationException, missing_metric
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.engine.run import Run

FOUNDATIONS = {"builtins", "abc", "typing", "torch", "torchmetrics", "leyden"}


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
        turn, count = (steps_now, progress.batch) if config.interval == "step" else (epoch_over, progress.epoch + 1)
        if turn and config.reduce_on_plateau == plateau and count % config.frequency == 0:
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
            rank_zero_warn(message)
            return
    with run.hooks.inside("lr_scheduler_step", run.module):
        run.module.lr_scheduler_step(config.scheduler, metric)


def missing_monitor(who: str, monitor: str, available: Iterable[str]) -> str:
    """The message about a monitored name that was not logged."""
    return f"`{who}(monitor={monitor!r})`: nothing of that name was logged. {missing_metric(monitor, available)}"


def decide_assumed_monitors(run: Run) -> None:
    """A bare ReduceLROnPlateau follows ``val_loss``, if the validation just run logged it."""
    for config in run.schedulers:
        if not config.assumed_monitor:
            continue
        if config.monitor not in (run.sanity_keys or ()):
            text = f"{type(config.scheduler).__name__} steps on a metric and no `monitor` was named"
            available = f"'val_loss', which would be taken, was not logged. Available: {sorted(run.sanity_keys or ())}"
            fix = "return {'optimizer': o, 'lr_scheduler': {'scheduler': s, 'monitor': 'your_metric'}}"
            raise MisconfigurationException(f"{text}; {available}. Fix: {fix}.")
        config.assumed_monitor = False
        run.trainer.print(f"{type(config.scheduler).__name__} has no `monitor`: it follows 'val_loss'.")


def check_monitors(run: Run) -> None:
    """After the first step: a monitored name that was not logged, and that the program cannot log later, is a mistake.

    That is certain enough to say so if no text in the code that fit runs is a part of the name (so that nothing writes
    it, or puts it together), and one that is logged or written somewhere differs by no more than a letter. Otherwise
    nothing is said here; the monitor itself says it when it misses its value.
    """
    known = set(run.sanity_keys or ()) | set(run.metrics.callback)
    for slot in run.train_results.unique():
        known |= {slot.name + slot.suffix, slot.key("step"), slot.key("epoch")}
    missing = [wanted for wanted in monitored(run) if wanted[1] not in known | {"epoch", "step"}]
    if not missing:
        return
    runs, written = texts(run)
    for who, monitor, error in missing:
        meant = {name for name in known | written if name == monitor or one_edit_apart(name, monitor)}
        if meant and not any(text in monitor for text in runs):
            raise error(missing_monitor(who, monitor, known | meant))


def texts(run: Run) -> tuple[set[str], set[str]]:
    """The texts in the user's classes: those in code that fit runs, and all."""
    owners = [*run.module.modules(), *run.callbacks]
    kinds = dict.fromkeys(kind for owner in owners for kind in type(owner).__mro__)
    codes = [
        (name, code)
        for kind in kinds
        if kind.__module__.split(".")[0] not in FOUNDATIONS
        for name, value in vars(kind).items()
        for code in codes_in(getattr(inspect.unwrap(value), "__code__", None))
    ]
    stages = ("test_", "predict_") if run.validates else ("test_", "predict_", "validation_")
    called = {other for name, code in codes for other in code.co_names if other != name}
    runs = [code for name, code in codes if name in called or not name.removeprefix("on_").startswith(stages)]
    return texts_in(runs), texts_in(code for _, code in codes)


def codes_in(code: Any) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    if isinstance(code, CodeType):
        yield code
        for constant in code.co_consts:
            yield from codes_in(constant)


def texts_in(codes: Iterable[CodeType]) -> set[str]:
    """The texts, and the names of arguments in calls, that code holds."""
    constants = [constant for code in codes for constant in code.co_consts]
    parts = [part for constant in constants for part in (constant if isinstance(constant, tuple) else (constant,))]
    return {part for part in parts if isinstance(part, str) and part}


def monitored(run: Run) -> Iterator[tuple[str, str, type[Exception]]]:
    """Who looks for which name without fail, and the error it raises if the name is missing."""
    for callback in run.callbacks if not run.arguments.fast_dev_run else ():
        kind, monitor = type(callback), getattr(callback, "monitor", None)
        if not monitor or not kind.__module__.startswith("leyden."):
            continue
        checkpoint = isinstance(callback, Checkpoint)
        raises = getattr(callback, "save_top_k", 0) != 0 if checkpoint else getattr(callback, "strict", False)
        after_validation = checkpoint or getattr(callback, "_check_on_train_epoch_end", None) is False
        if raises and (run.validates or not after_validation):
            yield kind.__name__, monitor, MisconfigurationException if checkpoint else RuntimeError
    for config in run.schedulers if run.module.automatic_optimization else ():
        if config.reduce_on_plateau and config.monitor and config.strict and not config.assumed_monitor:
            yield type(config.scheduler).__name__, config.monitor, MisconfigurationException
