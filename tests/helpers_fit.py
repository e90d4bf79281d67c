"""A small module, its data and a quiet Trainer, for the tests of fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import leyden as pl


def trainer(**arguments: Any) -> pl.Trainer:
    """A Trainer without logger, bar, summary, checkpoint and sanity check; one epoch."""
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(**(quiet | arguments))


def samples(count: int = 8) -> TensorDataset:
    generator = torch.Generator().manual_seed(7)
    return TensorDataset(torch.randn(count, 2, generator=generator), torch.randn(count, 1, generator=generator))


def loader(count: int = 8, batch_size: int = 2, **options: Any) -> DataLoader[Any]:
    return DataLoader(samples(count), batch_size=batch_size, **options)


class Endless(IterableDataset[Any]):
    """A data set that does not know its length, or says a wrong one."""

    def __init__(self, count: int = 8) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return iter(samples(self.count))


class Claiming(Endless):
    def __init__(self, count: int, claimed: int) -> None:
        super().__init__(count)
        self.claimed = claimed

    def __len__(self) -> int:
        return self.claimed


class Regression(pl.LightningModule):
    """Linear regression by SGD; ``calls`` is for subclasses and callbacks to note what happened."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Linear(2, 1)
        self.lr = lr
        self.calls: list[Any] = []

    def loss(self, batch: Any) -> Tensor:
        return functional.mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.calls.append(batch_idx)
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Validated(Regression):
    """Notes its validations and epoch ends too; logs ``val_loss``."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self.calls.append("val")
        self.log("val_loss", self.loss(batch))

    def on_train_epoch_end(self) -> None:
        self.calls.append("end")


def fit(module: pl.LightningModule, data: Any = None, val: Any = None, **arguments: Any) -> pl.Trainer:
    """Fit ``module`` and return the Trainer; a module that validates gets validation data."""
    made = trainer(**arguments)
    if val is None and isinstance(module, Validated):
        val = loader()
    made.fit(module, loader() if data is None else data, val)
    return made


def weights(module: torch.nn.Module) -> Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten().clone() for parameter in module.parameters()])
