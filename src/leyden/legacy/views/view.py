"""What the views have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Never


class View:
    """Shows an object under the names of Lightning's; what has no counterpart is an error that says so.

    Args:
        owner: The object.
    """

    _owner: Any
    _called: ClassVar[str]
    """How programs reach the view."""

    def __init__(self, owner: Any) -> None:
        self.__dict__["_owner"] = owner

    def __getattr__(self, name: str) -> Never:
        raise AttributeError(f"`{self._called}.{name}` is internal to Lightning; Leyden has no counterpart of it.")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"`{self._called}.{name}` cannot be set: Leyden shows it, and keeps it elsewhere.")
