"""What the corpus of mistakes is written with: a table of functions, and small models and loaders to misuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        make: Makes it, and nothing else that is wrong.
        error: The type that is raised, or warned of.
        patterns: Regular expressions: the argument or hook, what was given, what to do.
        batches: Training batches that may have started; the optimizer must not have stepped unless ``steps`` says so.
        steps: Optimizer steps that may have been made: one where only a step can show what is logged, None for
            programs that are legal and only warned of.
    """

    make: Callable[[], Any]
    error: type[BaseException]
    patterns: tuple[str, ...]
    batches: int
    steps: int | None

    @property
    def name(self) -> str:
        return f"{self.make.__module__.rpartition('.')[2]}: {self.make.__name__}"


CORPUS: list[Mistake] = []


def mistake(error: type[BaseException], *patterns: str, batches: int = 0, steps: int = 0) -> Callable[..., Any]:
    """Add a function to the corpus: it raises ``error``, whose message has all of ``patterns``."""

    def add(make: Callable[[], Any]) -> Callable[[], Any]:
        CORPUS.append(Mistake(make, error, patterns, batches, steps))
        return make

    return add


def doubtful(warning: type[Warning], *patterns: str) -> Callable[..., Any]:
    """Add a legal program that gets a warning."""

    def add(make: Callable[[], Any]) -> Callable[[], Any]:
        CORPUS.append(Mistake(make, warning, patterns, 1000, None))
        return make

    return add


class Counts:
    """How far a run got."""

    batches = 0
    steps = 0

    @classmethod
    def reset(cls) -> None:
        cls.batches = cls.steps = 0


class Model(pl.LightningModule):
    """A correct model, to be made wrong in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        Counts.batches += 1

    def loss(self, batch: Any) -> torch.Tensor:
        return self.layer(batch[0]).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("val_loss", self.loss(batch))

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("test_loss", self.loss(batch))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Bare(pl.LightningModule):
    """A model without any step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        Counts.batches += 1


def dataset(size: int = 8) -> TensorDataset:
    return TensorDataset(torch.ones(size, 2), torch.ones(size, 1))


def loader(size: int = 8, batch_size: int = 2) -> DataLoader[Any]:
    return DataLoader(dataset(size), batch_size=batch_size)


def trainer(**changes: Any) -> pl.Trainer:
    """A Trainer that is silent, unless a change says otherwise."""
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 1,
    }
    return pl.Trainer(**(quiet | changes))


def fit(model: Any = None, train: Any = None, val: Any = None, **changes: Any) -> None:
    """Fit with everything right but what is given."""
    run = trainer(**changes)
    run.fit(Model() if model is None else model, loader() if train is None else train, val)
