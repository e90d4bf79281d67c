"""Run programs written for Lightning, unchanged: their ``import pytorch_lightning`` and ``import lightning`` find Leyden.

Three ways in::

    python -m leyden.dropin script.py --its arguments     # or: -m package.module
    import leyden.dropin                                  # first line of a script or notebook
    pytest -p leyden.dropin

Child processes, forked, spawned or started from ``sys.executable``, are in it too. Outside such a run nothing changes:
an installed Lightning is found as always.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from leyden.legacy.finder import install

__all__ = ["enter", "main"]

_STARTUP = str(Path(__file__).parent / "legacy" / "startup")

_USAGE = """usage: python -m leyden.dropin SCRIPT [ARGUMENT ...]
       python -m leyden.dropin -m MODULE [ARGUMENT ...]

Runs a program in which pytorch_lightning, lightning and lightning_fabric are Leyden."""


def enter() -> None:
    """Resolve Lightning's import names to Leyden from here on, in this process and its children. Idempotent.

    Raises:
        ImportError: The real package is loaded already.
    """
    install()
    _mark_environment()


def main(arguments: list[str], flags: list[str]) -> int:
    """Run Python on a program, with the drop-in on.

    The program gets an interpreter of its own, so its ``__main__``, ``sys.argv`` and tracebacks are those of a plain run.

    Args:
        arguments: What follows ``python`` in the command line of the program.
        flags: Options of the interpreter, such as ``-O``.

    Returns:
        The exit code, where the program could not take the place of this process.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if arguments else 2
    if sys.flags.ignore_environment or sys.flags.no_site:
        print(
            "leyden.dropin: with -E, -I or -S Python ignores PYTHONPATH, through which child processes learn of the "
            "drop-in. Leave them out.",
            file=sys.stderr,
        )
        return 2
    _mark_environment()
    command = [sys.executable, *flags, *arguments]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)  # noqa: S606 - the user's own program, in place of this process
    # On Windows a process cannot be replaced: the caller would not wait for the program.
    return subprocess.call(command)  # noqa: S603 - the user's own program


def _mark_environment() -> None:
    """Let every Python of this environment that starts from here on run ``legacy/startup/sitecustomize.py``."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != _STARTUP]
    os.environ["PYTHONPATH"] = os.pathsep.join([_STARTUP, *paths])
    os.environ["LEYDEN_DROPIN"] = sys.prefix


def _interpreter_flags(command: list[str], arguments: list[str]) -> list[str]:
    """Return the options in ``python OPTIONS -m leyden.dropin ARGUMENTS``."""
    head = command[1 : len(command) - len(arguments)]
    if not head or not head[-1].endswith("leyden.dropin"):
        return []
    module = head.pop()
    option = head.pop() if module == "leyden.dropin" else module.removesuffix("leyden.dropin")
    return head if option == "-m" else [*head, option.removesuffix("m")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], _interpreter_flags(sys.orig_argv, sys.argv[1:])))
else:
    enter()
