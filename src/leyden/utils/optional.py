"""Optional dependencies, imported when something needs them."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: Its import name.
        extra: The extra of this package that installs it.

    Raises:
        ImportError: It is not installed (then a ``ModuleNotFoundError``) or its import fails; the message says why,
            and holds the line that installs it.

    Example:
        >>> require("json", "report").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        kind = ModuleNotFoundError if isinstance(error, ModuleNotFoundError) else ImportError
        text = f'This feature needs {module}: pip install "leyden[{extra}]". Its import said: {error}'
        raise kind(text, name=module) from error
