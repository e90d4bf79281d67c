"""A program whose arguments are those of its model, data and Trainer.

python examples/cli.py fit --config examples/cli.yaml
python examples/cli.py fit --config examples/cli.yaml --model.width 32 --trainer.max_epochs 5
python examples/cli.py fit --help
python examples/cli.py fit --print_config
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from leyden.cli import LightningCLI


class Rings(pl.LightningDataModule):
    """Points on two rings, one within the other.

    Args:
        points: How many.
        noise: How far they lie from their ring.
        batch_size: How many in a batch.
    """

    def __init__(self, points: int = 512, noise: float = 0.1, batch_size: int = 32) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.classes = 2

    def setup(self, stage: str) -> None:
        ring = torch.arange(self.hparams.points) % self.classes
        angle = 2 * torch.pi * torch.rand(self.hparams.points)
        place = torch.stack([angle.cos(), angle.sin()], dim=1) * (1 + ring).unsqueeze(1)
        self.samples = TensorDataset(place + self.hparams.noise * torch.randn_like(place), ring)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.samples, batch_size=self.hparams.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.samples, batch_size=self.hparams.batch_size)


class Classifier(pl.LightningModule):
    """Tells the rings apart.

    Args:
        classes: How many rings there are; the data say so.
        width: How wide the hidden layer is.
        activation: What stands between the layers.
    """

    def __init__(self, classes: int, width: int = 16, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(2, width), activation or nn.ReLU(), nn.Linear(width, classes))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean(), prog_bar=True)


class RingsCLI(LightningCLI):
    def add_arguments_to_parser(self, parser: Any) -> None:
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")


if __name__ == "__main__":
    RingsCLI(Classifier, Rings)
