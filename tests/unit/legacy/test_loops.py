"""Progress in the layout of Lightning's checkpoints, and back."""

from __future__ import annotations

from typing import Any

import pytest

from leyden.engine.run import Phase, Progress
from leyden.legacy.loops import loops_of, progress_of


def checkpoint(progress: Progress, automatic: bool = True) -> dict[str, Any]:
    loops = loops_of(progress.state_dict(), automatic)
    return {"epoch": progress.epoch, "global_step": progress.global_step, "loops": loops}


@pytest.mark.parametrize("automatic", [True, False])
@pytest.mark.parametrize(
    "progress",
    [
        Progress(),
        Progress(epoch=2, batch=3, global_step=13, stepped=13, seen=13, started=True),
        Progress(epoch=2, batch=5, global_step=7, stepped=7, seen=15, started=True, is_last_batch=True),
        Progress(epoch=3, global_step=30, stepped=15, seen=15),
    ],
    ids=["fresh", "in an epoch", "at its last batch", "between epochs"],
)
def test_what_is_written_reads_back(progress: Progress, automatic: bool) -> None:
    read = Progress()
    read.load_state_dict(progress_of(checkpoint(progress, automatic)))
    expected = progress.state_dict() | {"is_last_batch": False}  # found again from the batch and the loader's length
    assert read.state_dict() == expected


def test_an_epoch_whose_hooks_ran_counts_as_processed() -> None:
    progress = Progress(epoch=1, batch=5, global_step=10, stepped=10, seen=10, started=True, phase=Phase.EPOCH_ENDED)
    epochs = loops_of(progress.state_dict(), True)["fit_loop"]["epoch_progress"]["current"]
    assert epochs == {"ready": 2, "started": 2, "processed": 2, "completed": 1}


def test_steps_are_counted_where_they_were_taken() -> None:
    progress = Progress(global_step=6, stepped=3)
    automatic, manual = (loops_of(progress.state_dict(), kind)["fit_loop"] for kind in (True, False))
    steps = "epoch_loop.automatic_optimization.optim_progress", "epoch_loop.manual_optimization.optim_step_progress"
    assert automatic[steps[0]]["optimizer"]["step"]["total"]["completed"] == 6
    assert automatic[steps[1]]["total"]["completed"] == 0
    assert manual[steps[0]]["optimizer"]["step"]["total"]["completed"] == 0
    assert manual[steps[1]]["total"]["completed"] == 6


def test_a_batch_whose_end_was_not_over_ends_on_resume() -> None:
    saved = checkpoint(Progress(epoch=0, batch=2, global_step=2, stepped=2, seen=2, started=True))
    saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"] = 1
    assert progress_of(saved)["phase"] == "trained"


def test_a_file_without_loops_starts_at_its_epoch() -> None:
    read = progress_of({"epoch": 4, "global_step": 40})
    assert (read["epoch"], read["batch"], read["global_step"], read["started"]) == (4, 0, 40, False)
