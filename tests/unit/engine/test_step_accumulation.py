"""Accumulated gradients are those of one big batch."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from helpers_fit import Endless, Regression, fit, loader, samples, weights


class Deep(Regression):
    """Two layers; one big step shows as a difference of the weights."""

    def __init__(self, kind: type = torch.optim.SGD, returned: Any = None) -> None:
        super().__init__()
        self.layer = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        self.double()
        self.kind, self.returned = kind, returned

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = self.loss([part.double() for part in batch])
        return loss if self.returned is None else self.returned(loss, batch)

    def configure_optimizers(self) -> Any:
        return self.kind(self.parameters(), lr=0.1)


class Sizes(BatchSampler):
    """Batches of given sizes."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__(SequentialSampler(range(sum(sizes))), 1, False)
        self.sizes = sizes

    def __iter__(self) -> Iterator[list[int]]:
        first = 0
        for size in self.sizes:
            yield [*range(first, first + size)]
            first += size

    def __len__(self) -> int:
        return len(self.sizes)


def batches(sizes: list[int]) -> DataLoader[Any]:
    return DataLoader(samples(sum(sizes)), batch_sampler=Sizes(sizes))


def trained(data: Any, **arguments: Any) -> torch.Tensor:
    module = Deep(**{k: arguments.pop(k) for k in ("kind", "returned") if k in arguments})
    fit(module, data, max_epochs=2, **arguments)
    return weights(module)


CASES = [([4, 4, 4, 4], 2), ([4, 4, 4], 2), ([4, 4, 4, 2], 2), ([3, 5, 1, 7, 2], 3), ([5], 4), ([1, 6], 5)]


@pytest.mark.parametrize(("sizes", "window"), CASES)
def test_row_01_equal_to_the_big_batch(sizes: list[int], window: int) -> None:
    big = [sum(sizes[i : i + window]) for i in range(0, len(sizes), window)]
    assert torch.allclose(trained(batches(sizes), accumulate_grad_batches=window), trained(batches(big)), atol=1e-6)


def as_int(loss: Any, batch: Any) -> Any:
    return {"loss": loss, "weight": len(batch[0])}


def as_tensor(loss: Any, batch: Any) -> Any:
    return {"loss": loss, "weight": torch.tensor(len(batch[0]))}


def as_parameter(loss: Any, batch: Any) -> Any:
    return {"loss": loss, "weight": torch.tensor([float(len(batch[0]))], requires_grad=True)}


@pytest.mark.parametrize("returned", [as_int, as_tensor, as_parameter])
@pytest.mark.parametrize(("sizes", "window"), CASES)
def test_weights_of_the_steps_own(sizes: list[int], window: int, returned: Any) -> None:
    big = [sum(sizes[i : i + window]) for i in range(0, len(sizes), window)]
    accumulated = trained(batches(sizes), accumulate_grad_batches=window, returned=returned)
    assert torch.allclose(accumulated, trained(batches(big)), atol=1e-6)


@pytest.mark.parametrize("kind", [int, torch.tensor])
@pytest.mark.parametrize("empty", [0, 1])
def test_a_batch_of_weight_zero_does_not_count(kind: Any, empty: int) -> None:
    def returned(loss: Any, batch: Any) -> Any:
        number[0] += 1
        return {"loss": loss, "weight": kind(0 if (number[0] - 1) % 2 == empty else 3)}

    number = [0]
    accumulated = trained(batches([4, 4]), accumulate_grad_batches=2, returned=returned)
    counted = torch.utils.data.Subset(samples(8), range(4 * (1 - empty), 4 * (2 - empty)))
    assert torch.allclose(accumulated, trained(DataLoader(counted, batch_size=4)), atol=1e-6)


@pytest.mark.parametrize("kind", [int, torch.tensor])
def test_a_window_of_weight_zero_changes_nothing(kind: Any) -> None:
    accumulated = trained(
        batches([4, 4]), accumulate_grad_batches=2, returned=lambda loss, _: {"loss": loss, "weight": kind(0)}
    )
    assert torch.equal(accumulated, weights(Deep()))


@pytest.mark.parametrize("window", [2, 3, 7])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_equal_full_windows_are_bitwise_loss_over_n(window: int, kind: type) -> None:
    data = loader(4 * window, 2)
    plain = Deep(kind)
    optimizer = plain.configure_optimizers()
    for _ in range(2):
        for index, batch in enumerate(data):
            if index % window == 0:
                optimizer.zero_grad()
            (plain.training_step(batch, index) / window).backward()
            if index % window == window - 1:
                optimizer.step()
    assert torch.equal(trained(data, accumulate_grad_batches=window, kind=kind), weights(plain))


def test_a_skipped_batch_is_not_part_of_its_window() -> None:
    number = [0]

    def returned(loss: Any, batch: Any) -> Any:
        number[0] += 1
        return loss if number[0] % 2 else None

    accumulated = trained(batches([4, 4]), accumulate_grad_batches=2, returned=returned)
    assert torch.allclose(accumulated, trained(DataLoader(samples(8), batch_size=4), limit_train_batches=1), atol=1e-6)


def test_data_of_unknown_length() -> None:
    data = DataLoader(Endless(10), batch_size=2)
    big = trained(batches([6, 4]))
    assert torch.allclose(trained(data, accumulate_grad_batches=3), big, atol=1e-6)


def test_the_rest_of_data_of_unknown_length_goes_through_the_modules_step() -> None:
    class Stepping(Regression):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            self.calls.append(f"step {batch_idx}")
            optimizer.step(closure=optimizer_closure)

    module = Stepping()
    fit(module, DataLoader(Endless(), batch_size=2), accumulate_grad_batches=3)
    assert module.calls == [0, 1, "step 2", 2, 3, "step 3"]


def test_the_window_may_change_at_an_epochs_start() -> None:
    class Growing(Regression):
        def on_train_epoch_start(self) -> None:
            self.trainer.accumulate_grad_batches = 1 + self.current_epoch

    made = fit(Growing(), max_epochs=3)
    assert made.global_step == 4 + 2 + 2


def test_validation_inside_a_window_keeps_its_gradients() -> None:
    class Validating(Regression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.calls.append("val")

    plain, validated = Regression(), Validating()
    fit(plain, accumulate_grad_batches=3)
    fit(validated, val=loader(2), accumulate_grad_batches=3, val_check_interval=1)
    assert validated.calls == [0, "val", 1, "val", 2, "val", 3, "val"]
    assert torch.equal(weights(plain), weights(validated))
