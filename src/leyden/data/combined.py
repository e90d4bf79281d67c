"""Several loaders as one: :class:`CombinedLoader`, and the stream that continues it exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch.utils._pytree import tree_flatten, tree_unflatten

from leyden.data.order import Stream
from leyden.errors import MisconfigurationException, nearest

_MODES = ("min_size", "max_size_cycle", "max_size", "sequential")
_END = object()


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
        self.flattened, self._spec = tree_flatten(iterables, is_leaf=_is_loader)
        self._limits: list[float] | None = None

    flattened: list[Any]
    """The loaders in one list; it can be set to a list of the same length."""

    @property
    def iterables(self) -> Any:
        """The collection, in its own structure."""
        return tree_unflatten(self.flattened, self._spec)

    @property
    def limits(self) -> list[float] | None:
        """The most batches to take from each loader, None for all; a single number set is for each of them."""
        return self._limits

    @limits.setter
    def limits(self, limits: float | list[float] | None) -> None:
        count = len(self.flattened)
        given = [limits] * count if isinstance(limits, (int, float)) else limits
        if given is not None and len(given) != count:
            raise ValueError(f"Mismatch in number of limits ({len(given)}) and number of iterables ({count})")
        self._limits = given

    def __iter__(self) -> Iterator[tuple[Any, int, int]]:
        stream = CombinedStream(self)
        if self.mode != "sequential":
            for number, (batch, _) in enumerate(stream.start()):
                yield batch, number, 0
            return
        for number, item in enumerate(stream.passes):
            item.open()
            for batch_idx, batch in enumerate(item):
                yield batch, batch_idx, number

    def __len__(self) -> int:
        lengths: list[float] = [len(loader) for loader in self.flattened]
        lengths = list(map(min, lengths, self._limits or lengths)) or [0]
        if self.mode == "sequential":
            return int(sum(lengths))
        return int(min(lengths) if self.mode == "min_size" else max(lengths))


class CombinedStream(Stream):
    """A :class:`Stream` over a :class:`CombinedLoader` that takes its loaders side by side; sizes are None.

    The position of every loader is part of the state, with which the ``position`` given to :meth:`resume` must agree.
    """

    def __init__(self, loader: CombinedLoader) -> None:
        self.loader: CombinedLoader = loader
        limits = loader.limits or [float("inf")] * len(loader.flattened)
        streams = [stream_of(item) for item in loader.flattened]
        self.passes = [_Pass(stream, limit) for stream, limit in zip(streams, limits, strict=True)]
        self.seekable = all(stream.seekable for stream in streams)
        self._taken = 0

    def set_epoch(self, epoch: int) -> None:
        for item in self.passes:
            item.stream.set_epoch(epoch)

    def close(self) -> None:
        for item in self.passes:
            item.batches = None
            item.stream.close()

    def start(self) -> Iterator[tuple[Any, int | None]]:
        self._taken = 0
        for item in self.passes:
            item.open()
            item.ended = False
        return self._steps()

    def state_dict(self) -> dict[str, Any]:
        loaders = [item.state_dict() for item in self.passes]
        return {"mode": self.loader.mode, "position": self._taken, "loaders": loaders}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        then, now = (state.get("mode"), len(state.get("loaders", ()))), (self.loader.mode, len(self.passes))
        if then != now:
            text = f"The CombinedLoader has mode and number of loaders {now}; at the checkpoint they were {then}"
            raise MisconfigurationException(f"{text}. Fix: resume with the same loaders, or from the weights alone.")
        for item, saved in zip(self.passes, state["loaders"], strict=True):
            item.stream.load_state_dict(saved["stream"])

    def resume(self, state: Mapping[str, Any], position: int) -> Iterator[tuple[Any, int | None]]:
        self.load_state_dict(state)
        back = state["position"] - position  # 1: the state was taken while the last batch was still at work
        assert back in (0, 1)
        self._taken = position
        for item, saved in zip(self.passes, state["loaders"], strict=True):
            item.resume(saved, back)
        return self._steps()

    def _steps(self) -> Iterator[tuple[Any, int | None]]:
        mode = self.loader.mode
        while self.passes:
            batches = []
            for item in self.passes:
                batch = next(item, _END)
                over = all(other.ended for other in self.passes)
                if batch is _END and mode == "max_size_cycle" and not over:
                    item.open()
                    batch = next(item, _END)
                if batch is _END and (mode != "max_size" or over):
                    return
                batches.append(None if batch is _END else batch)
            self._taken += 1
            yield tree_unflatten(batches, self.loader._spec), None


@dataclass
class _Pass(Iterator[Any]):
    """One loader of several: its stream, how far it is, and whether it has ended once."""

    stream: Stream
    limit: float
    batches: Iterator[tuple[Any, int | None]] | None = None
    position: int = 0
    ended: bool = False

    def open(self) -> None:
        self.batches, self.position = self.stream.start(), 0

    def __next__(self) -> Any:
        if self.batches is not None and self.position < self.limit:
            for batch, _ in self.batches:
                self.position += 1
                return batch
        self.batches, self.ended = None, True
        raise StopIteration

    def state_dict(self) -> dict[str, Any]:
        is_open = self.batches is not None
        return {"stream": self.stream.state_dict(), "position": self.position, "open": is_open, "ended": self.ended}

    def resume(self, state: Mapping[str, Any], back: int) -> None:
        self.position, self.ended = max(state["position"] - back, 0), state["ended"]
        self.batches = self.stream.resume(state["stream"], self.position) if state["open"] else None


def stream_of(loader: Any) -> Stream:
    """Return the stream for a loader: a :class:`CombinedStream` for a :class:`CombinedLoader`, else a ``Stream``."""
    return CombinedStream(loader) if isinstance(loader, CombinedLoader) else Stream(loader)


def _is_loader(tree: Any) -> bool:
    """Whether a list, tuple or dict is itself the loader: its items are plain numbers or strings."""
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return len(children) > 0 and all(isinstance(child, (int, float, str)) for child in children)
