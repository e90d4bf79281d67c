"""``prepare_data``: once, in one process, and not again while the data is where it was."""

from __future__ import annotations

import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.core.datamodule import DataHooks
from leyden.core.hooks import overridden
from leyden.utils.files import is_local

if TYPE_CHECKING:
    from leyden.engine.run import Run

FOLDER_ATTRIBUTES = ("data_dir", "data_path", "root")
STAMP = ".leyden-prepared-"


def prepare_data(run: Run) -> None:
    """Call ``prepare_data`` of the data module and of the module, on the process that is responsible for it."""
    for owner in (run.datamodule, run.module):
        method = overridden(owner, "prepare_data", DataHooks)
        if owner is None or method is None:
            continue
        rank = run.strategy.local_rank if owner.prepare_data_per_node else run.strategy.global_rank
        if rank == 0:
            with run.hooks.inside("prepare_data", owner):
                method() if owner is run.module else prepare_once(owner, method)


def prepare_once(data: Any, method: Callable[[], Any]) -> None:
    """Prepare unless the same was done before.

    It was, if the folder that ``data_dir``, ``data_path`` or ``root`` names holds a stamp of the same class,
    hyper-parameters and method; without such a folder, if this object did it. The stamp is written last, so a crash
    half-way prepares again. Processes of one host wait for each other.
    """
    folder = data_folder(data)
    key = fingerprint(data, method, folder)
    stamp = None if folder is None else folder / f"{STAMP}{key}"
    with locked(folder):
        if getattr(data, "_prepared", None) == key or (stamp is not None and stamp.exists()):
            return
        method()
        data._prepared = key
        if stamp is not None:
            with suppress(OSError):  # a folder that is not there, or not to be written to: only the object remembers
                stamp.touch()
                del data._prepared


def data_folder(data: Any) -> Path | None:
    """The folder on this host that the data module's attribute or hyper-parameter names."""
    for name in FOLDER_ATTRIBUTES:
        value = getattr(data, name, None) or data.hparams.get(name)
        if isinstance(value, (str, os.PathLike)) and is_local(value):
            return Path(value).expanduser().absolute()
    return None


def fingerprint(data: Any, method: Callable[[], Any], folder: Path | None) -> str:
    """What decides the result of ``prepare_data``, as a hash."""
    try:
        source = inspect.getsource(method)
    except (OSError, TypeError):  # typed at a prompt
        source = repr(getattr(method, "__code__", method))
    hparams = {name: str(value) for name, value in data.hparams.items()}
    parts = f"{type(data).__module__}.{type(data).__qualname__}, {hparams}, {folder}, {source}"
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


@contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Hold a lock on a folder that other processes of this user on this host respect; without lock support, none.

    The lock lies in the system's temporary folder: the data's folder may not exist yet, and whether it does can be
    what ``prepare_data`` asks.
    """
    try:
        import fcntl
    except ImportError:
        folder = None
    if folder is None:
        yield
        return
    name = f"leyden-prepare-{os.getuid()}.lock"  # one for all folders, so that they do not pile up
    with open(Path(tempfile.gettempdir()) / name, "a", opener=open_no_link) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_no_link(path: str, flags: int) -> int:
    """Open a file of this user's alone, in a folder where others may have put a link in its place."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
