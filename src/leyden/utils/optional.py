"""Optional dependencies, imported when something needs them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from importlib.machinery import PathFinder
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: Its import name.
        extra: The extra of this package that installs it.

    Raises:
        ModuleNotFoundError: It is not installed; the message holds the line that installs it.
        ImportError: It is installed, but its import fails; the message says why.

    Example:
        >>> require("json", "report").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            text = f'This feature needs {module}: pip install "leyden[{extra}]"'
            raise ModuleNotFoundError(text, name=module) from None
        raise ImportError(_broken(module, extra, error), name=module) from error
    except ImportError as error:
        raise ImportError(_broken(module, extra, error), name=module) from error


def available(module: str) -> bool:
    """Return whether a module can be found, without importing it or its parents.

    Example:
        >>> available("json.decoder"), available("no_such_module")
        (True, False)
    """
    parts = module.split(".")
    with contextlib.suppress(Exception):  # a half-installed package may raise anything here
        spec = importlib.util.find_spec(parts[0])
        for end in range(2, len(parts) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return False
            spec = PathFinder.find_spec(".".join(parts[:end]), spec.submodule_search_locations)
        return spec is not None
    return False


def _broken(module: str, extra: str, error: ImportError) -> str:
    return f'This feature needs {module}, whose import fails ({error}): pip install --upgrade "leyden[{extra}]"'
