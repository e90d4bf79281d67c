"""``python -m leyden.utilities.upgrade_checkpoint PATH``: rewrite checkpoints of an old Lightning as today's."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from leyden.checkpoint import file, schema
from leyden.errors import CheckpointError
from leyden.legacy.checkpoints import LEGACY_VERSION, upgrade


def main(arguments: Sequence[str] | None = None) -> int:
    """Upgrade a file, or every file in a folder; the original is kept beside it, with ``.bak`` after its name.

    Args:
        arguments: The command line; default: the program's own.

    Returns:
        The number of files that could not be read, as an exit code.
    """
    parser = argparse.ArgumentParser(prog="upgrade_checkpoint", description=main.__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("path", type=Path, help="a checkpoint, or a folder that is searched for them")
    parser.add_argument("--extension", "-e", default=".ckpt", help="of the files in a folder; default: .ckpt")
    parser.add_argument("--map-to-cpu", action="store_true", help="move tensors to the CPU")
    parser.add_argument("--trust", action="store_true", help="run the code that a file may contain")
    given = parser.parse_args(arguments)
    paths = sorted(given.path.rglob(f"*{given.extension}")) if given.path.is_dir() else [given.path]
    if not paths:
        print(f"There is no file with the extension {given.extension!r} in {given.path}.", file=sys.stderr)
    failed = [path for path in paths if not _upgrade(path, "cpu" if given.map_to_cpu else None, given.trust)]
    return min(len(failed), 100) if paths else 2


def _upgrade(path: Path, map_location: str | None, trust: bool) -> bool:
    """Upgrade a file and say so; False if it cannot be read."""
    try:
        found = file.load(path, map_location, False if trust else None)
        schema.check(found, str(path))
        checkpoint, notes = upgrade(found)
        if LEGACY_VERSION in checkpoint:
            backup = path.with_name(f"{path.name}.bak")
            if not backup.exists():
                shutil.copy2(path, backup)
            file.save(checkpoint, path)
    except (CheckpointError, OSError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        return False
    print(f"{path}: {'upgraded' if LEGACY_VERSION in checkpoint else 'nothing to do'}. {' '.join(notes)}".rstrip())
    return True


if __name__ == "__main__":
    sys.exit(main())
