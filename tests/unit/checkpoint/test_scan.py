"""The scan finds everything that torch's restricted unpickler would refuse, and runs nothing."""

from __future__ import annotations

import io
import pathlib
import pickle
import sys
import zipfile
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import pytest
import torch

from leyden.checkpoint.scan import refusal


def saved(value: Any, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer


def zip_with(
    pickled: bytes, compression: int = zipfile.ZIP_STORED, names: tuple[str, ...] = ("data.pkl",)
) -> io.BytesIO:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name in names:
            archive.writestr(f"archive/{name}", pickled)
        archive.writestr("archive/version", "3\n")
    return buffer


HARMLESS = {
    "plain": {
        "a": 1,
        "b": [1.5, None, True],
        "c": ("x", b"bytes", 2**2000, -1),
        3: {1, 2},
        "z": 1j,
        "y": bytearray(b"1"),
    },
    "containers": [OrderedDict(a=1), Counter("aab"), torch.Size([1, 2]), (), [], {}, set()],
    "dtypes": [torch.float32, torch.bfloat16, torch.uint16, torch.float8_e4m3fn, torch.complex64, torch.quint8],
    "devices": [torch.device("cpu"), torch.device("cuda", 1), torch.strided],
    "tensors": [torch.ones(2, dtype=dtype) for dtype in (torch.float32, torch.bfloat16, torch.int8, torch.complex64)],
    "views": [torch.arange(10)[2:4], torch.arange(6).view(2, 3).t(), torch.empty(0), torch.ones(())],
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "sparse": torch.eye(3).to_sparse(),
    "module state": torch.nn.LSTM(2, 2).state_dict(),
    "meta": torch.ones(2, device="meta"),  # last: the old format has none
}


@pytest.mark.parametrize(("name", "new"), [(name, new) for name in HARMLESS for new in (True, False)][:-1])
def test_what_torch_reads_is_allowed(name: str, new: bool) -> None:
    file = saved(HARMLESS[name], _use_new_zipfile_serialization=new)
    assert refusal(file) is None
    file.seek(0)
    torch.load(file, weights_only=True)


def test_allowed_names_are_allowed_by_torch_too() -> None:
    """Otherwise a file could be saved that cannot be loaded."""
    from torch._weights_only_unpickler import _get_allowed_globals

    for name in _get_allowed_globals():
        module, _, attribute = name.rpartition(".")
        assert refusal(zip_with(f"c{module}\n{attribute}\n.".encode())) is None, name


FOREIGN = [
    "os.system",
    "posix.system",
    "builtins.eval",
    "builtins.exec",
    "builtins.getattr",
    "builtins.__import__",
    "subprocess.Popen",
    "torch.load",
    "torch.save",
    "torch.hub.load",
    "torch._C._jit",
    "torch.storage._load_from_bytes",
    "torch.float32.x",
    "float32",
    "collections.defaultdict",
    "torch.serialization.load",
    "torch._utils._import_dotted_name",
    "torchfloat32",
    "torch.nn.parameter.Parameter.x",
    "torch.FloatStorage.from_file",
    "codecs.encode",
    "torch.int",
    "torch.strided",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_names_are_refused_by_name(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    reason = refusal(zip_with(f"\x80\x02c{module}\n{attribute}\n.".encode("latin1")))
    assert reason == f"its pickle asks for {name if module else '.' + name}"


@pytest.mark.parametrize("protocol", range(6))
def test_payload_is_named_in_every_protocol(protocol: int) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return exec, ("import leyden_canary",)

    reason = refusal(zip_with(pickle.dumps(Payload(), protocol)))
    assert reason is not None
    assert "builtins.exec" in reason
    assert "leyden_canary" not in sys.modules


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02}\x94.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00ao.",
        b"Pid\n.",
        b"\x80\x04\x8f.",
    ],
    ids=["MEMOIZE", "EXT1", "OBJ", "PERSID", "EMPTY_SET"],
)
def test_other_instructions(pickled: bytes) -> None:
    reason = refusal(zip_with(pickled))
    assert (reason is None) == (pickled == b"\x80\x04\x8f.")


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (io.BytesIO(b"just text"), "neither a zip file nor a pickle"),
        (io.BytesIO(b""), "neither a zip file nor a pickle"),
        (io.BytesIO(b"\x80\x02\xff\xff"), "cannot be parsed"),
        (io.BytesIO(pickle.dumps({"a": 1}, 2)), "cannot be parsed"),
        (zip_with(b"\x80\x02}", names=("data.pkl",)), "cannot be parsed"),
        (zip_with(b"", names=("other.pkl",)), "cannot be parsed"),
        (zip_with(b"\x80\x02}.", zipfile.ZIP_DEFLATED), "compressed records"),
    ],
)
def test_unreadable(file: io.BytesIO, reason: str) -> None:
    assert reason in str(refusal(file))


def test_two_records_of_one_name() -> None:
    assert "two records" in str(refusal(zip_with(b"\x80\x02}.", names=("data.pkl", "DATA.pkl"))))


def test_overlapping_records() -> None:
    """A small file must not claim to hold more than its size."""
    content = bytearray(zip_with(b"\x80\x02}.", names=("data.pkl", "data/0")).getvalue())
    at = content.rindex(b"PK\x01\x02")  # the last entry of the directory; its sizes stand 20 bytes on
    content[at + 20 : at + 28] = (1 << 30).to_bytes(4, "little") * 2
    assert "overlap" in str(refusal(io.BytesIO(bytes(content))))


def test_what_the_program_allows_is_allowed() -> None:
    file = saved({"path": pathlib.PurePosixPath("a"), "more": defaultdict(int)})
    assert "pathlib.PurePosixPath, collections.defaultdict, builtins.int" in str(refusal(file))
    with torch.serialization.safe_globals([pathlib.PurePosixPath, (defaultdict, "collections.defaultdict"), int]):
        assert refusal(file) is None
    assert refusal(file) is not None


def test_payload_in_the_old_format() -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return exec, ("import leyden_canary",)

    assert refusal(saved([Payload()], _use_new_zipfile_serialization=False)) == "its pickle asks for builtins.exec"


def test_nothing_is_imported() -> None:
    assert "leyden_canary" in str(refusal(zip_with(b"\x80\x02cleyden_canary\nrun\n)R.")))
    assert "leyden_canary" not in sys.modules
