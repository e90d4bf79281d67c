"""One checkpoint file: written atomically, verified by a checksum, read without running any code that it contains.

The file is the zip that ``torch.save`` writes. Its checksum stands in the zip's comment, where every reader of such
files ignores it: ``leyden:1:crc32:<8 hex digits>:<size>``, both of the file as it was before the comment was added.
Files without a comment (those of Lightning and of plain torch) are read without this check.
"""

from __future__ import annotations

import io
import os
import zlib
from collections import OrderedDict
from contextlib import suppress
from typing import Any, BinaryIO, NoReturn

import torch
from torch.utils._pytree import keystr, tree_flatten_with_path, tree_leaves

from leyden.checkpoint import scan
from leyden.errors import CheckpointError, bad_value, nearest
from leyden.legacy.checkpoints import known_classes
from leyden.utils import files
from leyden.utils.rank import rank_zero_warn

Path = str | os.PathLike[str]

VALUE_FIX = (
    "Fix: store plain values, use save_hyperparameters(ignore=[...]), or allow the class with "
    "torch.serialization.add_safe_globals([...])."
)
_END_RECORD = b"PK\x05\x06"  # the zip's last record: 22 bytes, the last two of them the length of the comment after it
_END_RECORD_SIZE = 22


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write ``checkpoint`` to ``path`` so that the file is there whole, durable, and readable by :func:`load`.

    It is written under a temporary name in the same folder, fsynced, read again and compared with its checksum,
    searched for anything that :func:`load` would refuse (a warning names its place), and then renamed; see
    :func:`leyden.utils.files.atomic_write`.

    Args:
        checkpoint: A dict of plain types and tensors; those of a run have the keys of :mod:`leyden.checkpoint.schema`.
        path: A local path or a URL. Missing folders are made.

    Raises:
        CheckpointError: A value cannot be saved (its place in the dict is named), or the system refused (disk full, no
            permission). The file that was at ``path`` before is then unchanged.

    Example:
        >>> save({"epoch": 1, "state_dict": {"weight": torch.ones(2)}}, "memory://doc/last.ckpt")
        >>> load("memory://doc/last.ckpt")["state_dict"]["weight"]
        tensor([1., 1.])
    """
    name = os.fspath(path)

    def verify(file: BinaryIO) -> None:
        _check_sum(file, name)
        with torch.serialization.safe_globals(known_classes()):
            reason = scan.refusal(file)
            text = (
                f"In a file just saved, {_blame(checkpoint)}, which only `weights_only=False` loads" if reason else ""
            )
        if reason:
            rank_zero_warn(f"{text} ({reason}). {VALUE_FIX}")

    try:
        with files.atomic_write(path, verify) as file:
            _write(checkpoint, file, name)
    except OSError as error:
        needed = sum(leaf.nbytes for leaf in tree_leaves(checkpoint) if isinstance(leaf, torch.Tensor))
        free = files.free_bytes(path)
        room = "" if free is None else f" and {free:,} bytes are free there"
        text = f"{name!r} was not saved: {error}. It needs about {needed:,} bytes{room}. An earlier file is unchanged"
        raise CheckpointError(f"{text}. Fix: free space, or write to another folder (`dirpath`).") from error


def load(path: Path | BinaryIO, map_location: Any = None, weights_only: bool | None = None) -> Any:
    """Read a checkpoint; no code in the file runs unless ``weights_only=False`` is written in this very call.

    Args:
        path: A local path, a URL, or a binary file object (read from its position to its end).
        map_location: As in ``torch.load``.
        weights_only: None and True: the file is searched for foreign names and read by torch's restricted unpickler;
            no environment variable changes that. False: the file is unpickled freely, which **runs whatever code it
            contains**. The same for paths, URLs and file objects. The checksum is verified in every case.

    Returns:
        What the file holds; :func:`leyden.checkpoint.schema.check` tells whether it is a run's checkpoint.

    Raises:
        FileNotFoundError: There is no such file; a file of a similar name is suggested.
        CheckpointError: The file is damaged, or asks for something that is not allowed.
    """
    trusted = weights_only is False
    stream, name = _open(path)
    with stream, torch.serialization.safe_globals(known_classes()):
        _check_sum(stream, name)
        if not trusted and (reason := scan.refusal(stream)):
            fix = "allow classes that you trust with torch.serialization.add_safe_globals([...]), or, only if you trust"
            fix += " whoever made the file, pass weights_only=False, which lets it run any code"
            _refuse_file(name, f"{reason}. Nothing in it was executed", fix)
        stream.seek(0)
        try:
            return torch.load(stream, map_location=map_location, weights_only=not trusted, mmap=False)
        except Exception as error:  # noqa: BLE001  # a hostile or damaged file can raise anything
            reason = str(error).rpartition("WeightsUnpickler error: ")[2].partition("\n\nCheck the doc")[0].strip()
            fix = "use an older checkpoint; where a device is missing, pass map_location='cpu'"
            _refuse_file(name, f"{type(error).__name__}: {reason}", fix, error)


def _write(checkpoint: dict[str, Any], file: BinaryIO, name: str) -> None:
    try:
        torch.save(checkpoint, file)
    except Exception as error:  # noqa: BLE001  # from any object's own pickling code
        if isinstance(error.__context__, OSError):  # torch hides what the system said behind an error of its own
            raise error.__context__ from None
        _refuse_value(checkpoint, name, f"{type(error).__name__}: {error}", error)
    comment = _comment(file, file.seek(0, io.SEEK_END))
    file.seek(-2, io.SEEK_END)
    file.write(len(comment).to_bytes(2, "little") + comment)


def _comment(stream: BinaryIO, size: int) -> bytes:
    """Sum the first ``size`` bytes, where the last two count as zeros: the length of the comment before there was one."""
    stream.seek(0)
    checksum, rest = 0, size - 2
    while rest > 0 and (block := stream.read(min(rest, 1 << 22))):
        checksum = zlib.crc32(block, checksum)
        rest -= len(block)
    return f"leyden:1:crc32:{zlib.crc32(bytes(2), checksum):08x}:{size}".encode()


def _check_sum(stream: BinaryIO, name: str) -> None:
    """Compare the file with the checksum in its comment, if it has one."""
    stream.seek(0)
    start = stream.read(2)
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END_RECORD_SIZE - 0xFFFF))
    _, end, tail = stream.read().rpartition(_END_RECORD)
    comment = tail[_END_RECORD_SIZE - len(_END_RECORD) :]
    if size == 0:
        _refuse_file(name, "the file is empty (0 bytes)")
    if start == b"PK" and not (end and tail.startswith(len(comment).to_bytes(2, "little"), 16)):
        _refuse_file(name, "the file is damaged: it was cut short, overwritten or added to at its end")
    if end and comment and comment != _comment(stream, size - len(comment)):
        _refuse_file(name, "the file is damaged: its bytes do not match its checksum")


def _open(path: Path | BinaryIO) -> tuple[BinaryIO, str]:
    """Open for reading at random; return the stream and the name that messages use."""
    if not isinstance(path, str | os.PathLike):
        content = path.read() if hasattr(path, "read") else None
        if not isinstance(content, bytes):
            raise TypeError(bad_value("path", path, "a path, a URL or a binary file object", "open the file with 'rb'"))
        return io.BytesIO(content), str(getattr(path, "name", f"<{type(path).__name__}>"))
    name, local = os.fspath(path), files.local_path(path)
    try:
        if files.is_local(path):
            return local.open("rb"), name
        store, remote = files.filesystem(path)
        return io.BytesIO(store.cat_file(remote)), name
    except FileNotFoundError as error:
        hint = nearest(local.name, os.listdir(local.parent) if local.parent.is_dir() else ())
        text = f"Checkpoint file not found: {name}.{hint} Fix: pass the path of an existing file."
        raise FileNotFoundError(text) from error
    except (OSError, ValueError) as error:
        _refuse_file(name, str(error), "check the path and its permissions", error)


def _blame(checkpoint: dict[str, Any]) -> str:
    """Name the first value that cannot be saved, or could not be loaded, by trying each with its keys on its own."""
    plain = (dict, OrderedDict, list, tuple)
    for path, value in tree_flatten_with_path(checkpoint, is_leaf=lambda value: type(value) not in plain)[0]:
        with suppress(Exception):
            buffer = io.BytesIO()
            torch.save([value, *(getattr(key, "key", None) for key in path)], buffer)
            if scan.refusal(buffer) is None:
                continue
        return f"checkpoint{keystr(path)} is a {type(value).__module__}.{type(value).__qualname__}"
    return "it holds something"


def _refuse_value(checkpoint: dict[str, Any], name: str, reason: str, cause: Exception | None = None) -> NoReturn:
    raise CheckpointError(f"{name!r} was not saved: {_blame(checkpoint)} ({reason}). {VALUE_FIX}") from cause


def _refuse_file(
    name: str, reason: str, fix: str = "use an older checkpoint, or copy the file again", cause: Exception | None = None
) -> NoReturn:
    raise CheckpointError(f"{name!r} cannot be loaded: {reason.rstrip('.')}. Fix: {fix}.") from cause
