"""Training: epochs of batches, with validation between them.

    sanity check
    on_train_start
    for each epoch:
        on_train_epoch_start
        for each batch:
            on_train_batch_start, step, schedulers, on_train_batch_end, log
            validate when due, then the schedulers that wait for a metric
        on_train_epoch_end, log the epoch
    on_train_end

Progress counts a batch when it is trained, and its phase says what is still due, so that a checkpoint taken at any
point can be continued without repeating or leaving out anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from warnings import warn

from leyden.engine.evaluate import evaluate
from leyden.engine.loading import INFINITE, TrainLoader, load_training
from leyden.engine.monitors import check_monitors, decide_assumed_monitors, step_schedulers
from leyden.engine.results import to_floats
from leyden.engine.run import Phase, Run, Window
from leyden.engine.session import stop_on_signal
from leyden.engine.snapshot import restore_boundary, restore_epoch
from leyden.engine.states import RunningStage
from leyden.engine.step import Step, automatic_step, finish_window, manual_step
from leyden.errors import PossibleUserWarning
from leyden.utils.seed import isolate_rng


def fit(run: Run) -> None:
    """Train until an epoch, step or time limit is reached, or ``should_stop`` is set."""
    sanity_check(run)
    run.state.stage = RunningStage.TRAINING
    run.train = run.train or load_training(run)
    if is_done(run) or run.train.batches == 0:
        return
    warn_about_modes(run)
    run.train_results = run.new_results()
    run.use_results(run.train_results)
    run.last_validation = time.monotonic()
    run.busy = True
    run.hooks.call("on_train_start")
    while not is_done(run):
        fit_epoch(run)
    run.hooks.call("on_train_end")
    run.busy = False
    run.settle()


def fit_epoch(run: Run) -> None:
    """Train one epoch, or the rest of one that was interrupted."""
    progress, train = run.progress, run.train
    assert train is not None
    if run.resumed is not None and (progress.phase is Phase.EPOCH_ENDED or not progress.started):
        restore_boundary(run, train)
    if progress.phase is Phase.EPOCH_ENDED:
        end_epoch(run, skipped=False)
        return
    batches = begin_epoch(run, train)
    step = automatic_step(run) if run.module.automatic_optimization else manual_step(run)
    skipped = False
    if progress.phase in (Phase.TRAINED, Phase.VALIDATED):
        end_batch(run, train, batches)
    while progress.phase is Phase.READY and progress.batch < train.batches and not stops(run):
        item = next(batches, None)
        if item is None:
            end_of_data(run)
            break
        run.is_last_batch = progress.batch + 1 == train.batches
        if not train_batch(run, step, item[0], item[1], progress.batch):
            skipped = True
            break
        end_batch(run, train, batches)
    end_epoch(run, skipped)


def begin_epoch(run: Run, train: TrainLoader) -> Iterator[tuple[Any, int | None]]:
    """Start the epoch's hooks and its data; a resumed epoch starts them at its position."""
    every = run.arguments.reload_dataloaders_every_n_epochs
    if every and run.progress.epoch and run.progress.epoch % every == 0 and not run.progress.started:
        reloaded = load_training(run)
        train.__dict__.update(reloaded.__dict__)
    run.window = Window(run.arguments.accumulate_grad_batches)
    train.stream.set_epoch(run.progress.epoch)
    run.train_results.reset()
    run.bind_hooks()
    run.train_results.hooks = run.hooks
    run.hooks.call("on_train_epoch_start")
    run.window.size = run.arguments.accumulate_grad_batches
    run.progress.started = True
    run.is_last_batch = run.progress.batch == train.batches
    if run.resumed is None:
        return train.stream.start()
    return restore_epoch(run, train)


def train_batch(run: Run, step: Step, batch: Any, size: int | None, index: int) -> bool:
    """Train on one batch; False if the module asked to leave the epoch."""
    progress, results, hooks = run.progress, run.train_results, run.hooks
    if run.transfer is not None:
        batch = run.transfer(batch, 0)
    results.batch, results.batch_size = batch, size
    if "on_train_batch_start" in hooks.active and hooks.call("on_train_batch_start", batch, index) == -1:
        return False
    outputs = step(batch, index)
    progress.batch = index + 1
    progress.seen += 1
    progress.phase = Phase.TRAINED
    steps_now = closes_window(run)
    if run.schedulers:
        step_schedulers(run, steps_now, run.is_last_batch, plateau=False)
    if "on_train_batch_end" in hooks.active:
        hooks.call("on_train_batch_end", outputs, batch, index)
    results.batch = None
    every = run.arguments.log_every_n_steps
    if every and steps_now and (progress.stepped + 1) % every == 0:
        log_step(run)
    return True


def log_step(run: Run) -> None:
    """Send the step's values to the loggers, and ask the device about the losses since the last time."""
    if run.guard is not None:
        run.guard.ask()
    if run.loggers:
        row = to_floats(run.train_results.step_row())
        if row:
            run.log_row({"epoch": run.progress.epoch, **row}, run.progress.stepped)


def closes_window(run: Run) -> bool:
    """Whether the optimizer stepped on the batch just trained."""
    size = run.window.size
    return size == 1 or run.progress.batch % size == 0 or run.is_last_batch


def end_batch(run: Run, train: TrainLoader, batches: Iterator[Any]) -> None:
    """What follows a trained batch: saves that were asked for, validation, schedulers that wait for a metric."""
    progress = run.progress
    if run.settling:
        run.settle()
    if progress.phase is Phase.TRAINED:
        if run.is_last_batch and not train.limited:
            next(batches, None)  # what the sampler draws at its end comes before validation, as in a plain loop
        if progress.seen == 1:
            check_monitors(run)
        if validation_due(run):
            validate(run)
    steps_now = closes_window(run)
    if run.schedulers:
        step_schedulers(run, steps_now, False, plateau=True)
    if steps_now:
        progress.stepped += 1
    progress.phase = Phase.READY
    if run.signals is not None and run.signals.received is not None:
        stop_on_signal(run)


def end_of_data(run: Run) -> None:
    """The data ended without notice (no length, or a wrong one): do what the last batch would have done."""
    if finish_window(run):
        run.progress.stepped += 1
    if run.progress.batch:
        run.is_last_batch = True
        step_schedulers(run, False, True, plateau=False)
        train = run.train
        assert train is not None
        if train.validate_every >= train.batches and in_validation_epoch(run):
            validate(run)
            run.progress.phase = Phase.READY


def end_epoch(run: Run, skipped: bool) -> None:
    """The epoch's hooks, its values, the schedulers that wait for them, and the count."""
    progress, results = run.progress, run.train_results
    if progress.phase is not Phase.EPOCH_ENDED:
        run.hooks.current = ""
        results.publish_steps(run.metrics)
        results.publish_epoch(run.metrics)
        run.hooks.call("on_train_epoch_end")
        results.publish_epoch(run.metrics)
        progress.phase = Phase.EPOCH_ENDED
        run.hooks.call_monitors("on_train_epoch_end")
        run.settle()
    row = to_floats(results.publish_epoch(run.metrics))
    if run.is_last_batch or skipped:
        step_schedulers(run, False, True, plateau=True)
    if row:
        run.log_row({"epoch": progress.epoch, **row}, progress.stepped - 1)
    progress.epoch += 1
    progress.batch = 0
    progress.started = False
    progress.phase = Phase.READY
    for logger in run.loggers:
        logger.save()
    if run.signals is not None and run.signals.received is not None:
        stop_on_signal(run)


def sanity_check(run: Run) -> None:
    """Validate a few batches before training, so that mistakes show early; nothing of it is kept."""
    arguments, progress = run.arguments, run.progress
    steps = arguments.num_sanity_val_steps
    fresh = progress.epoch == 0 and progress.global_step == 0 and progress.seen == 0
    if not steps or not fresh or not validates(run):
        return
    run.state.stage = RunningStage.SANITY_CHECKING
    with isolate_rng():
        run.hooks.call("on_sanity_check_start")
        evaluate(run, RunningStage.SANITY_CHECKING)
        run.sanity_keys = set(run.metrics.callback)
        run.hooks.call("on_sanity_check_end")
    decide_assumed_monitors(run)
    run.metrics.clear()
    run.state.stage = RunningStage.TRAINING


def validate(run: Run) -> None:
    """Validate inside fit."""
    run.train_results.publish_steps(run.metrics)
    if closes_window(run):
        if "on_validation_model_zero_grad" in run.hooks.active:
            run.hooks.call("on_validation_model_zero_grad")
        else:
            run.module.zero_grad()
    run.state.stage = RunningStage.VALIDATING
    evaluate(run, RunningStage.VALIDATING)
    run.state.stage = RunningStage.TRAINING
    run.use_results(run.train_results)
    run.last_validation = time.monotonic()
    if any(config.assumed_monitor for config in run.schedulers):
        run.sanity_keys = set(run.metrics.callback)
        decide_assumed_monitors(run)
    run.progress.phase = Phase.VALIDATED
    run.settle()


def validates(run: Run) -> bool:
    """Whether fit validates at all."""
    from leyden.core.module import LightningModule
    from leyden.core.supervised import steps_of
    from leyden.utils.overrides import is_overridden

    defined = is_overridden("validation_step", run.module, LightningModule) or bool(steps_of(run.module))
    return bool(
        defined and run.arguments.limit_val_batches != 0 and run.sources.is_defined("val", run.module, run.datamodule)
    )


def in_validation_epoch(run: Run) -> bool:
    """Whether this epoch validates."""
    every = run.arguments.check_val_every_n_epoch
    return run.validates and (every is None or (run.progress.epoch + 1) % every == 0)


def validation_due(run: Run) -> bool:
    """Whether to validate after the batch just trained."""
    if not in_validation_epoch(run):
        return False
    train, progress = run.train, run.progress
    assert train is not None
    if run.should_stop and can_stop(run):
        return True
    if train.validate_after is not None:
        return time.monotonic() - run.last_validation >= train.validate_after.total_seconds()
    if train.validate_every == INFINITE:
        return run.is_last_batch
    count = progress.seen if run.arguments.check_val_every_n_epoch is None else progress.batch
    return count % train.validate_every == 0


def can_stop(run: Run) -> bool:
    """Whether the minimum of epochs and steps is reached."""
    arguments, progress = run.arguments, run.progress
    return progress.epoch >= (arguments.min_epochs or 0) and progress.global_step >= (arguments.min_steps or 0)


def stops(run: Run) -> bool:
    """Whether the epoch ends after the batch just trained."""
    limit = run.arguments.max_steps
    return (limit != -1 and run.progress.global_step >= limit) or (run.should_stop and can_stop(run))


def is_done(run: Run) -> bool:
    """Whether training is over."""
    epochs = run.arguments.max_epochs
    if run.progress.started and run.resumed is not None:
        return False
    return bool(epochs is not None and epochs != -1 and run.progress.epoch >= epochs) or stops(run)


def warn_about_modes(run: Run) -> None:
    """Say so if parts of the module are in evaluation mode when training begins."""
    count = sum(not module.training for module in run.module.modules())
    if count:
        warn(
            f"{count} module(s) are in evaluation mode when training begins and stay so (frozen BatchNorm, say). "
            "If that is not what you want, call `model.train()` before `trainer.fit`.",
            PossibleUserWarning,
            stacklevel=2,
        )
