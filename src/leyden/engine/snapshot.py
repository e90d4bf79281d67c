"""A run as a checkpoint, and back.

What Lightning's format has keeps its key and meaning; what exactness needs beside it (random states, the order of the
samples, the open accumulation window, what was logged in the running epoch, what is still due) lies under one key.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch
from torch import nn

from leyden.checkpoint import file, schema
from leyden.core.hparams import clean_hparams
from leyden.core.optimizers import move_optimizer_state
from leyden.engine.run import Phase, Progress
from leyden.errors import CheckpointError, MisconfigurationException
from leyden.utils.seed import capture_rng, restore_rng

if TYPE_CHECKING:
    from leyden.engine.loading import TrainLoader
    from leyden.engine.run import Run

LIGHTNING_VERSION = "2.6.0"


def save(run: Run, path: Any, weights_only: bool = False) -> None:
    """Write a checkpoint; every process takes part, the first one writes."""
    if run.guard is not None:
        run.guard.ask()
    checkpoint = capture(run, weights_only)
    if run.strategy.is_global_zero:
        custom = run.runtime.checkpoint_io
        if custom is not None:
            custom.save_checkpoint(checkpoint, path)
        else:
            file.save(checkpoint, path)
        if run.signal_checkpoint is not None and str(path) != run.signal_checkpoint:
            Path(run.signal_checkpoint).unlink(
                missing_ok=True
            )  # a regular save has taken the place of the one that a signal asked for
            run.signal_checkpoint = None
    run.strategy.barrier()


def capture(run: Run, weights_only: bool = False) -> dict[str, Any]:
    """Put a checkpoint together."""
    from leyden import __version__

    progress, module, data = run.progress, run.module, run.datamodule
    checkpoint: dict[str, Any] = {
        schema.EPOCH: progress.epoch,
        schema.GLOBAL_STEP: progress.global_step,
        schema.LIGHTNING_VERSION: LIGHTNING_VERSION,
        schema.LEYDEN_VERSION: __version__,
        schema.STATE_DICT: module.state_dict(),
        schema.LOOPS: loops(progress, run.is_last_batch),
    }
    if not weights_only:
        states = ((callback.state_key, callback.state_dict()) for callback in run.callbacks)
        checkpoint[schema.CALLBACKS] = {key: state for key, state in states if state}
        checkpoint[schema.OPTIMIZER_STATES] = [optimizer.state_dict() for optimizer in run.optimizers]
        checkpoint[schema.LR_SCHEDULERS] = [config.scheduler.state_dict() for config in run.schedulers]
        if run.precision.scaler is not None:
            checkpoint[schema.MIXED_PRECISION] = run.precision.state_dict()
        checkpoint[schema.RUN] = exact_state(run)
    for owner in (module, data):
        if owner is not None and owner.hparams:
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_NAME] = getattr(owner, "_hparams_name", None) or "kwargs"
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_KEY] = clean_hparams(owner.hparams)
    if data is not None and (state := data.state_dict()):
        checkpoint[type(data).__qualname__] = state
    run.hooks.call("on_save_checkpoint", checkpoint)
    return checkpoint


def exact_state(run: Run) -> dict[str, Any]:
    """What Lightning's format lacks: everything that decides the bits of the steps to come."""
    results = getattr(run, "train_results", None)
    return {
        "version": schema.VERSION,
        "progress": run.progress.state_dict(),
        "rng": [capture_rng()] if not run.strategy.is_distributed else _gathered_rng(run),
        "order": run.train.stream.state_dict() if run.train is not None else None,
        "window": {"weights": list(run.window.weights), "gradients": _gradients(run)},
        "results": results.state_dict() if results is not None else [],
        "metrics": {"callback": dict(run.metrics.callback), "logged": dict(run.metrics.logged), "bar": run.metrics.bar},
        "torchmetrics": {path: _metric_state(metric) for path, metric in _torchmetrics(run.module)},
        "world_size": run.strategy.world_size,
        "threads": torch.get_num_threads(),
        "should_stop": run.should_stop,
    }


def _gathered_rng(run: Run) -> list[Any]:
    return [run.strategy.broadcast(capture_rng(), src=rank) for rank in range(run.strategy.world_size)]


def _gradients(run: Run) -> dict[str, torch.Tensor]:
    if not run.window.weights:
        return {}
    return {name: p.grad for name, p in run.module.named_parameters() if p.grad is not None}


def _torchmetrics(module: nn.Module) -> Iterator[tuple[str, Any]]:
    torchmetrics = sys.modules.get("torchmetrics")
    if torchmetrics is not None:
        yield from ((path, m) for path, m in module.named_modules() if isinstance(m, torchmetrics.Metric))


def _metric_state(metric: Any) -> dict[str, Any]:
    return {"state": dict(metric.metric_state), "updates": metric._update_count}


def loops(progress: Progress, is_last_batch: bool) -> dict[str, Any]:
    """Progress in the layout that Lightning reads."""
    over = progress.epoch + (1 if progress.phase is Phase.EPOCH_ENDED else 0)
    inside = 1 if progress.started else 0
    epochs = {
        "ready": progress.epoch + inside,
        "started": progress.epoch + inside,
        "processed": over,
        "completed": progress.epoch,
    }

    def batches(count: int) -> dict[str, int]:
        return {"ready": count, "started": count, "processed": count, "completed": count}

    steps = {"ready": progress.global_step, "completed": progress.global_step}
    steps_by_kind = {"total": steps, "current": steps}
    evaluation = {"state_dict": {}, "batch_progress": {"total": batches(0), "current": batches(0)}}
    fit_loop = {
        "state_dict": {},
        "epoch_progress": {"total": epochs, "current": epochs},
        "epoch_loop.state_dict": {"_batches_that_stepped": progress.stepped},
        "epoch_loop.batch_progress": {
            "total": batches(progress.seen),
            "current": batches(progress.batch),
            "is_last_batch": is_last_batch,
        },
        "epoch_loop.scheduler_progress": steps_by_kind,
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": steps_by_kind, "zero_grad": {**steps_by_kind, "total": {**steps, "started": 0}}}
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": steps_by_kind,
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": evaluation["batch_progress"],
    }
    return {"fit_loop": fit_loop, "validate_loop": evaluation, "test_loop": evaluation, "predict_loop": evaluation}


# -- reading --------------------------------------------------------------------------------------------------------


def load(run: Run, path: Any, weights_only: bool | None) -> dict[str, Any]:
    """Read and check a checkpoint file."""
    custom = run.runtime.checkpoint_io
    if custom is not None:
        return schema.check(custom.load_checkpoint(path), str(path))
    return schema.check(file.load(path, map_location="cpu", weights_only=weights_only), str(path))


def restore_model(run: Run, checkpoint: dict[str, Any]) -> None:
    """Give the module its weights, and data module and callbacks their states."""
    module, data = run.module, run.datamodule
    with run.hooks.inside("on_load_checkpoint"):
        module.on_load_checkpoint(checkpoint)
        module.load_state_dict(checkpoint[schema.STATE_DICT], strict=module.strict_loading)
        if data is not None and type(data).__qualname__ in checkpoint:
            data.load_state_dict(checkpoint[type(data).__qualname__])
        for callback in run.callbacks:
            callback.on_load_checkpoint(run.trainer, module, checkpoint)
    states = checkpoint.get(schema.CALLBACKS) or {}
    for callback in run.callbacks:
        state = states.get(callback.state_key, states.get(type(callback)))
        if state is not None:
            callback.load_state_dict(state)
    missing = sorted(map(str, set(states) - {callback.state_key for callback in run.callbacks}))
    if missing and run.fn == "fit":
        warn(
            f"The checkpoint holds states of callbacks that this Trainer does not have: {missing}. "
            "Fix: add them, to continue as before.",
            stacklevel=2,
        )


def restore_training(run: Run, checkpoint: Mapping[str, Any], path: str) -> None:
    """Give optimizers, schedulers, precision and progress their states; the rest waits for the first epoch."""
    if schema.OPTIMIZER_STATES not in checkpoint:
        raise KeyError(
            f"{path!r} holds only the model (save_weights_only), so training cannot continue from it. Fix: load the "
            "weights with `load_from_checkpoint` and start a new fit."
        )
    restore_each("optimizers", run.optimizers, checkpoint[schema.OPTIMIZER_STATES], path)
    for optimizer in run.optimizers:
        move_optimizer_state(optimizer.optimizer, run.strategy.root_device)
    restore_each("schedulers", [c.scheduler for c in run.schedulers], checkpoint[schema.LR_SCHEDULERS], path)
    if schema.MIXED_PRECISION in checkpoint:
        run.precision.load_state_dict(checkpoint[schema.MIXED_PRECISION])
    exact = checkpoint.get(schema.RUN)
    if exact is None:
        run.progress.load_state_dict(foreign_progress(checkpoint))
        warn(
            f"{path!r} was written by another program: it holds no random states and no order of samples, so the run "
            "continues, but not to the same bits.",
            stacklevel=2,
        )
    else:
        run.progress.load_state_dict(exact["progress"])
        run.resumed = exact
        _compare_surroundings(run, exact)
    limit = run.arguments.max_epochs
    if limit is not None and limit != -1 and run.progress.epoch > limit:
        raise MisconfigurationException(
            f"{path!r} was saved in epoch {run.progress.epoch}, but `max_epochs` is {limit}. Fix: a larger `max_epochs`."
        )


def restore_each(what: str, owners: list[Any], states: list[Any], path: str) -> None:
    """Restore optimizers or schedulers; a different number of them is an error."""
    if len(owners) != len(states):
        raise CheckpointError(
            f"{path!r} holds {len(states)} {what}, but `configure_optimizers` returned {len(owners)}. "
            "Fix: return the same ones, or load the weights only and start a new fit."
        )
    for owner, state in zip(owners, states, strict=True):
        owner.load_state_dict(state)


def _compare_surroundings(run: Run, exact: Mapping[str, Any]) -> None:
    here = {"world_size": run.strategy.world_size, "threads": torch.get_num_threads()}
    changed = [f"{name} was {exact[name]} and is {value}" for name, value in here.items() if exact[name] != value]
    if changed:
        warn(f"The run continues, but not to the same bits: {'; '.join(changed)}.", stacklevel=2)


def foreign_progress(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Progress as Lightning's checkpoints tell it."""
    fit_loop = checkpoint.get(schema.LOOPS, {}).get("fit_loop", {})
    epochs = fit_loop.get("epoch_progress", {}).get("current", {})
    batches = fit_loop.get("epoch_loop.batch_progress", {})
    epoch = epochs.get("processed", checkpoint[schema.EPOCH])
    inside = epochs.get("started", epoch) > epoch
    stepped = fit_loop.get("epoch_loop.state_dict", {}).get("_batches_that_stepped", checkpoint[schema.GLOBAL_STEP])
    return {
        "epoch": epoch,
        "batch": batches.get("current", {}).get("completed", 0) if inside else 0,
        "global_step": checkpoint[schema.GLOBAL_STEP],
        "stepped": stepped,
        "seen": batches.get("total", {}).get("completed", stepped),
    }


def restore_boundary(run: Run, train: TrainLoader) -> None:
    """Continue between two epochs: the generators and the metrics as they were."""
    resumed, run.resumed = run.resumed, None
    assert resumed is not None
    if resumed["order"] is not None:
        train.stream.load_state_dict(resumed["order"])
    _restore_logged(run, resumed)
    restore_rng(resumed["rng"][min(run.strategy.global_rank, len(resumed["rng"]) - 1)])


def restore_epoch(run: Run, train: TrainLoader) -> Iterator[tuple[Any, int | None]]:
    """Continue inside an epoch: its batches from the position on, everything else as it was."""
    resumed, run.resumed = run.resumed, None
    assert resumed is not None
    batches = train.stream.resume(resumed["order"], run.progress.batch)
    _restore_logged(run, resumed)
    window = resumed["window"]
    run.window.weights = list(window["weights"])
    parameters = dict(run.module.named_parameters())
    for name, gradient in window["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)
    run.should_stop = resumed["should_stop"]
    restore_rng(resumed["rng"][min(run.strategy.global_rank, len(resumed["rng"]) - 1)])
    return batches


def _restore_logged(run: Run, resumed: Mapping[str, Any]) -> None:
    run.train_results.load_state_dict(resumed["results"])
    run.metrics.callback.update(resumed["metrics"]["callback"])
    run.metrics.logged.update(resumed["metrics"]["logged"])
    run.metrics.bar.update(resumed["metrics"]["bar"])
    for path, metric in _torchmetrics(run.module):
        if path in resumed["torchmetrics"]:
            saved = resumed["torchmetrics"][path]
            for name, value in saved["state"].items():
                setattr(metric, name, value)
            metric._update_count = saved["updates"]
            metric._computed = None
