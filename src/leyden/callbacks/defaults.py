"""The callbacks that a Trainer has without being given them, and the arguments that ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from leyden.callbacks.model_checkpoint import ModelCheckpoint
from leyden.callbacks.model_summary import ModelSummary
from leyden.callbacks.progress import ProgressBar, default_progress_bar
from leyden.callbacks.timer import Timer
from leyden.core.callback import Callback, Checkpoint
from leyden.engine.config import TrainerArguments, listed
from leyden.errors import MisconfigurationException

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
    """Return the callbacks that were given and, after them, those that are asked for and not there yet.

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
    return callbacks
