"""Loggers that write files: one folder per version, and the hyper-parameters in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from leyden.core.logger import Logger
from leyden.loggers.hparams import plain_hparams
from leyden.utils.files import atomic_write, filesystem, is_local

HPARAMS_FILE = "hparams.yaml"


class FolderLogger(Logger):
    """Base of the loggers whose files lie in ``save_dir/name/version_N``.

    Args:
        save_dir: The folder (or URL) under which everything lies; ``~`` and ``$NAME`` are replaced in a local one.
        name: A folder in it; None or ``""``: none.
        version: The version; None: one more than the highest ``version_N`` there. A str is the folder's whole name.
        prefix: Put before every metric's name, with a dash.
    """

    LOGGER_JOIN_CHAR = "-"

    def __init__(
        self, save_dir: str | os.PathLike[str], name: str | None, version: int | str | None, prefix: str
    ) -> None:
        folder = os.fspath(save_dir)
        self._save_dir = os.path.expanduser(os.path.expandvars(folder)) if is_local(folder) else folder
        self._name = name or ""
        self._version = version
        self._prefix = prefix

    @property
    def name(self) -> str:
        """The experiment's name; may be empty."""
        return self._name

    @property
    def version(self) -> int | str:
        """The version, found by looking at the folders when it was not given."""
        if self._version is None:
            self._version = self._next_version()
        return self._version

    @property
    def save_dir(self) -> str:
        """The folder given as ``save_dir``, with ``~`` and variables replaced."""
        return self._save_dir

    @property
    def root_dir(self) -> str:
        """``save_dir/name``."""
        return join(self._save_dir, self._name) if self._name else self._save_dir

    @property
    def log_dir(self) -> str:
        """``save_dir/name/version_N``."""
        version = self.version
        return join(self.root_dir, version if isinstance(version, str) else f"version_{version}")

    def prefixed(self, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put the prefix before the names."""
        if not self._prefix:
            return metrics
        return {f"{self._prefix}{self.LOGGER_JOIN_CHAR}{key}": value for key, value in metrics.items()}

    def _next_version(self) -> int:
        numbers = [name.removeprefix("version_") for name in _folders(self.root_dir) if name.startswith("version_")]
        return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1


def join(folder: str, name: str) -> str:
    """Join a folder, a path or a URL, and a name."""
    return os.path.join(folder, name) if is_local(folder) else f"{folder.rstrip('/')}/{name}"


def write_hparams(folder: str, hparams: Mapping[str, Any]) -> None:
    """Write hyper-parameters as plain data to ``hparams.yaml`` in a folder."""
    import yaml

    text = yaml.safe_dump(plain_hparams(hparams), sort_keys=False, allow_unicode=True)
    with atomic_write(join(folder, HPARAMS_FILE)) as file:
        file.write(text.encode())


def _folders(path: str) -> list[str]:
    store, name = filesystem(path)
    found = store.ls(name, detail=True) if store.isdir(name) else []
    return [entry["name"].rstrip("/").rpartition("/")[2] for entry in found if entry["type"] == "directory"]
