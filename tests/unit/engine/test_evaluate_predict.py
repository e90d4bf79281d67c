"""Prediction: what comes back, for one loader and several, and what is not kept."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import leyden as pl
from helpers_results import Probe, numbers, trainer


class Identity(pl.LightningModule):
    def forward(self, batch: Any) -> torch.Tensor:
        return batch[0]


def lists(predictions: Any) -> Any:
    return [p.flatten().tolist() if isinstance(p, torch.Tensor) else lists(p) for p in predictions]


def test_row_43_one_loader_gives_a_list_of_batches() -> None:
    predictions = trainer().predict(Identity(), numbers(5))
    assert lists(predictions) == [[0.0, 1.0], [2.0, 3.0], [4.0]]


@pytest.mark.parametrize("several", [list, tuple, lambda loaders: dict(zip("ab", loaders, strict=True))])
def test_row_43_several_loaders_give_a_list_of_lists(several: Any) -> None:
    predictions = trainer().predict(Identity(), several([numbers(), numbers(2, first=10.0)]))
    assert lists(predictions) == [[[0.0, 1.0], [2.0, 3.0]], [[10.0, 11.0]]]


@pytest.mark.parametrize("output", [None, "text", {"a": 1}, (1, 2), 3])
def test_row_43_predictions_are_kept_as_they_are(output: Any) -> None:
    assert trainer().predict(Probe(predict_step=lambda *_: output), numbers()) == [output, output]


def test_row_43_predictions_carry_no_graph() -> None:
    module = Probe(predict_step=lambda m, batch, *_: {"y": [m.layer(batch[0])]})
    for run in (trainer(), trainer(inference_mode=False)):
        predictions = run.predict(module, numbers())
        assert predictions is not None
        assert not any(p["y"][0].requires_grad for p in predictions)


def test_row_38_predictions_under_no_grad_can_be_trained_on() -> None:
    [first, _] = trainer(inference_mode=False).predict(Identity(), numbers()) or []
    weight = torch.ones(1, requires_grad=True)
    (weight * first).sum().backward()
    assert weight.grad == 1.0


def test_nothing_is_returned_when_nothing_is_kept_or_done() -> None:
    assert trainer().predict(Identity(), numbers(), return_predictions=False) is None
    assert trainer(limit_predict_batches=0).predict(Identity(), numbers()) is None
    assert trainer().predict(Identity(), numbers(), return_predictions=True) is not None


def test_nothing_is_held_when_nothing_is_kept() -> None:
    class Output:
        """Something that can be watched."""

    made: list[weakref.ref[Output]] = []
    alive: list[int] = []

    def step(module: Any, *_: Any) -> Output:
        alive.append(sum(reference() is not None for reference in made))
        output = Output()
        made.append(weakref.ref(output))
        return output

    ended: list[bool] = []

    class Writes(pl.Callback):
        def on_predict_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
            ended.append(isinstance(outputs, Output))

    trainer(callbacks=[Writes()]).predict(Probe(predict_step=step), numbers(20), return_predictions=False)
    assert alive == [0] * 10
    assert ended == [True] * 10


def test_row_61_limits_are_per_loader() -> None:
    seen: list[tuple[int, int]] = []
    module = Probe(predict_step=lambda m, batch, batch_idx, dataloader_idx: seen.append((batch_idx, dataloader_idx)))
    run = trainer(limit_predict_batches=2)
    run.predict(module, [numbers(2), numbers(8)])
    assert seen == [(0, 0), (0, 1), (1, 1)]
    assert run.num_predict_batches == [1, 2]


def test_row_37_the_loaders_number_is_an_argument() -> None:
    class Required(pl.LightningModule):
        def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            return batch_idx, dataloader_idx

    class Without(pl.LightningModule):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return batch_idx

    class BatchOnly(pl.LightningModule):
        def predict_step(self, batch: Any) -> Any:
            return len(batch)

    two = [numbers(), numbers()]
    assert trainer().predict(Required(), two) == [[(0, 0), (1, 0)], [(0, 1), (1, 1)]]
    assert trainer().predict(Required(), numbers()) == [(0, 0), (1, 0)]
    assert trainer().predict(Without(), numbers()) == [0, 1]
    assert trainer().predict(BatchOnly(), numbers()) == [1, 1]
    with pytest.raises(RuntimeError, match="dataloader_idx=0"):
        trainer().predict(Without(), two)


def test_row_44_the_last_short_batch_is_predicted() -> None:
    data = TensorDataset(torch.arange(5.0).reshape(5, 1))
    predictions = trainer().predict(Identity(), DataLoader(data, batch_size=2, drop_last=True))
    assert lists(predictions) == [[0.0, 1.0], [2.0, 3.0], [4.0]]


def test_row_45_samplers_are_told_the_epoch() -> None:
    class Told(torch.utils.data.SequentialSampler):
        epochs: list[int]

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    data = TensorDataset(torch.ones(4, 1))
    sampler = Told(data)
    sampler.epochs = []
    trainer().predict(Identity(), DataLoader(data, batch_size=2, sampler=sampler))
    assert sampler.epochs == [0]


def test_a_stream_of_unknown_length() -> None:
    class Numbers(IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(torch.arange(3.0).reshape(3, 1))

    module = Probe(predict_step=lambda m, batch, *_: batch.item())
    assert trainer().predict(module, DataLoader(Numbers(), batch_size=1)) == [0.0, 1.0, 2.0]
    assert trainer(limit_predict_batches=2).predict(module, DataLoader(Numbers(), batch_size=1)) == [0.0, 1.0]


def test_the_mode_of_each_part_is_restored() -> None:
    module = Identity()
    module.part = torch.nn.Linear(1, 1).eval()
    module.other = torch.nn.Linear(1, 1)
    seen: list[bool] = []
    module.predict_step = lambda batch, batch_idx: seen.append(module.other.training)  # type: ignore[method-assign,assignment]
    trainer().predict(module, numbers())
    assert seen == [False, False]
    assert (module.training, module.part.training, module.other.training) == (True, False, True)
