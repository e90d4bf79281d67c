"""A logger with the least that one needs."""

from __future__ import annotations

from typing import Any

from leyden.core.logger import Logger


class Recording(Logger):
    def __init__(self) -> None:
        self.saves = 0

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    @property
    def experiment(self) -> Any:
        return "the experiment"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def save(self) -> None:
        self.saves += 1
