"""Exports that are imported when they are first used, so that importing a package stays cheap (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from leyden.errors import nearest


def lazy_exports(
    package: str, exports: Mapping[str, str], subpackages: tuple[str, ...] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package whose names are imported on first use.

    Args:
        package: The package's ``__name__``.
        exports: Each exported name and the module that defines it.
        subpackages: Modules of the package that are imported when they are first named.

    The package then says::

        __getattr__, __dir__ = lazy_exports(__name__, {"Trainer": "leyden.trainer"})
    """
    close = cache(lambda name: nearest(name, [*exports, *subpackages]))  # tools ask for what is missing again and again

    def __getattr__(name: str) -> Any:  # noqa: N807  # PEP 562
        if name in subpackages:
            return importlib.import_module(f"{package}.{name}")
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}.{close(name)}")
        value = getattr(importlib.import_module(exports[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807  # PEP 562
        return sorted({*vars(sys.modules[package]), *exports, *subpackages})

    return __getattr__, __dir__
