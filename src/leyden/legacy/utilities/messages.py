"""Messages in Lightning's ways: once, not at all, for debugging, with the rank before them."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from leyden.errors import PossibleUserWarning
from leyden.utils.rank import announce, rank_zero_deprecation, rank_zero_info, rank_zero_only, rank_zero_warn


class WarningCache(set[str]):
    """Says everything once.

    Example:
        >>> cache = WarningCache()
        >>> cache.info("hello")
        >>> "hello" in cache
        True
    """

    def warn(self, message: str, stacklevel: int = 5, **kwargs: Any) -> None:
        """Warn on rank 0, unless this was said before."""
        self._once(rank_zero_warn, message, stacklevel=stacklevel, **kwargs)

    def deprecation(self, message: str, stacklevel: int = 6, **kwargs: Any) -> None:
        """Warn on rank 0 of an old name, unless this was said before."""
        self._once(rank_zero_deprecation, message, stacklevel=stacklevel, **kwargs)

    def info(self, message: str, **kwargs: Any) -> None:
        """Log on rank 0, unless this was said before."""
        self._once(rank_zero_info, message, **kwargs)

    def _once(self, say: Any, message: str, **kwargs: Any) -> None:
        if message not in self:
            self.add(message)
            say(message, **kwargs)


warning_cache = WarningCache()
"""The cache that programs share."""


def disable_possible_user_warnings(module: str = "") -> None:
    """Silence every :class:`~leyden.errors.PossibleUserWarning`.

    Args:
        module: Only those that come from modules whose name matches this pattern.
    """
    warnings.filterwarnings("ignore", module=module, category=PossibleUserWarning)


@rank_zero_only
def rank_zero_debug(message: object, *args: Any, **kwargs: Any) -> None:
    """:func:`~leyden.utils.rank.announce` on rank 0, at level DEBUG."""
    announce(message, *args, level=logging.DEBUG, **kwargs)


def rank_prefixed_message(message: str, rank: int | None) -> str:
    """Put the rank before a message.

    Example:
        >>> rank_prefixed_message("out of memory", 3)
        '[rank: 3] out of memory'
    """
    return message if rank is None else f"[rank: {rank}] {message}"
