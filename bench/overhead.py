"""What the framework costs: one epoch of the same work as a bare PyTorch loop, under Leyden and under Lightning.

All contestants run interleaved in one process on one thread; the figure is the CPU time of an epoch as a ratio to the
bare loop's, the median over the rounds. Every contestant iterates the user's plain, shuffled ``DataLoader`` and logs
one value per step; Leyden and Lightning run with their defaults (CSV logger, checkpoint, summary) but the bar off.
After each epoch the rows in metrics.csv, the checkpoint and the final weights are checked: nothing was skipped.

    python bench/overhead.py [--rounds 7] [--work mlp lenet transformer] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import leyden

LOG_EVERY = 50


class LeNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip


class Transformer(nn.Module):
    def __init__(self, vocabulary: int = 64, width: int = 64) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        layer = nn.TransformerEncoderLayer(width, 4, 128, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.head(self.encoder(self.embedding(tokens)).mean(1))
        return output


@dataclass
class Work:
    """A model and its data; everything is made anew from the same seed for each contestant."""

    name: str
    make_model: Callable[[], nn.Module]
    make_inputs: Callable[[int], Tensor]
    samples: int
    batch_size: int

    def parts(self) -> tuple[nn.Module, DataLoader[Any]]:
        torch.manual_seed(0)
        data = TensorDataset(self.make_inputs(self.samples), torch.randint(0, 10, (self.samples,)))
        return self.make_model(), DataLoader(data, batch_size=self.batch_size, shuffle=True)


WORKS = {
    "mlp": Work(
        "MLP 32-64-10, batch 32",
        lambda: nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10)),
        lambda n: torch.randn(n, 32),
        32 * 1500,
        32,
    ),
    "lenet": Work("LeNet, batch 64", LeNet, lambda n: torch.randn(n, 1, 28, 28), 64 * 120, 64),
    "transformer": Work(
        "2-layer transformer, batch 32", Transformer, lambda n: torch.randint(0, 64, (n, 32)), 32 * 120, 32
    ),
}


def bare(work: Work, folder: Path) -> tuple[float, nn.Module]:
    """The loop a person writes, with the loss read every 50 steps."""
    model, loader = work.parts()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(1)
    started = time.process_time()
    rows = []
    for index, (inputs, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), target)
        loss.backward()
        optimizer.step()
        if (index + 1) % LOG_EVERY == 0:
            rows.append((index, loss.item()))
    return time.process_time() - started, model


def own_loop(work: Work, folder: Path) -> tuple[float, nn.Module]:
    """The bare loop under Fabric, which also iterates the loader."""
    model, loader = work.parts()
    fabric = leyden.Fabric(accelerator="cpu", devices=1, loggers=leyden.loggers.CSVLogger(folder))
    wrapped, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=1e-3))
    loader = fabric.setup_dataloaders(loader)
    torch.manual_seed(1)
    started = time.process_time()
    for index, (inputs, target) in enumerate(loader):
        optimizer.zero_grad()
        loss = functional.cross_entropy(wrapped(inputs), target)
        fabric.backward(loss)
        optimizer.step()
        if (index + 1) % LOG_EVERY == 0:
            fabric.log("train_loss", loss, step=index)
    return time.process_time() - started, model


def framework(pl: Any, name: str) -> Callable[[Work, Path], tuple[float, nn.Module]]:
    """The same work as a LightningModule under the Trainer of ``pl``."""

    class System(pl.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            inputs, target = batch
            loss = functional.cross_entropy(self.model(inputs), target)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

        def on_train_start(self) -> None:
            self.started = time.process_time()

        def on_train_end(self) -> None:
            self.seconds = time.process_time() - self.started

    def run(work: Work, folder: Path) -> tuple[float, nn.Module]:
        model, loader = work.parts()
        system = System(model)
        logger = pl.loggers.CSVLogger(str(folder), name=name)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer = pl.Trainer(
                max_epochs=1, logger=logger, enable_progress_bar=False, accelerator="cpu", log_every_n_steps=LOG_EVERY,
                default_root_dir=str(folder),
            )  # fmt: skip
            torch.manual_seed(1)
            trainer.fit(system, loader)
        check_files(Path(logger.log_dir), len(loader) // LOG_EVERY)
        return system.seconds, model

    return run


def check_files(folder: Path, expected_rows: int) -> None:
    """The rows and the checkpoint are there."""
    with (folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train_loss")]
    assert len(rows) == expected_rows, f"{folder}: {len(rows)} rows instead of {expected_rows}"
    assert len(list((folder / "checkpoints").glob("*.ckpt"))) == 1, f"{folder}: no checkpoint"


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Bit for bit."""
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def contestants() -> dict[str, Callable[[Work, Path], tuple[float, nn.Module]]]:
    """The bare loop, Leyden's Fabric and Trainer, and Lightning if it is installed."""
    found: dict[str, Callable[[Work, Path], tuple[float, nn.Module]]] = {
        "bare": bare,
        "fabric": own_loop,
        "leyden": framework(leyden, "leyden"),
    }
    try:
        import lightning.pytorch as lightning
    except ImportError:
        return found
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return {**found, "lightning": framework(lightning, "lightning")}


def measure(work: Work, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of CPU per epoch, and their ratio to the bare loop in the same round."""
    runners = contestants()
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        models = {}
        for name, runner in runners.items():
            with tempfile.TemporaryDirectory() as folder:
                spent, models[name] = runner(work, Path(folder))
            if number:  # the first round warms up
                seconds[name].append(spent)
        for name in ("fabric", "leyden"):
            assert same_weights(models["bare"], models[name]), f"{name}: the weights differ from the bare loop's"
    ratios = {name: [a / b for a, b in zip(spent, seconds["bare"], strict=True)] for name, spent in seconds.items()}
    steps = work.samples // work.batch_size
    return {
        name: {
            "ratio": statistics.median(ratios[name]),
            "lowest": min(ratios[name]),
            "highest": max(ratios[name]),
            "microseconds_per_step": statistics.median(spent) / steps * 1e6,
        }
        for name, spent in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", nargs="+", choices=sorted(WORKS), default=list(WORKS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results: dict[str, Any] = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread, {options.rounds} rounds")
    for key in options.work:
        work = WORKS[key]
        results[key] = measured = measure(work, options.rounds)
        print(f"\n{work.name}")
        for name, row in measured.items():
            print(
                f"  {name:<10} {row['ratio']:5.2f}x  ({row['lowest']:.2f}-{row['highest']:.2f})"
                f"  {row['microseconds_per_step']:7.1f} us CPU per step"
            )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
