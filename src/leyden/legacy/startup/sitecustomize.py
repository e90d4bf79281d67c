"""Run by Python as it starts in the processes of a drop-in run: enters the drop-in, then hands over.

:mod:`leyden.dropin` puts this folder on ``PYTHONPATH``; nothing else finds it. A Python of another environment that is
started as a child stays as it is.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from importlib.machinery import PathFinder

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def enter() -> None:
    """Install the import names; a process that cannot ends: it must not fall through to an installed Lightning."""
    try:
        # In the parent, a source tree that is not installed may have been found through the working directory.
        if importlib.util.find_spec("leyden") is None:
            sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(_FOLDER))))
        from leyden.legacy.finder import install

        install()
    except (Exception, SystemExit):  # noqa: BLE001 - whatever it is, the process must not go on
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # Python would print an exception that leaves this file, and go on


def hand_over() -> None:
    """Run the ``sitecustomize`` that stands behind this one, if there is one."""
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    # The program sees the path it would see without the drop-in; its children have the variable.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != _FOLDER]
    if os.environ.get("LEYDEN_DROPIN") == sys.prefix:
        enter()
    hand_over()
