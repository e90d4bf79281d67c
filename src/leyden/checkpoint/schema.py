"""The keys of a checkpoint, and the check that a loaded object is one.

The names are those of Lightning's ``.ckpt``, so that files are read in both directions. What Leyden adds for exact
resumption lies under one key of its own, :data:`RUN`, with a version number.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import torch

from leyden.errors import CheckpointError
from leyden.legacy.checkpoints import upgrade

VERSION = 1  # of what lies under RUN; raised when an older program could not read it

EPOCH = "epoch"
GLOBAL_STEP = "global_step"
STATE_DICT = "state_dict"
LOOPS = "loops"
CALLBACKS = "callbacks"
OPTIMIZER_STATES = "optimizer_states"
LR_SCHEDULERS = "lr_schedulers"
LIGHTNING_VERSION = "pytorch-lightning_version"
LEYDEN_VERSION = "leyden_version"
RUN = "leyden"  # {"version": VERSION, ...}: random generators, order and position, accumulation, what is still due


def check(checkpoint: object, path: str) -> dict[str, Any]:
    """Return ``checkpoint`` if it is a checkpoint dict that this version reads, with today's keys if an old one.

    Args:
        checkpoint: What a file held.
        path: The file's name, for the message.

    Raises:
        CheckpointError: It is something else (a bare ``state_dict``, a tensor, a module), or written by a newer Leyden.

    Example:
        >>> sorted(check({"epoch": 0, "state_dict": {}}, "last.ckpt"))
        ['epoch', 'state_dict']
    """
    if not isinstance(checkpoint, dict):
        problem = f"it holds a {type(checkpoint).__name__}. Fix: use torch.load for files of other programs"
    elif isinstance(checkpoint.get(STATE_DICT), Mapping):
        run = checkpoint.get(RUN)
        version = run.get("version", VERSION) if isinstance(run, dict) else VERSION
        if version <= VERSION:
            return upgrade(checkpoint)[0]
        problem = f"a newer Leyden wrote it (format {version}, not {VERSION}). Fix: pip install --upgrade leyden"
    elif checkpoint and all(isinstance(value, torch.Tensor) for value in checkpoint.values()):
        problem = "it holds a bare state_dict (weights only). Fix: load it with model.load_state_dict(torch.load(path))"
    else:
        keys = reprlib.repr(list(checkpoint))
        problem = f"it has no 'state_dict'; its keys are {keys}. Fix: pass a file written by the Trainer"
    raise CheckpointError(f"{path!r} is not a checkpoint: {problem}.")
