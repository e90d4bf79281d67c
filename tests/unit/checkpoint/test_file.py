"""One checkpoint file: what is saved loads again, damage is always found, and nothing in a file ever runs."""

from __future__ import annotations

import argparse
import datetime
import enum
import functools
import io
import json
import os
import pathlib
import pickle
import subprocess
import sys
import textwrap
import threading
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from leyden.checkpoint.file import load, save
from leyden.errors import CheckpointError
from leyden.utils.files import filesystem


def small_checkpoint() -> dict[str, Any]:
    shared = torch.arange(4.0)
    return {
        "epoch": 3,
        "global_step": 10**30,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": OrderedDict(weight=shared, tied=shared[1:3], half=torch.ones(2, dtype=torch.bfloat16)),
        "callbacks": {"EarlyStopping{'monitor': 'loss'}": {"best": torch.tensor(0.5), "wait": 0}},
        "hyper_parameters": {
            "lr": 1e-3,
            "sizes": [1, (2, 3)],
            "name": "ä",
            "raw": b"\x00\xff",
            "none": None,
            "on": {1},
        },
    }


def saved_bytes() -> bytes:
    save(small_checkpoint(), "memory://test-file/small.ckpt")
    content: bytes = filesystem("memory://")[0].cat_file("/test-file/small.ckpt")
    return content


def assert_equal(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, dict):
        assert list(left) == list(right)
        for key, value in left.items():
            assert_equal(value, right[key])
    elif isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    else:
        assert left == right


# --- what is saved loads again ---


@pytest.mark.parametrize("where", ["{}/a.ckpt", "{}/new/folder/a.ckpt", "file://{}/a.ckpt", "memory://{}/a.ckpt"])
def test_round_trip(tmp_path: Path, where: str) -> None:
    path = where.format(tmp_path)
    save(small_checkpoint(), path)
    loaded = load(path)
    assert_equal(loaded, small_checkpoint())
    assert loaded["state_dict"]["tied"].untyped_storage().data_ptr() == (
        loaded["state_dict"]["weight"].untyped_storage().data_ptr()
    )


def test_path_objects_streams_and_free_unpickling(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save(small_checkpoint(), path)
    assert_equal(load(path), small_checkpoint())
    with path.open("rb") as stream:
        assert_equal(load(stream), small_checkpoint())
    assert_equal(load(io.BytesIO(path.read_bytes()), weights_only=True), small_checkpoint())
    assert_equal(load(path, map_location="cpu", weights_only=False), small_checkpoint())


def test_stream_is_read_from_its_position_and_need_not_seek(tmp_path: Path) -> None:
    save(small_checkpoint(), tmp_path / "a.ckpt")
    stream = io.BytesIO(b"header" + (tmp_path / "a.ckpt").read_bytes())
    stream.seek(6)
    assert_equal(load(stream), small_checkpoint())
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: Path(f"/dev/fd/{writer}").write_bytes((tmp_path / "a.ckpt").read_bytes()))
    thread.start()
    thread.join()
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert_equal(load(pipe), small_checkpoint())


def test_map_location(tmp_path: Path) -> None:
    save(small_checkpoint(), tmp_path / "a.ckpt")
    assert load(tmp_path / "a.ckpt", map_location="meta")["state_dict"]["weight"].device.type == "meta"


def test_other_readers(tmp_path: Path) -> None:
    save(small_checkpoint(), tmp_path / "a.ckpt")
    assert_equal(torch.load(tmp_path / "a.ckpt", weights_only=True), small_checkpoint())
    assert torch.load(tmp_path / "a.ckpt", weights_only=True, mmap=True)["epoch"] == 3
    with zipfile.ZipFile(tmp_path / "a.ckpt") as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(b"leyden:1:crc32:")


def test_files_without_our_checksum_load(tmp_path: Path) -> None:
    for name, new_format in (("zip", True), ("old", False)):
        torch.save(small_checkpoint(), tmp_path / name, _use_new_zipfile_serialization=new_format)
        assert_equal(load(tmp_path / name), small_checkpoint())


def test_larger_than_one_block(tmp_path: Path) -> None:
    weight = torch.randn(3_000_000)
    save({"state_dict": {"weight": weight}}, tmp_path / "a.ckpt")
    assert torch.equal(load(tmp_path / "a.ckpt")["state_dict"]["weight"], weight)
    content = bytearray((tmp_path / "a.ckpt").read_bytes())
    content[9_000_000] ^= 4
    with pytest.raises(CheckpointError, match=r"do not match its checksum"):
        load(io.BytesIO(bytes(content)))


def test_saving_draws_no_random_number(tmp_path: Path) -> None:
    import random

    states = [random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()]
    save(small_checkpoint(), tmp_path / "a.ckpt")
    assert states == [random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist()]


# --- damage ---


def assert_refused(content: bytes, reason: str = "Fix: ") -> None:
    with pytest.raises(CheckpointError, match=reason):
        load(io.BytesIO(content))


def test_every_flipped_byte_is_found() -> None:
    content = saved_bytes()
    for position in range(len(content)):
        for mask in (0x01, 0x20, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= mask
            assert_refused(bytes(damaged))


def test_every_truncation_is_found() -> None:
    content = saved_bytes()
    for size in range(len(content)):
        assert_refused(content[:size])


def test_additions_are_found() -> None:
    content = saved_bytes()
    for addition in (b"\0", b"x" * 100, content):
        assert_refused(content + addition)
        assert_refused(addition + content)


def test_every_zeroed_or_swapped_page_is_found(tmp_path: Path) -> None:
    save({"state_dict": {"weight": torch.randn(20_000)}}, tmp_path / "a.ckpt")
    content = (tmp_path / "a.ckpt").read_bytes()
    for start in range(0, len(content), 4096):
        assert_refused(content[:start] + bytes(len(content[start : start + 4096])) + content[start + 4096 :])
    assert_refused(content[:4096] + content[8192:12288] + content[4096:8192] + content[12288:], "checksum")


def test_truncations_of_a_file_without_checksum_are_found() -> None:
    buffer = io.BytesIO()
    torch.save(small_checkpoint(), buffer)
    for size in range(len(buffer.getvalue())):
        assert_refused(buffer.getvalue()[:size])


def test_damage_is_found_before_free_unpickling(tmp_path: Path) -> None:
    content = bytearray(saved_bytes())
    content[100] ^= 1
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load(tmp_path / "a.ckpt", weights_only=False)


# --- no checkpoint at all ---


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"this is text, not a checkpoint\n" * 20, "neither a zip file nor a pickle"),
        (bytes(5000), "neither a zip file nor a pickle"),
        (b"PK", "damaged"),
        (b"PK\x03\x04" + bytes(500), "damaged"),
        (pickle.dumps({"state_dict": {}}), "cannot be parsed|pickle uses"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither a zip file nor a pickle"),
    ],
)
def test_other_contents(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as raised:
        load(path)
    assert str(path) in str(raised.value)
    assert "Fix: " in str(raised.value)


def test_no_such_file(tmp_path: Path) -> None:
    save(small_checkpoint(), tmp_path / "last.ckpt")
    with pytest.raises(
        FileNotFoundError, match=r"Checkpoint file not found: .*lst\.ckpt\. Did you mean 'last\.ckpt'\?"
    ):
        load(tmp_path / "lst.ckpt")
    with pytest.raises(FileNotFoundError, match=r"Checkpoint file not found: .*missing/last\.ckpt"):
        load(tmp_path / "missing" / "last.ckpt")
    with pytest.raises(FileNotFoundError, match="Checkpoint file not found: memory://nothing"):
        load("memory://nothing/here.ckpt")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Is a directory"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="Is a directory"):
        save(small_checkpoint(), tmp_path)


@pytest.mark.parametrize("path", [3, None, io.StringIO("text"), b"bytes"])
def test_neither_path_nor_stream(path: Any) -> None:
    with pytest.raises(TypeError, match="`path` got"):
        load(path)


# --- hostile files ---


class Payload:
    """Makes a file, as proof, when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


def zip_of(pickled: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def torch_saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def with_checksum(content: bytes) -> bytes:
    """A checksum is no signature: whoever makes a hostile file can add one."""
    import zlib

    comment = f"leyden:1:crc32:{zlib.crc32(content):08x}:{len(content)}".encode()
    return content[:-2] + len(comment).to_bytes(2, "little") + comment


HOSTILE: dict[str, Callable[[Payload], bytes]] = {
    "hparams": lambda p: torch_saved({"state_dict": {}, "hyper_parameters": {"a": p}}),
    "state": lambda p: torch_saved({"state_dict": {"weight": p}}),
    "top level": torch_saved,
    "key": lambda p: torch_saved({("state_dict", p): 1}),
    "checksum": lambda p: with_checksum(torch_saved({"state_dict": {}, "a": p})),
    "old format": lambda p: torch_saved({"state_dict": p}, _use_new_zipfile_serialization=False),
    "protocol 4": lambda p: torch_saved({"state_dict": p}, pickle_protocol=4),
    "plain pickle": pickle.dumps,
    "plain pickle of protocol 0": lambda p: pickle.dumps(p, 0),
    "two pickles": lambda p: pickle.dumps(1, 2) + pickle.dumps(p, 2),
    "foreign global": lambda p: zip_of(b"\x80\x02cos\nsystem\nX%c\x00\x00\x00touch %sb\x85R." % (0, b"")),
    "unknown module": lambda p: zip_of(b"\x80\x02cleyden_canary\nrun\n)R."),
    "build": lambda p: zip_of(b"\x80\x02ccollections\nOrderedDict\n)R}X\x05\x00\x00\x00itemsc__builtin__\neval\nsb."),
    "inst": lambda p: zip_of(b"(S'touch " + str(p.canary).encode() + b"'\nios\nsystem\n."),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("entry", ["path", "stream", "memory", "file URL", "bytes", "asked for safety"])
def test_nothing_in_a_hostile_file_runs(kind: str, entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    canary = tmp_path / "canary"
    path = tmp_path / "hostile.ckpt"
    path.write_bytes(HOSTILE[kind](Payload(canary)))
    with pytest.raises(CheckpointError) as raised:
        if entry == "path":
            load(str(path))
        elif entry == "stream":
            with path.open("rb") as stream:
                load(stream)
        elif entry == "memory":
            filesystem("memory://")[0].pipe_file("/hostile.ckpt", path.read_bytes())
            load("memory://hostile.ckpt")
        elif entry == "file URL":
            load(f"file://{path}")
        elif entry == "bytes":
            load(io.BytesIO(path.read_bytes()), weights_only=None)
        else:
            load(path, weights_only=True)
    assert not canary.exists()
    assert "leyden_canary" not in sys.modules
    assert ("BytesIO" if entry == "bytes" else "hostile.ckpt") in str(raised.value)
    if "plain pickle of" not in kind and kind != "inst":
        assert "asks for" in str(raised.value)


@pytest.mark.parametrize("given", [0, "", "no", None])
def test_only_false_itself_means_free(given: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "a": Payload(tmp_path / "canary")}, tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError):
        load(tmp_path / "a.ckpt", weights_only=given)
    assert not (tmp_path / "canary").exists()


def test_the_canary_sings_when_asked_to(tmp_path: Path) -> None:
    """The control of the tests above: their payload works."""
    torch.save({"state_dict": {}, "a": Payload(tmp_path / "canary")}, tmp_path / "a.ckpt")
    load(tmp_path / "a.ckpt", weights_only=False)
    assert (tmp_path / "canary").exists()


# --- what could not be loaded is told when it is saved ---


class Colour(enum.Enum):
    RED = 1


@dataclass
class Settings:
    size: int = 1


UNSUITABLE: dict[str, Any] = {
    "pathlib.PosixPath": pathlib.PosixPath("a"),
    "numpy.float64": numpy.float64(1.0),
    "numpy.ndarray": numpy.ones(2),
    "Colour": Colour.RED,
    "Settings": Settings(),
    "argparse.Namespace": argparse.Namespace(a=1),
    "datetime.timedelta": datetime.timedelta(1),
    "torch.nn.modules.loss.MSELoss": torch.nn.MSELoss(),
    "torch.optim.adam.Adam": torch.optim.Adam,
    "functools.partial": functools.partial(print, 1),
    "collections.defaultdict": defaultdict(int),
    "builtins.frozenset": frozenset({1}),
    "builtins.range": range(3),
    "builtins.int": 1 << 3000,
    "builtins.function": lambda: None,
    "_thread.lock": threading.Lock(),
    "torch._C.Generator": torch.Generator(),
}


UNPICKLABLE = ("builtins.function", "_thread.lock")
KNOWN = ("pathlib.PosixPath", "argparse.Namespace")  # harmless, and in files of others


@pytest.mark.parametrize("kind", UNSUITABLE)
def test_unsuitable_values_are_named_with_their_place(kind: str, tmp_path: Path) -> None:
    """What pickles is saved as other frameworks do, with a warning; what does not is refused."""
    path = tmp_path / "a.ckpt"
    save(small_checkpoint(), path)
    before = path.read_bytes()
    checkpoint = small_checkpoint()
    checkpoint["hyper_parameters"]["nested"] = [0, {"deep": UNSUITABLE[kind]}]
    if kind in KNOWN:
        save(checkpoint, path)
        assert load(path)["hyper_parameters"]["nested"][1]["deep"] == UNSUITABLE[kind]
        return
    if kind in UNPICKLABLE:
        with pytest.raises(CheckpointError) as raised:
            save(checkpoint, path)
        message = str(raised.value)
        assert str(path) in message
        assert path.read_bytes() == before
    else:
        with pytest.warns(UserWarning, match="which only `weights_only=False` loads") as caught:
            save(checkpoint, path)
        message = str(caught[0].message)
        with pytest.raises(CheckpointError, match="Nothing in it was executed"):
            load(path)
        found = load(path, weights_only=False)["hyper_parameters"]["nested"][1]["deep"]
        assert type(found) is type(UNSUITABLE[kind])
    assert "checkpoint['hyper_parameters']['nested'][1]['deep']" in message
    assert kind in message
    assert "Fix: " in message
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ckpt"]


def test_an_unsuitable_key_is_named(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"checkpoint\['a'\]\[<Colour.RED: 1>\] is a .*Colour"):
        save({"state_dict": {}, "a": {Colour.RED: 1}}, tmp_path / "a.ckpt")


def test_a_class_the_program_allows_is_saved_and_loaded(tmp_path: Path) -> None:
    with torch.serialization.safe_globals([Settings]):
        save({"state_dict": {}, "settings": Settings(3)}, tmp_path / "a.ckpt")
        assert load(tmp_path / "a.ckpt")["settings"] == Settings(3)
    with pytest.raises(CheckpointError, match="Settings"):
        load(tmp_path / "a.ckpt")


def test_a_checkpoint_that_contains_itself(tmp_path: Path) -> None:
    checkpoint: dict[str, Any] = {"state_dict": {}}
    checkpoint["self"] = checkpoint
    save(checkpoint, tmp_path / "a.ckpt")
    loaded = load(tmp_path / "a.ckpt")
    assert loaded["self"] is loaded


def test_an_error_in_a_value_is_the_cause(tmp_path: Path) -> None:
    class Broken:
        def __reduce__(self) -> Any:
            raise LookupError("broken on purpose")

    with pytest.raises(CheckpointError, match=r"checkpoint\['a'\].*broken on purpose") as raised:
        save({"state_dict": {}, "a": Broken()}, tmp_path / "a.ckpt")
    assert isinstance(raised.value.__cause__, LookupError)


# --- the system refuses or the process dies ---


def run_python(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_full_disk(tmp_path: Path) -> None:
    """A file size limit is a disk that is full after so many bytes; tried at every stage of the file."""
    script = """
        import json, resource, sys, torch
        from leyden.checkpoint.file import save
        from leyden.errors import CheckpointError
        reports = []
        for limit in range(0, 10_000, 400):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                save({"state_dict": {"weight": torch.ones(2000)}}, sys.argv[1])
                reports.append("saved")
            except CheckpointError as error:
                reports.append(str(error) if isinstance(error.__cause__, OSError) else repr(error.__cause__))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(json.dumps(reports))
    """
    path = tmp_path / "a.ckpt"
    save(small_checkpoint(), path)
    reports = json.loads(run_python(script, path))
    failures = [report for report in reports if report != "saved"]
    assert len(failures) > 20
    for report in failures:
        assert str(path) in report
        assert "File too large. It needs about 8,000 bytes and" in report
        assert "bytes are free there" in report
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.ckpt"]
    load(path)
