"""Lengths of time as users write them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from leyden.errors import MisconfigurationException, bad_value

ACCEPTED = "'DD:HH:MM:SS', a timedelta, or a dict of its arguments such as {'hours': 1}; not negative"
_DURATION = re.compile(r"(?P<days>\d+):(?P<hours>\d\d):(?P<minutes>\d\d):(?P<seconds>\d\d)")


def parse_duration(argument: str, value: str | timedelta | Mapping[str, float]) -> timedelta:
    """Read a duration.

    Args:
        argument: The argument the value came from, for the message.
        value: ``"DD:HH:MM:SS"``, a ``timedelta``, or its arguments in a mapping.

    Raises:
        MisconfigurationException: The value is none of these, or negative.

    Example:
        >>> parse_duration("max_time", "01:00:30:00")
        datetime.timedelta(days=1, seconds=1800)
    """
    parts: Any = value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        parts = {unit: int(number) for unit, number in match.groupdict().items()}
    with contextlib.suppress(TypeError, OverflowError):
        duration = value if isinstance(value, timedelta) else timedelta(**parts)
        if duration >= timedelta(0):
            return duration
    fix = f"write {argument}='00:01:30:00' for an hour and a half"
    raise MisconfigurationException(bad_value(argument, value, ACCEPTED, fix))
