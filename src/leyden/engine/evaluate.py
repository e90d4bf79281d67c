"""Validation, testing and prediction: every batch of every loader once, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch

from leyden.engine.loading import EvaluationLoaders, load, several_loaders, takes_loader
from leyden.engine.results import Results, to_floats
from leyden.engine.signals import Interruption
from leyden.engine.states import RunningStage, TrainerFn
from leyden.utils.tree import detach

if TYPE_CHECKING:
    from leyden.engine.run import Run


def evaluate(run: Run, stage: RunningStage) -> list[dict[str, float]]:
    """Score the loaders of a stage.

    Returns:
        One dict of epoch values per loader; empty when there was nothing to run.
    """
    name, hooks, results = name_of(stage), run.hooks, run.new_results()
    loaders = prepare_loaders(run, stage)
    if not has_batches(run, loaders):
        return []
    sanity = stage is RunningStage.SANITY_CHECKING
    results.evaluation = True
    counters = run.progress.validations.setdefault("sanity_check" if sanity else run.fn.value, [])
    counters += [0] * (len(loaders.streams) - len(counters))

    def log_step(index: int, output: Any) -> None:
        row = results.step_row()
        if row and not sanity:
            results.publish_steps(run.metrics)
            run.log_row(to_floats(row), counters[index])
        counters[index] += 1

    with evaluation_mode(run, name):
        run_batches(run, stage, loaders, results, log_step)
        results.publish_epoch(run.metrics)
        hooks.call(f"on_{name}_epoch_end")
        row = to_floats(results.publish_epoch(run.metrics))
        if row and not sanity:
            x = run.progress.stepped if run.fn is TrainerFn.FITTING else run.progress.global_step
            run.log_row({"epoch": run.progress.epoch, **row}, x)
        hooks.call(f"on_{name}_end")
    results.reset()
    return rows_per_loader(results, row, len(loaders.streams))


def predict(run: Run, keep: bool = True) -> list[Any] | None:
    """Predict over the loaders.

    Args:
        run: The run.
        keep: Return the predictions; False lets each go after its batch's hooks.

    Returns:
        A list per batch; with several loaders a list of such lists; None if nothing is kept or there is nothing to do.
    """
    loaders = prepare_loaders(run, RunningStage.PREDICTING)
    if not has_batches(run, loaders):
        return None
    predictions: list[list[Any]] = [[] for _ in loaders.streams]
    run.predictions = predictions

    def collect(index: int, output: Any) -> None:
        if keep:
            predictions[index].append(detach(output, to_cpu=True))

    with evaluation_mode(run, "predict"):
        run_batches(run, RunningStage.PREDICTING, loaders, run.new_results(), collect)
        run.hooks.call("on_predict_epoch_end")
        run.hooks.call("on_predict_end")
    if not keep:
        return None
    return predictions[0] if len(predictions) == 1 else predictions


def name_of(stage: RunningStage) -> str:
    """A stage's name in those of its hooks."""
    return "validation" if stage.dataloader_prefix == "val" else stage.value


def run_batches(
    run: Run, stage: RunningStage, loaders: EvaluationLoaders, results: Results, take: Callable[[int, Any], None]
) -> None:
    """Run a stage up to its last batch; ``take`` gets each batch's loader and output, after the batch's hooks."""
    name, hooks, several = name_of(stage), run.hooks, len(loaders.streams) > 1
    sanity = stage is RunningStage.SANITY_CHECKING
    limits = run.trainer.num_sanity_val_batches if sanity else loaders.batches
    signals = None if sanity or run.strategy.is_distributed else run.signals  # several processes agree between steps
    active, transfer, step = hooks.active, run.transfer, evaluation_step(run, name, several)
    run.use_results(results)
    hooks.call(f"on_{name}_start")
    hooks.call(f"on_{name}_epoch_start")
    start, end = f"on_{name}_batch_start", f"on_{name}_batch_end"
    wait = f"[{'_PredictionLoop' if name == 'predict' else '_EvaluationLoop'}].{stage.dataloader_prefix}_next"
    for index, (stream, limit) in enumerate(zip(loaders.streams, limits, strict=True)):
        results.dataloader_idx = index if several else None
        stream.set_epoch(run.progress.epoch)
        batches = stream.start() if limit else iter(())
        for batch_idx, (given, size) in enumerate(hooks.measured_batches(wait, batches)):
            batch = given if transfer is None else transfer(given, index)
            results.batch, results.batch_size = batch, size
            if start in active:
                hooks.call(start, batch, batch_idx, index)
            hooks.current = f"{name}_step"
            output = step(batch, batch_idx, index)
            hooks.current = ""
            if end in active:
                hooks.call(end, output, batch, batch_idx, index)
            take(index, output)
            del output, batch, given  # the next step must not find the last one's memory taken
            if signals is not None and signals.received is not None:
                raise Interruption
            if batch_idx + 1 >= limit:
                break
        results.close_loader()
    results.batch = results.dataloader_idx = None


def evaluation_step(run: Run, name: str, several: bool) -> Callable[[Any, int, int], Any]:
    """The module's step as the loop calls it: with as many arguments as it takes."""
    step, count = run.step_caller(f"{name}_step")
    method = getattr(run.module, f"{name}_step")
    if several and not takes_loader(method):
        raise several_loaders(name)
    parameter = signature(method).parameters.get("dataloader_idx")
    required = parameter is not None and parameter.default is parameter.empty
    if count == 1:
        return lambda batch, batch_idx, dataloader_idx: step(batch)
    if count != 2 and (several or required):
        return step
    return lambda batch, batch_idx, dataloader_idx: step(batch, batch_idx)


def rows_per_loader(results: Results, row: dict[str, float], count: int) -> list[dict[str, float]]:
    """Sort the epoch's values by loader; those of epoch hooks belong to each."""
    keys = [(index, slot.key("epoch")) for (_, _, index), slot in results.slots.items()]
    return [{key: row[key] for index, key in keys if index in (None, loader) and key in row} for loader in range(count)]


def prepare_loaders(run: Run, stage: RunningStage) -> EvaluationLoaders:
    """The stage's loaders: asked for once, and again when ``reload_dataloaders_every_n_epochs`` says so."""
    prefix = stage.dataloader_prefix
    if getattr(run.arguments, f"limit_{prefix}_batches") == 0 and not run.arguments.overfit_batches:
        return EvaluationLoaders(None, [], [])
    every, epoch = run.arguments.reload_dataloaders_every_n_epochs, run.progress.epoch
    reload = every and epoch and epoch % every == 0 and stage is RunningStage.VALIDATING
    if reload or prefix not in run.evaluations:
        run.evaluations[prefix] = load(run, stage)
    return run.evaluations[prefix]


def has_batches(run: Run, loaders: EvaluationLoaders) -> bool:
    """Whether this process or another one has anything to do."""
    return bool(loaders.streams) and run.strategy.reduce_boolean_decision(any(loaders.batches), all=False)


@contextmanager
def evaluation_mode(run: Run, name: str) -> Iterator[None]:
    """Evaluation mode without gradients for the block; then each part has the mode it had, unless a hook decides."""
    module, hooks, restore = run.module, run.hooks, f"on_{name}_model_train"
    with ExitStack() as put_back:
        for child in module.modules():
            put_back.callback(setattr, child, "training", child.training)
        run.strategy.sync_buffers()
        with hooks.inside(f"on_{name}_model_eval", module):
            getattr(module, f"on_{name}_model_eval")()
        inference = run.arguments.inference_mode and run.fn is not TrainerFn.FITTING and not run.strategy.is_distributed
        with torch.inference_mode() if inference else torch.no_grad():
            yield
        if restore in hooks.active:
            put_back.pop_all()
            hooks.call(restore)
