"""What ``fabric run`` hands on to the program it starts, in environment variables with Lightning's names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from leyden.errors import bad_value

__all__ = ["MARK", "PREFIX", "launched_with"]

PREFIX = "LT_"
MARK = "LT_CLI_USED"


def launched_with(arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Replace arguments by those that the command line gave.

    Args:
        arguments: What the program gives, by name.
        defaults: The value of each that counts as not given.

    Raises:
        ValueError: The program gives an argument too, with another value.

    Example:
        >>> launched_with({"devices": 2}, {"devices": "auto"})
        {'devices': 2}
    """
    values = dict(arguments)
    for name, value in arguments.items() if MARK in os.environ else ():
        text = os.environ.get(PREFIX + name.upper())
        if text is None:
            continue
        if value != defaults[name] and str(value) != text:
            accepted = f"{text!r}, which the command line gives"
            raise ValueError(bad_value(name, value, accepted, "give it in one of the two places"))
        values[name] = int(text) if text.isdecimal() and name == "num_nodes" else text
    return values
