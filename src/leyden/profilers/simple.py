"""How often each action ran, and how long it took."""

from __future__ import annotations

import time
from array import array
from collections import defaultdict
from pathlib import Path

from leyden.core.profiler import Profiler


class SimpleProfiler(Profiler):
    """Counts the calls of each action and adds up their seconds.

    Actions lie inside each other (``run_training_epoch`` holds ``run_training_batch`` holds ``training_step``), so the
    percentages of the report add up to more than 100.

    Args:
        dirpath: The folder of the report; default: the logger's folder, else the Trainer's root folder.
        filename: The middle of the report's file name; None prints it.
        extended: Show the number of calls and the share of the whole time too.

    Attributes:
        recorded_durations: The seconds of each call, by action.

    Example:
        >>> profiler = SimpleProfiler()
        >>> with profiler.profile("load"):
        ...     data = list(range(10))
        >>> len(profiler.recorded_durations["load"])
        1
    """

    def __init__(self, dirpath: str | Path | None = None, filename: str | None = None, extended: bool = True) -> None:
        super().__init__(dirpath, filename)
        self.extended = extended
        self.current_actions: dict[str, float] = {}
        self.recorded_durations: dict[str, array[float]] = defaultdict(lambda: array("d"))  # 8 bytes a call
        self.start_time = time.monotonic()

    def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
        if self.stage is not None:  # what an earlier stage recorded is in its report
            self.current_actions.clear()
            self.recorded_durations.clear()
            self.start_time = time.monotonic()
        super().setup(stage, local_rank, log_dir)

    def start(self, action_name: str) -> None:
        if action_name in self.current_actions:
            raise ValueError(f"The action {action_name!r} was started and is started again. Fix: stop it first.")
        self.current_actions[action_name] = time.perf_counter()

    def stop(self, action_name: str) -> None:
        now = time.perf_counter()
        if action_name not in self.current_actions:
            raise ValueError(f"The action {action_name!r} is stopped, but was never started.")
        self.recorded_durations[action_name].append(now - self.current_actions.pop(action_name))

    def summary(self) -> str:
        if not self.recorded_durations:
            return ""
        whole = time.monotonic() - self.start_time
        calls = sum(map(len, self.recorded_durations.values()))
        rows: list[tuple[str, ...]] = [("Action", "Mean duration (s)", "Num calls", "Total time (s)", "Percentage %")]
        rows.append(("Total", "-", str(calls), f"{whole:.5}", "100"))
        totals = {action: sum(durations) for action, durations in self.recorded_durations.items()}
        for action in sorted(totals, key=lambda action: -totals[action]):
            count, total = len(self.recorded_durations[action]), totals[action]
            rows.append((action, f"{total / count:.5}", str(count), f"{total:.5}", f"{100 * total / whole:.5}"))
        if not self.extended:
            rows = [row[:2] + row[3:4] for row in rows if row[0] != "Total"]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join([f"{(self.stage or '').upper()} Profiler Report".strip(), "", *lines, ""])
