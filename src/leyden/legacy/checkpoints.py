"""Checkpoints of Lightning 0.x and 1.x as today's: a chain of small migrations, from a dict to a dict.

Nothing here reads a file or runs code of one. What the files name (classes of an old release, as types of hyper-parameters
or as keys of callbacks' states) is read as one of :func:`known_classes`.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from leyden.legacy.loops import loops_of, progress_of

__all__ = ["MIGRATIONS", "known_classes", "upgrade", "writer"]

Checkpoint = dict[str, Any]
Migration = Callable[[Checkpoint], Iterator[str]]

VERSION = "pytorch-lightning_version"
LEGACY_VERSION = f"legacy_{VERSION}"


def _path(*parts: str) -> Path:
    return Path(*parts)


_CALLBACKS = {
    "callbacks.early_stopping": ("EarlyStopping",),
    "callbacks.finetuning": ("BackboneFinetuning", "BaseFinetuning"),
    "callbacks.lr_monitor": ("LearningRateMonitor",),
    "callbacks.model_checkpoint": ("ModelCheckpoint",),
    "callbacks.timer": ("Timer",),
}
_PACKAGES = ("pytorch_lightning", "lightning.pytorch", "lightning")
_DICTS = (
    *("utilities.parsing", "utilities.data", "fabric.utilities.data", "pytorch.utilities.parsing"),
    "core.mixins.hparams_mixin",
)
_KEYS = {
    f"{package}.{module}.{name}": type(name, (), {"__qualname__": name})
    for package in _PACKAGES
    for module, names in _CALLBACKS.items()
    for name in names
}

_NOT_SAVED = (
    ((1, 6), "the position in an epoch (training goes on with the next one)"),
    ((1, 5), "the files that ModelCheckpoint kept beside the best"),
    ((0, 8), "the best score of EarlyStopping"),
)
"""What a file of an older version than this does not tell about a run."""


def known_classes() -> list[Any]:
    """What names in an old file are read as, each with that name: plain data, which runs no code.

    Example:
        >>> (dict, "pytorch_lightning.utilities.parsing.AttributeDict") in known_classes()
        True
    """
    dicts = [f"{root}.{module}.AttributeDict" for root in (*_PACKAGES, "lightning_fabric") for module in _DICTS]
    paths = [f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in ("PosixPath", "WindowsPath")]
    return [
        *((dict, name) for name in dicts),
        *((kind, name) for name, kind in _KEYS.items()),
        (Namespace, "argparse.Namespace"),
        *((_path, name) for name in paths),
    ]


def upgrade(checkpoint: Checkpoint) -> tuple[Checkpoint, list[str]]:
    """Bring a checkpoint of an old Lightning to today's keys.

    Args:
        checkpoint: What the file held; it is not changed.

    Returns:
        The checkpoint, the same object if there was nothing to do; and what was done, or is missing, in sentences.

    Example:
        >>> upgraded, notes = upgrade({"state_dict": {}, "epoch": 3, "global_step": 9, "hparams": {"lr": 0.1}})
        >>> upgraded["hyper_parameters"], upgraded["hparams_name"], upgraded["legacy_pytorch-lightning_version"]
        ({'lr': 0.1}, 'hparams', '0.0.0')
    """
    version = version_of(checkpoint)
    if version >= (2,) or not {"epoch", "global_step"} <= checkpoint.keys():
        return checkpoint, []
    upgraded: Checkpoint = {key: value for key, value in checkpoint.items() if key != VERSION}
    notes = [note for before, migrate in MIGRATIONS if version < before for note in migrate(upgraded)]
    upgraded[LEGACY_VERSION] = str(checkpoint.get(VERSION, "0.0.0"))
    upgraded[VERSION] = "2.6.0"
    return upgraded, notes


def version_of(checkpoint: Mapping[str, Any]) -> tuple[int, ...]:
    """The version of Lightning that wrote a checkpoint; of 0.7 and older, which did not say, 0.0.0."""
    return tuple(int(number) for number in re.findall(r"\d+", str(checkpoint.get(VERSION, "0.0.0")))[:3])


def writer(checkpoint: Mapping[str, Any]) -> str:
    """Who wrote a checkpoint, and what it does not tell about the run beside what Lightning's never do.

    Example:
        >>> writer({"pytorch-lightning_version": "2.6.1"})
        'Lightning 2.6.1'
    """
    old = checkpoint.get(LEGACY_VERSION)
    if old is None:
        return f"Lightning {checkpoint.get(VERSION, 'of an unknown version')}"
    name = f"Lightning {old}" if old != "0.0.0" else "Lightning 0.7 or older"
    missing = [what for since, what in _NOT_SAVED if version_of({VERSION: old}) < since]
    return f"{name}, which did not save {', '.join(missing)}" if missing else name


def _hyper_parameters(checkpoint: Checkpoint) -> Iterator[str]:
    """0.7: ``hparams``, for an argument of that name; 0.8: ``module_arguments``."""
    for key, name in (("hparams", "hparams"), ("module_arguments", "kwargs")):
        if key in checkpoint:
            checkpoint["hyper_parameters"] = checkpoint.pop(key)
            checkpoint.setdefault("hparams_name", name)
            checkpoint.pop("hparams_type", None)
            yield f"The hyper-parameters were under `{key}`."


def _callback_attributes(checkpoint: Checkpoint) -> Iterator[str]:
    """0.x: the states of the two callbacks that there were, in keys of their own."""
    stopping = checkpoint.pop("early_stop_callback_state_dict", None)
    wait, patience = (checkpoint.pop(f"early_stop_callback_{name}", None) for name in ("wait", "patience"))
    if stopping is None and wait is not None:
        stopping = {"wait_count": wait, "patience": patience}
        yield "EarlyStopping's best score was not saved: it starts anew, with the number of checks waited."
    best = [checkpoint.pop(f"checkpoint_callback_{name}", None) for name in ("best_model_score", "best")]
    path = checkpoint.pop("checkpoint_callback_best_model_path", "")
    score = next((value for value in best if value is not None), None)
    callbacks = dict(checkpoint.get("callbacks") or {})
    if stopping is not None:
        callbacks["EarlyStopping"] = dict(stopping)
    if score is not None or path:
        callbacks["ModelCheckpoint"] = {"best_model_score": score, "best_model_path": path}
    checkpoint["callbacks"] = callbacks


def _callback_classes(checkpoint: Checkpoint) -> Iterator[str]:
    """Up to 1.4: the states of callbacks under their classes."""
    states = checkpoint.get("callbacks") or {}
    checkpoint["callbacks"] = {
        key.__qualname__ if isinstance(key, type) else key: state for key, state in states.items()
    }
    classes = [key.__qualname__ for key in states if isinstance(key, type)]
    if classes:
        yield f"The states of callbacks were under their classes ({', '.join(classes)})."


def _loops(checkpoint: Checkpoint) -> Iterator[str]:
    """Up to 1.5 there were no loops, up to 1.9 they had other names."""
    saved = checkpoint.get("loops")
    manual = _at(saved, "fit_loop", "epoch_loop.batch_loop.manual_loop.optim_step_progress", "total", "completed")
    position = progress_of(checkpoint)
    checkpoint["loops"] = loops_of({**position, "is_last_batch": False}, automatic=not manual)
    if not saved:
        yield f"The position in an epoch was not saved: training goes on with epoch {checkpoint['epoch']}."


def _scaler(checkpoint: Checkpoint) -> Iterator[str]:
    """1.x: the gradient scaler's state under other names; apex's cannot be used."""
    for key in ("native_amp_scaling_state", "NativeMixedPrecisionPlugin", "MixedPrecisionPlugin"):
        if key in checkpoint:
            checkpoint["MixedPrecision"] = checkpoint.pop(key)
            yield f"The gradient scaler's state was under `{key}`."
    for key in ("amp_scaling_state", "ApexMixedPrecisionPlugin"):
        if checkpoint.pop(key, None) is not None:
            yield f"`{key}` is a state of apex, which is gone: the gradient scaler starts anew."


def _checkpoint_keys(checkpoint: Checkpoint) -> Iterator[str]:
    """Up to 1.8, the key of ModelCheckpoint's state named one argument more."""
    more = re.compile(r", 'save_on_train_epoch_end': (True|False|None)(?=})")
    states = checkpoint.get("callbacks") or {}
    checkpoint["callbacks"] = {
        more.sub("", key) if str(key).startswith("ModelCheckpoint{") else key: state for key, state in states.items()
    }
    yield from ()


def _best_models(checkpoint: Checkpoint) -> Iterator[str]:
    """Up to 1.4, ModelCheckpoint's state held the best file alone."""
    for key, state in (checkpoint.get("callbacks") or {}).items():
        if str(key).startswith("ModelCheckpoint") and "best_k_models" not in state:
            path, score = state.get("best_model_path", ""), state.get("best_model_score")
            known = {"best_k_models": {path: score}, "kth_best_model_path": path, "kth_value": score} if path else {}
            checkpoint["callbacks"][key] = {**state, **(known if score is not None else {})}
            yield "ModelCheckpoint's state names its best file only; the others of the top k are not known."


def _plain_hyper_parameters(checkpoint: Checkpoint) -> Iterator[str]:
    """Containers of Lightning's own as plain dicts."""
    for key in ("hyper_parameters", "datamodule_hyper_parameters"):
        if key in checkpoint:
            checkpoint[key] = _plain(checkpoint[key])
    yield from ()


MIGRATIONS: tuple[tuple[tuple[int, ...], Migration], ...] = (
    ((0, 10), _hyper_parameters),
    ((0, 10), _callback_attributes),
    ((1, 5), _callback_classes),
    ((1, 5), _best_models),
    ((1, 9), _checkpoint_keys),
    ((2,), _scaler),
    ((2,), _loops),
    ((2,), _plain_hyper_parameters),
)
"""Each with the version that it leads to: it runs for checkpoints of older ones, in this order."""


def _plain(value: Any) -> Any:
    """Dicts and Namespaces of any class as dicts."""
    if isinstance(value, Namespace):
        value = vars(value)
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _at(mapping: Any, *keys: str) -> Any:
    """What lies at a path of keys; None if the path ends before."""
    for key in keys:
        mapping = mapping.get(key) if isinstance(mapping, Mapping) else None
    return mapping
