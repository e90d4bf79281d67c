"""One checkpoint file: written atomically, verified by a checksum, read without running any code that it contains.

The file is the zip that ``torch.save`` writes. Its checksum stands in the zip's comment, where every reader of such
files ignores it: ``leyden:1:crc32:<8 hex digits>:<size>``, both of the file as it was before the comment was added.
Files without a comment (those of Lightning and of plain torch) are read without this check.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn

import torch

from leyden.checkpoint import scan, schema
from leyden.errors import CheckpointError, bad_value, nearest
from leyden.utils import files

Path = str | os.PathLike[str]

_END_RECORD = b"PK\x05\x06"  # the zip's last record: 22 bytes, the last two of them the length of the comment after it
_END_RECORD_SIZE = 22


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write ``checkpoint`` to ``path`` so that the file is there whole, durable, and readable by :func:`load`.

    It is written under a temporary name in the same folder, fsynced, read again and compared with its checksum,
    searched for anything that :func:`load` would refuse, and then renamed; see :func:`leyden.utils.files.atomic_write`.

    Args:
        checkpoint: A dict with the keys of :mod:`leyden.checkpoint.schema`; values are plain types and tensors.
        path: A local path or a URL. Missing folders are made.

    Raises:
        CheckpointError: A value cannot be saved or could not be loaded again (its place in the dict is named), or the
            system refused (disk full, no permission). The file that was at ``path`` before is then unchanged.

    Example:
        >>> save({"epoch": 1, "state_dict": {"weight": torch.ones(2)}}, "memory://doc/last.ckpt")
        >>> load("memory://doc/last.ckpt")["state_dict"]["weight"]
        tensor([1., 1.])
    """
    name = os.fspath(path)
    schema.check(checkpoint, name)

    def check_written(file: BinaryIO) -> None:
        if not _check_sum(file, name):
            _refuse_file(name, "its checksum did not reach the disk")
        if reason := scan.refusal(file):
            _refuse_value(checkpoint, name, reason)

    try:
        with files.atomic_write(path, check=check_written) as file:
            _write(checkpoint, file, name)
    except OSError as error:
        free = files.free_bytes(path)
        room = "" if free is None else f" and {free:,} bytes are free there"
        raise CheckpointError(
            f"{name!r} was not saved: {error}. It needs about {_needed_bytes(checkpoint):,} bytes{room}. Fix: free space"
            " or write to another folder (`dirpath`). A file that was there before is never left half overwritten."
        ) from error


def load(path: Path | BinaryIO, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
    """Read a checkpoint; no code in the file runs unless ``weights_only=False`` is written in this very call.

    Args:
        path: A local path, a URL, or a binary file object (read from its position to its end).
        map_location: As in ``torch.load``.
        weights_only: None and True: the file is searched for foreign names and read by torch's restricted unpickler;
            no environment variable changes that. False: the file is unpickled freely, which **runs whatever code it
            contains**. The same for paths, URLs and file objects. The checksum is verified in every case.

    Returns:
        The checkpoint dict.

    Raises:
        FileNotFoundError: There is no such file; a file of a similar name is suggested.
        CheckpointError: The file is damaged, is no checkpoint, or asks for something that is not allowed.
    """
    free = weights_only is False
    with _open(path) as (stream, name):
        if not stream.read(1):
            _refuse_file(name, "the file is empty (0 bytes)")
        _check_sum(stream, name)
        if not free:
            _check_harmless(stream, name)
        stream.seek(0)
        try:
            checkpoint = torch.load(stream, map_location=map_location, weights_only=not free, mmap=False)
        except Exception as error:  # noqa: BLE001  # a hostile or damaged file can raise anything
            reason = str(error).rpartition("WeightsUnpickler error: ")[2].partition("\n\nCheck the doc")[0].strip()
            fix = "use an older checkpoint; where a device is missing, pass map_location='cpu'"
            _refuse_file(name, f"{type(error).__name__}: {reason}", fix, error)
    return schema.check(checkpoint, name)


def verify(path: Path | BinaryIO) -> bool:
    """Whether the file carries a checksum, and it is right; False means that there is none to compare.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged.
    """
    with _open(path) as (stream, name):
        return _check_sum(stream, name)


class _SummingWriter:
    """What ``torch.save`` writes into: sums the bytes on their way, and remembers an error that torch would hide."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sum = 0
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: memoryview) -> int:
        self.sum = zlib.crc32(data, self.sum)
        self.size += len(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Leave flushing to the file's owner; torch asks for this method."""


def _write(checkpoint: dict[str, Any], file: BinaryIO, name: str) -> None:
    writer = _SummingWriter(file)
    try:
        torch.save(checkpoint, writer)  # type: ignore[arg-type]  # it needs no more than write and flush
    except Exception as error:  # noqa: BLE001  # from any object's own pickling code
        if writer.error is not None:
            raise writer.error from None
        _refuse_value(checkpoint, name, f"{type(error).__name__}: {error}", error)
    comment = _comment(writer.sum, writer.size)
    file.seek(-2, io.SEEK_END)
    file.write(len(comment).to_bytes(2, "little") + comment)


def _comment(checksum: int, size: int) -> bytes:
    return f"leyden:1:crc32:{checksum:08x}:{size}".encode("ascii")


def _check_sum(stream: BinaryIO, name: str) -> bool:
    """Compare the file with the checksum in its comment; False when it is no zip or has no comment."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _END_RECORD_SIZE - 0xFFFF))
    tail = stream.read()
    stream.seek(0)
    end = tail.rfind(_END_RECORD)
    comment = tail[end + _END_RECORD_SIZE :]
    if end < 0:
        if stream.read(2) == b"PK":
            _refuse_file(name, "the file is damaged: its end is missing, it was cut short or overwritten")
        return False
    if int.from_bytes(tail[end + 20 : end + 22], "little") != len(comment):
        _refuse_file(name, "the file is damaged: it was cut short, overwritten or added to at its end")
    if not comment:
        return False
    original_size = size - len(comment)
    if comment != _comment(_sum_of(stream, original_size - 2), original_size):
        _refuse_file(name, "the file is damaged: its bytes do not match its checksum" + _damaged_record(stream))
    return True


def _sum_of(stream: BinaryIO, size: int) -> int:
    """Sum the first ``size`` bytes and two zeros: the length of the comment, as it was before there was one."""
    stream.seek(0)
    checksum = 0
    while size > 0 and (block := stream.read(min(size, 1 << 22))):
        checksum = zlib.crc32(block, checksum)
        size -= len(block)
    return zlib.crc32(b"\0\0", checksum)


def _damaged_record(stream: BinaryIO) -> str:
    try:
        record = zipfile.ZipFile(stream).testzip()
    except Exception:  # noqa: BLE001  # the damage is in the zip's structure itself
        record = None
    return f" (damaged part: {record})" if record else ""


def _check_harmless(stream: BinaryIO, name: str) -> None:
    try:
        reason = scan.refusal(stream)
    except ValueError as error:
        _refuse_file(name, str(error), "pass a file written by the Trainer or torch.save, whole", error)
    if reason is not None:
        fix = (
            "allow a class that you trust with torch.serialization.add_safe_globals([...]); only if you trust whoever made"
            " the file, pass weights_only=False, which lets it run any code"
        )
        _refuse_file(name, f"{reason}. Nothing in it was executed", fix)


@contextmanager
def _open(path: Path | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """Open for reading at random; yields the stream and the name that messages use."""
    if not isinstance(path, str | os.PathLike):
        content = path.read() if hasattr(path, "read") else None
        if not isinstance(content, bytes):
            raise TypeError(bad_value("path", path, "a path, a URL or a binary file object", "open the file with 'rb'"))
        yield io.BytesIO(content), str(getattr(path, "name", f"<{type(path).__name__}>"))
        return
    name = os.fspath(path)
    try:
        if files.is_local(path):
            stream: BinaryIO = files.local_path(path).open("rb")
        else:
            store, remote = files.filesystem(path)
            stream = io.BytesIO(store.cat_file(remote))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"Checkpoint file not found: {name}.{_similar_file(path)} Fix: pass the path of an existing file."
        ) from error
    except IsADirectoryError as error:
        _refuse_file(name, "it is a folder", "pass the path of a file in it", error)
    except (OSError, ValueError) as error:
        _refuse_file(name, str(error), "check the path and its permissions", error)
    with stream:
        yield stream, name


def _similar_file(path: Path) -> str:
    if not files.is_local(path):
        return ""
    target = files.local_path(path)
    if not target.parent.is_dir():
        return f" The folder {str(target.parent)!r} does not exist."
    return nearest(target.name, [entry.name for entry in target.parent.iterdir()])


def _needed_bytes(checkpoint: dict[str, Any]) -> int:
    tensors = (value for _, value in _leaves(checkpoint) if isinstance(value, torch.Tensor) and not value.is_sparse)
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def _leaves(checkpoint: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield every value that is no plain container, with the expression that reaches it."""
    pending: list[tuple[str, Any]] = [("checkpoint", checkpoint)]
    seen = set()
    while pending:
        place, value = pending.pop()
        if type(value) in (dict, OrderedDict, Counter):
            inner = [(f"{place}[{key!r}]", item) for key, item in value.items()]
            inner += [(f"the key {key!r} of {place}", key) for key in value]
        elif type(value) in (list, tuple):
            inner = [(f"{place}[{index}]", item) for index, item in enumerate(value)]
        else:
            yield place, value
            continue
        if id(value) not in seen:
            seen.add(id(value))
            pending.extend(reversed(inner))


def _refusable_value(checkpoint: dict[str, Any]) -> tuple[str, Any] | None:
    """Find the first value that cannot be saved, or could not be loaded, by trying each on its own."""
    for place, value in _leaves(checkpoint):
        if type(value) in (type(None), bool, float, str, bytes, torch.Tensor, torch.nn.Parameter):
            continue
        buffer = io.BytesIO()
        try:
            torch.save(value, buffer)
            if scan.refusal(buffer) is None:
                continue
        except Exception:  # noqa: BLE001, S110  # it is the one
            pass
        return place, value
    return None


def _refuse_value(checkpoint: dict[str, Any], name: str, reason: str, cause: Exception | None = None) -> NoReturn:
    what = "the checkpoint holds something"
    if found := _refusable_value(checkpoint):
        place, value = found
        kind = value if isinstance(value, type) else type(value)
        what = f"{place} is {'the class' if kind is value else 'a'} {kind.__module__}.{kind.__qualname__}"
    raise CheckpointError(
        f"{name!r} was not saved: {what}, which could not be loaded again ({reason}). Fix: store plain values (numbers,"
        " str, list, dict, tensors) instead, leave a hyperparameter out with save_hyperparameters(ignore=[...]), or allow"
        " a class that you trust with torch.serialization.add_safe_globals([...]) where it is saved and where it is"
        " loaded. A file that was there before is unchanged."
    ) from cause


def _refuse_file(
    name: str, reason: str, fix: str = "use an older checkpoint, or copy the file again", cause: Exception | None = None
) -> NoReturn:
    raise CheckpointError(f"{name!r} cannot be loaded: {reason.rstrip('.')}. Fix: {fix}.") from cause
