"""Leyden: a thin, fast, exact and safe training framework for PyTorch."""

from __future__ import annotations

__version__ = "0.1.0"
