"""The state of a translation of old Trainer arguments: what is asked for by now, what to say, what is refused."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from leyden.errors import MisconfigurationException

MISSING: Any = object()


@dataclass(frozen=True)
class Build:
    """An object that is built when everything is translated.

    Args:
        name: A class that ``leyden.callbacks`` or ``leyden.loggers`` exports.
        arguments: Its keyword arguments.

    Example:
        >>> print(Build("ModelSummary", {"max_depth": 1}))
        ModelSummary(max_depth=1)
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}({_call(self.arguments)})"


@dataclass
class Translation:
    """Arguments on their way from old names to today's.

    Args:
        arguments: What the user gave, old and new names mixed; changed in place.
    """

    arguments: dict[str, Any]
    messages: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def built(self) -> dict[str, Any]:
        """The arguments, with the callbacks and loggers built that old ones stand for."""
        return {name: _built(value) for name, value in self.arguments.items()}

    def take(self, name: str) -> Any:
        """Remove an argument and return its value, :data:`MISSING` if it was not given."""
        return self.arguments.pop(name, MISSING)

    def replace(self, old: str, value: Any, note: str = "", **today: Any) -> None:
        """Put ``today``'s arguments in the place of ``old=value``, which was already taken out."""
        for name, new in today.items():
            given = self.arguments.get(name, MISSING)
            if given not in (MISSING, None, "auto") and given != new:
                self.refuse(
                    old, value, f"It says `{name}={new!r}`, but `{name}={given!r}` is given too: keep one of them"
                )
                return
        self.arguments.update(today)
        self.announce(old, value, f"Trainer({_call(today)})", note)

    def add_callback(self, old: str, value: Any, callback: Any, note: str = "") -> None:
        """Put a callback, or the description of one, in the place of ``old=value``."""
        given = self.arguments.get("callbacks")
        self.arguments["callbacks"] = [*_as_list(given), callback]
        self.announce(old, value, f"Trainer(callbacks=[{_short(callback)}])", note)

    def drop(self, old: str, value: Any, note: str = "It has no effect") -> None:
        """Leave ``old=value`` out: it asks for what happens anyway."""
        self.messages.append(f"`Trainer({old}={_short(value)})` is an old argument. {note}: leave it out.")

    def announce(self, old: str, value: Any, line: str, note: str = "") -> None:
        """Say which line to write today instead of ``old=value``."""
        text = f"`Trainer({old}={_short(value)})` is an old argument. Write `{line}`."
        self.messages.append(f"{text} {note}." if note else text)

    def refuse(self, old: str, value: Any, fix: str) -> None:
        """Collect the error for ``old=value``, which cannot be translated."""
        self.errors.append(
            TypeError(f"`Trainer({old}={_short(value)})` is an old argument without a translation. {fix}.")
        )


def _built(value: Any) -> Any:
    if isinstance(value, list):
        return [_built(item) for item in value]
    if not isinstance(value, Build):
        return value
    for package in map(import_module, ("leyden.callbacks", "leyden.loggers")):
        if value.name in package.__all__:
            return getattr(package, value.name)(**value.arguments)
    raise MisconfigurationException(f"`{value}` is needed for an old argument, and does not exist yet.")


def _as_list(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _short(value: Any) -> str:
    return str(value) if isinstance(value, Build) else reprlib.repr(value)


def _call(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
