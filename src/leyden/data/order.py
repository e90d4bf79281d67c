"""The order of a loader's samples: iterate exactly as PyTorch does, and continue exactly where a run was interrupted.

The order of an epoch is a function of the random state just before it (the global generators and those that the loader
and its samplers own) and of the position. :class:`Stream` captures that state, and seeks by drawing the indices again;
it never reads a live iterator, because with workers the sampler runs ahead of the batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from leyden.data.loaders import loader_length, replace, samplers
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

    Attributes:
        kept: Persistent workers were alive when the run that is continued was interrupted.

    Args:
        loader: A ``DataLoader`` or any iterable of batches.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> stream = Stream(DataLoader(range(5), batch_size=2))
        >>> [(batch.tolist(), size) for batch, size in stream.start()]
        [([0, 1], 2), ([2, 3], 2), ([4], 1)]
        >>> [batch.tolist() for batch, _ in stream.resume(stream.state_dict(), 2)]
        [[4]]
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader: Any = loader
        self.kept = False
        self._start: dict[str, Any] | None = None  # the random state before iter(loader)
        self._first: dict[str, Any] | None = None  # and that before the first batch
        self._fresh = True  # no persistent workers were alive before the epoch
        map_style = isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset)
        self.seekable = map_style and type(loader).__iter__ is DataLoader.__iter__

    @property
    def length(self) -> int | None:
        """Batches per epoch; None if the loader does not know."""
        return loader_length(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """Call ``set_epoch(epoch)`` on the batch sampler, the sampler and what they wrap, where it exists."""
        for sampler in samplers(self.loader):
            if callable(getattr(sampler, "set_epoch", None)):
                sampler.set_epoch(epoch)

    def start(self) -> Iterator[tuple[Any, int | None]]:
        """Start a new epoch: what ``iter(loader)`` draws is drawn now, the rest as batches are taken.

        Returns:
            Pairs of a batch and its number of samples, None where the sampler does not tell it.
        """
        self._fresh = not _keeps_workers(self.loader) or self.loader._iterator is None
        self._start, self._first = self._capture(), None
        return self._epoch(self._open())

    def close(self) -> None:
        """Let go of persistent workers: ended here they end at once, left to the garbage collector after seconds."""
        if _keeps_workers(self.loader):
            self.loader._iterator = None

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`resume` needs about the current epoch; plain types and tensors only."""
        return {
            "samples": self._samples(),
            "batches": self._batches(),
            "workers": self._workers(),
            "fresh": self._fresh,
            "start": self._start,
            "first": self._first,
            "generators": [generator.get_state() for generator in self._generators()],
        }

    def _batches(self) -> list[int | None]:
        """What a position counts in: batches per epoch, and samples per batch."""
        return [self.length, getattr(self.loader, "batch_size", None)]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the generators that the loader owns back where they were when ``state`` was taken.

        Raises:
            MisconfigurationException: The data set's length, or the number of those generators, is another than then.
        """
        now = self._samples(), len(self._generators())
        then = state.get("samples"), len(state.get("generators", ()))
        if now != then:
            raise _other_loader("a data set of length {} and {} random generators of its own", now, then)
        self._set_generators(state["generators"])
        self.kept = state["start"] is not None

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
        if state["batches"] != self._batches():
            raise _other_loader("{} batches of batch_size={}", self._batches(), state["batches"])
        self._start, self._first, self._fresh = state["start"], state["first"], state["fresh"]
        self._restore(state["start"])
        batches = self._seek(position, state["workers"][0] > 0) if self.seekable else self._skip(position)
        if self._workers() == tuple(state["workers"]):  # with other workers the sampler is ahead by another distance
            self._set_generators(state["generators"])
        return self._epoch(batches, position)

    def _open(self) -> Iterator[Any]:
        batches: Any = gathered(self.loader)
        if batches is not None:
            _draw_base_seed(self.loader)
        elif self.kept and self._fresh and _keeps_workers(self.loader):  # workers that live draw no base seed
            batches = self.loader._iterator = iter(replace(self.loader, generator=torch.Generator()))
        else:
            batches = iter(self.loader)
        return batches  # type: ignore[no-any-return]

    def _seek(self, position: int, had_workers: bool) -> Iterator[Any]:
        """Draw the indices of the epoch again, pass over ``position`` of them, iterate a copy that owns the rest."""
        loader, index_sampler = self.loader, self.loader._index_sampler
        base = torch.Generator()  # the copy draws the epoch's base seed from here and leaves all others alone
        base.set_state((loader.generator or torch.default_generator).get_state())
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
            batches = iter(replace(loader, **{attribute: itertools.islice(indices, None), "generator": base}))
        if _keeps_workers(loader):
            batches._index_sampler = index_sampler
            loader._iterator = batches
        return batches  # type: ignore[no-any-return]

    def _skip(self, position: int) -> Iterator[Any]:
        batches: Iterator[Any] = iter(self.loader)
        if self._first is not None:
            self._restore(self._first)
        if position:
            text = f"{type(self.loader).__name__} cannot seek: the first {position} batches of the epoch are read again"
            fix = "a DataLoader over a map-style data set"
            rank_zero_warn(f"{text}, and what is drawn may differ. Fix: {fix}.", category=PossibleUserWarning)
            _advance(batches, position)
        return batches

    def _epoch(self, batches: Iterator[Any], position: int = 0) -> Iterator[tuple[Any, int | None]]:
        sizes = self._sizes(batches, position)
        # Without workers a sampler draws at the first `next`, maybe after the caller has drawn since `iter`.
        if self._first is None and not getattr(self.loader, "num_workers", 0):
            self._first = self._capture()
        yield from zip(batches, sizes, strict=False)

    def _sizes(self, batches: Any, position: int) -> Iterator[int | None]:
        """Yield the number of samples of each batch; asked for after the batch."""
        sampler: Any = self.loader._index_sampler if self.seekable else None
        if sampler is not None and hasattr(batches, "_sampler_iter") and not self.loader.num_workers:
            batches._sampler_iter, taken = itertools.tee(batches._sampler_iter)
            return (len(indices) if isinstance(indices, list) else None for indices in taken)
        samples = loader_length(sampler.sampler) if type(sampler) is BatchSampler else None
        if samples is None:
            return itertools.repeat(None)
        starts = range(position * sampler.batch_size, samples, sampler.batch_size)
        return itertools.chain((min(sampler.batch_size, samples - start) for start in starts), itertools.repeat(None))

    def _samples(self) -> int | None:
        return loader_length(self.loader.dataset if isinstance(self.loader, DataLoader) else self.loader)

    def _workers(self) -> tuple[int, int]:
        return getattr(self.loader, "num_workers", 0), getattr(self.loader, "prefetch_factor", None) or 0

    def _generators(self) -> list[torch.Generator]:
        owners = (self.loader, *samplers(self.loader))
        found = [value for owner in owners for value in getattr(owner, "__dict__", {}).values()]
        return list({id(value): value for value in found if isinstance(value, torch.Generator)}.values())

    def _set_generators(self, states: Iterable[torch.Tensor]) -> None:
        for generator, state in zip(self._generators(), states, strict=False):
            generator.set_state(state.cpu())

    def _capture(self) -> dict[str, Any]:
        generators = [generator.get_state() for generator in self._generators()]
        return capture_rng(include_cuda=False) | {"generators": generators}

    def _restore(self, state: Mapping[str, Any]) -> None:
        restore_rng(state)
        self._set_generators(state["generators"])


def _other_loader(description: str, now: Sequence[Any], then: Sequence[Any]) -> MisconfigurationException:
    text = f"{description.format(*now)}; at the checkpoint it had {description.format(*then)}"
    fix = "resume with the same data and loader, from the checkpoint of an epoch's end, or from the weights alone"
    return MisconfigurationException(f"The epoch cannot be continued: the loader has {text}. Fix: {fix}.")


def _keeps_workers(loader: Any) -> bool:
    return isinstance(loader, DataLoader) and loader.persistent_workers and loader.num_workers > 0


def _draw_base_seed(loader: DataLoader[Any]) -> None:
    torch.empty((), dtype=torch.int64).random_(generator=loader.generator)


def _advance(iterator: Iterator[Any], count: int) -> None:
    next(itertools.islice(iterator, count, count), None)
