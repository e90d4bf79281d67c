"""LeNet and the handwritten digits of scikit-learn: the model and the data of the demo."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split

import leyden as pl


class LenetModel(nn.Module):
    """LeNet: images of shape (batch, 1, 28, 28) in, logits of shape (batch, 10) out."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),  # keeps 28x28, so that 16 maps of 5x5 are left at the end
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class LenetSystem(pl.LightningModule):
    """LeNet with cross-entropy, Adam, and a learning rate that is halved when the validation loss stands still.

    Args:
        learning_rate: Of Adam.
    """

    def __init__(self, learning_rate: float = 2e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.model = LenetModel()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return self.score(batch, "train")

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.score(batch, "val")

    def test_step(self, batch: list[Tensor], batch_idx: int) -> None:
        self.score(batch, "test")

    def score(self, batch: list[Tensor], stage: str) -> Tensor:
        """Log loss and accuracy of a batch; return the loss."""
        x, y = batch
        logits = self(x)
        loss = functional.cross_entropy(logits, y)
        accuracy = (logits.argmax(dim=-1) == y).float().mean()
        self.log(f"{stage}_loss", loss, prog_bar=stage == "train")
        self.log(f"{stage}_acc", accuracy, prog_bar=stage == "val")
        return loss

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.hparams.learning_rate)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "val_loss"}


class DigitsData(pl.LightningDataModule):
    """The 1,797 handwritten digits that ship inside scikit-learn, upscaled from 8x8 to 28x28 pixels.

    Split once and for all: 1,257 to train, 180 to validate, 360 to test. In training every image is turned and moved a
    little, at random.

    Args:
        batch_size: Images per batch.
    """

    SPLIT = (1257, 180, 360)

    def __init__(self, batch_size: int = 32) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        from sklearn.datasets import load_digits

        pixels, digits = load_digits(return_X_y=True)
        pixels = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
        images = functional.interpolate(pixels, size=(28, 28), mode="bilinear", align_corners=False)
        dataset = TensorDataset(images, torch.tensor(digits))
        self.train, self.val, self.test = random_split(dataset, self.SPLIT, torch.Generator().manual_seed(0))

    def on_after_batch_transfer(self, batch: list[Tensor], dataloader_idx: int) -> list[Tensor]:
        x, y = batch
        return [jitter(x), y] if self.trainer.training else [x, y]

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.test, self.batch_size)


def jitter(images: Tensor) -> Tensor:
    """Turn each image by up to 10 degrees and move it by up to a tenth of its size."""
    angle = (torch.rand(len(images)) - 0.5) * 0.35
    shift = (torch.rand(len(images), 2) - 0.5) * 0.2
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos, -sin, shift[:, 0]], dim=1), torch.stack([sin, cos, shift[:, 1]], dim=1)]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
