"""``leyden.pytorch``: what ``lightning.pytorch`` is, for programs in which one name of the package is replaced."""

from __future__ import annotations

from leyden.legacy.alias import publish

__getattr__, __dir__ = publish(__name__)
