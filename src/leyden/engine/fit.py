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

import torch

from leyden.core.module import LightningModule
from leyden.core.supervised import is_supervised
from leyden.engine.evaluate import evaluate, prepare_loaders
from leyden.engine.loading import TrainLoader, load_training
from leyden.engine.monitors import check_monitors, decide_assumed_monitors, step_schedulers
from leyden.engine.results import to_floats
from leyden.engine.run import Phase, Run, Window
from leyden.engine.session import stop_on_signal
from leyden.engine.signals import Interruption
from leyden.engine.snapshot import before_validation, restore_boundary, restore_epoch, switches, undo_validation
from leyden.engine.states import RunningStage
from leyden.engine.step import Step, automatic_step, finish_window, manual_step
from leyden.errors import PossibleUserWarning
from leyden.utils.overrides import is_overridden
from leyden.utils.rank import rank_zero_warn
from leyden.utils.seed import isolate_rng


def fit(run: Run) -> None:
    """Train until an epoch, step or time limit is reached, or ``should_stop`` is set."""
    if run.trainer.ckpt_path is None:
        run.progress.restart_epoch()  # one that an exception ended in an earlier call
        sanity_check(run)
    run.state.stage = RunningStage.TRAINING
    run.train = run.train or load_training(run)
    run.train_results = run.new_results()
    if is_done(run) or run.train.batches == 0:
        if run.resumed is not None:
            restore_boundary(run, run.train)
        return
    if run.validates:
        for stream in prepare_loaders(run, RunningStage.VALIDATING).streams:
            begun = run.progress.validations.keys() & {"fit", "sanity_check"}
            stream.kept = run.trainer.ckpt_path is not None and bool(begun)
    warn_about_modes(run)
    run.use_results(run.train_results)
    run.last_validation = time.monotonic()
    run.busy = True
    run.hooks.call("on_train_start")
    run.switches = switches(run.module)
    train_epoch = run.hooks.measured("run_training_epoch", fit_epoch)
    while not is_done(run):
        train_epoch(run)
    run.hooks.call("on_train_end")
    run.busy = False
    run.settle()


def fit_epoch(run: Run) -> None:
    """Train one epoch, or the rest of one that was interrupted."""
    progress = run.progress
    assert run.train is not None
    if run.resumed is not None and (progress.phase is Phase.EPOCH_ENDED or not progress.started):
        restore_boundary(run, run.train)
    if progress.phase is Phase.EPOCH_ENDED:
        end_epoch(run)
        return
    train, batches = begin_epoch(run)
    batches = run.hooks.measured_batches("[_TrainingEpochLoop].train_dataloader_next", batches)
    step = automatic_step(run) if run.module.automatic_optimization and not run.forward_only else manual_step(run)
    step = torch.no_grad()(step) if run.forward_only else step
    step = run.hooks.measured("run_training_batch", step)
    if progress.phase is not Phase.READY:
        end_batch(run, train, batches)
    while not progress.is_last_batch and not stops(run):
        item = next(batches, None)
        if item is None:
            end_of_data(run, train)
            break
        progress.is_last_batch = progress.batch + 1 >= train.batches
        if not train_batch(run, step, *item):
            progress.is_last_batch = True  # the module left the epoch: its end comes next, without validation
            step_schedulers(run, False, True, plateau=False)
            break
        end_batch(run, train, batches)
    end_epoch(run)


def begin_epoch(run: Run) -> tuple[TrainLoader, Iterator[tuple[Any, int | None]]]:
    """Start the epoch's hooks and its data; a resumed epoch starts them at its position."""
    progress, resumed = run.progress, run.resumed is not None
    every = run.arguments.reload_dataloaders_every_n_epochs
    if every and progress.epoch and progress.epoch % every == 0 and not progress.started:
        run.train = load_training(run)
    train = run.train
    assert train is not None
    train.stream.set_epoch(progress.epoch)
    run.hooks.bind()
    if not progress.started:  # they ran before the interruption, and may have changed what the checkpoint holds
        run.hooks.call("on_train_epoch_start")
        run.window = Window(run.arguments.accumulate_grad_batches)
        progress.started = True
    progress.is_last_batch |= progress.batch >= train.batches
    return train, restore_epoch(run, train) if resumed else train.stream.start()


def train_batch(run: Run, step: Step, batch: Any, size: int | None) -> bool:
    """Train on one batch; False if the module asked to leave the epoch."""
    progress, results, hooks = run.progress, run.train_results, run.hooks
    index = progress.batch
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
        step_schedulers(run, steps_now, progress.is_last_batch, plateau=False)
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
    return run.progress.batch % run.window.size == 0 or run.progress.is_last_batch


def end_batch(run: Run, train: TrainLoader, batches: Iterator[Any]) -> None:
    """What follows a trained batch: saves that were asked for, validation, schedulers that wait for a metric."""
    progress = run.progress
    if run.settling:
        run.settle()
    if progress.phase is Phase.TRAINED:
        if progress.is_last_batch and not train.limited:
            next(batches, None)  # what the sampler draws at its end comes before validation, as in a plain loop
        if progress.seen == 1:
            check_monitors(run)
        if validation_due(run, train):
            validate(run)
    elif progress.phase is Phase.VALIDATING:  # a signal came in the middle of it
        validate(run)
    steps_now = closes_window(run)
    if run.schedulers:
        step_schedulers(run, steps_now, False, plateau=True)
    if steps_now:
        progress.stepped += 1
    progress.phase = Phase.READY
    if run.signals is not None and (run.signals.received is not None or run.strategy.world_size > 1):
        stop_on_signal(run)


def end_of_data(run: Run, train: TrainLoader) -> None:
    """The data ended without notice (no length, or a wrong one): do what is left of the last batch's end."""
    progress = run.progress
    if not progress.batch:
        fix = "pass a DataLoader, or an object whose __iter__ starts anew, which a generator's does not"
        text = f"The training data gave no batch in epoch {progress.epoch}. Fix: {fix}."
        rank_zero_warn(text, category=PossibleUserWarning)
        return
    progress.is_last_batch = True
    stepped = finish_window(run)
    if not stepped:
        progress.stepped -= 1  # until it is over, the last batch is the one that loggers see
    step_schedulers(run, stepped, True, plateau=False)
    if train.validate_after is None and train.validate_every >= train.batches and in_validation_epoch(run):
        validate(run)
    step_schedulers(run, stepped, False, plateau=True)
    progress.stepped += 1
    progress.phase = Phase.READY


def end_epoch(run: Run) -> None:
    """The epoch's hooks, its values, the schedulers that wait for them, and the count."""
    progress, results = run.progress, run.train_results
    if progress.epoch == 0:
        warn_if_idle(run)
    if run.guard is not None:
        run.guard.ask()
    if progress.phase is not Phase.EPOCH_ENDED:
        results.publish_steps(run.metrics)
        results.publish_epoch(run.metrics)
        progress.phase = Phase.EPOCH_ENDED  # a file that one of the hooks saves continues after them all
        run.hooks.call("on_train_epoch_end")
        results.publish_epoch(run.metrics)
        run.hooks.call_monitors("on_train_epoch_end")
        run.settle()
    row = to_floats(results.publish_epoch(run.metrics))
    if progress.is_last_batch:
        step_schedulers(run, False, True, plateau=True)
    if row:
        run.log_row({"epoch": progress.epoch, **row}, progress.stepped - 1)
    results.reset()
    progress.epoch += 1
    progress.restart_epoch()
    for logger in run.loggers:
        logger.save()
    if run.signals is not None and (run.signals.received is not None or run.strategy.world_size > 1):
        stop_on_signal(run)


def sanity_check(run: Run) -> None:
    """Validate a few batches before training, so that mistakes show early; nothing of it is kept."""
    if not run.arguments.num_sanity_val_steps or not run.validates:
        return
    run.state.stage = RunningStage.SANITY_CHECKING
    with isolate_rng():
        run.hooks.call("on_sanity_check_start")
        evaluate(run, RunningStage.SANITY_CHECKING)
        run.sanity_keys = set(run.metrics.callback)
        run.hooks.call("on_sanity_check_end")
    decide_assumed_monitors(run)
    run.metrics.clear()


def validate(run: Run) -> None:
    """Validate inside fit."""
    run.train_results.publish_steps(run.metrics)
    if closes_window(run):
        with run.hooks.inside("on_validation_model_zero_grad", run.module):
            run.module.on_validation_model_zero_grad()
    before = before_validation(run)
    run.progress.phase = Phase.VALIDATING
    run.state.stage = RunningStage.VALIDATING
    try:
        evaluate(run, RunningStage.VALIDATING)
    except Interruption:
        undo_validation(run, before)
        run.state.stage = RunningStage.TRAINING
        stop_on_signal(run)
    run.state.stage = RunningStage.TRAINING
    run.use_results(run.train_results)
    run.last_validation = time.monotonic()
    run.sanity_keys = set(run.metrics.callback)
    decide_assumed_monitors(run)
    run.progress.phase = Phase.VALIDATED
    run.settle()


def validates(run: Run) -> bool:
    """Whether fit validates at all."""
    defined = is_overridden("validation_step", run.module, LightningModule) or is_supervised(run.module)
    has_data = run.sources.is_defined("val", run.module, run.datamodule)
    return defined and has_data and run.arguments.limit_val_batches != 0


def in_validation_epoch(run: Run) -> bool:
    """Whether this epoch validates."""
    every = run.arguments.check_val_every_n_epoch
    return run.validates and (every is None or (run.progress.epoch + 1) % every == 0)


def validation_due(run: Run, train: TrainLoader) -> bool:
    """Whether to validate after the batch just trained."""
    if not in_validation_epoch(run):
        return False
    if run.should_stop and can_stop(run):
        return True
    if train.validate_after is not None:
        return time.monotonic() - run.last_validation >= train.validate_after.total_seconds()
    count = run.progress.seen if run.arguments.check_val_every_n_epoch is None else run.progress.batch
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
    limit, progress = run.arguments.max_epochs, run.progress
    if limit is not None and limit != -1 and progress.epoch >= limit:
        return True
    unfinished = progress.started and run.resumed is not None  # the end of the epoch, at least, is due
    return not unfinished and stops(run)


def warn_about_modes(run: Run) -> None:
    """Say so if parts of the module are in evaluation mode when training begins."""
    if count := sum(not module.training for module in run.module.modules()):
        text = f"{count} module(s) are in evaluation mode when training begins and stay so (frozen BatchNorm, say)"
        rank_zero_warn(f"{text}. Fix, if not meant: `model.train()` before it.", category=PossibleUserWarning)


def warn_if_idle(run: Run) -> None:
    """Say so if the first epoch trained nothing although it looked as if."""
    idle = ""
    if not run.module.automatic_optimization and not run.progress.global_step:
        fix = "`opt = self.optimizers()`, `opt.zero_grad()`, `self.manual_backward(loss)`, `opt.step()` in `training_step`"
        idle = f"The first epoch is over, manual optimization has not stepped once: no weight changed. Fix: {fix}."
    elif run.left_out == run.progress.batch:
        idle = "`training_step` returned None for every batch of the first epoch: nothing was trained. Fix: return the loss."
    if idle and run.progress.batch:
        rank_zero_warn(idle, category=PossibleUserWarning)
