"""Validation and testing: every batch of every loader once, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from leyden.engine.loading import EvaluationLoaders, load_evaluation, several_loaders
from leyden.engine.results import Results, to_floats
from leyden.engine.signals import Interruption
from leyden.engine.states import RunningStage, TrainerFn

if TYPE_CHECKING:
    from leyden.engine.run import Run

NAMES = {
    RunningStage.SANITY_CHECKING: "validation",
    RunningStage.VALIDATING: "validation",
    RunningStage.TESTING: "test",
    RunningStage.PREDICTING: "predict",
}


def evaluate(run: Run, stage: RunningStage) -> list[dict[str, float]]:
    """Score the loaders of a stage.

    Returns:
        One dict of epoch values per loader; empty when there was nothing to run.
    """
    name, hooks = NAMES[stage], run.hooks
    loaders = prepare_loaders(run, stage)
    if not loaders.streams or not any(loaders.batches):
        return []
    sanity = stage is RunningStage.SANITY_CHECKING
    results = run.new_results()
    results.evaluation = True
    run.use_results(results)
    with evaluation_mode(run, name), no_gradients(run):
        hooks.call(f"on_{name}_start")
        hooks.call(f"on_{name}_epoch_start")
        for index in range(len(loaders.streams)):
            score_loader(run, results, loaders, index, name, sanity)
        results.dataloader_idx = None
        results.publish_epoch(run.metrics)
        hooks.call(f"on_{name}_epoch_end")
        row = to_floats(results.publish_epoch(run.metrics))
        if not sanity:
            log_epoch(run, row)
        hooks.call(f"on_{name}_end")
    results.reset()
    return rows_per_loader(results, row, len(loaders.streams))


def score_loader(run: Run, results: Results, loaders: EvaluationLoaders, index: int, name: str, sanity: bool) -> None:
    """Run the batches of one loader."""
    hooks, stream = run.hooks, loaders.streams[index]
    limit = loaders.batches[index]
    if sanity and run.arguments.num_sanity_val_steps != -1:
        limit = min(limit, run.arguments.num_sanity_val_steps or 0)
    several = len(loaders.streams) > 1
    results.dataloader_idx = index if several else None
    step = evaluation_step(run, name, several)
    start, end, scope = f"on_{name}_batch_start", f"on_{name}_batch_end", f"{name}_step"
    active, transfer = hooks.active, run.transfer
    counters = run.progress.validations.setdefault("sanity_check" if sanity else run.fn.value, [])
    while len(counters) <= index:
        counters.append(0)
    stream.set_epoch(run.progress.epoch)
    signals = None if sanity else run.signals
    if not limit:
        return
    for batch_idx, (given, size) in enumerate(stream.start()):
        batch = given if transfer is None else transfer(given, index)
        results.batch, results.batch_size = batch, size
        if start in active:
            hooks.call(start, batch, batch_idx, index)
        hooks.current = scope
        output = step(batch, batch_idx, index)
        hooks.current = ""
        if end in active:
            hooks.call(end, output, batch, batch_idx, index)
        if not sanity:
            log_step(run, results, counters[index])
        counters[index] += 1
        if signals is not None and signals.received is not None:
            raise Interruption
        if batch_idx + 1 >= limit:
            break
    results.close_loader()


def evaluation_step(run: Run, name: str, several: bool) -> Callable[[Any, int, int], Any]:
    """The module's step as the loop calls it: with as many arguments as it takes."""
    method = f"{name}_step"
    step, count = run.step_caller(method)
    place, required = loader_argument(getattr(run.module, method))
    if several and place != 2:
        raise several_loaders(name)
    if count == 1:
        return lambda batch, batch_idx, dataloader_idx: step(batch)
    if (required and place == 2) or (several and (count is None or count >= 3)):
        return step
    return lambda batch, batch_idx, dataloader_idx: step(batch, batch_idx)


def loader_argument(method: Callable[..., Any]) -> tuple[int | None, bool]:
    """The place of ``dataloader_idx`` among a step's arguments (2 for ``*args``), and whether it has no default."""
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.VAR_POSITIONAL)
    parameters = [p for p in signature(method).parameters.values() if p.kind in kinds]
    for place, parameter in enumerate(parameters):
        if parameter.name == "dataloader_idx":
            return place, parameter.default is Parameter.empty
        if parameter.kind is Parameter.VAR_POSITIONAL:
            return 2, False
    return None, False


def log_step(run: Run, results: Results, x: int) -> None:
    """Send the values that were logged with ``on_step=True``; their x-axis counts the loader's batches."""
    row = results.step_row()
    if row:
        results.publish_steps(run.metrics)
        run.log_row(to_floats(row), x)


def log_epoch(run: Run, row: dict[str, float]) -> None:
    """Send the epoch's values to the loggers."""
    if row:
        fitting = run.fn is TrainerFn.FITTING
        x = run.progress.stepped if fitting else run.progress.global_step
        run.log_row({"epoch": run.progress.epoch, **row}, x)


def rows_per_loader(results: Results, row: dict[str, float], count: int) -> list[dict[str, float]]:
    """Sort the epoch's values by loader; those of epoch hooks belong to each."""
    rows: list[dict[str, float]] = [{} for _ in range(count)]
    for (_, _, index), slot in results.slots.items():
        key = slot.key("epoch")
        if key in row:
            for number in range(count) if index is None else (index,):
                rows[number][key] = row[key]
    return rows


def prepare_loaders(run: Run, stage: RunningStage) -> EvaluationLoaders:
    """The stage's loaders: asked for once, and again when ``reload_dataloaders_every_n_epochs`` says so."""
    prefix = stage.dataloader_prefix
    if getattr(run.arguments, f"limit_{prefix}_batches") == 0 and not run.arguments.overfit_batches:
        return EvaluationLoaders(None, [], [])
    every = run.arguments.reload_dataloaders_every_n_epochs
    reload = bool(every) and stage is RunningStage.VALIDATING and run.progress.epoch % every == 0
    if prefix not in run.evaluations or (reload and run.progress.epoch):
        run.evaluations[prefix] = load_evaluation(run, stage)
    return run.evaluations[prefix]


@contextmanager
def evaluation_mode(run: Run, name: str) -> Iterator[None]:
    """Evaluation mode for the block; afterwards each sub-module has the mode it had, unless a hook decides."""
    module, hooks = run.module, run.hooks
    modes = [(child, child.training) for child in module.modules()]
    run.strategy.sync_buffers()
    with hooks.inside(f"on_{name}_model_eval"):
        getattr(module, f"on_{name}_model_eval")()
    try:
        yield
    except BaseException:
        set_modes(modes)
        raise
    restore = f"on_{name}_model_train"
    if restore in hooks.active:
        hooks.call(restore)
    else:
        set_modes(modes)


def set_modes(modes: list[tuple[nn.Module, bool]]) -> None:
    """Put back what :func:`evaluation_mode` found."""
    for child, training in modes:
        child.training = training


def no_gradients(run: Run) -> AbstractContextManager[Any]:
    """Inference mode where it is wanted and possible; fit and process groups without it use no_grad."""
    wanted = run.arguments.inference_mode and run.fn is not TrainerFn.FITTING and not run.strategy.is_distributed
    return torch.inference_mode() if wanted else torch.no_grad()
