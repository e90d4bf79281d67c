"""Which file a ``ckpt_path`` means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from leyden.engine.session import INTERRUPTED
from leyden.engine.states import TrainerFn
from leyden.errors import PossibleUserWarning, nearest

if TYPE_CHECKING:
    from leyden.core.callback import Checkpoint

LAST_NAMES = ("last*.ckpt", "on_exception*.ckpt", INTERRUPTED, "hpc_ckpt_*.ckpt")


def find_checkpoint(
    ckpt_path: str | os.PathLike[str] | None, fn: TrainerFn, callbacks: list[Checkpoint], root: str, fast_dev_run: Any
) -> str | None:
    """Turn a ``ckpt_path`` into a file name.

    Args:
        ckpt_path: A path or URL; ``"best"``: the best of the last fit; ``"last"``: the newest that a run left.
        fn: The entry point.
        callbacks: The callbacks that write checkpoints.
        root: The Trainer's root folder.
        fast_dev_run: Nothing is saved in such a run, so there is no best.

    Raises:
        ValueError: There is no best checkpoint.
    """
    if ckpt_path is None:
        return None
    if ckpt_path == "best":
        return _best(fn, callbacks, fast_dev_run)
    if ckpt_path == "last":
        return _last(callbacks, root)
    close = nearest(str(ckpt_path), ["best", "last"])
    if close and not Path(ckpt_path).exists():
        raise FileNotFoundError(
            f"Checkpoint file not found: {ckpt_path}.{close} Accepted: a path, a URL, 'best' or 'last'."
        )
    return os.fspath(ckpt_path)


def _best(fn: TrainerFn, callbacks: list[Checkpoint], fast_dev_run: Any) -> str:
    call = f'`.{fn.value}(ckpt_path="best")`'
    if fast_dev_run:
        raise ValueError(
            f"{call}: with `fast_dev_run` nothing is saved, so there is no best. Fix: leave one of them out."
        )
    if not callbacks:
        raise ValueError(f"{call}: there is no ModelCheckpoint. Fix: enable_checkpointing=True, or pass a path.")
    if len(callbacks) > 1:
        warn(f"{call}: there are {len(callbacks)} checkpoint callbacks; the first one's best is used.", stacklevel=3)
    path = getattr(callbacks[0], "best_model_path", "")
    if not path:
        raise ValueError(f"{call}: no checkpoint was saved yet. Fix: call `fit` first, or pass a path.")
    return str(path)


def _last(callbacks: list[Checkpoint], root: str) -> str | None:
    folders = {str(folder) for callback in callbacks if (folder := getattr(callback, "dirpath", None))}
    folders |= {root, str(Path(root) / "checkpoints")}
    files = [path for folder in sorted(folders) for pattern in LAST_NAMES for path in Path(folder).glob(pattern)]
    if not files:
        warn(
            f"`ckpt_path='last'`: no checkpoint was found in {sorted(folders)}, so training starts from the beginning. "
            "Fix: pass the path of a file.",
            PossibleUserWarning,
            stacklevel=3,
        )
        return None
    return str(max(files, key=lambda path: path.stat().st_mtime))
