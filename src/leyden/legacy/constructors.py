"""Arguments that callbacks had in 0.x and 1.x, translated where the callback is made."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

from leyden.errors import LightningDeprecationWarning
from leyden.utils.rank import rank_zero_warn

__all__ = ["early_stopping_arguments", "model_checkpoint_arguments", "takes_old"]

Arguments = dict[str, Any]
Translate = Callable[[Arguments], list[str]]
Constructor = TypeVar("Constructor", bound=Callable[..., None])


def takes_old(translate: Translate) -> Callable[[Constructor], Constructor]:
    """Let a constructor take old arguments: ``translate`` puts today's in their place, with one warning for all.

    Args:
        translate: Changes the keyword arguments, and returns what was old in them, each as ``"old -> today"``.
    """

    def decorate(function: Constructor) -> Constructor:
        @functools.wraps(function)
        def construct(self: Any, *args: Any, **kwargs: Any) -> None:
            if old := translate(kwargs):
                changes = "; ".join(
                    f"`{before}`: write `{today}`" for before, today in (row.split(" -> ") for row in old)
                )
                text = f"{type(self).__name__} got arguments of an old release. {changes}."
                rank_zero_warn(text, 2, LightningDeprecationWarning)
            function(self, *args, **kwargs)

        return cast("Constructor", construct)  # with the signature of today's

    return decorate


def model_checkpoint_arguments(arguments: Arguments) -> list[str]:
    """ModelCheckpoint's: ``filepath``, ``prefix``, ``period``, ``every_n_val_epochs``, ``mode="auto"``.

    Example:
        >>> given = {"filepath": "out/best", "period": 2}
        >>> model_checkpoint_arguments(given)
        ["filepath='out/best' -> dirpath='out', filename='best'", 'period=2 -> every_n_epochs=2']
        >>> given
        {'dirpath': 'out', 'filename': 'best', 'every_n_epochs': 2}
    """
    old = []
    if "filepath" in arguments:
        path = arguments.pop("filepath")
        folder, name = (path, "") if path is None or os.path.isdir(path) else os.path.split(path)
        today = {key: value for key, value in (("dirpath", folder), ("filename", name)) if value}
        old.append(_change(arguments, f"filepath={path!r}", today))
    if "prefix" in arguments:
        prefix = arguments.pop("prefix")
        name = "-".join(filter(None, [prefix, arguments.get("filename") or "{epoch}-{step}"]))
        old.append(_change(arguments, f"prefix={prefix!r}", {"filename": name} if prefix else {}))
    for name in ("period", "every_n_val_epochs"):
        if name in arguments:
            every = arguments.pop(name)
            old.append(_change(arguments, f"{name}={every!r}", {} if every is None else {"every_n_epochs": every}))
    if "save_function" in arguments:
        function = arguments.pop("save_function")
        if function is not None:
            raise TypeError(
                "`ModelCheckpoint(save_function=...)` is of an old release and has no counterpart. "
                "Fix: a sub-class of ModelCheckpoint, or a CheckpointIO in `Trainer(plugins=...)`."
            )
        old.append("save_function=None -> ModelCheckpoint(...)")
    return old + _explicit_mode(arguments)


def early_stopping_arguments(arguments: Arguments) -> list[str]:
    """EarlyStopping's ``mode="auto"``."""
    return _explicit_mode(arguments)


def _explicit_mode(arguments: Arguments) -> list[str]:
    """``mode="auto"``: the direction followed from the name of what is monitored."""
    if arguments.get("mode") != "auto":
        return []
    monitor = str(arguments.get("monitor") or "")
    mode = "max" if "acc" in monitor or monitor.startswith("fmeasure") else "min"
    return [_change(arguments, "mode='auto'", {"mode": mode})]


def _change(arguments: Arguments, before: str, today: Arguments) -> str:
    arguments.update(today)
    written = ", ".join(f"{name}={value!r}" for name, value in today.items())
    return f"{before} -> {written or 'nothing: it is the default'}"
