"""What a user's object overrides, and what its functions accept. Asked when a run is set up, never in a step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

_BASES = frozenset({"LightningModule", "LightningDataModule", "Callback"})


def is_overridden(name: str, instance: object, base: type | None = None) -> bool:
    """Return whether ``instance`` has its own method ``name``, defined in a subclass or set on the instance.

    Args:
        name: The method's name.
        instance: The object that may override it.
        base: The class whose method counts as the default; None: the LightningModule, LightningDataModule or
            Callback that ``instance`` inherits from. What ``base`` does not have is overridden if it is there at all.

    Raises:
        ValueError: ``base`` is None and ``instance`` inherits from none of the three.

    Example:
        >>> class Base:
        ...     def setup(self): ...
        >>> class Child(Base):
        ...     def setup(self): ...
        >>> is_overridden("setup", Child(), Base), is_overridden("setup", Base(), Base)
        (True, False)
    """
    if base is None:
        base = _framework_base(type(instance))
    found = getattr(instance, name, None)
    return found is not None and _function(found) is not _function(getattr(base, name, None))


def accepts_argument(fn: Callable[..., Any], name: str) -> bool:
    """Return whether ``fn`` can be called with the keyword ``name``, by a parameter or by ``**kwargs``.

    Example:
        >>> accepts_argument(lambda batch, batch_idx: None, "dataloader_idx")
        False
    """
    parameters = _parameters(fn)
    if parameters is None:
        return False
    return any(
        p.kind is Parameter.VAR_KEYWORD or (p.name == name and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        for p in parameters
    )


def positional_count(fn: Callable[..., Any]) -> int | None:
    """Return how many positional arguments ``fn`` takes at most (a bound ``self`` not counted); None for ``*args``.

    Example:
        >>> positional_count(lambda batch, batch_idx, *, flag=False: None)
        2
    """
    parameters = _parameters(fn)
    if parameters is None or any(p.kind is Parameter.VAR_POSITIONAL for p in parameters):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _framework_base(cls: type) -> type:
    for ancestor in cls.__mro__:
        if ancestor.__name__ in _BASES and ancestor.__module__.startswith("leyden.core."):
            return ancestor
    raise ValueError(f"{cls.__qualname__} inherits from none of {', '.join(sorted(_BASES))}: pass `base`.")


def _function(method: Any) -> Any:
    return getattr(method, "__func__", method)


def _parameters(fn: Callable[..., Any]) -> list[Parameter] | None:
    try:
        return list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # built-ins without a signature
        return None
