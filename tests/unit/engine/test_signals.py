"""Signals are noted, chained, and answered at once the second time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from leyden.engine.signals import SignalWatch, exit_code

WATCHED = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]


@pytest.fixture(autouse=True)
def same_handlers_afterwards() -> Iterator[None]:
    before = [signal.getsignal(number) for number in WATCHED]
    yield
    after = [signal.getsignal(number) for number in WATCHED]
    for number, handler in zip(WATCHED, before, strict=True):
        signal.signal(number, handler)
    assert after == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", WATCHED)
def test_the_first_signal_is_noted_and_nothing_else_happens(number: signal.Signals) -> None:
    with SignalWatch() as watch:
        assert watch.received is None
        send(number)
        assert watch.received is number


def test_the_first_of_several_is_kept() -> None:
    with SignalWatch() as watch:
        send(signal.SIGUSR1)
        send(signal.SIGUSR1)
        send(signal.SIGHUP)
        send(signal.SIGTERM)
        assert watch.received is signal.SIGUSR1


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_second_request_leaves_at_once(first: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), SignalWatch():
        send(first)
        send(signal.SIGINT)
        pytest.fail("it went on")
    with pytest.raises(SystemExit) as raised, SignalWatch() as watch:
        send(first)
        send(signal.SIGTERM)
        pytest.fail("it went on")
    assert raised.value.code == 143
    assert watch.received is first


def test_each_block_starts_anew() -> None:
    watch = SignalWatch()
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        with watch:
            assert watch.received is None
            send(number)
            assert watch.received is number


def test_handlers_are_restored_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="no"), SignalWatch():
        assert signal.getsignal(signal.SIGTERM) != before
        raise ValueError("no")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_handler_of_the_program_is_called_too(number: signal.Signals) -> None:
    calls: list[int] = []
    before = signal.signal(number, lambda given, frame: calls.append(given))
    try:
        with SignalWatch() as watch:
            send(number)
            assert watch.received is number
            assert calls == [number]
        send(number)
        assert calls == [number, number]
    finally:
        signal.signal(number, before)


def test_a_handler_of_the_program_for_sigusr1_is_left_alone() -> None:
    calls: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda given, frame: calls.append(given))
    try:
        with SignalWatch() as watch:
            send(signal.SIGUSR1)
            assert watch.received is None
        assert calls == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("number", WATCHED)
def test_an_inherited_ignore_stays(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with SignalWatch() as watch:
            assert signal.getsignal(number) == signal.SIG_IGN
            send(number)
            assert watch.received is None
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_handler_installed_meanwhile_stays_and_may_chain() -> None:
    calls: list[str] = []
    before = signal.signal(signal.SIGHUP, lambda given, frame: calls.append("first"))
    try:
        with SignalWatch() as watch:
            inner: Any = signal.getsignal(signal.SIGHUP)

            def on_top(given: int, frame: Any) -> None:
                calls.append("top")
                inner(given, frame)

            signal.signal(signal.SIGHUP, on_top)
            send(signal.SIGHUP)
            assert watch.received is signal.SIGHUP
        assert signal.getsignal(signal.SIGHUP) is on_top
        send(signal.SIGHUP)
        with SignalWatch() as second:
            send(signal.SIGHUP)
            assert second.received is signal.SIGHUP
        assert calls == ["top", "first"] * 3
    finally:
        signal.signal(signal.SIGHUP, before)


def test_nested_watches_both_note_it() -> None:
    with SignalWatch() as outer:
        with SignalWatch() as inner:
            send(signal.SIGTERM)
        assert inner.received is outer.received is signal.SIGTERM


def test_other_threads_watch_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    def run() -> None:
        with SignalWatch() as watch:
            seen.extend([watch.received, signal.getsignal(signal.SIGTERM)])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [None, before]


def test_exit_codes() -> None:
    assert [exit_code(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)] == [129, 130, 143]


# --- a process of its own ---

SCRIPT = """
    import signal, sys
    from leyden.engine.signals import SignalWatch, exit_code
    with SignalWatch() as watch:
        print("ready", flush=True)
        while watch.received is None:
            pass
        print("saving", watch.received.name, flush=True)
        if sys.argv[1] == "twice":
            while True:
                pass
    sys.exit(exit_code(watch.received))
"""


def start(script: str, *arguments: str, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*command, sys.executable, "-c", textwrap.dedent(script), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", WATCHED)
def test_a_process_saves_and_leaves_with_the_customary_code(number: signal.Signals) -> None:
    with start(SCRIPT, "once") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == f"saving {number.name}\n"
    assert process.returncode == exit_code(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_a_process_leaves_at_once_when_asked_twice(number: signal.Signals, code: int) -> None:
    with start(SCRIPT, "twice") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.readline() == f"saving {number.name}\n"
        process.send_signal(number)
        assert ("KeyboardInterrupt" in process.stderr.read()) == (number == signal.SIGINT)
    assert process.returncode == code


def test_under_nohup_a_hangup_is_ignored() -> None:
    with start(SCRIPT, "once", command=("nohup",)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "saving SIGTERM\n"
    assert process.returncode == 143
