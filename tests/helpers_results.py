"""A module that logs what a test tells it to, a logger that keeps its rows, and a quiet Trainer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from leyden.core.logger import Logger

Act = Callable[..., Any]


class Rows(Logger):
    """Keeps what it is given: ``(step, row)`` pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "rows"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))


def trainer(logger: Any = False, **arguments: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return pl.Trainer(logger=logger, **(quiet | arguments))


def numbers(count: int = 4, batch_size: int = 2, first: float = 0.0) -> DataLoader[Any]:
    """A loader of 0, 1, 2, ... as (batch_size, 1) tensors, in a tuple."""
    values = torch.arange(count, dtype=torch.float32).reshape(count, 1) + first
    return DataLoader(TensorDataset(values), batch_size=batch_size)


class Probe(pl.LightningModule):
    """Calls ``hooks[name](module, *arguments)`` in the hooks and steps of these names; its weight never changes."""

    def __init__(self, **hooks: Act) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.hooks = hooks
        self.seen: list[Any] = []
        for name in hooks:
            if name not in STEPS:
                setattr(self, name, self.hook(name))

    def hook(self, name: str) -> Act:
        return lambda *given: self.hooks[name](self, *given)

    def act(self, name: str, *arguments: Any) -> Any:
        return self.hooks[name](self, *arguments) if name in self.hooks else None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.act("training_step", batch, batch_idx)
        return self.layer(batch[0]).mean() * 0

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return self.act("validation_step", batch, batch_idx, dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return self.act("test_step", batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return self.act("predict_step", batch, batch_idx, dataloader_idx)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


STEPS = {"training_step", "validation_step", "test_step", "predict_step"}


def plain(metrics: Mapping[str, Any]) -> dict[str, float]:
    """A metric dictionary as floats, rounded."""
    return {key: round(float(value), 5) for key, value in metrics.items()}


def fit(module: pl.LightningModule, train: Any = None, val: Any = None, **arguments: Any) -> pl.Trainer:
    """Fit on 0..3 in two batches, unless told otherwise."""
    run = trainer(**arguments)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*there is no validation data")
        run.fit(module, numbers() if train is None else train, val)
    return run


def fit_rows(module: pl.LightningModule, train: Any = None, val: Any = None, **arguments: Any) -> Any:
    """The rows that a logger gets in a fit."""
    rows = Rows()
    fit(module, train, val, logger=rows, **arguments)
    return rows.rows
