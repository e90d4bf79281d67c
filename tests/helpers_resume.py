"""A run that saves at every step, and the same run continued from each of its files.

The resumed runs start from other seeds, so that whatever a checkpoint does not hold shows itself.
"""

from __future__ import annotations

import csv
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import leyden as pl
from leyden.callbacks import ModelCheckpoint
from leyden.loggers import CSVLogger
from leyden.utils.seed import capture_rng

FEATURES, CLASSES = 6, 3


def make_data(count: int = 23, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, classes, and the number of each sample."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, FEATURES, generator=generator)
    return inputs, torch.randint(CLASSES, (count,), generator=generator), torch.arange(count)


class Augmented(Dataset):
    """A map-style data set that changes its samples at random, with all three generators; counts what it reads."""

    def __init__(self, count: int = 23) -> None:
        self.columns = make_data(count)
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        import random

        self.read.append(index)
        inputs, target, number = (column[index] for column in self.columns)
        return inputs + 0.1 * torch.randn(FEATURES) + 0.1 * np.random.rand() + 0.1 * random.random(), target, number


class Net(pl.LightningModule):
    """Dropout and BatchNorm; logs per step and per epoch; remembers which samples it saw."""

    def __init__(self, scheduler: str = "", optimizer: str = "adam") -> None:
        super().__init__()
        self.scheduler, self.optimizer = scheduler, optimizer
        self.first = torch.nn.Linear(FEATURES, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.second = torch.nn.Linear(8, CLASSES)
        self.dropout = torch.nn.Dropout(0.3)
        self.samples: list[tuple[int, list[int]]] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.dropout(torch.relu(self.norm(self.first(inputs)))))

    def loss(self, batch: Any) -> torch.Tensor:
        inputs, targets, numbers = batch
        if self.training:
            self.samples.append((self.current_epoch, numbers.tolist()))
        return torch.nn.functional.cross_entropy(self(inputs), targets)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        self.log("largest", loss, on_step=False, on_epoch=True, reduce_fx="max")
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch) + 0.01 * torch.rand(()))

    def on_train_epoch_end(self) -> None:
        self.log("noise", torch.rand(()))

    def configure_optimizers(self) -> Any:
        if self.optimizer == "adam":
            optimizer: Any = torch.optim.Adam(self.parameters(), lr=0.02)
        else:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        if self.scheduler == "step":
            schedule: Any = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.9)
            return [optimizer], [{"scheduler": schedule, "interval": "step", "frequency": 2}]
        if self.scheduler == "epoch":
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)]
        if self.scheduler == "plateau":
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"}}
        if self.scheduler == "plateau per step":
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.9)
            config = {"scheduler": schedule, "monitor": "train_loss", "interval": "step"}
            return {"optimizer": optimizer, "lr_scheduler": config}
        return optimizer


class Trace(pl.Callback):
    """Writes down what happens, and how much of it lies before each save."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.saves = 0
        self.position = {"saves": 0}

    def note(self, what: str, trainer: Any, *more: Any) -> None:
        if not trainer.sanity_checking:
            self.events.append((what, trainer.current_epoch, trainer.global_step, *more))

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.note("epoch starts", trainer)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.note("batch", trainer, batch_idx)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.note("batch over", trainer, batch_idx, rate, trainer.is_last_batch)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.note("validation", trainer)

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.note("validated", trainer, batch_idx, dataloader_idx)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.note("epoch ends", trainer)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.note("training ends", trainer)

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.saves += 1
        rows = trainer.logger.rows_written if trainer.logger is not None else 0
        checkpoint["mark"] = {"events": len(self.events), "samples": len(pl_module.samples), "rows": rows}
        checkpoint["mark"]["saves"] = self.saves

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self.saves = checkpoint["mark"]["saves"]


class Saver(ModelCheckpoint):
    """One of several in a Trainer: its folder tells it from the others."""

    @property
    def state_key(self) -> str:
        return f"Saver {Path(self.dirpath or '').name}"


@dataclass
class Scenario:
    """How to build everything anew: a script of a user."""

    module: Callable[[], Any] = Net
    train: Callable[[], Any] = lambda: DataLoader(TensorDataset(*make_data()), batch_size=4, shuffle=True)
    val: Callable[[], Any] | None = lambda: DataLoader(TensorDataset(*make_data(9, 6)), batch_size=4)
    callbacks: Callable[[], list[Any]] = list
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """What is compared."""

    state: dict[str, Any]
    events: list[Any]
    samples: list[Any]
    rows: list[dict[str, str]]


def savers(folder: Path) -> list[Any]:
    """Save after every step, every validation, every epoch, and at the end."""
    common: dict[str, Any] = {"save_top_k": -1, "filename": "{step}"}
    return [
        Saver(folder / "steps", every_n_train_steps=1, **common),
        Saver(folder / "validations", every_n_epochs=1, save_on_train_epoch_end=False, **common),
        Saver(folder / "epochs", every_n_epochs=1, save_on_train_epoch_end=True, **common),
        Saver(folder / "end", every_n_epochs=10**6, save_top_k=0, save_last=True),
    ]


def run(scenario: Scenario, folder: Path, seed: int, ckpt_path: Path | None = None, save: bool = True) -> Outcome:
    """One fit from beginning to end, or from a checkpoint."""
    pl.seed_everything(seed, verbose=False)
    module, trace = scenario.module(), Trace()
    trainer = pl.Trainer(
        **{
            "max_epochs": 2,
            "accelerator": "cpu",
            "default_root_dir": folder,
            "logger": CSVLogger(folder / "logs"),
            "log_every_n_steps": 2,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [trace, *scenario.callbacks(), *(savers(folder / "saved") if save else [])],
            "num_sanity_val_steps": 1,
            "enable_checkpointing": save,
            **scenario.arguments,
        }
    )
    val = scenario.val() if scenario.val is not None else None
    trainer.fit(module, scenario.train(), val, ckpt_path=ckpt_path)
    state = {
        "weights": module.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
        "schedulers": [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
        "rng": capture_rng(),
        "callbacks": [callback.state_dict() for callback in trainer.callbacks],
        "metrics": {**trainer.callback_metrics},
        "logged": {**trainer.logged_metrics},
        "progress": trainer._progress.state_dict(),
        "should_stop": trainer.should_stop,
        "modes": [child.training for child in module.modules()],
    }
    return Outcome(state, trace.events, module.samples, read_rows(trainer))


def read_rows(trainer: Any) -> list[dict[str, str]]:
    """The rows of ``metrics.csv``, without empty cells."""
    if trainer.logger is None or not (path := Path(trainer.logger.log_dir) / "metrics.csv").exists():
        return []
    with path.open() as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two nested values differ, bit for bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape or not torch.equal(one, other):
            yield place
    elif isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key in one and key in other:
                yield from differences(one[key], other[key], f"{place}.{key}")
            else:
                yield f"{place}.{key} (only in {'one' if key in one else 'the other'})"
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{place} (length {len(one)} and {len(other)})"
        for index, pair in enumerate(zip(one, other, strict=False)):
            yield from differences(*pair, f"{place}[{index}]")
    elif one != other and not (one != one and other != other):
        yield f"{place}: {one!r} and {other!r}"


class Resumed:
    """A calm run, and its files, each of which can be put back as it was when it was the newest."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario, self.folder = scenario, folder
        self.calm = run(scenario, folder, seed=1)
        self.saved, self.kept = folder / "saved", folder / "kept"
        self.saved.rename(self.kept)
        marks = {path: self.mark(path) for path in self.kept.rglob("*.ckpt")}
        self.files = sorted(marks, key=lambda path: marks[path]["saves"])
        self.marks = marks

    @staticmethod
    def mark(path: Path) -> dict[str, int]:
        return torch.load(path, weights_only=True)["mark"]

    def check(self, path: Path) -> list[str]:
        """Resume from a file; return what is not as in the calm run."""
        shutil.rmtree(self.saved, ignore_errors=True)
        for older in self.files[: self.files.index(path) + 1]:
            target = self.saved / older.relative_to(self.kept)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(older, target)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            resumed = run(self.scenario, self.folder, seed=1000, ckpt_path=self.saved / path.relative_to(self.kept))
        mark, calm = self.marks[path], self.calm
        found = list(differences(calm.state, resumed.state))
        for name in ("events", "samples", "rows"):
            found += differences(getattr(calm, name)[mark[name] :], getattr(resumed, name), name)
        return found
