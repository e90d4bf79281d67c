from __future__ import annotations

from torch import nn

from leyden.legacy.utilities.layer_sync import TorchSyncBatchNorm


def test_batchnorm_is_synchronised_and_back() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2), nn.Sequential(nn.BatchNorm3d(2, affine=False)))
    weight = model[1].weight
    synced = TorchSyncBatchNorm().apply(model)
    assert isinstance(synced[1], nn.SyncBatchNorm) and isinstance(synced[2][0], nn.SyncBatchNorm)
    back = TorchSyncBatchNorm().revert(synced.eval())
    assert type(back[1]) is nn.BatchNorm1d and type(back[2][0]) is nn.BatchNorm3d
    assert back[1].weight is weight and not back[1].training


def test_what_was_synchronised_before_stays() -> None:
    own = nn.Sequential(nn.SyncBatchNorm(2))
    assert isinstance(TorchSyncBatchNorm().revert(own)[0], nn.SyncBatchNorm)
