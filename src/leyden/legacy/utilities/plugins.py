"""The plugin of Lightning's interface for what Leyden does without one: checkpoint files."""

from __future__ import annotations

import importlib
import os
from typing import Any

from leyden.legacy.utilities.saving import PathLike, get_filesystem


class TorchCheckpointIO:
    """Reads and writes checkpoints as Leyden does without a plugin; derive from it to add to that."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: PathLike, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``, whole or not at all.

        Raises:
            TypeError: ``storage_options`` are given, which this plugin does not take.
        """
        if storage_options is not None:
            raise TypeError(f"`storage_options` got {storage_options!r}, and {type(self).__name__} takes none.")
        importlib.import_module("leyden.checkpoint.file").save(checkpoint, path)

    def load_checkpoint(self, path: PathLike, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Return the checkpoint at ``path``.

        Args:
            path: A path or URL.
            map_location: The device to load onto.
            weights_only: False runs arbitrary code from the file; only for files you trust.
        """
        return importlib.import_module("leyden.checkpoint.file").load(path, map_location, weights_only)

    def remove_checkpoint(self, path: PathLike) -> None:
        """Delete the checkpoint at ``path``, a file or a folder; one that is not there is no error."""
        store, name = get_filesystem(path), os.fspath(path)
        if store.exists(name):
            store.rm(name, recursive=True)

    def teardown(self) -> None:
        """Nothing is left open."""
