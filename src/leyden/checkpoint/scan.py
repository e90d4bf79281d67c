"""What a torch file would do if it were unpickled, found out without unpickling it.

The instructions of its pickles are listed, none is performed: only those that torch's restricted unpickler knows may
occur, and every name they import must be one that it allows: torch's own rebuilding functions and types, plain types,
and what the program itself allowed with ``torch.serialization.add_safe_globals``. This is a second barrier: torch's
restricted unpickler (``weights_only=True``) reads the file afterwards.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from typing import BinaryIO

import torch
from torch._weights_only_unpickler import _get_allowed_globals, _get_user_allowed_globals

_LEGACY_PICKLES = 5  # the format before torch 1.6: magic number, protocol, system, the object, the keys of its storages

_OPCODES = re.compile(
    "PROTO|STOP|MARK|GLOBAL|NEWOBJ|REDUCE|BUILD|NONE|NEWFALSE|NEWTRUE|BINFLOAT|BINUNICODE|SHORT_BINSTRING|BINPERSID|LONG1"
    "|APPENDS?|SETITEMS?|TUPLE[123]?|EMPTY_(TUPLE|LIST|DICT|SET)|BININT[12]?|(LONG_)?BIN(GET|PUT)"
)


def refusal(stream: BinaryIO) -> str | None:
    """Return why the torch file in ``stream`` must not be unpickled, or None when nothing in it can run code.

    Args:
        stream: A seekable file that starts at position 0, in the zip format of today's ``torch.save`` or the one
            before torch 1.6. Its position is changed.

    Example:
        >>> file = io.BytesIO()
        >>> torch.save({"weight": torch.ones(2), "printer": print}, file)
        >>> refusal(file)
        'its pickle asks for builtins.print'
    """
    names: dict[str, None] = {}  # a set that keeps the order
    opcodes: set[str] = set()
    damage = None
    try:
        for pickled in _pickles(stream):
            _list_pickle(pickled, names, opcodes)
    except Exception as error:  # noqa: BLE001  # the parsers raise anything on hostile bytes
        text = str(error).partition("\n")[0]
        damage = f"its content cannot be parsed ({type(error).__name__}: {text})"
    allowed = _get_allowed_globals().keys() | _get_user_allowed_globals()  # type: ignore[no-untyped-call]
    if foreign := [name for name in names if name not in allowed]:  # matters more than what comes after it
        return f"its pickle asks for {', '.join(foreign[:5])}"
    if unknown := [opcode for opcode in sorted(opcodes) if not _OPCODES.fullmatch(opcode)]:
        return f"its pickle uses {', '.join(unknown)}, which torch's restricted unpickler does not read"
    return damage


def _pickles(stream: BinaryIO) -> Iterator[BinaryIO]:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    start = stream.read(2)
    stream.seek(0)
    if start != b"PK":
        if start[:1] != pickle.PROTO:
            raise ValueError("neither a zip file nor a pickle")
        for _ in range(_LEGACY_PICKLES):
            yield stream  # one after the other; each is read up to its last instruction
        return
    records = zipfile.ZipFile(stream).infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise ValueError("compressed records, which torch.save never writes")
    if sum(record.file_size for record in records) > size:
        raise ValueError("records that overlap")
    if len({record.filename.lower() for record in records}) != len(records):
        raise ValueError("two records of one name")
    stream.seek(0)
    # torch's own reader, so that the bytes checked here are those that torch.load will see
    yield io.BytesIO(torch._C.PyTorchFileReader(stream).get_record("data.pkl"))


def _list_pickle(pickled: BinaryIO, names: dict[str, None], opcodes: set[str]) -> None:
    texts = ["?", "?"]
    for opcode, value, _ in pickletools.genops(pickled):
        argument = str(value)
        opcodes.add(opcode.name)
        if opcode.name in ("GLOBAL", "INST"):
            names[_modern_name(*argument.split(" ", 1))] = None
        elif opcode.name == "STACK_GLOBAL":  # not allowed anyway; the name is for the message
            names[".".join(texts)] = None
        elif "UNICODE" in opcode.name:
            texts = [texts[-1], argument]


def _modern_name(module: str, name: str) -> str:
    """Return the dotted name; pickles of protocol 2 spell builtins as Python 2 did."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"
