"""The interface of profilers; the engine asks for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Profiler:
    """Times named actions of a run. This base class records nothing; subclasses override ``start`` and ``stop``.

    Args:
        dirpath: The folder of the report.
        filename: The report's file name; None prints it.
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None) -> None:
        self.dirpath = dirpath
        self.filename = filename

    def start(self, action_name: str) -> None:
        """An action begins."""

    def stop(self, action_name: str) -> None:
        """An action ends."""

    @contextmanager
    def profile(self, action_name: str) -> Iterator[str]:
        """Time the block under a name."""
        self.start(action_name)
        try:
            yield action_name
        finally:
            self.stop(action_name)

    def summary(self) -> str:
        """Return the report."""
        return ""

    def describe(self) -> None:
        """Write the report to the file, or print it."""
        text = self.summary()
        if text and self.filename is None:
            print(text)
        elif text and self.filename is not None:
            folder = Path(self.dirpath or ".")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / self.filename).write_text(text, encoding="utf-8")

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A run begins."""

    def teardown(self, stage: str | None) -> None:
        """A run ends."""
