"""Gathered batches against PyTorch's own: values, types, strides, containers, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
)

from leyden.data.tensors import gathered

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
SHAPES = [(10,), (10, 1), (10, 3), (10, 1, 1), (10, 2, 3), (10, 1, 4, 4), (10, 3, 1, 1), (10, 0), (10, 2, 0, 3), (1, 5)]


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, Tensor):
        assert found.stride() == expected.stride()
        assert found.storage_offset() == expected.storage_offset()
        assert found.untyped_storage().nbytes() == expected.untyped_storage().nbytes()
        assert (found.is_inference(), found.requires_grad) == (expected.is_inference(), expected.requires_grad)
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    else:
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


def compare(loader: DataLoader[Any]) -> None:
    torch.manual_seed(0)
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)  # the base seed
    found = gathered(loader)
    assert found is not None
    batches = list(found)
    after = torch.get_rng_state()
    torch.manual_seed(0)
    assert_same(batches, list(loader))
    assert torch.equal(after, torch.get_rng_state())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_type_and_shape(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32).mul(3).to(dtype)
    for batch_size in (1, 4):
        compare(DataLoader(TensorDataset(tensor, tensor), batch_size=batch_size, shuffle=True))


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 11])
def test_every_sampler(batch_size: int, drop_last: bool) -> None:
    dataset = TensorDataset(torch.randn(10, 3), torch.arange(10))
    subset: Any = Subset(dataset, [7, 2, 2, 9, 0])
    samplers = [
        SequentialSampler(dataset),
        RandomSampler(dataset),
        RandomSampler(dataset, replacement=True),
        RandomSampler(dataset, num_samples=13),
        RandomSampler(range(6)),
        SequentialSampler(range(6)),
        SubsetRandomSampler([1, 5, 3]),
        SubsetRandomSampler([-1, -5, 3]),
        WeightedRandomSampler([1.0] * 10, 7),
        [3, 1, torch.tensor(2)],
    ]
    for sampler in samplers:
        compare(DataLoader(dataset, batch_size=batch_size, drop_last=drop_last, sampler=sampler))
    for sampler in (SequentialSampler(subset), RandomSampler(subset), SubsetRandomSampler([1, -1, 3])):
        compare(DataLoader(subset, batch_size=batch_size, drop_last=drop_last, sampler=sampler))
    for indices in ([7, 2], range(2, 6), torch.tensor([3, 1])):
        compare(DataLoader(Subset(dataset, indices), batch_size=batch_size, drop_last=drop_last))  # type: ignore[arg-type]


def test_batches_are_fresh_memory() -> None:
    tensor = torch.zeros(4, 2)
    for batch in gathered(DataLoader(TensorDataset(tensor), batch_size=4)) or ():
        batch[0].add_(1)
    assert not tensor.any()


def test_many_batches() -> None:
    compare(DataLoader(TensorDataset(torch.arange(3001)), shuffle=True))


def test_inference_mode() -> None:
    with torch.inference_mode():
        compare(DataLoader(TensorDataset(torch.randn(5, 2)), batch_size=2))


def test_wrong_indices_raise_what_pytorch_raises() -> None:
    loader = DataLoader(TensorDataset(torch.arange(3)), sampler=[0, 7])
    with pytest.raises(IndexError) as expected:
        list(loader)
    with pytest.raises(IndexError) as found:
        list(gathered(loader) or ())
    assert str(found.value) == str(expected.value)


class OwnDataset(TensorDataset):
    pass


class OwnTensor(Tensor):
    pass


class OwnBatchSampler(BatchSampler):
    pass


class OwnLoader(DataLoader[Any]):
    pass


def own_collate(batch: Any) -> Any:
    return default_collate(batch)


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(OwnDataset(torch.zeros(3))),
        DataLoader(TensorDataset(torch.zeros(3).as_subclass(OwnTensor))),
        DataLoader(TensorDataset(torch.nn.Parameter(torch.zeros(3)))),
        DataLoader(TensorDataset(torch.zeros(3, requires_grad=True))),
        DataLoader(TensorDataset(torch.zeros(3, 2).t().contiguous().t())),
        DataLoader(TensorDataset(torch.zeros(3, 2).to_sparse())),
        DataLoader(TensorDataset(torch.zeros(3, device="meta"))),
        DataLoader(TensorDataset(torch.zeros(3, dtype=torch.complex64).conj())),
        DataLoader(TensorDataset(torch.zeros(3)), num_workers=1),
        DataLoader(TensorDataset(torch.zeros(3)), batch_size=None),
        DataLoader(TensorDataset(torch.zeros(3)), collate_fn=own_collate),
        DataLoader(TensorDataset(torch.zeros(3)), pin_memory=True),
        DataLoader(TensorDataset(torch.zeros(3)), timeout=1),
        DataLoader(TensorDataset(torch.zeros(3)), batch_sampler=OwnBatchSampler([0, 1], 2, False)),
        DataLoader(Subset(TensorDataset(torch.zeros(3)), [-1, 0])),
        DataLoader(Subset(OwnDataset(torch.zeros(3)), [1, 0])),
        DataLoader(Subset(Subset(TensorDataset(torch.zeros(3)), [1, 0]), [0])),
        OwnLoader(TensorDataset(torch.zeros(3))),
        [torch.zeros(3)],
    ],
)
def test_what_could_differ_is_left_to_pytorch(loader: Any) -> None:
    assert gathered(loader) is None
