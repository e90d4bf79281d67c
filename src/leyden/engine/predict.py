"""Prediction: what ``predict_step`` returns for every batch of every loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leyden.engine.evaluate import evaluation_mode, evaluation_step, no_gradients, prepare_loaders
from leyden.engine.loading import EvaluationLoaders
from leyden.engine.states import RunningStage
from leyden.utils.tree import detach

if TYPE_CHECKING:
    from leyden.engine.run import Run


def predict(run: Run, keep: bool = True) -> list[Any] | None:
    """Predict over the loaders.

    Args:
        run: The run.
        keep: Return the predictions; False lets each go after its batch's hooks.

    Returns:
        A list per batch; with several loaders a list of such lists; None if nothing is kept or there is nothing to do.
    """
    hooks = run.hooks
    loaders = prepare_loaders(run, RunningStage.PREDICTING)
    if not loaders.streams or not any(loaders.batches):
        return None
    run.use_results(run.new_results())
    predictions: list[list[Any]] = []
    run.predictions = predictions
    with evaluation_mode(run, "predict"), no_gradients(run):
        hooks.call("on_predict_start")
        hooks.call("on_predict_epoch_start")
        for index in range(len(loaders.streams)):
            predictions.append([])
            predict_loader(run, loaders, index, predictions[index] if keep else None)
        hooks.call("on_predict_epoch_end")
        hooks.call("on_predict_end")
    if not keep:
        return None
    return predictions[0] if len(predictions) == 1 else predictions


def predict_loader(run: Run, loaders: EvaluationLoaders, index: int, kept: list[Any] | None) -> None:
    """Predict over one loader."""
    hooks, limit = run.hooks, loaders.batches[index]
    step = evaluation_step(run, "predict", len(loaders.streams) > 1)
    active, transfer = hooks.active, run.transfer
    if not limit:
        return
    stream = loaders.streams[index]
    stream.set_epoch(run.progress.epoch)
    for batch_idx, (given, _) in enumerate(stream.start()):
        batch = given if transfer is None else transfer(given, index)
        if "on_predict_batch_start" in active:
            hooks.call("on_predict_batch_start", batch, batch_idx, index)
        hooks.current = "predict_step"
        output = step(batch, batch_idx, index)
        hooks.current = ""
        if "on_predict_batch_end" in active:
            hooks.call("on_predict_batch_end", output, batch, batch_idx, index)
        if kept is not None:
            kept.append(detach(output, to_cpu=True))
        del output, batch, given  # the next step must not find the last one's memory taken
        if batch_idx + 1 >= limit:
            break
