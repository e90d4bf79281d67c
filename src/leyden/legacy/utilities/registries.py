"""Strategies and accelerators by name, as ``Trainer(strategy=..., accelerator=...)`` takes them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any


class Registry:
    """Names that the Trainer takes, read from its own table; :meth:`register` adds one.

    Args:
        table: Where the table is, as ``"module:attribute"``; it is imported on first use.

    Example:
        >>> "ddp" in StrategyRegistry
        True
    """

    def __init__(self, table: str) -> None:
        self._place = table

    @property
    def _table(self) -> dict[str, Any]:
        module, _, attribute = self._place.partition(":")
        table: dict[str, Any] = getattr(importlib.import_module(module), attribute)
        return table

    def register(
        self,
        name: str,
        cls: Callable[..., Any] | None = None,
        description: str = "",
        override: bool = False,
        **init_params: Any,
    ) -> Any:
        """Add a class under a name; without ``cls`` it is a decorator.

        Args:
            name: The name.
            cls: The class.
            description: Has no effect.
            override: Replace what has this name.
            init_params: Arguments with which the class is called.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._table and not override:
            raise ValueError(f"`name` got {name!r}, which is registered already. Fix: another name, or override=True.")
        if cls is None:
            return lambda decorated: self.register(name, decorated, description, override, **init_params)
        self._add(name, partial(cls, **init_params) if init_params else cls)
        return cls

    def _add(self, name: str, build: Any) -> None:
        self._table[name] = build

    def get(self, name: str, default: Any = None) -> Any:
        """Return a new instance of what ``name`` stands for.

        Raises:
            KeyError: There is no such name, and no ``default``.
        """
        if name not in self._table and default is not None:
            return default
        if name not in self._table:
            raise KeyError(f"{name!r} is not registered. Accepted: {', '.join(self)}.")
        return self._table[name]()

    def remove(self, name: str) -> None:
        """Take a name out."""
        del self._table[name]

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._table))

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return f"Registered: {', '.join(self)}"

    keys = __iter__

    def available_strategies(self) -> list[str]:
        """Return the names."""
        return list(self)

    def available_accelerators(self) -> set[str]:
        """Return the names."""
        return set(self)


class _Accelerators(Registry):
    def _add(self, name: str, build: Any) -> None:
        super()._add(name, build)
        importlib.import_module("leyden.runtime.resolve")._KINDS[name] = (name,)


StrategyRegistry = Registry("leyden.runtime.resolve:STRATEGIES")
"""The strategies that ``Trainer(strategy="...")`` knows."""
AcceleratorRegistry = _Accelerators("leyden.runtime.accelerators:ACCELERATORS")
"""The accelerators that ``Trainer(accelerator="...")`` knows."""
