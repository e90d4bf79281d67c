"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from inspect import Parameter, Signature, signature
from typing import Any

from leyden.core.callback import Callback
from leyden.core.hooks import HOOKS
from leyden.errors import bad_value, nearest

NAMES = [hook.name for hook in HOOKS.values() if "c" in hook.owners and hook.dispatched]


class LambdaCallback(Callback):
    """Call functions at hooks, without writing a class.

    Args:
        hooks: A function per hook, by the hook's name; it gets what the hook gets (``trainer, pl_module, ...``).

    Raises:
        TypeError: A name is no hook of a callback, or what was given is no function.

    Example:
        >>> import leyden as pl
        >>> callback = pl.callbacks.LambdaCallback(
        ...     on_train_epoch_end=lambda trainer, pl_module: print("epoch", trainer.current_epoch)
        ... )
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        for name, function in hooks.items():
            if name not in NAMES:
                raise TypeError(
                    f"`LambdaCallback` got {name!r}, which is no hook of a callback.{nearest(name, NAMES)} "
                    f"Known: {', '.join(NAMES)}."
                )
            if function is not None and not callable(function):
                raise TypeError(bad_value(name, function, "a function that takes (trainer, pl_module, ...)"))
        self.__dict__.update({name: without_result(f) for name, f in hooks.items() if f is not None})


def without_result(function: Callable[..., Any]) -> Callable[..., None]:
    """The function, with nothing returned: a lambda returns something, and no hook of a callback wants it."""

    def call(*given: Any) -> None:
        function(*given)

    with suppress(ValueError):  # a builtin may have none
        call.__signature__ = signature(function)  # type: ignore[attr-defined]
    return call


# For readers, editors and configuration systems.
LambdaCallback.__init__.__signature__ = Signature(  # type: ignore[attr-defined]
    [
        Parameter("self", Parameter.POSITIONAL_OR_KEYWORD),
        *(Parameter(n, Parameter.KEYWORD_ONLY, default=None, annotation=Callable[..., Any] | None) for n in NAMES),
    ],
    return_annotation=None,
)
