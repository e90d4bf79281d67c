"""Classes that stand in for those which Leyden does not have: they can be named, and not made."""

from __future__ import annotations

from functools import cache
from typing import Any

from leyden.legacy.absent import LATER, NEVER

__all__ = ["advice", "stand_in"]


def advice(name: str, called: str | None = None) -> str | None:
    """Say that Leyden does not have ``name``, and what to do instead; None for a name that the tables do not hold.

    Args:
        name: A name, or a path of a module.
        called: What the message calls it; default: ``name``.

    Example:
        >>> advice("NeptuneLogger")
        'Leyden does not have `NeptuneLogger`: use another logger, such as `TensorBoardLogger` or `CSVLogger`.'
    """
    if name in LATER:
        return f"Leyden does not have `{called or name}` yet: {LATER[name]}."
    return f"Leyden does not have `{called or name}`: {NEVER[name]}." if name in NEVER else None


@cache
def stand_in(name: str) -> type:
    """Return the class for a name: no object is an instance of it, and making one raises.

    Example:
        >>> isinstance(3, stand_in("FSDPStrategy"))
        False
        >>> stand_in("FSDPStrategy")()
        Traceback (most recent call last):
        ImportError: Leyden does not have `FSDPStrategy` yet: use `strategy="ddp"`, which keeps the whole model on each device.
    """
    text = advice(name)

    def refuse(self: Any, *args: Any, **kwargs: Any) -> None:
        raise ImportError(text)

    return type(name, (), {"__init__": refuse, "__doc__": text, "__module__": __name__})
