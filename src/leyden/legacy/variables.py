"""Environment variables of Lightning 1.x that have no effect, and what to write instead."""

from __future__ import annotations

import os
from collections.abc import Iterator

__all__ = ["REMOVED", "old_variables"]

REMOVED: dict[str, str] = {
    "PL_FAULT_TOLERANT_TRAINING": "Every checkpoint lets a run continue in the middle of an epoch",
    "PL_INTER_BATCH_PARALLELISM": "Batches are copied without waiting where the loader pins its memory",
    "PL_RECONCILE_PROCESS": "The launcher (torchrun) ends the other processes",
    "PL_TORCH_DISTRIBUTED_BACKEND": 'Write `Trainer(strategy=DDPStrategy(process_group_backend="gloo"))`',
}
"""The variables."""


def old_variables() -> Iterator[str]:
    """Yield what to say about each of them that is set.

    Example:
        >>> list(old_variables())
        []
    """
    for name, advice in REMOVED.items():
        if os.environ.get(name):
            yield f"The environment variable {name} is an old one without effect. {advice}."
