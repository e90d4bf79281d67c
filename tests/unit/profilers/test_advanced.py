from __future__ import annotations

import pstats
from pathlib import Path
from typing import Any

import pytest

from helpers_fit import Regression, fit, loader
from leyden.errors import MisconfigurationException
from leyden.profilers import AdvancedProfiler


def outer_work() -> int:
    return 1


def inner_work() -> int:
    return 2


def nested(profiler: AdvancedProfiler) -> None:
    with profiler.profile("outer"):
        outer_work()
        with profiler.profile("inner"):
            inner_work()
        outer_work()


def calls(profiler: AdvancedProfiler, action: str) -> dict[str, int]:
    profiler.profiled_actions[action].create_stats()
    return {name: found[0] for (_, _, name), found in profiler.profiled_actions[action].stats.items()}


def test_each_call_is_in_the_innermost_action() -> None:
    profiler = AdvancedProfiler()
    nested(profiler)
    nested(profiler)
    assert calls(profiler, "outer")["outer_work"] == 4, "the action goes on when the one inside it has ended"
    assert "inner_work" not in calls(profiler, "outer")
    assert calls(profiler, "inner")["inner_work"] == 2
    assert "outer_work" not in calls(profiler, "inner")


def test_an_action_that_raises_is_stopped() -> None:
    profiler = AdvancedProfiler()
    with pytest.raises(KeyError), profiler.profile("outer"), profiler.profile("inner"):
        raise KeyError
    nested(profiler)
    assert calls(profiler, "outer")["outer_work"] == 2


def test_the_report_has_a_table_per_action() -> None:
    profiler = AdvancedProfiler()
    nested(profiler)
    report = profiler.summary()
    assert report.startswith("Profiler Report\n")
    assert report.count("Profile stats for: ") == 2
    assert report.index("outer_work") < report.index("Profile stats for: inner") < report.index("inner_work")
    assert AdvancedProfiler().summary() == ""


def test_stopping_what_was_never_started_is_an_error() -> None:
    with pytest.raises(ValueError, match="'a' is stopped, but was never started"):
        AdvancedProfiler().stop("a")


@pytest.mark.parametrize(("restriction", "lines"), [(1.0, 4), (0.5, 2), (3, 3)])
def test_the_tables_can_be_shortened(restriction: float, lines: int) -> None:
    profiler = AdvancedProfiler(line_count_restriction=restriction)
    profiler.start("work")
    outer_work()
    inner_work()
    profiler.stop("work")
    assert calls(profiler, "work").keys() >= {"outer_work", "inner_work", "stop"}
    table = profiler.summary().partition("filename:lineno(function)\n")[2].strip().splitlines()
    assert len(table) == lines


@pytest.mark.parametrize("bad", [0, -1, 1.5, -0.1, True])
def test_bad_restrictions(bad: float) -> None:
    with pytest.raises(MisconfigurationException, match="line_count_restriction"):
        AdvancedProfiler(line_count_restriction=bad)


def test_stats_are_dumped_for_other_tools(tmp_path: Path) -> None:
    profiler = AdvancedProfiler(tmp_path, "calls", dump_stats=True)
    fit(Regression(), profiler=profiler)
    assert "Profile stats for: run_training_batch" in (tmp_path / "fit-calls.txt").read_text()
    stats = pstats.Stats(str(tmp_path / "fit-calls-[Strategy]SingleDeviceStrategy.training_step.prof"))
    assert any(name == "training_step" for _, _, name in stats.stats)  # type: ignore[attr-defined]
    assert len(list(tmp_path.glob("*.prof"))) == len(profiler.profiled_actions)


def test_each_stage_of_a_trainer_has_its_own_report(tmp_path: Path) -> None:
    class Tested(Regression):
        def test_step(self, batch: Any, batch_idx: int) -> None: ...

    profiler, module = AdvancedProfiler(tmp_path, "calls"), Tested()
    fit(module, profiler=profiler).test(module, loader(), verbose=False)
    report = (tmp_path / "test-calls.txt").read_text()
    assert "test_step" in report and "run_training_batch" not in report
