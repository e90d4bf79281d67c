"""The seed of the program, set once more."""

from __future__ import annotations

import os

from leyden.utils.seed import seed_everything


def reset_seed() -> None:
    """Seed again as the last ``seed_everything`` did, here or in a parent process; without one, do nothing."""
    if "PL_GLOBAL_SEED" in os.environ:
        seed_everything(workers=os.environ.get("PL_SEED_WORKERS", "0") == "1", verbose=False)
