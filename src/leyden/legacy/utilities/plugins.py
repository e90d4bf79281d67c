"""Plugins of Lightning's interface for what Leyden does without one: checkpoint files and synchronised BatchNorm."""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from leyden.errors import CheckpointError
from leyden.legacy.utilities.saving import PathLike, get_filesystem
from leyden.utils.files import atomic_write
from leyden.utils.rank import rank_zero_warn


class TorchCheckpointIO:
    """Reads and writes checkpoints as Leyden does without a plugin; derive from it to add to that."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: PathLike, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``, whole or not at all.

        A checkpoint of a program that puts objects of its own in it is written too, with a warning: only
        ``weights_only=False`` loads it.

        Raises:
            TypeError: ``storage_options`` are given, which this plugin does not take.
        """
        if storage_options is not None:
            raise TypeError(f"`storage_options` got {storage_options!r}, and {type(self).__name__} takes none.")
        try:
            importlib.import_module("leyden.checkpoint.file").save(checkpoint, path)
        except CheckpointError as error:
            if isinstance(error.__cause__, OSError):
                raise
            with atomic_write(path) as file:
                torch.save(checkpoint, file)
            rank_zero_warn(f"{error} It was written all the same, and only `weights_only=False` loads it.", 2)

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


class LayerSync(ABC):
    """Makes layers compute their statistics over all processes, and undoes it."""

    @abstractmethod
    def apply(self, model: nn.Module) -> nn.Module:
        """Return the module with such layers."""

    @abstractmethod
    def revert(self, model: nn.Module) -> nn.Module:
        """Return the module as it was."""


class TorchSyncBatchNorm(LayerSync):
    """Torch's ``SyncBatchNorm`` in the place of every BatchNorm.

    Example:
        >>> synced = TorchSyncBatchNorm().apply(nn.Sequential(nn.BatchNorm1d(2)))
        >>> type(synced[0]).__name__, type(TorchSyncBatchNorm().revert(synced)[0]).__name__
        ('SyncBatchNorm', 'BatchNorm1d')
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace the layers; a converted layer remembers its class."""
        kinds = [type(layer) for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        synced = [layer for layer in converted.modules() if isinstance(layer, nn.SyncBatchNorm)]
        for layer, kind in zip(synced, kinds, strict=True):
            layer.__dict__.setdefault("_kind_before", kind)
        return converted

    def revert(self, model: nn.Module) -> nn.Module:
        """Put the layers of :meth:`apply` back, with their weights and statistics."""
        if isinstance(model, nn.SyncBatchNorm):
            kind = model.__dict__.get("_kind_before", nn.BatchNorm2d)
            plain = kind(model.num_features, model.eps, model.momentum, model.affine, model.track_running_stats)
            plain.train(model.training)
            for name, value in {**model._parameters, **model._buffers}.items():
                setattr(plain, name, value)
            return plain  # type: ignore[no-any-return]  # a BatchNorm
        for name, child in model.named_children():
            setattr(model, name, self.revert(child))
        return model
