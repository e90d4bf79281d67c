"""Steps that ask for `dataloader_iter` get an iterator instead of a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from helpers_fit import Regression, fit, loader, samples, trainer, weights
from leyden.errors import MisconfigurationException


class Iterating(Regression):
    """Notes the numbers that come with each batch."""

    def take(self, dataloader_iter: Any) -> Any:
        batch, batch_idx, dataloader_idx = next(dataloader_iter)
        self.calls.append((batch_idx, dataloader_idx))
        return batch

    def training_step(self, dataloader_iter: Any) -> Any:
        return self.loss(self.take(dataloader_iter))

    def validation_step(self, dataloader_iter: Any) -> None:
        self.log("val_loss", self.loss(self.take(dataloader_iter)))

    test_step = validation_step

    def predict_step(self, dataloader_iter: Any) -> Any:
        return self.layer(self.take(dataloader_iter)[0])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_step_takes_the_iterator(accumulate: int) -> None:
    iterating, plain = Iterating(), Regression()
    made = fit(iterating, val=loader(), accumulate_grad_batches=accumulate, limit_val_batches=0)
    fit(plain, accumulate_grad_batches=accumulate)
    assert iterating.calls == [(index, 0) for index in plain.calls] == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert torch.equal(weights(iterating), weights(plain))
    assert made.global_step == 4 // accumulate


def test_manual_optimization_takes_the_iterator_too() -> None:
    class Manual(Iterating):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, dataloader_iter: Any) -> None:
            optimizer = self.optimizers()
            optimizer.zero_grad()
            self.manual_backward(self.loss(self.take(dataloader_iter)))
            optimizer.step()

    assert fit(Manual(), val=loader(), limit_val_batches=0).global_step == 4


def test_evaluation_steps_take_the_iterator() -> None:
    module = Iterating()
    (first, second) = trainer().validate(module, [loader(4), loader(2)], verbose=False)
    assert module.calls == [(0, 0), (1, 0), (0, 1)]
    assert [*first, *second] == ["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"]
    predictions = trainer().predict(module, DataLoader(samples(4), batch_size=2))
    assert predictions is not None
    assert [batch.shape for batch in predictions] == [(2, 1), (2, 1)]
    assert len(trainer().test(module, loader(4), verbose=False)) == 1


def test_a_second_batch_is_refused() -> None:
    class Greedy(Iterating):
        def training_step(self, dataloader_iter: Any) -> Any:
            self.take(dataloader_iter)
            return self.loss(self.take(dataloader_iter))

    with pytest.raises(MisconfigurationException, match="second batch.*accumulate_grad_batches=n"):
        fit(Greedy(), val=loader(), limit_val_batches=0)
