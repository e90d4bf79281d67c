"""The arguments of a ModelCheckpoint, checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from leyden.callbacks.checkpoint_names import check_template
from leyden.callbacks.monitoring import MODES
from leyden.errors import MisconfigurationException, bad_value, nearest
from leyden.utils.files import is_local


def check_arguments(mode: Any, monitor: Any, save_top_k: Any, save_last: Any, filename: str | None) -> None:
    """Refuse what a ModelCheckpoint cannot work with.

    Raises:
        MisconfigurationException: An argument is not one of the accepted values.

    Example:
        >>> check_arguments("min", "val_loss", 3, "link", "{epoch}-{val_loss:.2f}")
    """
    for message in wrong(mode, monitor, save_top_k, save_last):
        raise MisconfigurationException(message)
    check_template("filename", filename or "")


def wrong(mode: Any, monitor: Any, save_top_k: Any, save_last: Any) -> Iterator[str]:
    """Yield a message for each argument that is not one of the accepted values."""
    if mode not in MODES:
        yield bad_value("mode", mode, f"one of {MODES}") + nearest(str(mode), MODES)
    if not isinstance(save_top_k, int) or isinstance(save_top_k, bool) or save_top_k < -1:
        yield bad_value("save_top_k", save_top_k, "an int >= -1 (-1: all, 0: none)")
    elif monitor is None and save_top_k > 1:
        fix = "name the logged value to rank by, `monitor='val_loss'`"
        yield bad_value("save_top_k", save_top_k, "-1, 0 or 1 when `monitor` is None", fix)
    if save_last not in (None, True, False, "link"):
        yield bad_value("save_last", save_last, "True, False, None or 'link'")


def check_link(save_last: Any, dirpath: str | None) -> None:
    """Refuse links where there are none.

    Raises:
        ValueError: ``save_last="link"`` with a URL.
    """
    if save_last == "link" and dirpath is not None and not is_local(dirpath):
        accepted = f"True when `dirpath` is a URL ({dirpath})"
        raise ValueError(bad_value("save_last", "link", accepted, "write save_last=True"))
