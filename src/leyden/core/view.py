"""Properties that show what lies at a path of names."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

T = TypeVar("T")
Read = Callable[[Any], Any]
Write = Callable[[Any, Any], None]


class View(property, Generic[T]):
    """A property with a type: what lies at a path of names from its owner, or what a function finds.

    Args:
        find: The path, such as ``"strategy.world_size"``, or the function.
        doc: Its documentation.
        default: Shown, as a copy, where the path ends in None.
        change: Called when it is set; None: read-only.

    Example:
        >>> class Path:
        ...     parts = {"first": 1, "second": None}
        ...     first = View[int]("parts.first", "The first part.")
        ...     second = View[int]("parts.second", "The second part.", 0)
        >>> Path().first, Path().second
        (1, 0)
    """

    def __init__(self, find: str | Read, doc: str, default: Any = None, change: Write | None = None) -> None:
        super().__init__(partial(follow, find.split("."), default) if isinstance(find, str) else find, change)
        self.__doc__ = doc

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: type | None = None) -> T: ...  # type: ignore[override]


def follow(names: list[str], default: Any, owner: Any) -> Any:
    """What lies at a path of attributes and dictionary keys, else a copy of ``default``."""
    found = owner
    for name in names:
        found = found.get(name) if isinstance(found, dict) else getattr(found, name)
        if found is None:
            return copy(default)
    return found
