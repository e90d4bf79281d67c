"""Which file a ``ckpt_path`` means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from leyden.engine.session import INTERRUPTED
from leyden.engine.states import TrainerFn
from leyden.errors import PossibleUserWarning, nearest
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.engine.run import Run

BY_SIGNALS = (INTERRUPTED, "hpc_ckpt_*.ckpt")
NAMES = {"last": ("last*.ckpt", "on_exception*.ckpt", *BY_SIGNALS), "hpc": BY_SIGNALS}


def find_checkpoint(run: Run, ckpt_path: str | os.PathLike[str] | None) -> str | None:
    """Turn a ``ckpt_path`` into a file name.

    Args:
        run: The run that loads it.
        ckpt_path: A path or URL; ``"best"``: the best of the last fit; ``"last"``: the newest that a run left; ``"hpc"``:
            the newest that a run left because of a signal; None: in fit what a callback that saves failing runs has
            left, else nothing.

    Raises:
        ValueError: There is no best checkpoint, or none that a signal left.
        FileNotFoundError: The path looks like a misspelt ``"best"`` or ``"last"``.
    """
    if ckpt_path is None:
        continues = run.fn is TrainerFn.FITTING and not run.arguments.fast_dev_run
        return next(iter(left_by_exceptions(run)), None) if continues else None
    if ckpt_path == "best":
        return best(run)
    if ckpt_path in ("last", "hpc"):
        return last(run, str(ckpt_path))
    if str(ckpt_path).startswith("registry") and not Path(ckpt_path).exists():
        raise ValueError(f"`ckpt_path={str(ckpt_path)!r}`: there is no model registry here. Fix: pass a path or URL.")
    close = nearest(str(ckpt_path), ["best", "last"])
    if close and not Path(ckpt_path).exists():
        raise FileNotFoundError(f"Checkpoint file not found: {ckpt_path}.{close} Accepted: 'best', 'last' or a path.")
    return os.fspath(ckpt_path)


def best(run: Run) -> str:
    """The best checkpoint of the first callback that writes some."""
    callbacks, call = run.trainer.checkpoint_callbacks, f'`.{run.fn.value}(ckpt_path="best")`'
    path = getattr(callbacks[0], "best_model_path", "") if callbacks else ""
    if run.arguments.fast_dev_run:
        raise ValueError(f"{call}: with `fast_dev_run` nothing is saved. Fix: leave one of them out.")
    if not callbacks:
        raise ValueError(f"{call}: there is no ModelCheckpoint. Fix: enable_checkpointing=True, or pass a path.")
    if not path:
        raise ValueError(f"{call}: no checkpoint was saved yet. Fix: call `fit` first, or pass a path.")
    if len(callbacks) > 1:
        rank_zero_warn(f"{call}: there are {len(callbacks)} checkpoint callbacks; the first one's best is used.")
    return str(path)


def left_by_exceptions(run: Run) -> list[str]:
    """The files of failed runs that callbacks such as OnExceptionCheckpoint have written, and not removed since."""
    return [path for c in run.callbacks if (path := getattr(c, "resumes_from", None)) is not None]


def last(run: Run, which: str) -> str | None:
    """The newest checkpoint that a run left, as its last one or because it was interrupted."""
    root, callbacks = run.trainer.default_root_dir, run.trainer.checkpoint_callbacks
    folders = {root, str(Path(root) / "checkpoints"), *(str(getattr(c, "dirpath", None) or root) for c in callbacks)}
    files = [path for folder in sorted(folders) for name in NAMES[which] for path in Path(folder).glob(name)]
    files += [Path(path) for path in left_by_exceptions(run) if which == "last" and Path(path).exists()]
    if files:
        return str(max(files, key=lambda path: path.stat().st_mtime))
    if which == "hpc":
        raise ValueError(f"`ckpt_path='hpc'`: no signal has left a checkpoint in {sorted(folders)}. Fix: pass a path.")
    text = f"`ckpt_path='last'`: no checkpoint was found in {sorted(folders)}, so training starts from the beginning"
    rank_zero_warn(f"{text}. Fix: pass the path of a file.", category=PossibleUserWarning)
    return None
