"""Modules and data sets without a purpose: enough to run a Trainer, for tests and bug reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, random_split

from leyden.core.datamodule import LightningDataModule
from leyden.core.module import LightningModule

SIZE, LENGTH = 32, 64


class RandomDataset(Dataset[Tensor]):
    """Random vectors.

    Args:
        size: The length of a vector.
        length: How many there are.

    Example:
        >>> len(RandomDataset(32, 64))
        64
    """

    def __init__(self, size: int, length: int) -> None:
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index: int) -> Tensor:
        return self.data[index]

    def __len__(self) -> int:
        return self.len


class RandomDictDataset(Dataset[dict[str, Tensor]]):
    """Random vectors ``a`` and ``b = a + 2``; the arguments are those of :class:`RandomDataset`."""

    def __init__(self, size: int, length: int) -> None:
        self.len = length
        self.data = torch.randn(length, size)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"a": self.data[index], "b": self.data[index] + 2}

    def __len__(self) -> int:
        return self.len


class RandomIterableDataset(IterableDataset[Tensor]):
    """Random vectors, one after another.

    Args:
        size: The length of a vector.
        count: How many there are.
    """

    def __init__(self, size: int, count: int) -> None:
        self.size = size
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(self.count):
            yield torch.randn(self.size)


class RandomIterableDatasetWithLen(RandomIterableDataset):
    """The same, with a length."""

    def __len__(self) -> int:
        return self.count


class BoringModel(LightningModule):
    """One linear layer of 32 inputs and 2 outputs that learns to give ones, with its own loaders.

    Example:
        >>> BoringModel().layer
        Linear(in_features=32, out_features=2, bias=True)
    """

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(SIZE, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` of shape (samples, 32)."""
        output: Tensor = self.layer(x)
        return output

    def loss(self, preds: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the squared distance from ``labels``, by default ones."""
        return nn.functional.mse_loss(preds, torch.ones_like(preds) if labels is None else labels)

    def step(self, batch: Tensor) -> Tensor:
        """Return the loss of a batch."""
        return self.loss(self(batch))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return {"loss": self.step(batch)}

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return {"x": self.step(batch)}

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return {"y": self.step(batch)}

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [StepLR(optimizer, step_size=1)]

    def train_dataloader(self) -> Any:
        return DataLoader(RandomDataset(SIZE, LENGTH))

    def val_dataloader(self) -> Any:
        return DataLoader(RandomDataset(SIZE, LENGTH))

    def test_dataloader(self) -> Any:
        return DataLoader(RandomDataset(SIZE, LENGTH))

    def predict_dataloader(self) -> Any:
        return DataLoader(RandomDataset(SIZE, LENGTH))


class ManualOptimBoringModel(BoringModel):
    """:class:`BoringModel` in manual optimization."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer = self.optimizers()
        loss = self.step(batch)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


class DemoModel(LightningModule):
    """A linear layer with arguments.

    Args:
        out_dim: The number of outputs.
        learning_rate: Adam's.
    """

    def __init__(self, out_dim: int = 10, learning_rate: float = 0.02) -> None:
        super().__init__()
        self.l1 = nn.Linear(SIZE, out_dim)
        self.learning_rate = learning_rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x``, flattened per sample, and a ReLU."""
        return torch.relu(self.l1(x.flatten(1)))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        x = batch
        return {"loss": self(x).sum()}

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate)


class BoringDataModule(LightningDataModule):
    """Random vectors for every stage, and for fit split into halves."""

    def prepare_data(self) -> None:
        self.random_full = RandomDataset(SIZE, LENGTH * 4)

    def setup(self, stage: str) -> None:
        if stage in ("fit", "validate"):
            self.random_train, self.random_val = random_split(RandomDataset(SIZE, LENGTH * 2), [LENGTH, LENGTH])
        if stage == "test":
            self.random_test = RandomDataset(SIZE, LENGTH)
        if stage == "predict":
            self.random_predict = RandomDataset(SIZE, LENGTH)

    def train_dataloader(self) -> Any:
        return DataLoader(self.random_train)

    def val_dataloader(self) -> Any:
        return DataLoader(self.random_val)

    def test_dataloader(self) -> Any:
        return DataLoader(self.random_test)

    def predict_dataloader(self) -> Any:
        return DataLoader(self.random_predict)


class BoringDataModuleNoLen(LightningDataModule):
    """Random vectors from data sets without a length."""

    def train_dataloader(self) -> Any:
        return DataLoader(RandomIterableDataset(SIZE, LENGTH))

    def val_dataloader(self) -> Any:
        return DataLoader(RandomIterableDataset(SIZE, LENGTH))

    def test_dataloader(self) -> Any:
        return DataLoader(RandomIterableDataset(SIZE, LENGTH))

    def predict_dataloader(self) -> Any:
        return DataLoader(RandomIterableDataset(SIZE, LENGTH))


class IterableBoringDataModule(LightningDataModule):
    """Two loaders per stage: one over a data set with, one over a data set without a length."""

    def setup(self, stage: str) -> None:
        pair = [RandomDataset(SIZE, LENGTH), RandomIterableDataset(SIZE, LENGTH)]
        self.train_datasets = self.val_datasets = self.test_datasets = self.predict_datasets = pair

    def train_dataloader(self) -> Any:
        return [DataLoader(dataset) for dataset in self.train_datasets]

    def val_dataloader(self) -> Any:
        return [DataLoader(dataset) for dataset in self.val_datasets]

    def test_dataloader(self) -> Any:
        return [DataLoader(dataset) for dataset in self.test_datasets]

    def predict_dataloader(self) -> Any:
        return [DataLoader(dataset) for dataset in self.predict_datasets]
