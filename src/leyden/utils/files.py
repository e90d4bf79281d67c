"""Files that are either complete or absent: atomic writing, sweeping what a killed writer left, local paths and URLs.

A path is local unless it is a URL of another protocol than ``file``; URLs are reached through fsspec.

What "written" means:
    Local: after :func:`atomic_write` returns, the file survives a power cut (data, name and new folders are fsynced).
    A reader sees the old file or the new one, never a part. Permissions follow the umask, as for any new file.
    The write is a rename over the path: a symbolic link at the path is replaced by the file, its target is untouched.

    Remote: the whole object is sent at once and its size is compared. On object stores (S3, GCS, Azure, ``memory``)
    one upload is atomic; on others (sftp, hdfs, smb) an interrupted upload may leave a part under the final name.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows: an open file can be neither renamed nor removed there, so no lock is needed
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\..*\.\d+\.[0-9a-f]{8}\.tmp", re.DOTALL)


def is_local(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is on a mounted file system: no URL, or one of ``file://`` and ``local://``.

    Example:
        >>> is_local("runs/last.ckpt"), is_local("s3://bucket/last.ckpt")
        (True, False)
    """
    protocol, separator, _ = os.fspath(path).partition("://")
    return not separator or protocol in ("file", "local")


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a local ``path`` (see :func:`is_local`) without its protocol."""
    text = os.fspath(path)
    return Path(text.partition("://")[2] if "://" in text else text)


def filesystem(path: str | os.PathLike[str]) -> tuple[Any, str]:
    """Return the fsspec file system of ``path`` and the path within it."""
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]  # slow to import

    return url_to_fs(os.fspath(path))  # type: ignore[no-any-return]


def free_bytes(path: str | os.PathLike[str]) -> int | None:
    """Return the free space where the local file ``path`` lies or would lie; None for a URL or when unknown."""
    for folder in local_path(path).absolute().parents if is_local(path) else ():
        with suppress(OSError):
            return shutil.disk_usage(folder).free
    return None


def atomic_write(
    path: str | os.PathLike[str], check: Callable[[BinaryIO], None] | None = None
) -> AbstractContextManager[BinaryIO]:
    """Write the file at ``path`` whole or not at all.

    Enters with a binary file, readable and writable, under a hidden temporary name in the same folder. When the block
    ends it is flushed and fsynced, handed to ``check`` (which may read it and raise), renamed over ``path``, and the folder
    is fsynced. Missing folders are made. If anything raises, the temporary is removed and ``path`` is as it was.

    Args:
        path: A local path or a URL.
        check: Called with the file after its data are durable and before it gets its name.

    Raises:
        OSError: Whatever the system reports: disk full, no permission, ``path`` is a folder.
    """
    return (_replace_local if is_local(path) else _upload)(path, check)


@contextmanager
def _replace_local(path: str | os.PathLike[str], check: Callable[[BinaryIO], None] | None) -> Iterator[BinaryIO]:
    target = local_path(path)
    for folder in reversed([parent for parent in target.parents if not parent.is_dir()]):
        with suppress(FileExistsError):
            folder.mkdir()
        _sync_folder(folder.parent)
    temporary, file = _create_temporary(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if check is not None:
                check(file)
            if fcntl is None:
                file.close()
            os.replace(temporary, target)  # before closing: the lock must be held until the name has changed
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(target.parent)


@contextmanager
def _upload(path: str | os.PathLike[str], check: Callable[[BinaryIO], None] | None) -> Iterator[BinaryIO]:
    store, name = filesystem(path)
    buffer = io.BytesIO()
    yield buffer
    if check is not None:
        check(buffer)
    store.makedirs(name.rpartition("/")[0], exist_ok=True)
    store.pipe_file(name, buffer.getvalue())
    if (size := store.size(name)) != buffer.getbuffer().nbytes:
        raise OSError(errno.EIO, f"{buffer.getbuffer().nbytes} bytes were sent but the store holds {size}", str(path))


def sweep_leftovers(folder: str | os.PathLike[str]) -> None:
    """Remove the temporaries that killed writers left in the local ``folder``.

    A temporary whose writer is alive, in this process or any other on this machine, is kept: the writer holds a lock.
    """
    for leftover in local_path(folder).glob(".*.tmp") if is_local(folder) else ():
        if _TEMPORARY.fullmatch(leftover.name):
            with suppress(OSError), leftover.open("r+b") as file:
                if fcntl is None:
                    file.close()
                else:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()


def _create_temporary(target: Path) -> tuple[Path, BinaryIO]:
    """Create and lock a temporary; the kernel releases the lock when the process dies."""
    while True:
        # A process number alone is not unique: in containers every main process is number 1.
        temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
        file = temporary.open("x+b")
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink > 0:
            return temporary, file
        file.close()  # swept between creation and lock


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
