"""What a run does when the system asks it to stop: finish the step, save, leave with the customary exit code."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

_WATCHED = [signal.Signals[name] for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


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
    SIGUSR1 if the program has its own handler for it. A handler that the program had installed is called too, before a
    second signal leaves. When the block ends every handler is what it was before, except where the program has installed
    another one meanwhile: that one stays.

    Python runs handlers between two instructions of the main thread: a long call into a library delays them.

    Example:
        >>> with SignalWatch() as watch:
        ...     signal.raise_signal(signal.SIGTERM)
        ...     print(watch.received.name)
        SIGTERM
    """

    received: signal.Signals | None = None
    """The first signal of this block, None until there is one; a plain attribute, to be read at every step."""

    def __enter__(self) -> Self:
        self.received = None
        self._asked = False
        self._previous: dict[signal.Signals, Any] = {}
        self._active = threading.current_thread() is threading.main_thread()
        for number in _WATCHED if self._active else ():
            previous = signal.getsignal(number)
            own = number.name == "SIGUSR1" and previous != signal.SIG_DFL
            if not own and previous not in (None, signal.SIG_IGN):  # None: Python could not put it back
                self._previous[number] = previous
                signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._active = False
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        number = signal.Signals(signum)
        previous, leave = self._previous[number], False
        if self._active:  # else a handler that the program put on top has outlived the block and passes it on
            request = number in (signal.SIGINT, signal.SIGTERM)
            leave = request and self._asked
            self._asked |= request
            self.received = self.received or number
        if callable(previous) and not (self._active and previous is signal.default_int_handler):
            previous(signum, frame)
        if leave:
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(exit_code(number))
