"""A run as a checkpoint, and back.

What Lightning's format has keeps its key and meaning; what exactness needs beside it (random states, the order of the
samples, the open accumulation window, what was logged in the running epoch, what is still due) lies under one key.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from leyden.checkpoint import file, schema
from leyden.core.hparams import clean_hparams, load_weights
from leyden.core.optimizers import move_optimizer_state
from leyden.engine.run import Phase, Window
from leyden.engine.states import RunningStage
from leyden.errors import CheckpointError, MisconfigurationException, PossibleUserWarning
from leyden.legacy.checkpoints import writer
from leyden.legacy.loops import loops_of, progress_of
from leyden.utils.files import filesystem
from leyden.utils.rank import rank_zero_warn
from leyden.utils.seed import capture_rng, restore_rng
from leyden.utils.tree import move_to_device

if TYPE_CHECKING:
    from leyden.engine.loading import TrainLoader
    from leyden.engine.run import Run

LIGHTNING_VERSION = "2.6.0"


def save(run: Run, path: Any, weights_only: bool = False, storage_options: Any = None) -> None:
    """Write a checkpoint; every process takes part, the first one writes."""
    if run.guard is not None:
        run.guard.ask()
    checkpoint = capture(run, weights_only)
    if run.strategy.is_global_zero:
        custom = run.runtime.checkpoint_io
        if custom is not None:
            custom.save_checkpoint(checkpoint, path, storage_options=storage_options)
        else:
            file.save(checkpoint, path)
        if not weights_only:
            supersede(run, path)
    run.strategy.barrier()


def supersede(run: Run, path: Any) -> None:
    """Remove the file that a signal had asked for: a regular one, written and verified, has taken its place."""
    interrupted, run.signal_checkpoint = run.signal_checkpoint, None
    if interrupted is None or os.path.realpath(path) == os.path.realpath(interrupted):
        return
    if run.runtime.checkpoint_io is not None:
        run.runtime.checkpoint_io.remove_checkpoint(interrupted)
    else:
        store, name = filesystem(interrupted)
        if store.exists(name):
            store.rm_file(name)


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
        schema.LOOPS: loops_of(progress.state_dict(), module.automatic_optimization),
    }
    if not weights_only:
        states = ((callback.state_key, callback.state_dict()) for callback in run.callbacks)
        checkpoint[schema.CALLBACKS] = {key: state for key, state in states if state}
        checkpoint[schema.OPTIMIZER_STATES] = [optimizer.state_dict() for optimizer in run.optimizers]
        checkpoint[schema.LR_SCHEDULERS] = [getattr(c.scheduler, "state_dict", dict)() for c in run.schedulers]
        if state := run.precision.state_dict():
            checkpoint[type(run.precision).__qualname__] = state
        checkpoint[schema.RUN] = exact_state(run)
    for owner in (module, data):
        if owner is not None and owner.hparams:
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_NAME] = getattr(owner, "_hparams_name", None) or "kwargs"
            checkpoint[owner.CHECKPOINT_HYPER_PARAMS_KEY] = clean_hparams(owner.hparams)
    if data is not None and (state := data.state_dict()):
        checkpoint[type(data).__qualname__] = state
    if weights_only:
        with run.hooks.inside("on_save_checkpoint"):
            for callback in run.callbacks:
                if callback.replaces_weights:
                    callback.on_save_checkpoint(run.trainer, module, checkpoint)
            module.on_save_checkpoint(checkpoint)
    else:
        run.hooks.call("on_save_checkpoint", checkpoint)
    return checkpoint


def exact_state(run: Run) -> dict[str, Any]:
    """What Lightning's format lacks: everything that decides the bits of the steps to come."""
    own, strategy = state_of_process(run), run.strategy
    size = strategy.world_size
    return {
        "version": schema.VERSION,
        "progress": run.progress.state_dict(),
        "processes": [strategy.broadcast(own, src=rank) for rank in range(size)] if size > 1 else [own],
        "switched": switched(run),
        "world_size": size,
        "threads": torch.get_num_threads(),
        "should_stop": run.should_stop,
        "since_validation": time.monotonic() - run.last_validation if run.last_validation else 0.0,
    }


def state_of_process(run: Run) -> dict[str, Any]:
    """What differs between the processes of a run."""
    window = run.window
    # In manual optimization only the module knows which gradients it still needs.
    open_window = bool(window.weights) or not run.module.automatic_optimization
    gradients = {name: p.grad for name, p in run.module.named_parameters() if p.grad is not None and open_window}
    return {
        "rng": capture_rng(),
        "order": run.train.stream.state_dict() if run.train is not None else None,
        "window": {"size": window.size, "weights": list(window.weights), "gradients": gradients},
        "results": run.train_results.state_dict(),
        "metrics": copies_of(vars(run.metrics)),
        "torchmetrics": {path: _metric_state(metric) for path, metric in _torchmetrics(run.module)},
    }


def copies_of(named: Mapping[str, Any]) -> dict[str, Any]:
    """Lists or dicts by name, each copied."""
    return {name: value.copy() for name, value in named.items()}


def switches(module: nn.Module) -> dict[str, dict[str, bool]]:
    """What hooks may switch on a module in the middle of a run: training modes, and who gets gradients."""
    return {
        "training": {name: child.training for name, child in module.named_modules()},
        "requires_grad": {name: parameter.requires_grad for name, parameter in module.named_parameters()},
    }


def switched(run: Run) -> dict[str, dict[str, bool]]:
    """What was switched since training began (a layer unfrozen in the fifth epoch, say)."""
    if run.switches is None or run.state.stage is not RunningStage.TRAINING or run.module._toggled:
        return {}
    return {
        kind: {name: value for name, value in now.items() if run.switches[kind].get(name, value) != value}
        for kind, now in switches(run.module).items()
    }


def _torchmetrics(module: nn.Module) -> Iterator[tuple[str, Any]]:
    torchmetrics = sys.modules.get("torchmetrics")
    if torchmetrics is not None:
        for child in module.modules():
            if isinstance(child, torchmetrics.MetricCollection):
                child.values(copy_state=False)  # brings metrics that share one state up to date
        yield from ((path, m) for path, m in module.named_modules() if isinstance(m, torchmetrics.Metric))


def _metric_state(metric: Any) -> dict[str, Any]:
    counts = {name: value for name, value in vars(metric).items() if name.startswith("_") and type(value) is int}
    return {"state": dict(metric.metric_state), "counts": counts}


def _set_metric(metric: Any, saved: Mapping[str, Any]) -> None:
    for name, value in saved["state"].items():  # copied: the metrics of a collection were saved with shared tensors
        copies = [t.detach().to(metric.device, copy=True) for t in (value if isinstance(value, list) else [value])]
        setattr(metric, name, copies if isinstance(value, list) else copies[0])
    vars(metric).update(saved["counts"], _computed=None)


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
        load_weights(module, checkpoint[schema.STATE_DICT], module.strict_loading)
        if data is not None and type(data).__qualname__ in checkpoint:
            data.load_state_dict(checkpoint[type(data).__qualname__])
        for callback in run.callbacks:
            callback.on_load_checkpoint(run.trainer, module, checkpoint)
    if run.fn == "fit":
        run.should_stop |= bool((checkpoint.get(schema.RUN) or {}).get("should_stop"))
    states = checkpoint.get(schema.CALLBACKS) or {}
    for callback in run.callbacks:
        state = states.get(callback.state_key, states.get(type(callback).__qualname__))
        if state is not None:
            callback.load_state_dict(state)
    known = {name for callback in run.callbacks for name in (callback.state_key, type(callback).__qualname__)}
    missing = sorted(map(str, set(states) - known))
    if missing and run.fn == "fit":
        text = f"The checkpoint holds states of callbacks that this Trainer does not have: {missing}"
        rank_zero_warn(f"{text}. Fix: add them, to continue as before.")


def restore_training(run: Run, checkpoint: Mapping[str, Any], path: str) -> None:
    """Give optimizers, schedulers, precision and progress their states; the rest waits for the first epoch."""
    if schema.OPTIMIZER_STATES not in checkpoint:
        text = f"{path!r} holds only the model (save_weights_only), so training cannot continue from it"
        raise KeyError(f"{text}. Fix: load the weights with `load_from_checkpoint` and start a new fit.")
    restore_each("optimizers", run.optimizers, checkpoint[schema.OPTIMIZER_STATES], path)
    for optimizer in run.optimizers:
        move_optimizer_state(optimizer.optimizer, run.strategy.root_device)
    restore_each("schedulers", [c.scheduler for c in run.schedulers], checkpoint[schema.LR_SCHEDULERS], path)
    if state := checkpoint.get(type(run.precision).__qualname__):
        run.precision.load_state_dict(state)
    exact = checkpoint.get(schema.RUN)
    if exact is None:
        run.progress.load_state_dict(progress_of(checkpoint))
        text = f"{path!r} was written by {writer(checkpoint)}, without random states and the order of samples"
        rank_zero_warn(f"{text}: the run continues, but not to the same bits.")
    else:
        run.progress.load_state_dict(exact["progress"])
        run.resumed = exact
        warn_about_surroundings(run, exact)
    limit = run.arguments.max_epochs
    if limit is not None and limit != -1 and run.progress.epoch > limit:
        text = f"{path!r} was saved in epoch {run.progress.epoch}, but `max_epochs` is {limit}"
        raise MisconfigurationException(f"{text}. Fix: a larger `max_epochs`.")


def restore_each(what: str, owners: list[Any], states: list[Any], path: str) -> None:
    """Restore optimizers or schedulers; a different number of them is an error."""
    if len(owners) != len(states):
        text = f"{path!r} holds {len(states)} {what}, but `configure_optimizers` returned {len(owners)}"
        raise CheckpointError(f"{text}. Fix: return the same ones, or load the weights only and start a new fit.")
    for owner, state in zip(owners, states, strict=True):
        if hasattr(owner, "load_state_dict"):
            owner.load_state_dict(state)


def warn_about_surroundings(run: Run, exact: Mapping[str, Any]) -> None:
    """Say what is not as it was, and that a run that was about to stop does so."""
    here = {"world_size": run.strategy.world_size, "threads": torch.get_num_threads()}
    changed = [f"{name} was {exact[name]} and is {value}" for name, value in here.items() if exact[name] != value]
    if changed:
        rank_zero_warn(f"The run continues, but not to the same bits: {'; '.join(changed)}.")
    if run.should_stop and not (run.progress.started and run.progress.phase is not Phase.EPOCH_ENDED):
        text = "The saved run had been asked to stop (by EarlyStopping, say), so it stops here too"
        fix = "to train on, add a callback whose `on_fit_start` sets `trainer.should_stop = False`"
        rank_zero_warn(f"{text}. Fix: {fix}.", category=PossibleUserWarning)


def restore_boundary(run: Run, train: TrainLoader) -> None:
    """Continue between two epochs."""
    own = take(run)
    if own["order"] is not None:
        train.stream.load_state_dict(own["order"])
    _restore(run, own)


def restore_epoch(run: Run, train: TrainLoader) -> Iterator[tuple[Any, int | None]]:
    """Continue inside an epoch: its batches from the position on, everything else as it was."""
    own = take(run)
    batches = train.stream.resume(own["order"], run.progress.batch)
    _restore(run, own)
    return batches


def take(run: Run) -> Mapping[str, Any]:
    """What waited in the run since the checkpoint was read; return the part of this process."""
    resumed, run.resumed = run.resumed, None
    assert resumed is not None
    run.last_validation = time.monotonic() - resumed["since_validation"]
    switched, module = resumed["switched"], run.module
    for name, child in module.named_modules():
        child.training = switched.get("training", {}).get(name, child.training)
    for name, parameter in module.named_parameters():
        parameter.requires_grad = switched.get("requires_grad", {}).get(name, parameter.requires_grad)
    processes = resumed["processes"]
    own: Mapping[str, Any] = processes[min(run.strategy.global_rank, len(processes) - 1)]
    return own


def _restore(run: Run, own: Mapping[str, Any]) -> None:
    """Gradients, logged values and metrics; at last the random states."""
    device = run.strategy.root_device
    window = own["window"]
    run.window = Window(window["size"], move_to_device(window["weights"], device))
    parameters = dict(run.module.named_parameters())
    for name, gradient in window["gradients"].items():
        parameters[name].grad = gradient.to(parameters[name].device)
    run.train_results.load_state_dict(move_to_device(own["results"], device))
    for name in ("callback", "logged", "bar"):
        getattr(run.metrics, name).update(own["metrics"][name])
    for path, metric in _torchmetrics(run.module):
        if path in own["torchmetrics"]:
            _set_metric(metric, own["torchmetrics"][path])
    restore_rng(own["rng"])


# -- a signal in the middle of validation ------------------------------------------------------------------------------


def before_validation(run: Run) -> dict[str, Any]:
    """What validation changes, as it is before; weights, optimizers and order stay as they are."""
    metrics, counts = copies_of(vars(run.metrics)), copies_of(run.progress.validations)
    return {"rng": capture_rng(), "metrics": metrics, "validations": counts}


def undo_validation(run: Run, before: Mapping[str, Any]) -> None:
    """Stand again where the last training step ended, with its validation due."""
    run.results.reset()
    run.progress.validations = before["validations"]
    run.metrics.clear()
    for name, values in before["metrics"].items():
        getattr(run.metrics, name).update(values)
    restore_rng(before["rng"])
