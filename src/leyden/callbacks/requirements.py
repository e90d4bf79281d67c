"""What callbacks ask of their arguments."""

from __future__ import annotations

import math
from typing import Any

from leyden.errors import MisconfigurationException, bad_value


def require(holds: bool, argument: str, given: object, accepted: str, fix: str = "") -> None:
    """Refuse an argument, with the standard message, unless ``holds``.

    Raises:
        MisconfigurationException: It does not hold.

    Example:
        >>> require(is_count(3, 1), "patience", 3, "an int >= 1")
    """
    if not holds:
        raise MisconfigurationException(bad_value(argument, given, accepted, fix))


def is_count(value: Any, minimum: int) -> bool:
    """Whether a value is an int from ``minimum`` on, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def is_number(value: Any, minimum: float = -math.inf, maximum: float = math.inf) -> bool:
    """Whether a value is a number in a closed range: no bool, no NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and minimum <= value <= maximum
