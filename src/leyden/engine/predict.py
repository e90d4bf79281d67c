"""Prediction: what ``predict_step`` returns for every batch of every loader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from leyden.engine.evaluate import evaluation_mode, has_batches, prepare_loaders, run_batches
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
