"""The folder of checkpoint files: which one, whether it can be written, links and deletions in it."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leyden.errors import bad_value
from leyden.utils.files import filesystem, free_bytes, is_local, local_path, sweep_leftovers

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


@dataclass(eq=False)
class Save:
    """One decision: what to write, what to delete afterwards, and what was true before it."""

    path: str
    last: str
    obsolete: list[str]
    before: dict[str, Any]


def absolute(dirpath: str | os.PathLike[str]) -> str:
    """Return a local path with ``~`` and links resolved, a URL as it is."""
    return os.path.realpath(local_path(dirpath).expanduser()) if is_local(dirpath) else os.fspath(dirpath)


def default_folder(trainer: Trainer) -> str:
    """Return ``<logger's folder>/<name>/version_N/checkpoints``, without a logger ``<root>/checkpoints``."""
    if not trainer.loggers:
        return absolute(os.path.join(trainer.default_root_dir, "checkpoints"))
    logger = trainer.loggers[0]
    version = logger.version if isinstance(logger.version, str) else f"version_{logger.version}"
    root = logger.save_dir or trainer.default_root_dir
    return absolute(os.path.join(root, str(logger.name or ""), version, "checkpoints"))


def weight_bytes(module: LightningModule) -> int:
    """Return the size of a module's parameters and buffers, the least that a checkpoint of it needs."""
    tensors = (*module.parameters(), *module.buffers())
    return sum(t.numel() * t.element_size() for t in tensors if not hasattr(t, "materialize"))


def is_filled(dirpath: str) -> bool:
    """Return whether the folder exists and holds something."""
    if is_local(dirpath):
        return os.path.isdir(dirpath) and bool(os.listdir(dirpath))
    store, path = filesystem(dirpath)
    return bool(store.isdir(path) and store.ls(path))


def exists(path: str) -> bool:
    """Return whether there is a file or a folder; a link to nothing is none."""
    if is_local(path):
        return os.path.exists(local_path(path))
    store, name = filesystem(path)
    return bool(store.exists(name))


def prepare(dirpath: str, needed: int) -> str:
    """Create the folder and test that a checkpoint can be written into it.

    Args:
        dirpath: A local path or a URL.
        needed: Bytes that must be free.

    Returns:
        What is wrong with it, as a message; empty if nothing is.
    """
    accepted = "a folder that can be written, or that can be created"
    if not is_local(dirpath):
        store, path = filesystem(dirpath)
        store.makedirs(path, exist_ok=True)
        return ""
    if os.path.exists(dirpath) and not os.path.isdir(dirpath):
        return bad_value("dirpath", dirpath, f"{accepted}; this is a file", "name another folder, or remove the file")
    try:
        os.makedirs(dirpath, exist_ok=True)
        sweep_leftovers(dirpath)
        with tempfile.TemporaryFile(dir=dirpath) as probe:
            probe.write(b"0")
            probe.flush()
    except OSError as error:
        return bad_value("dirpath", dirpath, f"{accepted}; this fails with: {error}", "name another folder")
    free = free_bytes(os.path.join(dirpath, "checkpoint"))
    if free is not None and free < needed:
        room = f"a folder on a disk with {needed / 1e6:.1f} MB free; this has {free / 1e6:.1f} MB"
        return bad_value("dirpath", dirpath, room, "free space, or name a folder on another disk")
    return ""


def holds(dirpath: str, path: str) -> bool:
    """Return whether a path lies inside the folder."""
    if is_local(path):
        path, dirpath = os.path.abspath(path), os.path.abspath(dirpath)
    separator = os.sep if is_local(path) else "/"
    return path.startswith(dirpath.rstrip(separator) + separator)


def names_of(path: str | os.PathLike[str]) -> set[str]:
    """Return the absolute path of a checkpoint and, if it is a link, of what it points to."""
    if not is_local(path):
        return {os.fspath(path)}
    name = os.path.abspath(local_path(path))
    return {name, os.path.realpath(name)}


def remove(path: str) -> None:
    """Delete a checkpoint: a file, a link (not what it points to) or a folder; nothing if it is gone."""
    if not is_local(path):
        store, name = filesystem(path)
        if store.exists(name):
            store.rm(name, recursive=True)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.remove(path)


def link(target: str, path: str) -> None:
    """Let ``path`` be a relative link to ``target``, or a copy where links are impossible, in one step."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        os.symlink(os.path.relpath(target, folder), temporary)
    except OSError:
        (shutil.copytree if os.path.isdir(target) else shutil.copy)(target, temporary)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)  # a folder cannot be replaced by a rename
    os.replace(temporary, path)
