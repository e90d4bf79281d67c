from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers_fit import Regression, fit, loader
from leyden.profilers import SimpleProfiler


def rows(report: str) -> dict[str, list[str]]:
    """The cells of each action, without its name."""
    table = [line for line in report.splitlines()[2:] if line and not line.startswith("-")]
    return {line.rsplit(maxsplit=4)[0]: line.rsplit(maxsplit=4)[1:] for line in table[1:]}


def test_calls_and_seconds_are_counted() -> None:
    profiler = SimpleProfiler()
    for _ in range(3):
        with profiler.profile("a"), profiler.profile("b"):
            pass
    assert {name: len(found) for name, found in profiler.recorded_durations.items()} == {"a": 3, "b": 3}
    assert min(profiler.recorded_durations["a"]) > 0
    assert sum(profiler.recorded_durations["a"]) > sum(profiler.recorded_durations["b"])
    assert profiler.current_actions == {}


def test_the_table_begins_with_what_took_longest() -> None:
    profiler = SimpleProfiler()
    profiler.recorded_durations["short"].extend([0.5])
    profiler.recorded_durations["long one"].extend([1.0, 3.0])
    report = profiler.summary()
    assert report.splitlines()[0] == "Profiler Report"
    assert report.splitlines()[2].split("  ")[0] == "Action"
    assert [column in report for column in ("Mean duration (s)", "Num calls", "Total time (s)", "Percentage %")] == [
        True
    ] * 4
    cells = rows(report)
    assert list(cells) == ["Total", "long one", "short"]
    assert cells["Total"][:2] == ["-", "3"] and cells["Total"][3] == "100"
    assert cells["long one"][:3] == ["2.0", "2", "4.0"]
    assert cells["short"][:3] == ["0.5", "1", "0.5"]


def test_the_short_table_has_no_counts() -> None:
    profiler = SimpleProfiler(extended=False)
    profiler.recorded_durations["a"].extend([1.0, 3.0])
    lines = profiler.summary().splitlines()
    assert lines[2].split() == ["Action", "Mean", "duration", "(s)", "Total", "time", "(s)"]
    assert lines[4].split() == ["a", "2.0", "4.0"]
    assert len(lines) == 5


def test_nothing_recorded_is_nothing_to_report() -> None:
    assert SimpleProfiler().summary() == ""


def test_starting_twice_and_stopping_without_a_start_are_errors() -> None:
    profiler = SimpleProfiler()
    with pytest.raises(ValueError, match="'a' is stopped, but was never started"):
        profiler.stop("a")
    profiler.start("a")
    with pytest.raises(ValueError, match="'a' was started and is started again"):
        profiler.start("a")


def test_each_stage_of_a_trainer_has_its_own_report(tmp_path: Path) -> None:
    class Tested(Regression):
        def test_step(self, batch: Any, batch_idx: int) -> None: ...

    profiler, module = SimpleProfiler(filename="times"), Tested()
    with profiler.profile("before"):
        pass
    made = fit(module, profiler=profiler, default_root_dir=tmp_path)
    assert rows((tmp_path / "fit-times.txt").read_text())["run_training_batch"][1] == "4"
    assert "before" in profiler.recorded_durations, "what came before the first run belongs to it"
    made.test(module, loader(), verbose=False)
    tested = rows((tmp_path / "test-times.txt").read_text())
    assert tested["[Strategy]SingleDeviceStrategy.test_step"][1] == "4"
    assert "run_training_batch" not in tested
    assert {path.name for path in tmp_path.iterdir()} == {"fit-times.txt", "test-times.txt"}


def test_the_report_goes_to_the_loggers_folder(tmp_path: Path) -> None:
    from leyden.loggers import CSVLogger

    logger = CSVLogger(tmp_path, name="runs", version=0)
    fit(Regression(), profiler=SimpleProfiler(filename="times"), logger=logger, log_every_n_steps=1)
    assert (tmp_path / "runs" / "version_0" / "fit-times.txt").exists()
