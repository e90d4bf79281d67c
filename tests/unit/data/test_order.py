"""The order of samples: equal to PyTorch's own loop, and continued exactly after an interruption at any position."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from leyden.data.order import Stream
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.utils.seed import capture_rng, restore_rng

SAMPLES = 11
EPOCHS = 3


class Numbers(Dataset[Tensor]):
    """A map-style data set that counts reads and can draw while it is read, as augmentation does."""

    def __init__(self, length: int = SAMPLES, noisy: bool = False) -> None:
        self.length = length
        self.noisy = noisy
        self.reads = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        self.reads += 1
        if not 0 <= index < self.length:
            raise IndexError(index)
        noise = float(torch.rand(())) + random.random() + float(np.random.rand()) if self.noisy else 0.0
        return torch.tensor(index + noise, dtype=torch.float64)


class Stateful(Sampler[int]):
    """Draws from Python's and numpy's generators and owns one of torch's under a name of its own."""

    def __init__(self) -> None:
        self.source = torch.Generator().manual_seed(3)

    def __len__(self) -> int:
        return SAMPLES

    def __iter__(self) -> Iterator[int]:
        order = list(range(SAMPLES))
        random.shuffle(order)
        shift = int(np.random.randint(SAMPLES)) + int(torch.randint(SAMPLES, (), generator=self.source))
        return iter([(index + shift) % SAMPLES for index in order])


class Ragged(Sampler[list[int]]):
    """A batch sampler with sizes of its own choice."""

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(10).tolist()
        for size in (1, 4, 2, 3):
            yield [order.pop() for _ in range(size)]


class Reversed(BatchSampler):
    def __iter__(self) -> Iterator[list[int]]:
        return reversed(list(super().__iter__()))


class Named(DataLoader[Any]):
    """A subclass with another signature, which cannot be called again with DataLoader's arguments."""

    def __init__(self, name: str) -> None:
        super().__init__(Numbers(), batch_size=4, shuffle=True)
        self.name = name


def generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensors() -> TensorDataset:
    return TensorDataset(torch.arange(SAMPLES * 6.0).view(SAMPLES, 2, 3), torch.arange(SAMPLES))


def sequential_indices(indices: list[int]) -> BatchSampler:
    return BatchSampler(indices, 2, False)


MAKERS: dict[str, Callable[[], DataLoader[Any]]] = {
    "sequential": lambda: DataLoader(Numbers(), batch_size=3),
    "shuffle": lambda: DataLoader(Numbers(), batch_size=3, shuffle=True),
    "shuffle noisy": lambda: DataLoader(Numbers(noisy=True), batch_size=3, shuffle=True),
    "shuffle drop_last": lambda: DataLoader(Numbers(), batch_size=3, shuffle=True, drop_last=True),
    "own generator": lambda: DataLoader(Numbers(noisy=True), batch_size=3, shuffle=True, generator=generator()),
    "sampler's generator": lambda: DataLoader(
        Numbers(), batch_size=4, sampler=RandomSampler(Numbers(), generator=generator()), generator=generator(8)
    ),
    "replacement": lambda: DataLoader(
        Numbers(), batch_size=4, sampler=RandomSampler(Numbers(), replacement=True, num_samples=70)
    ),
    "replacement own": lambda: DataLoader(
        Numbers(),
        batch_size=7,
        sampler=RandomSampler(Numbers(), replacement=True, num_samples=70, generator=generator()),
    ),
    "many rounds": lambda: DataLoader(
        Numbers(), batch_size=4, sampler=RandomSampler(Numbers(), num_samples=25, generator=generator())
    ),
    "weighted": lambda: DataLoader(Numbers(), batch_size=3, sampler=WeightedRandomSampler([1.0] * 5 + [3.0] * 6, 10)),
    "subset": lambda: DataLoader(Numbers(), batch_size=3, sampler=SubsetRandomSampler([1, 3, 5, 7, 9])),
    "subset own": lambda: DataLoader(
        Numbers(), batch_size=2, sampler=SubsetRandomSampler([1, 3, 5, 7, 9], generator=generator())
    ),
    "distributed": lambda: DataLoader(Numbers(), batch_size=3, sampler=DistributedSampler(Numbers(), 2, 1)),
    "no batches": lambda: DataLoader(Numbers(), batch_size=None, shuffle=True),
    "batches of the sampler": lambda: DataLoader(
        tensors(), batch_size=None, sampler=BatchSampler(RandomSampler(Numbers()), 4, False)
    ),
    "batch sampler": lambda: DataLoader(Numbers(), batch_sampler=Ragged()),
    "batch sampler subclass": lambda: DataLoader(
        Numbers(), batch_sampler=Reversed(RandomSampler(Numbers()), 3, False), generator=generator()
    ),
    "indices as sampler": lambda: DataLoader(Numbers(), batch_sampler=sequential_indices([4, 2, 5, 1, 3])),
    "foreign sampler": lambda: DataLoader(Numbers(noisy=True), batch_size=3, sampler=Stateful()),
    "foreign sampler, no batches": lambda: DataLoader(Numbers(), batch_size=None, sampler=Stateful()),
    "loader subclass": lambda: Named("mine"),
    "tensors": lambda: DataLoader(tensors(), batch_size=3),
    "tensors shuffle": lambda: DataLoader(tensors(), batch_size=3, shuffle=True),
    "tensors own": lambda: DataLoader(tensors(), batch_size=3, shuffle=True, generator=generator()),
    "tensors own even": lambda: DataLoader(
        Subset(tensors(), range(8)), batch_size=4, shuffle=True, generator=generator()
    ),
    "tensors own drop_last": lambda: DataLoader(
        tensors(), batch_size=3, drop_last=True, sampler=RandomSampler(Numbers(), generator=generator())
    ),
    "tensors weighted": lambda: DataLoader(tensors(), batch_size=3, sampler=WeightedRandomSampler([1.0] * SAMPLES, 10)),
    "tensors subset": lambda: DataLoader(Subset(tensors(), [9, 1, 8, 3, 3]), batch_size=2, shuffle=True),
}
WORKER_MAKERS: dict[str, Callable[[], DataLoader[Any]]] = {
    "shuffle": lambda: DataLoader(Numbers(), batch_size=2, shuffle=True, num_workers=2, generator=generator()),
    "noisy": lambda: DataLoader(Numbers(noisy=True), batch_size=2, shuffle=True, num_workers=1),
    "persistent": lambda: DataLoader(Numbers(), batch_size=2, shuffle=True, num_workers=1, persistent_workers=True),
    "foreign": lambda: DataLoader(Numbers(), batch_size=None, sampler=Stateful(), num_workers=1),
}


def draw() -> None:
    """Draw as a training step would."""
    torch.rand(3), random.random(), np.random.rand()


def seed() -> None:
    torch.manual_seed(1), random.seed(2), np.random.seed(3)


def plain(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value.tolist()


def own_states(loader: Any) -> list[Any]:
    owners = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    found = [getattr(owner, name, None) for owner in owners for name in ("generator", "source")]
    return [item.get_state().tolist() for item in found if item is not None]


def fingerprint(loader: Any) -> Any:
    state = capture_rng()
    return state["python"], plain(state["numpy"][1:2]), state["torch"].tolist(), own_states(loader)


def through_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)  # type: ignore[no-any-return]


def set_epoch(loader: Any, epoch: int) -> None:
    if isinstance(loader.sampler, DistributedSampler):
        loader.sampler.set_epoch(epoch)


@pytest.mark.parametrize("between", [False, True], ids=["", "draws before the first batch"])
@pytest.mark.parametrize("name", MAKERS)
def test_equals_the_plain_loop(name: str, between: bool) -> None:
    loader = MAKERS[name]()
    seed()
    expected = []
    for epoch in range(EPOCHS):
        set_epoch(loader, epoch)
        batches = iter(loader)
        if between:
            draw()
        for batch in batches:
            expected.append((plain(batch), fingerprint(loader)))
            draw()
        expected.append(fingerprint(loader))

    loader = MAKERS[name]()
    stream = Stream(loader)
    seed()
    found: list[Any] = []
    for epoch in range(EPOCHS):
        stream.set_epoch(epoch)
        pairs = stream.start()
        if between:
            draw()
        for batch, _ in pairs:
            found.append((plain(batch), fingerprint(loader)))
            draw()
        found.append(fingerprint(loader))
    assert found == expected


def run(
    stream: Stream, pairs: Iterator[Any], first_epoch: int, snapshots: list[Any] | None = None, done: int = 0
) -> Any:
    """Finish the epoch that ``pairs`` belongs to, run the rest, and return everything that was seen."""
    seen = []
    for epoch in range(first_epoch, EPOCHS):
        if epoch > first_epoch:
            stream.set_epoch(epoch)
            pairs, done = stream.start(), 0
        while True:
            if snapshots is not None:
                snapshots.append((epoch, done, len(seen), through_file(stream.state_dict()), capture_rng()))
            if done == 0:
                draw()
            try:
                batch, size = next(pairs)
            except StopIteration:
                break
            done += 1
            seen.append((plain(batch), size))
            draw()
        seen.append(fingerprint(stream.loader))
    return seen


def check_resumes(make: Callable[[], DataLoader[Any]], every: int = 1) -> None:
    seed()
    stream = Stream(make())
    stream.set_epoch(0)
    snapshots: list[Any] = []
    expected = run(stream, stream.start(), 0, snapshots)
    for epoch, position, seen, state, rng in snapshots[::every]:
        torch.manual_seed(99), random.seed(99), np.random.seed(99)
        stream = Stream(make())
        stream.set_epoch(epoch)
        pairs = stream.resume(state, position)
        if make().num_workers == 0 and isinstance(stream.loader.dataset, Numbers):
            assert stream.loader.dataset.reads == 0
        restore_rng(rng)
        assert run(stream, pairs, epoch, done=position) == expected[seen:], (epoch, position)


@pytest.mark.parametrize("name", MAKERS)
def test_resumes_exactly_at_every_position(name: str) -> None:
    check_resumes(MAKERS[name])


@pytest.mark.parametrize("name", WORKER_MAKERS)
def test_resumes_exactly_with_workers(name: str) -> None:
    def make() -> DataLoader[Any]:
        return WORKER_MAKERS[name]()

    if name != "noisy":  # randomness inside workers starts again with them
        check_resumes(make, every=4)
    loader, stream = make(), Stream(make())
    seed()
    expected = [plain(batch) for _ in range(2) for batch in loader] + [fingerprint(loader)]
    seed()
    assert [plain(batch) for _ in range(2) for batch, _ in stream.start()] + [fingerprint(stream.loader)] == expected


@pytest.mark.parametrize("name", MAKERS)
def test_an_early_stop_leaves_the_generators_as_the_plain_loop_does(name: str) -> None:
    loader = MAKERS[name]()
    seed()
    for _ in zip(range(2), loader, strict=False):
        pass
    expected = fingerprint(loader)
    loader = MAKERS[name]()
    seed()
    for _ in zip(range(2), Stream(loader).start(), strict=False):
        pass
    assert fingerprint(loader) == expected


def test_resumes_twice_in_one_epoch() -> None:
    make = MAKERS["own generator"]
    seed()
    loader = make()
    expected = [plain(batch) for batch in loader]
    seed()
    first = Stream(make())
    pairs = first.start()
    next(pairs)
    state, rng = first.state_dict(), capture_rng()
    second = Stream(make())
    pairs = second.resume(state, 1)
    restore_rng(rng)
    next(pairs)
    state, rng = second.state_dict(), capture_rng()
    third = Stream(make())
    pairs = third.resume(state, 2)
    restore_rng(rng)
    assert [plain(batch) for batch, _ in pairs] == expected[2:]
    assert fingerprint(third.loader) == fingerprint(loader)


def test_other_numbers_of_workers_continue_the_same_order() -> None:
    def make(workers: int) -> DataLoader[Any]:
        return DataLoader(Numbers(), batch_size=2, shuffle=True, num_workers=workers, generator=generator())

    for before, after in ((0, 1), (1, 0)):
        loader = make(0)
        seed()
        expected = [plain(batch) for _ in range(2) for batch in loader]
        seed()
        stream = Stream(make(before))
        pairs = stream.start()
        seen = [plain(next(pairs)[0]) for _ in range(2)]
        state = stream.state_dict()
        stream = Stream(make(after))
        seen += [plain(batch) for batch, _ in stream.resume(state, 2)]
        seen += [plain(batch) for batch, _ in stream.start()]
        assert seen == expected


def test_generators_shared_with_others_come_back_as_they_were() -> None:
    shared = generator()
    stream = Stream(DataLoader(Numbers(), batch_size=3, shuffle=True, generator=shared))
    pairs = stream.start()
    next(pairs)
    torch.rand(5, generator=shared)
    state, expected = stream.state_dict(), shared.get_state()
    shared.manual_seed(0)
    stream.resume(state, 1)
    assert torch.equal(shared.get_state(), expected)


def test_sizes() -> None:
    def sizes(loader: Any) -> list[int | None]:
        return [size for _, size in Stream(loader).start()]

    assert sizes(DataLoader(Numbers(), batch_size=4)) == [4, 4, 3]
    assert sizes(DataLoader(Numbers(), batch_size=4, drop_last=True)) == [4, 4]
    assert sizes(DataLoader(Numbers(), batch_size=4, num_workers=1)) == [4, 4, 3]
    assert sizes(DataLoader(tensors(), batch_size=4)) == [4, 4, 3]
    assert sizes(DataLoader(Numbers(), batch_sampler=Ragged())) == [1, 4, 2, 3]
    assert sizes(DataLoader(Numbers(), batch_sampler=Ragged(), num_workers=1)) == [None] * 4
    assert sizes(DataLoader(Numbers(), batch_size=None)) == [None] * SAMPLES
    assert sizes([1, 2]) == [None, None]
    assert sizes(DataLoader(Counting(), batch_size=2)) == [None] * 3


def test_length_and_epoch() -> None:
    sampler = DistributedSampler(Numbers(), 2, 0)
    stream = Stream(DataLoader(Numbers(), batch_size=2, sampler=sampler))
    stream.set_epoch(5)
    assert (sampler.epoch, stream.length) == (5, 3)
    assert Stream(DataLoader(Counting())).length is None
    assert Stream([1, 2, 3]).length == 3


class Counting(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


class Doubling(DataLoader[Any]):
    def __iter__(self) -> Any:
        for batch in super().__iter__():
            yield batch * 2


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: DataLoader(Counting(), batch_size=2), "DataLoader"),
        (lambda: [torch.tensor(0), torch.tensor(1), torch.tensor(2)], "list"),
        (lambda: Doubling(Numbers(), batch_size=4, shuffle=True), "Doubling"),
    ],
)
def test_what_cannot_seek_is_read_again_with_a_warning(make: Callable[[], Any], name: str) -> None:
    seed()
    expected = [plain(batch) for batch in make()]
    after = capture_rng()["torch"]
    seed()
    stream = Stream(make())
    assert not stream.seekable
    pairs = stream.start()
    seen = [plain(next(pairs)[0])]
    state, rng = through_file(stream.state_dict()), capture_rng()
    stream = Stream(make())
    with pytest.warns(PossibleUserWarning, match=f"{name} cannot seek"):
        pairs = stream.resume(state, 1)
    restore_rng(rng)
    assert seen + [plain(batch) for batch, _ in pairs] == expected
    assert torch.equal(capture_rng()["torch"], after)


def test_a_changed_length_is_an_error() -> None:
    state = Stream(DataLoader(Numbers(11))).state_dict()
    with pytest.raises(MisconfigurationException, match=r"length 12.*length 11"):
        Stream(DataLoader(Numbers(12))).resume(state, 1)
    with pytest.raises(MisconfigurationException, match=r"1 random generators.*0 random generators"):
        Stream(DataLoader(Numbers(11), generator=generator())).resume(state, 1)
    with pytest.raises(MisconfigurationException, match="cannot be continued"):
        Stream(DataLoader(Numbers(11))).resume({"kind": "CombinedLoader", "mode": "min_size", "loaders": []}, 0)


def test_resume_before_any_epoch_starts_one() -> None:
    state = Stream(DataLoader(Numbers(), generator=generator(1), shuffle=True)).state_dict()
    expected = [plain(batch) for batch in DataLoader(Numbers(), generator=generator(1), shuffle=True)]
    stream = Stream(DataLoader(Numbers(), generator=generator(2), shuffle=True))
    assert [plain(batch) for batch, _ in stream.resume(state, 0)] == expected


def test_load_state_dict_continues_at_an_epoch_start() -> None:
    make = MAKERS["own generator"]
    loader, stream = make(), Stream(make())
    seed()
    expected = [plain(batch) for _ in range(2) for batch in loader]
    seed()
    seen = [plain(batch) for batch, _ in stream.start()]
    state, rng = stream.state_dict(), capture_rng()
    stream = Stream(make())
    stream.load_state_dict(state)
    restore_rng(rng)
    assert seen + [plain(batch) for batch, _ in stream.start()] == expected


def test_seeking_far_reads_nothing() -> None:
    dataset = Numbers(1_000_001)
    loader = DataLoader(dataset, batch_size=1, shuffle=True)
    stream = Stream(loader)
    seed()
    stream.start()
    seed()
    torch.empty((), dtype=torch.int64).random_()
    last = torch.randperm(len(dataset), generator=generator(int(torch.empty((), dtype=torch.int64).random_())))[-1]
    pairs = stream.resume(stream.state_dict(), 1_000_000)
    assert dataset.reads == 0
    assert [(batch.item(), size) for batch, size in pairs] == [(last.item(), 1)]


@pytest.mark.parametrize("batch_size", [2, 7])
def test_an_epoch_is_not_continued_with_batches_of_another_size(batch_size):
    data = TensorDataset(torch.arange(20.0))
    stream = Stream(DataLoader(data, batch_size=4, shuffle=True))
    taken = [next(stream.start()) for _ in range(1)]
    state = stream.state_dict()
    assert len(taken) == 1
    with pytest.raises(MisconfigurationException, match=f"batch_size={batch_size}; at the checkpoint.*batch_size=4"):
        Stream(DataLoader(data, batch_size=batch_size, shuffle=True)).resume(state, 1)
    Stream(DataLoader(data, batch_size=batch_size, shuffle=True)).load_state_dict(state)  # between epochs it may change
