"""``trainer._results``: what ``self.log`` collects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from leyden.legacy.views.view import View


class ResultMetric(View):
    """The values logged under one name in one hook."""

    _key: tuple[str, str, int | None]
    _called = "trainer._results.result_metrics[i]"

    def __init__(self, owner: Any, key: tuple[str, str, int | None]) -> None:
        super().__init__(owner)
        self.__dict__["_key"] = key

    @property
    def meta(self) -> SimpleNamespace:
        """How it was logged: ``fx`` (the hook), ``name``, ``prog_bar``, ``logger``, ``on_step``, ``on_epoch``, ..."""
        arguments = self._owner.arguments._asdict()
        return SimpleNamespace(fx=self._key[0], name=self._key[1], dataloader_idx=self._key[2], **arguments)

    @property
    def value(self) -> Any:
        """The last value."""
        return self._owner.value

    @property
    def cumulated_batch_size(self) -> Any:
        """The weight of all values of the epoch."""
        return self._owner.weight

    def compute(self) -> Any:
        """Return the epoch's value so far."""
        return self._owner.epoch_value()


class ResultCollection(View):
    """What was logged in the running stage, by hook and name."""

    _called = "trainer._results"
    DATALOADER_SUFFIX = "/dataloader_idx_{}"

    @property
    def result_metrics(self) -> list[ResultMetric]:
        """All of it."""
        return list(self._entries().values())

    @property
    def dataloader_idx(self) -> int | None:
        """The running loader, where there are several."""
        index: int | None = self._owner.dataloader_idx
        return index

    @property
    def batch_size(self) -> int | None:
        """The number of samples in the running batch, if known."""
        size: int | None = self._owner.batch_size
        return size

    def keys(self) -> list[str]:
        """Return the names, as ``hook.name`` and, with several loaders, ``hook.name.loader``."""
        return list(self._entries())

    def __iter__(self) -> Any:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def __getitem__(self, key: str) -> ResultMetric:
        return self._entries()[key]

    def _entries(self) -> dict[str, ResultMetric]:
        return {
            ".".join(str(part) for part in key if part is not None): ResultMetric(slot, key)
            for key, slot in self._owner.slots.items()
        }


def results_of(trainer: Any) -> ResultCollection | None:
    """The view of what a Trainer's run collects; None while nothing runs."""
    run = trainer._run
    results = None if run is None or run.module.__dict__.get("_results") is None else run.results
    return None if results is None else ResultCollection(results)
