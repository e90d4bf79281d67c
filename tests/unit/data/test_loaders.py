"""Helpers over users' loaders: lengths, limits, checks, order and shares."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from leyden.data.loaders import (
    ShardSampler,
    check_loader,
    distributed_loader,
    limit_batches,
    loader_length,
    samplers,
    without_shuffle,
)
from leyden.errors import MisconfigurationException, PossibleUserWarning

NUMBERS: Any = range(10)


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


class Own(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(random.sample(range(10), 10))

    def __len__(self) -> int:
        return 10


class Endless(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield from range(10)


def batches(loader: Any) -> list[list[int]]:
    return [batch.tolist() for batch in loader]


def flat(loader: Any) -> list[int]:
    return [item for batch in batches(loader) for item in batch]


def test_loader_length() -> None:
    assert loader_length(DataLoader(NUMBERS, batch_size=4)) == 3
    assert loader_length(DataLoader(Stream())) is None
    assert loader_length(iter([])) is None


@pytest.mark.parametrize(
    ("length", "limit", "expected"),
    [
        (10, 1.0, 10),
        (10, 1, 1),
        (10, True, 1),
        (10, 0, 0),
        (10, 0.0, 0),
        (10, False, 0),
        (10, 2.0, 2),
        (10, 99, 10),
        (10, 0.25, 2),
        (0, 0.5, 0),
        (None, 1.0, math.inf),
        (None, 3, 3),
        (None, 0.0, 0),
    ],
)
def test_limit_batches(length: int | None, limit: Any, expected: float) -> None:
    assert limit_batches(length, limit, "limit_val_batches") == expected


@pytest.mark.parametrize(
    ("length", "limit", "error", "message"),
    [
        (10, 0.05, MisconfigurationException, "limit_val_batches=1 for one batch, or a fraction of at least 1/10"),
        (None, 0.5, MisconfigurationException, "no length"),
    ],
)
def test_limits_that_cannot_work(length: int | None, limit: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        limit_batches(length, limit, "limit_val_batches")


def test_check_loader() -> None:
    for good in (DataLoader(NUMBERS), [1, 2], iter([1]), Stream(), {"a": 1}, OldStyle()):
        check_loader(good, "train_dataloaders")
    for bad in (5, None, "abc", DataLoader):
        with pytest.raises(TypeError, match="`train_dataloaders` got"):
            check_loader(bad, "train_dataloaders")
    with pytest.raises(TypeError, match=r"Fix: pass DataLoader\(dataset, batch_size=32\)"):
        check_loader(TensorDataset(torch.zeros(2)), "val_dataloaders")


def test_samplers() -> None:
    inner = RandomSampler(NUMBERS)
    outer = BatchSampler(inner, 2, False)
    assert list(samplers(DataLoader(NUMBERS, batch_sampler=outer)))[0::2] == [outer, inner]
    assert list(samplers([1])) == []


def test_without_shuffle() -> None:
    shuffled: list[DataLoader[Any]] = [
        DataLoader(NUMBERS, batch_size=4, shuffle=True),
        DataLoader(NUMBERS, batch_size=4, sampler=WeightedRandomSampler([1.0] * 10, 5)),
        DataLoader(NUMBERS, batch_size=4, sampler=Own()),
        DataLoader(NUMBERS, batch_sampler=BatchSampler(Own(), 4, False)),
    ]
    for loader in shuffled:
        before = list(samplers(loader))
        with pytest.warns(PossibleUserWarning, match="shuffling is turned off"):
            assert batches(without_shuffle(loader)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert list(samplers(loader)) == before
    loader = DataLoader(NUMBERS, batch_size=2, sampler=SubsetRandomSampler([5, 1, 8]))
    with pytest.warns(PossibleUserWarning):
        assert batches(without_shuffle(loader)) == [[1, 5], [8]]
    loader = DataLoader(NUMBERS, batch_size=None, shuffle=True)
    with pytest.warns(PossibleUserWarning):
        assert list(without_shuffle(loader)) == list(range(10))
    loader = DataLoader(NUMBERS, batch_size=5, sampler=DistributedSampler(NUMBERS, 2, 1))
    with pytest.warns(PossibleUserWarning):
        assert batches(without_shuffle(loader)) == [[1, 3, 5, 7, 9]]
    assert loader.sampler.shuffle  # type: ignore[union-attr]


def test_loaders_that_do_not_shuffle_are_left_alone() -> None:
    quiet: list[Any] = [
        [1, 2],
        DataLoader(NUMBERS),
        DataLoader(Stream()),
        DataLoader(NUMBERS, sampler=[3, 1]),
        DataLoader(NUMBERS, sampler=DistributedSampler(NUMBERS, 2, 1, shuffle=False)),
        DataLoader(NUMBERS, batch_sampler=[[1, 2], [3]]),
    ]
    for loader in quiet:
        assert without_shuffle(loader) is loader


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_training_shares_are_those_of_the_distributed_sampler(
    shuffle: bool, drop_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    for rank in range(3):
        loader = DataLoader(NUMBERS, batch_size=2, shuffle=shuffle, drop_last=drop_last)
        share = distributed_loader(loader, rank, 3, "train")
        sampler = DistributedSampler(NUMBERS, 3, rank, shuffle=shuffle, seed=3, drop_last=drop_last)
        expected = DataLoader(NUMBERS, batch_size=2, sampler=sampler, drop_last=drop_last)
        assert batches(share) == batches(expected)
        sampler.set_epoch(2)
        share.sampler.set_epoch(2)
        assert batches(share) == batches(expected)
        assert len(share) == len(expected)


@pytest.mark.parametrize("world_size", [2, 3, 12])
@pytest.mark.parametrize("mode", ["validate", "test", "predict", "sanity_check"])
def test_evaluation_shares_are_uneven_and_complete(world_size: int, mode: str) -> None:
    for shuffle in (False, True):
        shares = [
            distributed_loader(DataLoader(NUMBERS, batch_size=2, shuffle=shuffle), rank, world_size, mode)
            for rank in range(world_size)
        ]
        assert [flat(share) for share in shares] == [list(range(rank, 10, world_size)) for rank in range(world_size)]
        assert [len(share) for share in shares] == [len(batches(share)) for share in shares]


class OldStyle:
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return range(2)[index]


def own_loaders() -> list[DataLoader[Any]]:
    return [
        DataLoader(NUMBERS, batch_size=2, sampler=Own()),
        DataLoader(NUMBERS, batch_size=2, sampler=RandomSampler(NUMBERS, num_samples=7)),
        DataLoader(NUMBERS, batch_size=2, sampler=WeightedRandomSampler([1.0] * 10, 9)),
        DataLoader(NUMBERS, batch_size=2, sampler=SubsetRandomSampler([3, 5, 7])),
        DataLoader(NUMBERS, batch_sampler=BatchSampler(Own(), 3, False)),
    ]


@pytest.mark.parametrize("number", range(5))
def test_samplers_of_the_users_own_are_dealt_out(number: int) -> None:
    for mode in ("train", "test"):
        shares = []
        for rank in range(2):
            torch.manual_seed(rank), random.seed(rank)
            before = torch.get_rng_state()
            loader = distributed_loader(own_loaders()[number], rank, 2, mode)
            for sampler in samplers(loader):
                if isinstance(sampler, ShardSampler):
                    sampler.set_epoch(4)
            shares.append(list(loader.batch_sampler.sampler))
            assert len(shares[-1]) == len(loader.batch_sampler.sampler)
            assert torch.equal(torch.get_rng_state(), before)
        whole = [item for pair in zip(*shares, strict=False) for item in pair]
        length = len(next(iter(samplers(own_loaders()[number]))).sampler)
        if mode == "train":
            assert len(shares[0]) == len(shares[1]) == -(-length // 2)
        else:
            assert len(shares[0]) + len(shares[1]) == length
        if number in (0, 4):
            assert sorted(whole) == list(range(10))
        if number == 3:
            assert set(shares[0] + shares[1]) == {3, 5, 7}


def test_another_epoch_has_another_order() -> None:
    sampler = ShardSampler(Own(), 0, 2)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_an_endless_sampler_is_dealt_out_as_it_comes() -> None:
    shares = iter(ShardSampler(Endless(), 1, 4, wrap=True))
    assert [next(shares) for _ in range(4)] == [1, 5, 9, 3]


def test_batches_of_an_own_batch_sampler_are_dealt_out() -> None:
    lists = [[0, 1], [2], [3, 4, 5]]

    def shares(mode: str) -> list[Any]:
        loaders = [distributed_loader(DataLoader(NUMBERS, batch_sampler=lists), rank, 2, mode) for rank in range(2)]
        return [batches(loader) for loader in loaders]

    assert shares("test") == [[[0, 1], [3, 4, 5]], [[2]]]
    assert shares("train") == [[[0, 1], [3, 4, 5]], [[2], [0, 1]]]


def test_loaders_that_share_out_themselves_are_left_alone() -> None:
    own: list[Any] = [
        [1, 2],
        DataLoader(Stream()),
        DataLoader(NUMBERS, sampler=DistributedSampler(NUMBERS, 2, 0)),
        DataLoader(NUMBERS, batch_sampler=BatchSampler(DistributedSampler(NUMBERS, 2, 0), 2, False)),
    ]
    for loader in own:
        assert distributed_loader(loader, 0, 2, "train") is loader
    loader = distributed_loader(DataLoader(NUMBERS, shuffle=True), 0, 2, "train")
    assert distributed_loader(loader, 0, 2, "train") is loader
    single = DataLoader(NUMBERS, shuffle=True)
    assert distributed_loader(single, 0, 1, "train") is single


def test_prediction_keeps_the_last_batch_also_on_one_rank() -> None:
    for world_size, expected in ((1, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]), (2, [[0, 2, 4, 6], [8]])):
        loader = DataLoader(NUMBERS, batch_size=4, drop_last=True)
        assert batches(distributed_loader(loader, 0, world_size, "predict")) == expected
        assert batches(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    shuffled = distributed_loader(DataLoader(NUMBERS, batch_size=4, shuffle=True, drop_last=True), 0, 1, "predict")
    assert len(flat(shuffled)) == 10
    assert isinstance(shuffled.sampler, RandomSampler)


class Subclass(DataLoader[Any]):
    def __init__(self, note: str) -> None:
        super().__init__(NUMBERS, batch_size=5)
        self.note = note


def test_a_share_keeps_what_a_subclass_set() -> None:
    share = distributed_loader(Subclass("hello"), 1, 2, "train")
    assert type(share) is Subclass
    assert (share.note, share.batch_size) == ("hello", 5)
    assert isinstance(Subclass("").sampler, SequentialSampler)
