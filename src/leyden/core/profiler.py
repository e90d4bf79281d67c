"""The interface of profilers; the engine asks for nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.utils.files import atomic_write
from leyden.utils.rank import rank

if TYPE_CHECKING:
    from leyden.core.module import LightningModule


class Profiler:
    """Times named actions of a run. This base class records nothing; subclasses override ``start`` and ``stop``.

    A report is made per stage (fit, validate, test, predict), in the file ``{stage}-{filename}.txt``; with several
    processes each writes its own, ``{stage}-{filename}-{rank}.txt``.

    Args:
        dirpath: The folder or URL of the report; default: the logger's folder, else the Trainer's root folder.
        filename: The middle of the report's file name; None prints it, in the first process.

    Attributes:
        stage: The stage that runs or ran last; None before.
        lightning_module: The module of the run; None outside.
    """

    stage: str | None = None
    lightning_module: LightningModule | None = None
    local_rank: int | None = None
    _log_dir: str | None = None

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
        """Return the report; empty if there is nothing to tell."""
        return ""

    def describe(self) -> None:
        """Write the report to its file, or print it."""
        text = self.summary()
        if text and self.filename is not None:
            with atomic_write(self.path(".txt")) as file:
                file.write(text.encode())
        elif text and not rank():
            print(text)

    def path(self, suffix: str, action_name: str | None = None) -> str:
        """Where a file of this profiler lies: stage, file name, action and rank, as far as there are any."""
        number = None if self.local_rank is None else str(rank())  # local ranks repeat on each host
        parts = [part.replace("/", "_") for part in (self.stage, self.filename, action_name, number) if part]
        return os.path.join(self.dirpath or self._log_dir or "", "-".join(parts) + suffix)

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        """A run begins.

        Args:
            stage: "fit", "validate", "test" or "predict".
            local_rank: This process's number on its host; None if it is the only one.
            log_dir: The folder for files where ``dirpath`` is None.
        """
        self.stage, self.local_rank, self._log_dir = stage, local_rank, log_dir

    def teardown(self, stage: str | None) -> None:
        """A run ends."""


class PassThroughProfiler(Profiler):
    """Records nothing and costs nothing: a default for code of your own that takes a profiler."""
