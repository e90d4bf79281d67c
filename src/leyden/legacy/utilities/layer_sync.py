"""Layers that compute their statistics over all processes."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn


class LayerSync(ABC):
    """Makes layers compute their statistics over all processes, as BatchNorm's should, and undoes it."""

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
            if (kind := model.__dict__.get("_kind_before")) is None:  # the module's own
                return model
            plain = kind(model.num_features, model.eps, model.momentum, model.affine, model.track_running_stats)
            plain.train(model.training)
            for name, value in {**model._parameters, **model._buffers}.items():
                setattr(plain, name, value)
            return plain  # type: ignore[no-any-return]  # a BatchNorm
        for name, child in model.named_children():
            setattr(model, name, self.revert(child))
        return model
