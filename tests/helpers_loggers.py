"""A logger with the least that one needs; a run to log; what event files hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from leyden.core.logger import Logger


class Recording(Logger):
    def __init__(self) -> None:
        self.saves = 0

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    @property
    def experiment(self) -> Any:
        return "the experiment"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def save(self) -> None:
        self.saves += 1


class Logging(pl.LightningModule):
    """Two lines of metrics, hyper-parameters, an example."""

    def __init__(self, lr: float = 0.125, sizes: tuple[int, ...] = (4, 2)) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(*sizes)
        self.example_input_array = torch.zeros(1, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self(batch[0]).square().mean()
        self.log("loss", loss)
        self.log("mean", loss, on_step=False, on_epoch=True)
        return loss

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", self(batch[0]).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


def four_batches() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.arange(32.0).reshape(8, 4) / 32), batch_size=2)


def fit_logging(folder: Path, logger: Any, **arguments: Any) -> tuple[pl.Trainer, Logging]:
    """Two epochs of four batches, a row every second step: at 1, 3, 5 and 7."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    defaults = {"accelerator": "cpu", "max_epochs": 2, "log_every_n_steps": 2, "default_root_dir": folder}
    trainer, module = pl.Trainer(**{**quiet, **defaults, **arguments}, logger=logger), Logging()
    trainer.fit(module, four_batches())
    return trainer, module


def read_scalars(folder: str | Path) -> dict[str, list[tuple[int, float]]]:
    """The lines in the event files of a folder, as steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
