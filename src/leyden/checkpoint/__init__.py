"""Checkpoint files: written whole or not at all, verified when read, never executed."""
