"""Which checkpoints a logger has not sent yet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from leyden.core.callback import Checkpoint

ARGUMENTS = ("monitor", "mode", "save_last", "save_top_k", "save_weights_only")
"""What tells how a checkpoint was chosen."""


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint on disk, as a checkpoint callback ranks it.

    Args:
        path: The file, or the folder of a sharded one.
        changed: When it was written, in seconds since the epoch.
        aliases: ``"latest"``, ``"best"``, both or neither.
        metadata: Its file name, its score (None: unranked), and the arguments of the callback that chose it.
    """

    path: str
    changed: float
    aliases: tuple[str, ...]
    metadata: dict[str, Any]


def unsent_checkpoints(callback: Checkpoint, sent: dict[str, float]) -> list[SavedCheckpoint]:
    """Return the callback's local checkpoints that are new or written anew, the oldest first, and note them.

    Args:
        callback: The callback that writes them; what it has no attributes for is left out.
        sent: When each path that was sent had been written; those returned are added.
    """
    last, best = (os.fspath(getattr(callback, f"{kind}_model_path", "") or "") for kind in ("last", "best"))
    scores: dict[str, Any] = {last: getattr(callback, "current_score", None)}
    scores[best] = getattr(callback, "best_model_score", None)
    scores.update(getattr(callback, "best_k_models", {}))
    there = [(os.path.getmtime(path), path) for path in scores if path and os.path.exists(path)]
    found = []
    for changed, path in sorted(there):
        if sent.get(path) == changed:
            continue
        sent[path] = changed
        latest = path == last or (not last and (changed, path) == max(there))
        aliases = tuple(alias for alias, holds in (("latest", latest), ("best", path == best)) if holds)
        score = scores[path]
        chosen = {name: getattr(callback, name) for name in ARGUMENTS if hasattr(callback, name)}
        metadata = {
            "original_filename": os.path.basename(path),
            "score": None if score is None else float(score),
            type(callback).__name__: chosen,
        }
        found.append(SavedCheckpoint(path, changed, aliases, metadata))
    return found
