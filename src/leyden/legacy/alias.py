"""Lightning's import names, resolved to Leyden: a finder for ``sys.meta_path`` that :mod:`leyden.dropin` installs.

``pytorch_lightning.callbacks`` and ``lightning.pytorch.callbacks`` are two module objects, as in the reference, that
share every class. A module's names are imported when they are first used.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from leyden.errors import nearest
from leyden.legacy.names import PATHS, REMOVED

__all__ = ["DISTRIBUTIONS", "ROOTS", "VERSION", "install"]

VERSION = "2.6.0"
"""The version of Lightning that programs see, in ``__version__`` and in the metadata of the distribution."""

ROOTS = {"lightning": "", "pytorch_lightning": "pytorch", "lightning_fabric": "fabric"}
"""Top-level import names, and the path in :data:`~leyden.legacy.names.PATHS` that each stands for."""

DISTRIBUTIONS = ("lightning", "pytorch-lightning", "lightning-fabric")
"""Names under which ``importlib.metadata`` knows the version."""

_VERSIONED = ("", "pytorch", "fabric")
_PARENTS = {path.rsplit(".", depth)[0] for path in PATHS for depth in range(1, path.count(".") + 1)}
_MODULES = frozenset(PATHS) | _PARENTS


def install() -> None:
    """Put the finder in front of all others, so that it wins over an installed Lightning. Idempotent.

    Raises:
        ImportError: The real package is loaded already: its classes and ours would mix.
    """
    if any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        return
    loaded = [root for root in ROOTS if root in sys.modules]
    if loaded:
        raise ImportError(
            f"The drop-in came too late: `{loaded[0]}` is loaded already, from {sys.modules[loaded[0]].__file__}. "
            "Import leyden.dropin before it, or run `python -m leyden.dropin SCRIPT`."
        )
    sys.meta_path.insert(0, AliasFinder())


class AliasModule(ModuleType):
    """A module under one of Lightning's names, whose names are Leyden's."""

    def __init__(self, name: str, path: str) -> None:
        super().__init__(name, "Leyden under the name of Lightning.")
        self._path = path
        self._names = PATHS.get(path, {})
        self._children = sorted(_children(path))
        self.__all__ = [*self._names]
        if path in _VERSIONED:
            self.__version__ = VERSION

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            value = _resolve(self._names[name])
        elif name in self._children:
            value = importlib.import_module(f"{self.__name__}.{name}")
        elif name.startswith("__"):  # tools that look through all modules ask for these: no search for a close name
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        else:
            raise AttributeError(_unknown(f"{self.__name__}.{name}"))
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *self._names, *self._children} - {"_path", "_names", "_children"})


class AliasFinder(DistributionFinder, Loader):
    """Finds the modules under Lightning's names, and the metadata of its distributions."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module under one of the roots, None for all other modules.

        Raises:
            ModuleNotFoundError: The name is under one of the roots and not in the table. Python looks here for
                ``X`` in ``from lightning.pytorch import X`` too, so this is the one place that says what is missing.
        """
        if fullname.partition(".")[0] not in ROOTS:
            return None
        parent, _, name = fullname.rpartition(".")
        if parent and name in PATHS.get(_path_of(parent), {}):
            return None  # a class and no module: tools that resolve a dotted string try both
        if _path_of(fullname) not in _MODULES:
            raise ModuleNotFoundError(_unknown(fullname))
        # Every module is a package, so that Python asks this finder for names that a module does not have.
        return ModuleSpec(fullname, self, origin="leyden", is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module; its names come when they are asked for."""
        return AliasModule(spec.name, _path_of(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is executed."""

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Yield what ``importlib.metadata`` is to say about Lightning's distributions."""
        wanted = None if context is None or context.name is None else context.name.lower().replace("_", "-")
        return (AliasDistribution(name) for name in DISTRIBUTIONS if wanted in (None, name))


class AliasDistribution(Distribution):
    """The metadata of one of Lightning's distributions: a name and a version."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        """Return the metadata; there are no other files."""
        return f"Metadata-Version: 2.1\nName: {self._name}\nVersion: {VERSION}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        """Return where a file of the distribution would be: beside this one."""
        return Path(__file__).parent.joinpath(path)


def _path_of(fullname: str) -> str:
    """``pytorch_lightning.callbacks`` -> ``pytorch.callbacks``."""
    root, _, rest = fullname.partition(".")
    return ".".join(part for part in (ROOTS[root], rest) if part)


def _children(path: str) -> Iterator[str]:
    prefix = f"{path}." if path else ""
    for module in _MODULES:
        rest = module.removeprefix(prefix)
        if module.startswith(prefix) and rest and "." not in rest:
            yield rest


def _resolve(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _unknown(fullname: str) -> str:
    """Say that a name is not there, and where it, or one like it, is."""
    parent, _, name = fullname.rpartition(".")
    path = _path_of(fullname)
    text = f"`{fullname}` is not in this version of Leyden, which stands in for Lightning in this run."
    if path in REMOVED:
        return f"{text} It is gone from Lightning too: {REMOVED[path]}."
    family = ROOTS[fullname.partition(".")[0]] or path.partition(".")[0]
    homes = [home for home, names in PATHS.items() if name in names and home.startswith(family)]
    if homes:
        where = ".".join(part for part in ("lightning", homes[0]) if part)
        return f"{text} `{name}` is in `{where}`."
    known = [*PATHS.get(_path_of(parent), {}), *_children(_path_of(parent))] if parent else []
    return text + (nearest(name, known) or nearest(name, {name for names in PATHS.values() for name in names}))
