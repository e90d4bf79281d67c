"""The keys of a checkpoint, and the check that a loaded object is one.

The names are those of Lightning's ``.ckpt``, so that files are read in both directions. What Leyden adds for exact
resumption lies under one key of its own, :data:`RUN`, with a version number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from leyden.errors import CheckpointError

VERSION = 1  # of what lies under RUN; raised when an older program could not read it

EPOCH = "epoch"
GLOBAL_STEP = "global_step"
STATE_DICT = "state_dict"
LOOPS = "loops"
CALLBACKS = "callbacks"
OPTIMIZER_STATES = "optimizer_states"
LR_SCHEDULERS = "lr_schedulers"
MIXED_PRECISION = "MixedPrecision"
HPARAMS_NAME = "hparams_name"
HPARAMS = "hyper_parameters"
HPARAMS_TYPE = "hparams_type"
DATAMODULE_HPARAMS_NAME = "datamodule_hparams_name"
DATAMODULE_HPARAMS = "datamodule_hyper_parameters"
LIGHTNING_VERSION = "pytorch-lightning_version"
LEYDEN_VERSION = "leyden_version"
RUN = "leyden"  # {"version": VERSION, ...}: random generators, order and position, accumulation, what is still due

TRAINING_KEYS = (CALLBACKS, OPTIMIZER_STATES, LR_SCHEDULERS, MIXED_PRECISION, RUN)
"""Keys that a weights-only checkpoint leaves out."""


def check(checkpoint: object, path: str) -> dict[str, Any]:
    """Return ``checkpoint`` if it is a checkpoint dict that this version reads.

    Args:
        checkpoint: What a file held.
        path: The file's name, for the message.

    Raises:
        CheckpointError: It is something else (a bare ``state_dict``, a tensor, a module), or written by a newer Leyden.

    Example:
        >>> sorted(check({"epoch": 0, "state_dict": {}}, "last.ckpt"))
        ['epoch', 'state_dict']
    """
    reason = fix = ""
    if not isinstance(checkpoint, dict):
        reason = f"it holds a {type(checkpoint).__name__}, not a checkpoint dict"
        fix = "use torch.load for files that the Trainer did not write"
    elif not isinstance(checkpoint.get(STATE_DICT), Mapping):
        if checkpoint and all(isinstance(value, torch.Tensor) for value in checkpoint.values()):
            reason = "it holds a bare state_dict (weights only, no 'state_dict' key)"
            fix = "load it with model.load_state_dict(torch.load(path)), or save {'state_dict': weights} instead"
        else:
            reason = f"it has no 'state_dict'; its keys are {_short(checkpoint)}"
            fix = "pass a file written by the Trainer, or use torch.load"
    elif isinstance(run := checkpoint.get(RUN), dict) and run.get("version", VERSION) > VERSION:
        reason = f"it was written by a newer Leyden (format {run['version']}; this one reads up to {VERSION})"
        fix = 'pip install --upgrade "leyden"'
    if reason:
        raise CheckpointError(f"{path!r} is not a checkpoint: {reason}. Fix: {fix}.")
    assert isinstance(checkpoint, dict)
    return checkpoint


def _short(keys: Mapping[Any, Any]) -> str:
    names = [repr(key) for key in list(keys)[:8]]
    return ", ".join(names + ["..."] * (len(keys) > 8)) or "none"
