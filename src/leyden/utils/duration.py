"""Lengths of time as users write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from leyden.errors import MisconfigurationException, bad_value

ACCEPTED = "'DD:HH:MM:SS', a timedelta, or a dict of its arguments such as {'hours': 1}; not negative"


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
    duration = None
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, str) and (parts := re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", value.strip())):
        days, hours, minutes, seconds = map(int, parts.groups())
        duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    elif isinstance(value, Mapping):
        try:
            duration = timedelta(**value)
        except TypeError:
            duration = None
    if duration is None or duration < timedelta(0):
        raise MisconfigurationException(
            bad_value(argument, value, ACCEPTED, f"write {argument}='00:01:30:00' for an hour and a half")
        )
    return duration
