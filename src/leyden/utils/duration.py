"""Lengths of time as users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from leyden.errors import MisconfigurationException, bad_value

_PATTERN = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")
ACCEPTED = "'DD:HH:MM:SS', a timedelta, or a dict such as {'hours': 1, 'minutes': 30}"


def parse_duration(duration: str | timedelta | Mapping[str, float], argument: str = "duration") -> timedelta:
    """Read a length of time.

    Args:
        duration: ``"DD:HH:MM:SS"``, a timedelta, or a dict of timedelta's arguments.
        argument: The argument's name, for the message.

    Raises:
        MisconfigurationException: It is none of these.

    Example:
        >>> parse_duration("00:01:30:00")
        datetime.timedelta(seconds=5400)
    """
    if isinstance(duration, timedelta):
        return duration
    if isinstance(duration, str) and (match := _PATTERN.fullmatch(duration.strip())):
        days, hours, minutes, seconds = (int(part) for part in match.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if isinstance(duration, Mapping):
        try:
            return timedelta(**duration)
        except TypeError:
            pass
    raise MisconfigurationException(bad_value(argument, duration, ACCEPTED, "write '00:01:00:00' for one hour"))
