"""Modules under the paths that Lightning's interface has, whose names are Leyden's.

``pytorch_lightning.callbacks``, ``lightning.pytorch.callbacks`` and ``leyden.pytorch.callbacks`` are module objects of
their own, as in the reference, that share every class. A module's names are imported when they are first used.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial, reduce
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from leyden.errors import LightningDeprecationWarning, nearest
from leyden.legacy.absent import INTERNAL, PLACES
from leyden.legacy.names import PATHS, REMOVED
from leyden.legacy.old_names import OLD, OLD_PATHS
from leyden.legacy.stand_in import advice, stand_in

__all__ = [
    "ROOTS",
    "TABLE",
    "VERSION",
    "AliasLoader",
    "AliasModule",
    "is_module",
    "missing",
    "path_of",
    "private",
    "publish",
]

VERSION = "2.6.0"
"""The version of Lightning that programs see, in ``__version__`` and in the metadata of the distribution."""

ROOTS = {"lightning": "", "pytorch_lightning": "pytorch", "lightning_fabric": "fabric"}
"""Top-level import names, and the path in :data:`~leyden.legacy.names.PATHS` that each stands for."""

_OWN_ROOTS = {"leyden": "pytorch", "leyden.pytorch": "pytorch", "leyden.fabric": "fabric"}
_VERSIONED = ("", "pytorch", "fabric")


def _load_views() -> Any:
    """The folder of private names and read-only views, None where it was left out."""
    try:
        return importlib.import_module("leyden.legacy.views")
    except ModuleNotFoundError:
        return None


_VIEWS = _load_views()
_PRIVATE: dict[str, dict[str, str]] = {} if _VIEWS is None else _VIEWS.PRIVATE
TABLE: dict[str, dict[str, str]] = {
    path: PATHS.get(path, {}) | OLD_PATHS.get(path, {}) | _PRIVATE.get(path, {})
    for path in dict.fromkeys([*PATHS, *OLD_PATHS, *_PRIVATE])
}
"""Every module path that resolves, below the root, and the names of each, old and private ones too."""


def _with_parents(paths: Iterable[str]) -> frozenset[str]:
    return frozenset(path.rsplit(".", depth)[0] for path in paths for depth in range(path.count(".") + 1))


_MODULES = _with_parents([*PATHS, *_PRIVATE])
_NAMED = _MODULES | _with_parents([*OLD_PATHS, *PLACES])  # with old ones, and those with classes that are not there


class AliasModule(ModuleType):
    """A module under one of Lightning's paths, whose names are Leyden's."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "Leyden under the name of Lightning.")
        self.__all__ = [public for public in TABLE.get(path_of(name), {}) if not public.startswith("_")]
        if path_of(name) in _VERSIONED:
            self.__version__ = VERSION

    def __getattr__(self, name: str) -> Any:
        value = find(self.__name__, name)
        setattr(self, name, value)
        return value

    def __dir__(self) -> list[str]:
        return sorted({*vars(self), *self.__all__, *below(path_of(self.__name__), depth=1)})


class AliasLoader(InspectLoader):
    """Makes the modules; nothing is executed but the ``main`` of one that is run with ``python -m``."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make the module; its names come when they are asked for."""
        return AliasModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is executed; an old module says where its names are today."""
        warn_if_old(module.__name__)
        if path_of(module.__name__) in _VERSIONED:
            tell_rank()

    def get_source(self, fullname: str) -> str | None:
        """Return what ``python -m fullname`` runs, None for a module that is no command."""
        return f"from {fullname} import main\nraise SystemExit(main())\n" if is_command(fullname) else None

    def get_code(self, fullname: str) -> CodeType | None:
        """Return :meth:`get_source`, compiled."""
        source = self.get_source(fullname)
        return None if source is None else compile(source, f"<{fullname}>", "exec")

    def spec_of(self, fullname: str) -> ModuleSpec:
        """Return the spec of a module.

        Every module is a package, so that Python asks the finder for names that a module does not have; a command is
        none, since Python would look for its ``__main__``.
        """
        return ModuleSpec(fullname, self, origin="leyden", is_package=not is_command(fullname))


def path_of(fullname: str) -> str:
    """The path in the table that a full module name stands for.

    Example:
        >>> path_of("pytorch_lightning.callbacks"), path_of("leyden.callbacks"), path_of("leyden.fabric.plugins")
        ('pytorch.callbacks', 'pytorch.callbacks', 'fabric.plugins')
    """
    roots = ROOTS | _OWN_ROOTS
    root = max((root for root in roots if f"{fullname}.".startswith(f"{root}.")), key=len)
    return ".".join(part for part in (roots[root], fullname[len(root) + 1 :]) if part)


def tell_rank() -> None:
    """Set what the package lightning_utilities, where it is installed, expects Lightning to set when it is imported."""
    with suppress(ImportError):
        rank_zero_only = importlib.import_module("lightning_utilities.core.rank_zero").rank_zero_only
        if not hasattr(rank_zero_only, "rank"):
            rank_zero_only.rank = importlib.import_module("leyden.utils.rank").rank()


def warn_if_old(fullname: str, stacklevel: int = 3) -> None:
    """Warn of a name of 0.x or 1.x, with the name of today."""
    today = OLD.get(path_of(fullname))
    if today is not None:
        line = f"Import its names from `{today}`"
        if not is_module(path_of(fullname)):
            module, _, name = today.rpartition(".")
            line = f"Write `from {module} import {name}`"
        warnings.warn(f"`{fullname}` is an old name. {line}.", LightningDeprecationWarning, stacklevel=stacklevel)


def is_module(path: str) -> bool:
    """Whether a program finds a module at ``path`` in a drop-in run."""
    return path in _NAMED


def is_command(fullname: str) -> bool:
    """Whether the module can be run with ``python -m``."""
    return "main" in TABLE.get(path_of(fullname), {})


def below(path: str, depth: int | None = None, modules: Iterable[str] = _MODULES) -> Iterator[str]:
    """The modules below ``path``, named from there; ``depth=1``: those directly in it."""
    prefix = f"{path}." if path else ""
    for module in modules:
        rest = module[len(prefix) :]
        if module.startswith(prefix) and rest and (depth is None or rest.count(".") < depth):
            yield rest


def find(module: str, name: str) -> Any:
    """Return what ``name`` is in ``module``, both as a program writes them.

    Raises:
        AttributeError: There is no such name; the message says where one like it is.
    """
    path, foreign = path_of(module), module.partition(".")[0] in ROOTS
    names = TABLE.get(path, {})
    if name in names:
        warn_if_old(f"{module}.{name}", stacklevel=4)
        home, _, attribute = names[name].partition(":")
        return reduce(getattr, attribute.split("."), importlib.import_module(home))
    if foreign and name in PLACES.get(path, "").split():
        return stand_in(name)
    if name in below(path, depth=1, modules=_NAMED if foreign else _MODULES):
        return importlib.import_module(f"{module}.{name}")
    if name.startswith("__"):  # tools that look through all modules ask for these: no search for a close name
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    # In a drop-in run the finder raises the ImportError, and `hasattr` works.
    refusal = AttributeError if foreign or advice(name) is None else ImportError
    raise refusal(missing(f"{module}.{name}"))


def publish(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Let a module of ours have the sub-modules, and on request the names, that Lightning has at its path.

    The sub-modules for which there is no file are made, empty, so that ``import leyden.utilities.types`` finds them;
    what they name is imported when it is used.

    Args:
        package: The ``__name__`` of the module that calls this as it is imported.

    Returns:
        A ``__getattr__`` and a ``__dir__`` for a module that has no names of its own.
    """
    module, path, loader = sys.modules[package], path_of(package), AliasLoader()
    if path in _VERSIONED:
        vars(module)["__version__"] = VERSION
    for child in below(path):
        name = f"{package}.{child}"
        files = [Path(folder, *child.split(".")) for folder in getattr(module, "__path__", ())]
        if name in sys.modules or any(file.is_dir() or file.with_suffix(".py").exists() for file in files):
            continue
        alias = sys.modules[name] = loader.create_module(spec := loader.spec_of(name))
        alias.__spec__, alias.__loader__ = spec, loader
        if "." not in child:
            setattr(module, child, alias)

    def __dir__() -> list[str]:  # noqa: N807  # PEP 562
        return sorted({*vars(module), *TABLE.get(path, {}), *below(path, depth=1)})

    return partial(find, package), __dir__


def private(owner: Any, name: str) -> Any:
    """The ``__getattr__`` of a class with attributes that programs reach into Lightning's for.

    They are read-only views, in a folder of their own; without that folder there are none.
    """
    for kind in type(owner).__mro__:
        if name in vars(kind):  # a property that raised an AttributeError: it says why
            return vars(kind)[name].__get__(owner, type(owner))
    if _VIEWS is None:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    return _VIEWS.look(owner, name)


def missing(fullname: str) -> str:
    """Say that a name is not there, and where it, or one like it, is."""
    parent, _, name = fullname.rpartition(".")
    path, inside = path_of(fullname), path_of(parent) if parent else ""
    if path in REMOVED:
        return f"`{fullname}` is not in Leyden, and gone from Lightning too: {REMOVED[path]}."
    parents = [path.rsplit(".", depth)[0] for depth in range(path.count(".") + 1)]
    if said := next(filter(None, (advice(place, fullname) for place in (name, *parents))), ""):
        return said
    if name.startswith("_") or INTERNAL.keys() & set(parents):
        kind = "a private name" if name.startswith("_") else "an internal part"
        return f"`{fullname}` is {kind} of Lightning that Leyden has no counterpart of."
    text = f"`{fullname}` is not in Leyden{'' if fullname.startswith('leyden') else ', which stands in for Lightning'}."
    family = path.partition(".")[0] if path.partition(".")[0] in ("pytorch", "fabric") else ""
    homes = [home for home, names in PATHS.items() if name in names and home.startswith(family)]
    if homes:
        return f"{text} `{name}` is in `{_written(homes[0], fullname)}`."
    known = [*PATHS.get(inside, {}), *below(inside, depth=1)] if parent else []
    elsewhere = {public for names in PATHS.values() for public in names if public[0] == name[0]}
    return text + (nearest(name, known) or nearest(name, elsewhere))


def _written(path: str, like: str) -> str:
    """A path of the table as a program writes it that wrote ``like``."""
    if like.startswith("leyden"):
        return f"leyden.{path}".replace("leyden.pytorch", "leyden", 1)
    return ".".join(part for part in ("lightning", path) if part)
