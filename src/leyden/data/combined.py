"""Several loaders as one: :class:`CombinedLoader`, and the stream that continues it exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.utils._pytree import tree_flatten, tree_unflatten

from leyden.data.loaders import loader_length
from leyden.data.order import Stream
from leyden.errors import MisconfigurationException, nearest

_MODES = ("min_size", "max_size_cycle", "max_size", "sequential")


class CombinedLoader:
    """Iterates over several loaders, side by side or one after the other.

    Yields ``(batch, batch_idx, dataloader_idx)``. Side by side, ``batch`` has the structure of ``iterables`` and
    ``dataloader_idx`` is 0; in sequence, it is the batch of one loader and ``batch_idx`` counts within that loader.

    Args:
        iterables: A nested list, tuple or dict of iterables, or a single one.
        mode: ``"min_size"`` stops with the shortest loader, ``"max_size"`` with the longest (None where another has
            ended), ``"max_size_cycle"`` with the longest (the others start again), ``"sequential"`` takes one loader
            after the other.

    Raises:
        ValueError: The mode is none of these.

    Example:
        >>> list(CombinedLoader({"a": range(3), "b": [10, 20]}, mode="max_size_cycle"))[-1]
        ({'a': 2, 'b': 10}, 2, 0)
    """

    def __init__(self, iterables: Any, mode: str = "min_size") -> None:
        if mode not in _MODES:
            raise ValueError(f"Unsupported mode {mode!r}, please select one of: {list(_MODES)}.{nearest(mode, _MODES)}")
        self.mode = mode
        self._flattened, self._spec = tree_flatten(iterables, is_leaf=_is_loader)
        self._limits: list[float] | None = None

    @property
    def iterables(self) -> Any:
        """The collection, in its own structure."""
        return tree_unflatten(self._flattened, self._spec)

    @property
    def flattened(self) -> list[Any]:
        """The loaders in one list; it can be set to a list of the same length."""
        return self._flattened

    @flattened.setter
    def flattened(self, loaders: list[Any]) -> None:
        if len(loaders) != len(self._flattened):
            raise ValueError(
                f"Mismatch in flattened length ({len(loaders)}) and existing length ({len(self._flattened)})"
            )
        self._flattened = loaders

    @property
    def limits(self) -> list[float] | None:
        """The most batches to take from each loader, None for all; a single number set is for each of them."""
        return self._limits

    @limits.setter
    def limits(self, limits: float | list[float] | None) -> None:
        count = len(self._flattened)
        given = [limits] * count if isinstance(limits, (int, float)) else limits
        if given is not None and len(given) != count:
            raise ValueError(f"Mismatch in number of limits ({len(given)}) and number of iterables ({count})")
        self._limits = given

    def __iter__(self) -> Iterator[tuple[Any, int, int]]:
        return CombinedStream(self).triples()

    def __len__(self) -> int:
        lengths: list[Any] = [loader_length(loader) for loader in self._flattened]
        if None in lengths:
            name = type(self._flattened[lengths.index(None)]).__name__
            raise TypeError(f"This CombinedLoader has no length: its {name} has none.")
        lengths = list(map(min, lengths, self._limits or lengths))
        if self.mode == "sequential":
            return int(sum(lengths))
        return int((min if self.mode == "min_size" else max)(lengths, default=0))


class CombinedStream(Stream):
    """A :class:`Stream` over a :class:`CombinedLoader`: each loader has a stream of its own; sizes are None.

    The position of every loader is part of the state, with which the ``position`` given to :meth:`resume` must agree.
    """

    def __init__(self, loader: CombinedLoader, *, shuffle_allowed: bool = True) -> None:
        self.loader: CombinedLoader = loader
        limits = loader.limits or [float("inf")] * len(loader.flattened)
        streams = [stream_of(item, shuffle_allowed=shuffle_allowed) for item in loader.flattened]
        self._passes = [_Pass(stream, limit) for stream, limit in zip(streams, limits, strict=True)]
        self._taken = 0
        self.seekable = all(item.stream.seekable for item in self._passes)

    @property
    def length(self) -> int | None:
        return loader_length(self.loader)

    def set_epoch(self, epoch: int) -> None:
        for item in self._passes:
            item.stream.set_epoch(epoch)

    def start(self) -> Iterator[tuple[Any, int | None]]:
        return ((batch, None) for batch, _, _ in self.triples())

    def triples(self) -> Iterator[tuple[Any, int, int]]:
        """Start a new epoch, as :meth:`start`, and yield ``(batch, batch_idx, dataloader_idx)``."""
        self._taken = 0
        for number, item in enumerate(self._passes):
            item.batches, item.ended = None, False
            if number == 0 or self.loader.mode != "sequential":
                item.open()
        return self._steps()

    def state_dict(self) -> dict[str, Any]:
        loaders = [item.state_dict() for item in self._passes]
        return {"kind": "CombinedLoader", "mode": self.loader.mode, "position": self._taken, "loaders": loaders}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        then, now = (state.get("mode"), len(state.get("loaders", ()))), (self.loader.mode, len(self._passes))
        if then != now:
            raise MisconfigurationException(
                f"The CombinedLoader has mode and number of loaders {now}; when the checkpoint was saved they were "
                f"{then}. Fix: resume with the same loaders, or load the weights alone and start a new run."
            )
        for item, saved in zip(self._passes, state["loaders"], strict=True):
            item.stream.load_state_dict(saved["stream"])

    def resume(self, state: Mapping[str, Any], position: int) -> Iterator[tuple[Any, int | None]]:
        self.load_state_dict(state)
        back = state["position"] - position  # 1: the state was taken while the last batch was still at work
        if back not in (0, 1):
            raise ValueError(f"The state was taken at position {state['position']}, not {position}.")
        self._taken = position
        for item, saved in zip(self._passes, state["loaders"], strict=True):
            item.resume(saved, back)
        return ((batch, None) for batch, _, _ in self._steps())

    def _steps(self) -> Iterator[tuple[Any, int, int]]:
        step = self._one_after_the_other if self.loader.mode == "sequential" else self._side_by_side
        while self._passes:
            try:
                triple = step()
            except StopIteration:
                return
            self._taken += 1
            yield triple

    def _side_by_side(self) -> tuple[Any, int, int]:
        batches = []
        for item in self._passes:
            try:
                batch = item.take()
            except StopIteration:
                item.batches, item.ended = None, True
                if self.loader.mode == "min_size" or all(other.ended for other in self._passes):
                    raise
                batch = item.take_again() if self.loader.mode == "max_size_cycle" else None
            batches.append(batch)
        return tree_unflatten(batches, self.loader._spec), self._taken, 0

    def _one_after_the_other(self) -> tuple[Any, int, int]:
        for number, item in enumerate(self._passes):
            if not item.ended:
                try:
                    batch = item.take() if item.batches else item.take_again()
                    return batch, item.position - 1, number
                except StopIteration:
                    item.batches, item.ended = None, True
        raise StopIteration


class _Pass:
    """One loader of several: its stream, how far it is, and whether it has ended once."""

    def __init__(self, stream: Stream, limit: float) -> None:
        self.stream = stream
        self.limit = limit
        self.batches: Iterator[tuple[Any, int | None]] | None = None
        self.position = 0
        self.ended = False

    def open(self) -> None:
        self.batches, self.position = self.stream.start(), 0

    def take(self) -> Any:
        if self.batches is None or self.position >= self.limit:
            raise StopIteration
        batch, _ = next(self.batches)
        self.position += 1
        return batch

    def take_again(self) -> Any:
        self.open()
        return self.take()

    def state_dict(self) -> dict[str, Any]:
        is_open = self.batches is not None
        return {"stream": self.stream.state_dict(), "position": self.position, "open": is_open, "ended": self.ended}

    def resume(self, state: Mapping[str, Any], back: int) -> None:
        self.position, self.ended = max(state["position"] - back, 0), state["ended"]
        self.batches = self.stream.resume(state["stream"], self.position) if state["open"] else None


def stream_of(loader: Any, *, shuffle_allowed: bool = True) -> Stream:
    """Return the stream for a loader: a :class:`CombinedStream` for a :class:`CombinedLoader`, else a ``Stream``."""
    kind: Any = CombinedStream if isinstance(loader, CombinedLoader) else Stream
    return kind(loader, shuffle_allowed=shuffle_allowed)  # type: ignore[no-any-return]


def _is_loader(tree: Any) -> bool:
    """Whether a list, tuple or dict is itself the loader: its items are plain numbers or strings."""
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return len(children) > 0 and all(isinstance(child, (int, float, str)) for child in children)
