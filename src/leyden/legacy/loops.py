"""How far a run has come, in the layout of Lightning's checkpoints (the loops and their counters), and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def loops_of(progress: Mapping[str, Any], automatic: bool) -> dict[str, Any]:
    """Progress in the layout that Lightning reads."""
    over = progress["epoch"] + (1 if progress["phase"] == "epoch_ended" else 0)
    begun = progress["epoch"] + (1 if progress["started"] else 0)
    epochs = {"ready": begun, "started": begun, "processed": over, "completed": progress["epoch"]}

    def batches(total: int, current: int) -> dict[str, dict[str, int]]:
        counts = {"total": total, "current": current}
        return {kind: dict.fromkeys(("ready", "started", "processed", "completed"), n) for kind, n in counts.items()}

    def steps(count: int, *more: str) -> dict[str, dict[str, int]]:
        return {kind: dict.fromkeys(("ready", "completed", *more), count) for kind in ("total", "current")}

    stepped = progress["global_step"] if automatic else 0
    evaluated = {**batches(0, 0), "is_last_batch": False}
    evaluation = {"state_dict": {}, "batch_progress": evaluated}
    fit_loop = {
        "state_dict": {},
        "epoch_progress": {"total": epochs, "current": epochs},
        "epoch_loop.state_dict": {"_batches_that_stepped": progress["stepped"]},
        "epoch_loop.batch_progress": {
            **batches(progress["seen"], progress["batch"]),
            "is_last_batch": progress["is_last_batch"],
        },
        "epoch_loop.scheduler_progress": steps(0),
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {"step": steps(stepped), "zero_grad": steps(stepped, "started")}
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": steps(progress["global_step"] - stepped),
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": evaluated,
    }
    predict_loop = {"state_dict": {}, "batch_progress": batches(0, 0)}
    return {"fit_loop": fit_loop, "validate_loop": evaluation, "test_loop": evaluation, "predict_loop": predict_loop}


def progress_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Progress as Lightning's checkpoints tell it; a batch whose end was not over when it was saved ends here."""
    fit_loop = checkpoint.get("loops", {}).get("fit_loop", {})
    epochs = fit_loop.get("epoch_progress", {}).get("current", {})
    batches = fit_loop.get("epoch_loop.batch_progress", {})
    current, total = batches.get("current", {}), batches.get("total", {})
    epoch = epochs.get("processed", checkpoint["epoch"])
    inside = epochs.get("started", epoch) > epoch
    stepped = fit_loop.get("epoch_loop.state_dict", {}).get("_batches_that_stepped", checkpoint["global_step"])
    trained = current.get("processed", 0) if inside else 0
    return {
        "epoch": epoch,
        "batch": trained,
        "global_step": checkpoint["global_step"],
        "stepped": stepped,
        "seen": total.get("processed", stepped),
        "phase": "trained" if trained > current.get("completed", 0) else "ready",
        "started": inside,
    }
