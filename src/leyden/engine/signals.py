"""What a run does when the system asks it to stop: finish the step, save, leave with the customary exit code."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

_WATCHED = tuple(
    signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1") if name in signal.Signals.__members__
)
_REQUESTS_TO_LEAVE = (signal.SIGINT, signal.SIGTERM)


def exit_code(signum: int) -> int:
    """Return the exit code of a process that ended because of a signal: 128 + its number.

    Example:
        >>> exit_code(signal.SIGTERM), exit_code(signal.SIGINT)
        (143, 130)
    """
    return 128 + int(signum)


class Interruption(Exception):
    """Leaves a validation at the first batch after a signal; the engine catches it."""


class SignalWatch:
    """Notes the first signal while its block runs, so that the engine can save at the next step boundary.

    Watched are SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGUSR1. The first one only sets :attr:`received`. A further SIGINT
    or SIGTERM, when one of the two was there before, leaves at once, whatever is going on: ``KeyboardInterrupt`` for
    SIGINT, ``SystemExit(143)`` for SIGTERM. (A SIGTERM after SIGUSR1 or SIGHUP is not yet a second request: batch
    systems warn with one and ask with the other.)

    Handlers are installed when the block is entered in the main thread; in another thread nothing is watched. Left alone
    are signals that the process inherited as ignored (``nohup``), signals whose handler Python could not put back, and
    SIGUSR1 if the program has its own handler for it and ``requeue`` is false. A handler that the program had installed
    is called too, before a second signal leaves. When the block ends every handler is what it was before, except where
    the program has installed another one meanwhile: that one stays.

    Python runs handlers between two instructions of the main thread: a long call into a library delays them.

    Args:
        requeue: Watch SIGUSR1 even if it has a handler; batch systems send it before the time is up.
        repeat_after: Seconds in which a repetition counts as the same request. Launchers forward what the terminal has
            already sent to the whole process group; under one, a second or so is right.

    Example:
        >>> with SignalWatch() as watch:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print(watch.received.name)
        SIGTERM
    """

    received: signal.Signals | None
    """The first signal of this block, None until there is one; a plain attribute, to be read at every step."""

    def __init__(self, requeue: bool = False, repeat_after: float = 0.0) -> None:
        self.requeue = requeue
        self.repeat_after = repeat_after
        self.received = None
        self._asked_at: float | None = None
        self._previous: dict[signal.Signals, Any] = {}
        self._active = False

    def __enter__(self) -> Self:
        self.received = self._asked_at = None
        self._previous = {}
        self._active = threading.current_thread() is threading.main_thread()
        for number in _WATCHED if self._active else ():
            previous = signal.getsignal(number)
            if self._takes(number, previous):
                self._previous[number] = previous
                signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active = False
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)

    def _takes(self, number: signal.Signals, previous: Any) -> bool:
        if previous is None or previous == signal.SIG_IGN:  # None: not installed by Python, so it could not be put back
            return False
        return number.name != "SIGUSR1" or self.requeue or previous == signal.SIG_DFL

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        number = signal.Signals(signum)
        previous = self._previous[number]
        if not self._active:  # a handler that the program put on top, and that outlived the block, passes it on
            if callable(previous):
                previous(signum, frame)
            return
        if self.received is None:
            self.received = number
        leave = False
        if number in _REQUESTS_TO_LEAVE:
            now = time.monotonic()
            leave = self._asked_at is not None and now - self._asked_at >= self.repeat_after
            self._asked_at = now if self._asked_at is None else self._asked_at
        if callable(previous) and previous is not signal.default_int_handler:
            previous(signum, frame)
        if leave:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(exit_code(number))
