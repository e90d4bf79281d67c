"""Exceptions and warnings that users see.

A message names the argument, what was given, what is accepted, and the fix; :func:`bad_value` writes it in that form.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class MisconfigurationException(Exception):
    """The program asks for something that cannot work: wrong arguments, a missing hook, a combination that is excluded."""


class ConfigurationErrors(MisconfigurationException, ValueError, TypeError):
    """Several configuration mistakes at once, reported together.

    It is an instance of every type that one of its parts could have had, so ``except ValueError`` written for a
    single mistake still works.
    """

    def __init__(self, errors: Sequence[Exception]) -> None:
        self.errors = tuple(errors)
        lines = "\n".join(f"  {number}. {error}" for number, error in enumerate(self.errors, start=1))
        count = f"{len(self.errors)} mistake{'s' if len(self.errors) != 1 else ''}"
        super().__init__(f"{count} in the configuration:\n{lines}")


class CheckpointError(RuntimeError):
    """A checkpoint file cannot be read or written; the message names the file, the reason and the fix."""


class SIGTERMException(SystemExit):
    """Raised at a step boundary after SIGTERM; the exit code is 143 (128 + SIGTERM)."""

    def __init__(self) -> None:
        super().__init__(143)


class PossibleUserWarning(UserWarning):
    """A warning about something that is probably, but not certainly, a mistake."""


class LightningDeprecationWarning(DeprecationWarning):
    """An old name was used; the message shows the line to write today."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the name closest to ``name``, or an empty string when none is close.

    Example:
        >>> nearest("max_epoch", ["max_epochs", "max_steps"])
        " Did you mean 'max_epochs'?"
    """
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def bad_value(argument: str, given: object, accepted: str, fix: str = "") -> str:
    """Write the standard message about an argument.

    Example:
        >>> bad_value("max_epochs", "10", "an int >= -1", "write max_epochs=10")
        "`max_epochs` got '10' (str). Accepted: an int >= -1. Fix: write max_epochs=10."
    """
    shown = " ".join(repr(given).split())
    shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
    text = f"`{argument}` got {shown} ({type(given).__name__}). Accepted: {accepted}."
    return f"{text} Fix: {fix}." if fix else text


def single_or_all(errors: Sequence[Exception]) -> Exception | None:
    """Return nothing for no error, the error itself for one, a :class:`ConfigurationErrors` for several."""
    if not errors:
        return None
    return errors[0] if len(errors) == 1 else ConfigurationErrors(errors)


def missing_metric(monitor: str, available: Iterable[str]) -> str:
    """Write the part of a message that names what can be monitored instead, and how to log what cannot."""
    names = sorted(available)
    return (
        f"Available: {names}.{nearest(monitor, names)} "
        f"Fix: call `self.log({monitor!r}, value)` in the LightningModule, or monitor one of these."
    )
