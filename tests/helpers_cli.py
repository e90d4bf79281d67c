"""A module and data for the tests of the command line, and short ways to build and run them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.utils.data import DataLoader

import leyden as pl
from leyden.cli import LightningCLI

QUIET = {
    "accelerator": "cpu",
    "max_epochs": 1,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "num_sanity_val_steps": 0,
    "log_every_n_steps": 1,
}


class Data(pl.LightningDataModule):
    """Four samples in batches.

    Args:
        batch_size: Samples in a batch.
    """

    def __init__(self, batch_size: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.batch_size = batch_size
        self.classes = 5

    def loader(self) -> DataLoader[Any]:
        return DataLoader(torch.ones(4, 2), batch_size=self.batch_size)

    train_dataloader = val_dataloader = test_dataloader = predict_dataloader = loader


class FourSamples(Data):
    """The same, under a short name that no other class of the whole test process has."""


class Model(pl.LightningModule):
    """One layer.

    Args:
        width: How wide the layer is.
        act: What follows it.
    """

    def __init__(self, width: int = 1, lr: float = 0.1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(2, width)
        self.width, self.lr, self.act = width, lr, act

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch).pow(2).mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("loss", self.layer(batch).pow(2).mean())

    test_step = validation_step

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.layer(batch)


class Trained(Model):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Deeper(Trained):
    """A sub-class with an argument of its own."""

    def __init__(self, depth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.depth = depth


def build(*args: str, model: Any = Trained, cli: type[LightningCLI] = LightningCLI, **options: Any) -> LightningCLI:
    """Build without running; ``args`` are those of a command line."""
    given: dict[str, Any] = {"seed_everything_default": False, "trainer_defaults": QUIET, "run": False}
    return cli(model, **{**given, "args": list(args), **options})


def run(*args: str, model: Any = Trained, data: Any = Data, **options: Any) -> LightningCLI:
    """Run a sub-command."""
    return build(*args, model=model, datamodule_class=data, **{"run": True, **options})


def write(name: str, content: Any) -> str:
    """Write a configuration file; return its name."""
    Path(name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return name


def path_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def imported_of(root: str) -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == root]
