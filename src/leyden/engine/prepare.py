"""``prepare_data``: once, in one process, and not again while the data is where it was."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leyden.core.datamodule import DataHooks
from leyden.core.hooks import overridden

if TYPE_CHECKING:
    from leyden.engine.run import Run

FOLDER_ATTRIBUTES = ("data_dir", "data_path", "root")


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
    ``data_dir``, ``data_path`` or ``root`` names holds a stamp of the same. The stamp is written last, so a crash
    half-way prepares again; processes of one host wait for each other.
    """
    folder = data_folder(data)
    key = fingerprint(data, method, folder)
    if data.__dict__.get("_prepared") == key and (folder is None or folder.exists()):
        return
    if folder is None:
        method()
    else:
        folder.mkdir(parents=True, exist_ok=True)
        stamp = folder / f".leyden-prepared-{key[:16]}"
        with locked(folder / ".leyden-prepare.lock"):
            if not stamp.exists():
                method()
                stamp.write_text(f"{type(data).__qualname__}\n", encoding="utf-8")
    data.__dict__["_prepared"] = key


def data_folder(data: Any) -> Path | None:
    """The folder that the data module's attribute or hyper-parameter names."""
    for name in FOLDER_ATTRIBUTES:
        value = getattr(data, name, None) or data.hparams.get(name)
        if isinstance(value, (str, os.PathLike)):
            return Path(value).expanduser().absolute()
    return None


def fingerprint(data: Any, method: Any, folder: Path | None) -> str:
    """What decides the result of ``prepare_data``: the class, the hyper-parameters, the folder, the method's source."""
    try:
        source = inspect.getsource(method)
    except (OSError, TypeError):
        source = repr(getattr(method, "__code__", method))
    parts = (type(data).__qualname__, repr(sorted(data.hparams.items(), key=str)), str(folder), source)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other processes of this host respect; without lock support, hold nothing."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
