"""Atomic writing, leftovers, URLs."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import BinaryIO

import pytest

from leyden.utils.files import atomic_write, filesystem, free_bytes, is_local, local_path, sweep_leftovers


def write(path: str | Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def run_python(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_written_whole_and_nothing_else_left(tmp_path: Path) -> None:
    write(tmp_path / "a.bin", b"old")
    write(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write(tmp_path / "x" / "y" / "a.bin", b"1")
    assert (tmp_path / "x" / "y" / "a.bin").read_bytes() == b"1"


def test_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("a.bin", b"1")
    write("sub/a.bin", b"2")
    assert Path("a.bin").read_bytes() + Path("sub/a.bin").read_bytes() == b"12"


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "a b'\"\n.ckpt", ".hidden"])
def test_any_name_the_system_allows(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, b"1")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_leaves_the_old_file_and_no_temporary(tmp_path: Path, error: BaseException) -> None:
    write(tmp_path / "a.bin", b"old")
    with pytest.raises(type(error)), atomic_write(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise error
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_target_is_unchanged_until_the_check_has_passed(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    write(target, b"old")
    seen = []

    def check(file: BinaryIO) -> None:
        file.seek(0)
        seen.append((file.read(), target.read_bytes()))
        if len(seen) == 1:
            raise ValueError("not good")

    with pytest.raises(ValueError, match="not good"), atomic_write(target, check) as file:
        file.write(b"new")
    assert target.read_bytes() == b"old"
    with atomic_write(target, check) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"
    assert seen == [(b"new", b"old"), (b"new", b"old")]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_a_plain_open(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write(tmp_path / "ours", b"1")
        (tmp_path / "plain").write_bytes(b"1")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")]
    assert modes[0] == modes[1]


def test_a_symbolic_link_is_replaced_and_its_target_untouched(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"target")
    (tmp_path / "link").symlink_to("target")
    write(tmp_path / "link", b"new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == b"new"
    assert (tmp_path / "target").read_bytes() == b"target"


def test_a_folder_at_the_path_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "folder", b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(NotADirectoryError), atomic_write(tmp_path / "x" / "a.bin"):
        pytest.fail("the block must not run")


def test_full_disk(tmp_path: Path) -> None:
    """A file size limit is a disk that is full: the write system call fails half-way."""
    script = """
        import resource, sys
        from leyden.utils.files import atomic_write
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            with atomic_write(sys.argv[1]) as file:
                file.write(bytes(200_000))
        except OSError as error:
            print(error.errno)
    """
    write(tmp_path / "a.bin", b"old")
    assert run_python(script, tmp_path / "a.bin").stdout.strip() == str(errno.EFBIG)
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_the_dead_are_swept_and_others_kept(tmp_path: Path) -> None:
    script = """
        import os, signal, sys
        from leyden.utils.files import atomic_write
        with atomic_write(sys.argv[1]) as file:
            file.write(bytes(100_000))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    write(tmp_path / "a.bin", b"old")
    assert run_python(script, tmp_path / "a.bin").returncode == -9
    others = [tmp_path / name for name in (".mine.tmp", "a.tmp", ".x.1.abc.tmp", ".a.12.01234567.tmp.ckpt")]
    for other in others:
        other.write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == 2 + len(others)
    with atomic_write(tmp_path / "b.bin") as file:
        file.write(b"b")
        sweep_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.bin", tmp_path / "b.bin", *others])
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_a_live_writer_in_another_process_is_not_disturbed(tmp_path: Path) -> None:
    script = """
        import sys
        from leyden.utils.files import atomic_write
        with atomic_write(sys.argv[1]) as file:
            file.write(b"new")
            print("writing", flush=True)
            sys.stdin.readline()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "a.bin")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "writing\n"
        sweep_leftovers(tmp_path)
        process.stdin.write("\n")
    assert process.returncode == 0
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_sweeping_where_nothing_is(tmp_path: Path) -> None:
    sweep_leftovers(tmp_path / "missing")
    sweep_leftovers("memory://anything")
    assert list(tmp_path.iterdir()) == []


def test_which_paths_are_local() -> None:
    local = ["a", "/a/b", "file:///a", "local:///a", Path("a")]
    assert all(is_local(path) for path in local)
    assert not any(is_local(path) for path in ["s3://b/a", "memory://a", "simplecache::s3://b/a", "https://x/a"])
    assert local_path("file:///a/b") == Path("/a/b")
    assert local_path("a") == Path("a")


def test_file_urls_are_written_like_paths(tmp_path: Path) -> None:
    write(f"file://{tmp_path}/a.bin", b"1")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_remote_write() -> None:
    url = "memory://test-files/run/a.bin"
    write(url, b"old")
    with pytest.raises(ValueError, match="no"), atomic_write(url) as file:
        file.write(b"half")
        raise ValueError("no")
    store, name = filesystem(url)
    assert store.cat_file(name) == b"old"
    write(url, b"new")
    assert store.cat_file(name) == b"new"


def test_free_bytes(tmp_path: Path) -> None:
    free = free_bytes(tmp_path / "not" / "there" / "a.bin")
    assert free is not None
    assert free > 0
    assert free_bytes("memory://a") is None


def test_a_checkpoint_writer_killed_at_every_call(tmp_path: Path) -> None:
    """The child dies before the N-th call into the system or a library, for every N until a save completes."""
    script = """
        import json, os, signal, sys, torch
        from leyden.checkpoint.file import load, save
        from leyden.utils.files import sweep_leftovers
        torch.set_num_threads(1)
        folder, path = sys.argv[1], os.path.join(sys.argv[1], "a.ckpt")
        save({"epoch": 1, "state_dict": {"weight": torch.ones(3000)}}, path)
        new = {"epoch": 2, "state_dict": {"weight": torch.zeros(3000)}}
        epochs, swept, number = [], 0, 0
        while True:
            number += 1
            child = os.fork()
            if child == 0:
                calls = 0
                def die(frame, event, argument):
                    global calls
                    writers = ("utils/files.py", "checkpoint/file.py", "torch/serialization.py")
                    if event == "c_call" and frame.f_code.co_filename.endswith(writers):
                        calls += 1
                    if calls == number:
                        os.kill(os.getpid(), signal.SIGKILL)
                sys.setprofile(die)
                save(new, path)
                os._exit(0)
            status = os.waitpid(child, 0)[1]
            epochs.append(load(path)["epoch"])
            swept += len(os.listdir(folder)) - 1
            sweep_leftovers(folder)
            assert os.listdir(folder) == ["a.ckpt"], os.listdir(folder)
            if status == 0:
                break
            assert status == signal.SIGKILL, status
            if epochs[-1] == 2:
                save({"epoch": 1, "state_dict": {"weight": torch.ones(3000)}}, path)
        print(json.dumps([epochs, swept]))
    """
    done = run_python(script, tmp_path)
    assert done.returncode == 0, done.stderr
    epochs, swept = json.loads(done.stdout)
    assert len(epochs) > 50
    assert epochs == sorted(epochs)  # once renamed, never undone
    assert epochs[-1] == 2
    assert swept > 50
