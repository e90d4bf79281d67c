"""Which functions each action spends its time in."""

from __future__ import annotations

import cProfile
import io
import marshal
import pstats
from pathlib import Path

from leyden.core.profiler import Profiler
from leyden.errors import MisconfigurationException, bad_value
from leyden.utils.files import atomic_write


class AdvancedProfiler(Profiler):
    """Profiles each action with ``cProfile``.

    Python profiles one thing at a time, so an action pauses while another one runs inside it: each function call is
    in the report of the innermost action around it, and nowhere else.

    Args:
        dirpath: The folder of the report; default: the logger's folder, else the Trainer's root folder.
        filename: The middle of the report's file name; None prints it.
        line_count_restriction: How much of each action's table to show: a fraction of its lines (float) or a number
            of lines (int), the most costly first.
        dump_stats: Also write ``{stage}-{filename}-{action}.prof`` for each action, which ``pstats`` and its viewers read.

    Raises:
        MisconfigurationException: ``line_count_restriction`` is no fraction from 0 to 1 and no positive int.

    Example:
        >>> profiler = AdvancedProfiler()
        >>> with profiler.profile("sort"):
        ...     ordered = sorted([3, 1, 2])
        >>> "sorted" in profiler.summary()
        True
    """

    def __init__(
        self,
        dirpath: str | Path | None = None,
        filename: str | None = None,
        line_count_restriction: float = 1.0,
        dump_stats: bool = False,
    ) -> None:
        super().__init__(dirpath, filename)
        shown = line_count_restriction
        if isinstance(shown, bool) or not ((isinstance(shown, int) and shown > 0) or 0 < shown <= 1):
            accepted = "a fraction of the lines (0.0-1.0) or a number of lines (int >= 1)"
            raise MisconfigurationException(bad_value("line_count_restriction", shown, accepted))
        self.line_count_restriction = line_count_restriction
        self.dump_stats = dump_stats
        self.profiled_actions: dict[str, cProfile.Profile] = {}
        self._running: list[str] = []

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        if self.stage is not None:  # what an earlier stage recorded is in its report
            self.profiled_actions.clear()
            self._running.clear()
        super().setup(stage, local_rank, log_dir)

    def start(self, action_name: str) -> None:
        if self._running:
            self.profiled_actions[self._running[-1]].disable()
        self._running.append(action_name)
        self.profiled_actions.setdefault(action_name, cProfile.Profile()).enable()

    def stop(self, action_name: str) -> None:
        if action_name not in self._running:
            raise ValueError(f"The action {action_name!r} is stopped, but was never started.")
        self.profiled_actions[self._running[-1]].disable()
        self._running.remove(action_name)
        if self._running:
            self.profiled_actions[self._running[-1]].enable()

    def summary(self) -> str:
        parts = []
        for action, profile in self.profiled_actions.items():
            table = io.StringIO()
            statistics = pstats.Stats(profile, stream=table).strip_dirs().sort_stats("cumulative")
            statistics.print_stats(self.line_count_restriction)
            parts.append(f"Profile stats for: {action}\n{table.getvalue().strip()}\n")
        title = f"{(self.stage or '').upper()} Profiler Report".strip()
        return "\n\n".join([title, *parts]) if parts else ""

    def describe(self) -> None:
        super().describe()
        for action, profile in self.profiled_actions.items() if self.dump_stats else ():
            profile.create_stats()
            with atomic_write(self.path(".prof", action)) as file:
                marshal.dump(profile.stats, file)  # what `Profile.dump_stats` writes
