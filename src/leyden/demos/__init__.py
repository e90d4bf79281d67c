"""Small modules and data sets to try things with, and to write bug reports with."""

from __future__ import annotations

from leyden.legacy.alias import publish

__getattr__, __dir__ = publish(__name__)
