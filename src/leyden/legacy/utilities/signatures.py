"""What the parameters of a hook are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from leyden.utils.overrides import positional_count


def is_param_in_hook_signature(
    hook_fx: Callable[..., Any], param: str, explicit: bool = False, min_args: int | None = None
) -> bool:
    """Return whether a hook takes a parameter.

    Args:
        hook_fx: The hook.
        param: The parameter's name.
        explicit: Only by its name; else ``*args`` takes it too, and so does a hook with enough parameters.
        min_args: How many parameters are enough (``self`` not counted).

    Example:
        >>> is_param_in_hook_signature(lambda batch, batch_idx: None, "dataloader_idx")
        False
    """
    if param in inspect.signature(hook_fx).parameters:
        return True
    count = positional_count(hook_fx)
    return not explicit and (count is None or (min_args is not None and count >= min_args))
