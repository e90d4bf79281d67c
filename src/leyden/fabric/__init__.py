"""Fabric: devices, processes, number formats and checkpoints for those who write the loop themselves.

Here are also the names that Lightning has in ``lightning.fabric``, imported on first use.
"""

from __future__ import annotations

from leyden.legacy.alias import publish

__getattr__, __dir__ = publish(__name__)
