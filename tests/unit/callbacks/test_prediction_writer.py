"""BasePredictionWriter: what is written when, with which indices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SubsetRandomSampler, TensorDataset

from helpers_fit import Endless, Regression, loader, samples, trainer
from leyden.callbacks.prediction_writer import BasePredictionWriter
from leyden.errors import MisconfigurationException


class Model(Regression):
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return batch[0] if isinstance(batch, (list, tuple)) else batch


class Writer(BasePredictionWriter):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.batches: list[Any] = []
        self.epochs: list[Any] = []

    def write_on_batch_end(self, *arguments: Any) -> None:
        _, _, prediction, batch_indices, _, batch_idx, dataloader_idx = arguments
        self.batches.append((prediction, batch_indices, batch_idx, dataloader_idx))

    def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, batch_indices: Any) -> None:
        self.epochs.append((predictions, batch_indices))


def predict(writer: Writer, loaders: Any, **arguments: Any) -> Any:
    returned = arguments.pop("return_predictions", False)
    return trainer(callbacks=[writer], **arguments).predict(Model(), loaders, return_predictions=returned)


def indices(writer: Writer) -> list[Any]:
    return [row[1] for row in writer.batches]


def test_batch_by_batch_nothing_is_kept() -> None:
    writer = Writer()
    assert predict(writer, loader(7, batch_size=3)) is None
    assert indices(writer) == [[0, 1, 2], [3, 4, 5], [6]]
    assert [row[2:] for row in writer.batches] == [(0, 0), (1, 0), (2, 0)]
    assert torch.equal(writer.batches[1][0], samples(7)[3:6][0])
    assert writer.epochs == []
    assert writer._predictions == []


@pytest.mark.parametrize("returned", [True, False])
def test_at_the_epoch_s_end_all_of_them(returned) -> None:
    writer = Writer("epoch")
    answer = predict(writer, loader(7, batch_size=3), return_predictions=returned)
    ((predictions, batch_indices),) = writer.epochs
    assert torch.equal(torch.cat(predictions), samples(7)[:7][0])
    assert batch_indices == [[[0, 1, 2], [3, 4, 5], [6]]]
    assert writer.batches == []
    assert (answer is None) is not returned


def test_both_with_several_loaders() -> None:
    writer = Writer("batch_and_epoch")
    predict(writer, [loader(4), loader(2)])
    assert [row[1:] for row in writer.batches] == [([0, 1], 0, 0), ([2, 3], 1, 0), ([0, 1], 0, 1)]
    ((predictions, batch_indices),) = writer.epochs
    assert [len(group) for group in predictions] == [2, 1]
    assert batch_indices == [[[0, 1], [2, 3]], [[0, 1]]]


class Shuffling(DataLoader):
    """Its own order, told by the values themselves."""

    def __init__(self, **options: Any) -> None:
        super().__init__(TensorDataset(torch.arange(10)), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4, "sampler": SubsetRandomSampler(range(9))},
        {"batch_sampler": BatchSampler(SubsetRandomSampler(range(9)), 4, drop_last=False)},
        {"batch_size": 3, "sampler": [8, 1, 1, 5], "num_workers": 1},
        {"batch_size": None, "sampler": [8, 1, 5]},
    ],
    ids=["sampler", "batch sampler", "worker", "single samples"],
)
def test_the_indices_are_those_of_the_samples(options) -> None:
    writer = Writer("batch_and_epoch")
    predict(writer, Shuffling(**options))
    assert sum(len(row) for row in indices(writer)) in (3, 4, 9)
    for prediction, batch_indices, _, _ in writer.batches:
        assert prediction.reshape(-1).tolist() == batch_indices
    assert writer.epochs[0][1] == [indices(writer)]


def test_a_limit_leaves_out_what_was_not_predicted() -> None:
    writer = Writer("epoch")
    predict(writer, Shuffling(batch_size=2, num_workers=2), limit_predict_batches=2)
    assert writer.epochs[0][1] == [[[0, 1], [2, 3]]]


def test_data_without_indices() -> None:
    writer = Writer("batch_and_epoch")
    predict(writer, DataLoader(Endless(4), batch_size=2))
    assert indices(writer) == [[], []]
    assert writer.epochs[0][1] == [[]]


def test_a_second_prediction_starts_anew() -> None:
    writer, given = Writer("batch_and_epoch"), loader(4)
    made = trainer(callbacks=[writer])
    for _ in range(2):
        made.predict(Model(), given, return_predictions=False)
    assert indices(writer) == [[0, 1], [2, 3]] * 2
    assert len(writer.epochs[1][0]) == 2
    assert type(given.batch_sampler) is BatchSampler  # the user's loader is as it was
    assert made.predict_dataloaders is given


@pytest.mark.parametrize("interval", ["batch", "epoch"])
def test_what_is_not_overridden_is_named(interval) -> None:
    with pytest.raises(NotImplementedError, match=f"write_on_{interval}_end"):
        trainer(callbacks=[BasePredictionWriter(interval)]).predict(Model(), loader())


def test_a_wrong_interval_names_the_nearest() -> None:
    with pytest.raises(MisconfigurationException, match="Did you mean 'epoch'"):
        BasePredictionWriter("epochs")
