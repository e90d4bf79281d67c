"""Lightning's import names in a drop-in run: a finder for ``sys.meta_path`` that :mod:`leyden.dropin` installs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from leyden.legacy.alias import ROOTS, TABLE, VERSION, AliasLoader, is_module, missing, path_of

__all__ = ["DISTRIBUTIONS", "AliasFinder", "install"]

DISTRIBUTIONS = {
    "lightning": "lightning",
    "pytorch-lightning": "pytorch_lightning",
    "lightning-fabric": "lightning_fabric",
}
"""Names under which ``importlib.metadata`` knows the version, and the package that each one installs."""

_LOGGERS = (*ROOTS, "lightning.pytorch", "lightning.fabric")


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
    for name in _LOGGERS:  # programs set a level to have less, or more, on the console
        logging.root.manager.loggerDict.setdefault(name, logging.getLogger("leyden"))


class AliasFinder(DistributionFinder):
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
        if parent and name in TABLE.get(path_of(parent), {}) and not is_module(path_of(fullname)):
            return None  # a class and no module: tools that resolve a dotted string try both
        if not is_module(path_of(fullname)):
            raise ModuleNotFoundError(missing(fullname))  # with `name=`, Python would replace the message
        return AliasLoader().spec_of(fullname)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """Yield what ``importlib.metadata`` is to say about Lightning's distributions."""
        wanted = None if context is None or context.name is None else context.name.lower().replace("_", "-")
        return (AliasDistribution(name) for name in DISTRIBUTIONS if wanted in (None, name))


class AliasDistribution(Distribution):
    """The metadata of one of Lightning's distributions: a name, a version, and the package that it installs."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        """Return the metadata or the package's name; there are no other files."""
        files = {
            "METADATA": f"Metadata-Version: 2.1\nName: {self._name}\nVersion: {VERSION}\n",
            "top_level.txt": f"{DISTRIBUTIONS[self._name]}\n",
        }
        return files.get(filename)

    def locate_file(self, path: Any) -> Path:
        """Return where a file of the distribution would be: beside this one."""
        return Path(__file__).parent.joinpath(path)
