"""The files in ``data/written_by_lightning``, and the program that wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

FILES = Path(__file__).parent / "data" / "written_by_lightning"


class Model(pl.LightningModule):
    """The module that the files are of; ``trained`` counts its batches."""

    def __init__(self, width: int = 2, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(width, 1)
        self.trained = 0

    def loss(self, batch: Any) -> torch.Tensor:
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.trained += 1
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


def path(name: str) -> str:
    return str(FILES / f"{name}.ckpt")


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(8.0).reshape(4, 2) / 8, torch.ones(4, 1)), batch_size=1)
