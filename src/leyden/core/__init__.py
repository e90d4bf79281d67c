"""What users subclass: module, data module, callback, logger; and the table of hooks."""

from __future__ import annotations

from leyden.legacy.alias import publish

__getattr__, __dir__ = publish(__name__)
