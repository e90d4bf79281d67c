"""Several loaders as one: the order of batches in each mode, and exact continuation."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from leyden.data.combined import CombinedLoader, CombinedStream, stream_of
from leyden.data.order import Stream
from leyden.errors import MisconfigurationException
from leyden.utils.seed import capture_rng, restore_rng

MODES = ["min_size", "max_size", "max_size_cycle", "sequential"]


def side_by_side(*batches: Any) -> list[Any]:
    return [(list(batch), number, 0) for number, batch in enumerate(batches)]


def test_modes() -> None:
    loaders = [range(2), range(10, 13)]
    assert list(CombinedLoader(loaders)) == side_by_side((0, 10), (1, 11))
    assert list(CombinedLoader(loaders, "max_size")) == side_by_side((0, 10), (1, 11), (None, 12))
    assert list(CombinedLoader(loaders, "max_size_cycle")) == side_by_side((0, 10), (1, 11), (0, 12))
    expected = [(0, 0, 0), (1, 1, 0), (10, 0, 1), (11, 1, 1), (12, 2, 1)]
    assert list(CombinedLoader(loaders, "sequential")) == expected
    assert [len(CombinedLoader(loaders, mode)) for mode in MODES] == [2, 3, 3, 5]
    with pytest.raises(ValueError, match=r"Unsupported mode 'max_sizes'.*Did you mean 'max_size'\?"):
        CombinedLoader(loaders, "max_sizes")


@pytest.mark.parametrize("mode", MODES)
def test_it_can_be_iterated_again_and_while_iterating(mode: str) -> None:
    combined = CombinedLoader([range(2), range(3)], mode)
    expected = list(combined)
    assert list(combined) == expected
    assert [(one, list(combined)) for one in combined] == [(one, expected) for one in expected]


@pytest.mark.parametrize("mode", MODES)
def test_limits(mode: str) -> None:
    combined = CombinedLoader([range(3), range(4)], mode)
    assert combined.limits is None
    combined.limits = 1
    assert combined.limits == [1, 1]
    combined.limits = [1, 2]
    assert len(list(combined)) == len(combined) == {"min_size": 1, "sequential": 3}.get(mode, 2)
    combined.limits = None
    assert len(list(combined)) == len(combined) == {"min_size": 3, "sequential": 7}.get(mode, 4)
    with pytest.raises(ValueError, match=r"limits \(1\) and number of iterables \(2\)"):
        combined.limits = [1]


def test_structure() -> None:
    combined = CombinedLoader({"a": range(2), "b": (range(2), [5, 6])})
    assert combined.flattened == [range(2), range(2), [5, 6]]
    assert combined.iterables == {"a": range(2), "b": (range(2), [5, 6])}
    assert list(combined)[1][0] == {"a": 1, "b": (1, 6)}
    combined.flattened = [range(1), range(1), range(1)]
    assert combined.iterables == {"a": range(1), "b": (range(1), range(1))}
    assert list(CombinedLoader(range(2))) == [(0, 0, 0), (1, 1, 0)]


@pytest.mark.parametrize("mode", MODES)
def test_empty(mode: str) -> None:
    assert list(CombinedLoader([], mode)) == []
    assert len(CombinedLoader([], mode)) == 0
    assert [batch for batch, _, _ in CombinedLoader([range(0), range(1)], mode)] == {
        "max_size": [[None, 0]],
        "sequential": [0],
    }.get(mode, [])


class Endless(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(1000))


def test_unknown_length() -> None:
    combined = CombinedLoader([range(3), DataLoader(Endless())])
    with pytest.raises(TypeError, match="has no len"):
        len(combined)
    assert stream_of(combined).length is None


def make(mode: str, shared: bool = False) -> CombinedLoader:
    one = torch.Generator().manual_seed(5)
    two = one if shared else torch.Generator().manual_seed(6)
    loaders = {
        "a": DataLoader(range(5), batch_size=2, shuffle=True),  # type: ignore[arg-type]
        "b": DataLoader(range(6), batch_size=3, shuffle=True, generator=one),  # type: ignore[arg-type]
        "c": DataLoader(range(9), batch_size=1, shuffle=True, generator=two),  # type: ignore[arg-type]
    }
    return CombinedLoader(loaders, mode)


def plain(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    return None if batch is None else batch.tolist()


def fingerprint(combined: CombinedLoader) -> Any:
    owned = [loader.generator.get_state().tolist() for loader in combined.flattened[1:]]
    return torch.get_rng_state().tolist(), owned


def run(stream: CombinedStream, batches: Any, epoch: int, done: int = 0, snapshots: list[Any] | None = None) -> Any:
    seen = []
    while epoch < 2:
        while True:
            if snapshots is not None:
                buffer = io.BytesIO()
                torch.save(stream.state_dict(), buffer)
                snapshots.append((epoch, done, len(seen), buffer, capture_rng()))
            torch.rand(2)
            try:
                seen.append(plain(next(batches)[0]))
            except StopIteration:
                break
            done += 1
        seen.append(fingerprint(stream.loader))
        batches, epoch, done = stream.start(), epoch + 1, 0
    return seen


@pytest.mark.parametrize("shared", [False, True], ids=["", "shared generator"])
@pytest.mark.parametrize("mode", MODES[:3])
def test_resumes_exactly_at_every_position(mode: str, shared: bool) -> None:
    torch.manual_seed(1)
    stream = CombinedStream(make(mode, shared))
    snapshots: list[Any] = []
    expected = run(stream, stream.start(), 0, snapshots=snapshots)
    for epoch, done, seen, buffer, rng in snapshots:
        buffer.seek(0)
        torch.manual_seed(99)
        stream = CombinedStream(make(mode, shared))
        batches = stream.resume(torch.load(buffer, weights_only=True), done)
        restore_rng(rng)
        assert run(stream, batches, epoch, done) == expected[seen:], (epoch, done)


def test_draws_are_those_of_a_zip_over_the_loaders() -> None:
    combined = make("min_size")
    torch.manual_seed(1)
    iterators = [iter(loader) for loader in combined.flattened]
    expected = [[batch.tolist() for batch in batches] for batches in zip(*iterators, strict=False)]
    after = torch.get_rng_state()
    torch.manual_seed(1)
    assert [list(plain(batch).values()) for batch, _, _ in make("min_size")] == expected
    assert torch.equal(after, torch.get_rng_state())


def test_stream_of() -> None:
    assert type(stream_of([1])) is Stream
    stream = stream_of(make("max_size_cycle"))
    assert isinstance(stream, CombinedStream)
    assert (stream.length, stream.seekable) == (9, True)
    assert [size for _, size in stream.start()] == [None] * 9


def test_another_structure_is_an_error() -> None:
    state = CombinedStream(make("min_size")).state_dict()
    with pytest.raises(MisconfigurationException, match="mode and number of loaders"):
        CombinedStream(make("max_size")).resume(state, 0)
    with pytest.raises(MisconfigurationException, match="mode and number of loaders"):
        CombinedStream(make("max_size")).resume(Stream([1]).state_dict(), 0)
