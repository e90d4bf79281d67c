"""The callbacks that a Trainer has without being given them, and the arguments that ask for them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from leyden.callbacks.model_checkpoint import ModelCheckpoint
from leyden.callbacks.model_summary import ModelSummary
from leyden.callbacks.progress import ProgressBar, default_progress_bar
from leyden.callbacks.timer import Timer
from leyden.core.callback import Callback, Checkpoint
from leyden.engine.config import TrainerArguments, listed
from leyden.errors import MisconfigurationException, bad_value

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "leyden.callbacks_factory"
"""The entry points by which an installed package adds callbacks to every Trainer: functions that return them."""
DEFAULTS: dict[str, tuple[type[Callback], Callable[[TrainerArguments], Callback]]] = {
    "max_time": (Timer, lambda arguments: Timer(arguments.max_time, interval="step")),
    "enable_progress_bar": (ProgressBar, lambda arguments: default_progress_bar()),
    "enable_model_summary": (ModelSummary, lambda arguments: ModelSummary()),
    "enable_checkpointing": (Checkpoint, lambda arguments: ModelCheckpoint()),
}
"""The argument that asks for a callback, the class that answers it, and how the default one is made."""


def check_callbacks(arguments: TrainerArguments) -> Iterator[Exception]:
    """Yield what is wrong about callbacks that the other arguments exclude."""
    for name, (kind, _) in DEFAULTS.items():
        present = [type(callback).__name__ for callback in listed(arguments.callbacks) if isinstance(callback, kind)]
        if present and getattr(arguments, name) is False:
            why = "barebones=True" if arguments.barebones else f"{name}=False"
            yield MisconfigurationException(
                f"`Trainer({why}, callbacks=[{', '.join(present)}(...)])` excludes what it asks for. "
                f"Fix: leave out `{why}`, or the callback."
            )
        if len(present) > 1 and kind is ProgressBar:
            yield MisconfigurationException(f"`callbacks` got {len(present)} progress bars: {present}. Accepted: one.")


def with_defaults(arguments: TrainerArguments) -> list[Callback]:
    """Return the callbacks that were given, those that are asked for and not there yet, and those of packages.

    Example:
        >>> arguments, _ = TrainerArguments.checked({"max_time": {"hours": 1}, "barebones": True})
        >>> [type(callback).__name__ for callback in with_defaults(arguments)]
        ['Timer']
    """
    callbacks: list[Callback] = listed(arguments.callbacks)
    for name, (kind, make) in DEFAULTS.items():
        wanted = getattr(arguments, name) not in (None, False)
        if wanted and not any(isinstance(callback, kind) for callback in callbacks):
            callbacks.append(make(arguments))
    return callbacks + [callback for point in factories() for callback in from_package(point)]


@functools.cache
def factories() -> tuple[EntryPoint, ...]:
    """The functions of installed packages that make callbacks; those for Lightning count while the drop-in is on."""
    from importlib.metadata import entry_points

    groups = [GROUP, *(["lightning.pytorch.callbacks_factory"] if "leyden.legacy.finder" in sys.modules else [])]
    return tuple(point for group in groups for point in entry_points(group=group))


def from_package(point: EntryPoint) -> list[Callback]:
    """Make the callbacks of a package.

    Raises:
        TypeError: Its function returned something else.
    """
    made = point.load()()
    callbacks = list(made) if isinstance(made, list | tuple) else [made]
    if not all(isinstance(callback, Callback) for callback in callbacks):
        raise TypeError(bad_value(f"the entry point {point.value}()", made, "a Callback, or a list of them"))
    return callbacks
