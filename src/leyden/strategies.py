"""``leyden.strategies``: the names that Lightning has in ``lightning.pytorch.strategies``, imported on first use."""

from __future__ import annotations

from leyden.legacy.alias import publish

__getattr__, __dir__ = publish(__name__)
