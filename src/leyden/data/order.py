"""The order of a loader's samples: iterate exactly as PyTorch does, and continue exactly where a run was interrupted.

The order of an epoch is a function of the random state just before it (the global generators and those that the loader
and its samplers own) and of the position. :class:`Stream` captures that state, and seeks by drawing the indices again;
it never reads a live iterator, because with workers the sampler runs ahead of the batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from leyden.data.loaders import loader_length, replace, samplers, without_shuffle
from leyden.data.tensors import gathered
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.utils.rank import rank_zero_warn
from leyden.utils.seed import capture_rng, restore_rng


class Stream:
    """One loader, iterated epoch after epoch exactly as PyTorch iterates it.

    Every random number is drawn when, and from the generator that, the plain loop ``for batch in loader`` would draw it.

    To interrupt, take :meth:`state_dict` and :func:`~leyden.utils.seed.capture_rng` at the same moment. To continue,
    build the loader again, then::

        stream.set_epoch(epoch)
        batches = stream.resume(state, position)  # draws; leaves the global generators in any state
        restore_rng(captured)                     # before the first next(batches)

    To continue at the start of an epoch (the save came after the last ``next``, that which ended the iteration), call
    :meth:`load_state_dict`, then ``restore_rng``, then :meth:`start`. If the last batch was delivered and the iterator
    not yet asked for one more, ``resume(state, length)`` gives an iterator that is at its end, and asking it for one
    more draws what the sampler draws when it runs out.

    Args:
        loader: A ``DataLoader`` or any iterable of batches.
        shuffle_allowed: False takes the samples of a shuffling ``DataLoader`` in order, with a warning.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> stream = Stream(DataLoader(range(5), batch_size=2))
        >>> [(batch.tolist(), size) for batch, size in stream.start()]
        [([0, 1], 2), ([2, 3], 2), ([4], 1)]
        >>> [batch.tolist() for batch, _ in stream.resume(stream.state_dict(), 2)]
        [[4]]
    """

    def __init__(self, loader: Iterable[Any], *, shuffle_allowed: bool = True) -> None:
        self.loader: Any = loader
        self._source: Any = self.loader if shuffle_allowed else without_shuffle(loader)
        self._start: dict[str, Any] | None = None
        self._first: dict[str, Any] | None = None
        self._fresh = True
        kind: Any = type(self._source)
        self.seekable: bool = (
            isinstance(self._source, DataLoader)
            and not isinstance(self._source.dataset, IterableDataset)
            and (kind.__iter__, kind._get_iterator) == (DataLoader.__iter__, DataLoader._get_iterator)
        )
        # Samplers of torch draw from its generators alone; for others Python's and numpy's states are captured too.
        known = all(type(sampler).__module__.startswith("torch.") for sampler in samplers(self._source))
        self._foreign = not (self.seekable and known)

    @property
    def length(self) -> int | None:
        """Batches per epoch; None if the loader does not know."""
        return loader_length(self._source)

    def set_epoch(self, epoch: int) -> None:
        """Call ``set_epoch(epoch)`` on the batch sampler, the sampler and what they wrap, where it exists."""
        for sampler in samplers(self._source):
            if callable(getattr(sampler, "set_epoch", None)):
                sampler.set_epoch(epoch)

    def start(self) -> Iterator[tuple[Any, int | None]]:
        """Start a new epoch: what ``iter(loader)`` draws is drawn now, the rest as batches are taken.

        Returns:
            Pairs of a batch and its number of samples, None where the sampler does not tell it.
        """
        self._fresh = not _keeps_workers(self._source) or self._source._iterator is None
        self._start, self._first = self._capture(), None
        batches = self._open()
        return self._epoch(batches, self._sizes(batches))

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`resume` needs about the current epoch; plain types and tensors only."""
        return {
            "kind": type(self._source).__name__,
            "samples": self._samples(),
            "workers": self._workers(),
            "fresh": self._fresh,
            "start": self._start,
            "first": self._first,
            "generators": [generator.get_state() for generator in self._generators()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the generators that the loader owns back where they were when ``state`` was taken.

        Raises:
            MisconfigurationException: The data set's length, or the number of those generators, is another than then.
        """
        now = self._samples(), len(self._generators())
        then = state.get("samples"), len(state.get("generators", ()))
        if now != then:
            text = "a data set of length {} and {} random generators of its own"
            raise MisconfigurationException(
                f"This {type(self._source).__name__} has {text.format(*now)}; the loader of the checkpoint had "
                f"{text.format(*then)}, so the order of its samples cannot be continued. Fix: resume with the same data "
                "and loader, or load the weights alone and start a new run."
            )
        self._set_generators(state["generators"])

    def resume(self, state: Mapping[str, Any], position: int) -> Iterator[tuple[Any, int | None]]:
        """Continue an epoch after its first ``position`` batches.

        Everything that must be drawn again is drawn here; the generators that the loader owns are then where they were,
        the global ones are in any state: the caller restores those of the interruption before the first ``next``.
        No skipped sample is read if :attr:`seekable`; otherwise the skipped batches are read, with a warning.

        Args:
            state: From :meth:`state_dict`, of this process or another.
            position: Batches of the epoch that were already taken, 0 to :attr:`length`.

        Raises:
            MisconfigurationException: As :meth:`load_state_dict`.
        """
        self.load_state_dict(state)
        if state["start"] is None:  # no epoch had begun
            return self.start()
        self._start, self._first, self._fresh = state["start"], state["first"], state["fresh"]
        self._restore(state["start"])
        batches = self._seek(position, state["workers"][0] > 0) if self.seekable else self._skip(position)
        if self._workers() == tuple(state["workers"]):  # with other workers the sampler is ahead by another distance
            self._set_generators(state["generators"])
        return self._epoch(batches, self._sizes(batches, position))

    def _open(self) -> Iterator[Any]:
        batches = gathered(self._source)
        if batches is None:
            return iter(self._source)
        _draw_base_seed(self._source)
        return batches

    def _seek(self, position: int, had_workers: bool) -> Iterator[Any]:
        """Draw the indices of the epoch again, pass over ``position`` of them, iterate a copy that owns the rest."""
        loader, index_sampler = self._source, self._source._index_sampler
        indices = iter(index_sampler)
        if self._first is not None:
            self._restore(self._first)
        elif self._fresh:
            _draw_base_seed(loader)
            if had_workers:  # PyTorch calls iter() twice to make an iterator with workers
                indices = iter(index_sampler)
        _advance(indices, position)
        batches: Any = gathered(loader, indices)
        if batches is None:
            attribute = "sampler" if loader.batch_sampler is None else "batch_sampler"
            rest = {attribute: itertools.islice(indices, None), "generator": self._base_generator()}
            batches = iter(replace(loader, **rest))
        if _keeps_workers(loader):
            batches._index_sampler = index_sampler
            loader._iterator = batches
        return batches  # type: ignore[no-any-return]

    def _skip(self, position: int) -> Iterator[Any]:
        batches: Iterator[Any] = iter(self._source)
        if self._first is not None:
            self._restore(self._first)
        if position:
            rank_zero_warn(
                f"{type(self._source).__name__} cannot seek: the first {position} batches of the epoch are read again "
                "and dropped, and what it draws between batches may differ. Use a DataLoader over a map-style data set "
                "(without an __iter__ of its own) to continue at once and exactly.",
                stacklevel=3,
                category=PossibleUserWarning,
            )
            _advance(batches, position)
        return batches

    def _epoch(self, batches: Iterator[Any], sizes: Iterator[int | None]) -> Iterator[tuple[Any, int | None]]:
        # Without workers a sampler draws at the first `next`, maybe after the caller has drawn since `iter`.
        if self._first is None and not getattr(self._source, "num_workers", 0):
            self._first = self._capture()
        yield from zip(batches, sizes, strict=False)

    def _sizes(self, batches: Any, position: int = 0) -> Iterator[int | None]:
        """Yield the number of samples of each batch; asked for after the batch."""
        if not self.seekable:
            return itertools.repeat(None)
        sampler = self._source._index_sampler
        if self._foreign and not self._source.num_workers:
            return _watched(batches) if hasattr(batches, "_sampler_iter") else itertools.repeat(None)
        samples = loader_length(sampler.sampler) if type(sampler) is BatchSampler else None
        if samples is None:
            return itertools.repeat(None)
        whole, rest = divmod(samples, sampler.batch_size)
        last = (rest,) if rest and not sampler.drop_last else ()
        sizes = itertools.chain(itertools.repeat(sampler.batch_size, whole), last, itertools.repeat(None))
        return itertools.islice(sizes, position, None)

    def _samples(self) -> int | None:
        return loader_length(self._source.dataset if isinstance(self._source, DataLoader) else self._source)

    def _workers(self) -> tuple[int, int]:
        return getattr(self._source, "num_workers", 0), getattr(self._source, "prefetch_factor", None) or 0

    def _generators(self) -> list[torch.Generator]:
        owners = (self._source, *samplers(self._source))
        found = [value for owner in owners for value in getattr(owner, "__dict__", {}).values()]
        return list({id(value): value for value in found if isinstance(value, torch.Generator)}.values())

    def _set_generators(self, states: Iterable[torch.Tensor]) -> None:
        for generator, state in zip(self._generators(), states, strict=False):
            generator.set_state(state.cpu())

    def _base_generator(self) -> torch.Generator:
        """Return a generator from which ``iter`` draws the epoch's base seed, so that it leaves all others alone."""
        assert self._start is not None
        owned = dict(zip(map(id, self._generators()), self._start["generators"], strict=False))
        base = torch.Generator()
        base.set_state(owned.get(id(self._source.generator), self._start["torch"]).cpu())
        return base

    def _capture(self) -> dict[str, Any]:
        state = capture_rng(include_cuda=False) if self._foreign else {"torch": torch.get_rng_state()}
        return state | {"generators": [generator.get_state() for generator in self._generators()]}

    def _restore(self, state: Mapping[str, Any]) -> None:
        if "python" in state:
            restore_rng(state)
        else:
            torch.set_rng_state(state["torch"].cpu())
        self._set_generators(state["generators"])


def _watched(batches: Any) -> Iterator[int | None]:
    """Yield the length of the list of indices that the iterator ``batches`` took last."""
    last: list[int | None] = [None]

    def watch(lists: Iterator[Any]) -> Iterator[Any]:
        for indices in lists:
            last[0] = len(indices) if hasattr(indices, "__len__") else None
            yield indices

    batches._sampler_iter = watch(batches._sampler_iter)
    return (last[0] for _ in itertools.repeat(None))


def _keeps_workers(loader: Any) -> bool:
    return isinstance(loader, DataLoader) and loader.persistent_workers and loader.num_workers > 0


def _draw_base_seed(loader: DataLoader[Any]) -> None:
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)


def _advance(iterator: Iterator[Any], count: int) -> None:
    next(itertools.islice(iterator, count, count), None)
