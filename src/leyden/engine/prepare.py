"""``prepare_data``: once, in one process, and not again while the data is where it was."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator
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
    strategy = run.strategy
    for owner in (run.datamodule, run.module):
        method = overridden(owner, "prepare_data", DataHooks) if owner is not None else None
        if owner is None or method is None:
            continue
        responsible = strategy.local_rank == 0 if owner.prepare_data_per_node else strategy.global_rank == 0
        if not responsible:
            continue
        with run.hooks.inside("prepare_data"):
            if owner is run.datamodule:
                prepare_once(owner, method)
            else:
                method()


def prepare_once(data: Any, method: Any) -> None:
    """Prepare unless the same was done before.

    It was, if this object did it with the same hyper-parameters, folder and method; or if the folder that
    ``data_dir``, ``data_path`` or ``root`` names holds a stamp of the same, and what lay beside the stamp is still
    there. The stamp is written last, so a crash half-way prepares again; processes of one host wait for each other.
    """
    folder = data_folder(data)
    key = fingerprint(data, method, folder)
    with locked(folder):
        if is_stamped(folder, key) if folder is not None and folder.is_dir() else is_known(data, folder, key):
            return
        data.__dict__.pop("_prepared", None)
        method()
        stamp(folder, key)
        data.__dict__["_prepared"] = key, folder is not None and folder.is_dir()


def is_known(data: Any, folder: Path | None, key: str) -> bool:
    """Whether this object did the same before, and no folder has gone since."""
    known, had_folder = data.__dict__.get("_prepared", ("", False))
    return known == key and not had_folder


def data_folder(data: Any) -> Path | None:
    """The folder on this host that the data module's attribute or hyper-parameter names."""
    for name in FOLDER_ATTRIBUTES:
        value = getattr(data, name, None) or data.hparams.get(name)
        if isinstance(value, (str, os.PathLike)) and is_local(value):
            return Path(value).expanduser().absolute()
    return None


def fingerprint(data: Any, method: Any, folder: Path | None) -> str:
    """What decides the result of ``prepare_data``: the class, the hyper-parameters, the folder, the method's source."""
    try:
        source = inspect.getsource(method)
    except (OSError, TypeError):  # typed at a prompt
        code = getattr(method, "__code__", None)
        source = repr((code.co_code, code.co_names, code.co_consts)) if code is not None else repr(method)
    kind = type(data)
    hparams = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in data.hparams.items()
    }
    parts = (kind.__module__, kind.__qualname__, repr(sorted(hparams.items(), key=str)), str(folder), source)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def stamp_path(folder: Path, key: str) -> Path:
    """The file in the data's folder that says what was prepared."""
    return folder / f"{STAMP}{key[:16]}"


def stamp(folder: Path | None, key: str) -> None:
    """Note in the folder, if there is one, that it is prepared, and what lies in it."""
    if folder is not None and folder.is_dir():
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(STAMP))
        with suppress(OSError):  # a folder that cannot be written to is prepared in every run
            stamp_path(folder, key).write_text(json.dumps(names), encoding="utf-8")


def is_stamped(folder: Path, key: str) -> bool:
    """Whether the folder was prepared in the same way and is still complete."""
    try:
        names = json.loads(stamp_path(folder, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((folder / name).exists() for name in names)


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
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"leyden-prepare-{os.getuid()}-{name}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
