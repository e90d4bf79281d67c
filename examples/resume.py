"""Stop a training in mid-epoch and resume it: which samples are seen twice, which never, are the weights the same?

python examples/resume.py                       # Leyden
python examples/resume.py lightning.pytorch     # the same program under another package, if it is installed
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

SAMPLES, EPOCHS, STOP_AFTER = 20, 2, 7


class Crash(Exception):
    """What ends the first training."""


def make_model(pl: Any, seen: list[int], checkpoint: Path | None) -> Any:
    """A small model that notes which samples it trains on, and crashes after some batches if it is to."""

    class Model(pl.LightningModule):  # type: ignore[misc]  # the package is chosen on the command line
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            numbers, x = batch
            seen.extend(numbers.tolist())
            return self.layers(x).square().mean()

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            if checkpoint is not None and self.global_step == STOP_AFTER:
                self.trainer.save_checkpoint(checkpoint)
                raise Crash

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Model()


def train(pl: Any, seen: list[int], checkpoint: Path | None = None, ckpt_path: Path | None = None) -> Any:
    """What a program does when it is started: seed, build, fit."""
    pl.seed_everything(0, verbose=False)
    samples = TensorDataset(torch.arange(SAMPLES), torch.randn(SAMPLES, 4))
    model = make_model(pl, seen, checkpoint)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_epochs=EPOCHS, accelerator="cpu", **quiet)
    try:
        trainer.fit(model, DataLoader(samples, batch_size=1, shuffle=True), ckpt_path=ckpt_path)
    except Crash:
        print(f"stopped after {STOP_AFTER} of {SAMPLES} batches")
    return model


def main() -> int:
    """Train twice, once with an interruption, and compare."""
    parser = argparse.ArgumentParser(description="Stop a training in mid-epoch, resume it, compare.")
    parser.add_argument("package", nargs="?", default="leyden")
    pl = importlib.import_module(parser.parse_args().package)

    calm: list[int] = []
    interrupted: list[int] = []
    expected = train(pl, calm)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "stopped.ckpt"
        train(pl, interrupted, checkpoint=checkpoint)
        resumed = train(pl, interrupted, ckpt_path=checkpoint)

    counts = Counter(interrupted[:SAMPLES])  # the first epoch
    twice, never = sum(count > 1 for count in counts.values()), SAMPLES - len(counts)
    same = all(map(torch.equal, expected.state_dict().values(), resumed.state_dict().values()))
    print(f"first epoch: {twice} samples seen twice, {never} never; order as without the stop: {interrupted == calm}")
    print(f"weights the same, bit for bit: {same}")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
