"""The demo: LeNet learns real handwritten digits, and a training that is interrupted ends with the same bits.

    python examples/demo.py

Everything runs on the CPU, on one thread, so that it shows the same on every machine; what it writes lies under runs/.
The exit code is 1 if one of the promises is not kept.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lenet import DigitsData, LenetSystem
from rich.console import Console

import leyden as pl
from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.loggers import CSVLogger

ACCURACY = 0.97
"""What the best checkpoint has to reach on digits it has never seen."""
EPOCHS = 40
"""The training may last so long; the early stop ends it before."""
PATIENCE_IN_SECONDS = 120
"""How long a child process may take."""
INTERRUPTED_AT = (5, 20)
"""The epoch in which the second training is stopped, and the batch after which."""

console = Console(highlight=False, soft_wrap=True)


class Interruption(pl.Callback):
    """Says that the middle of an epoch is reached, and waits there until the parent process has sent its signal."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx + 1) == INTERRUPTED_AT:
            print(f"epoch {trainer.current_epoch}, after batch {batch_idx + 1} of {trainer.num_training_batches}")
            sys.stdout.flush()
            sys.stdin.readline()


def train(logger: CSVLogger, folder: Path, epochs: int, ckpt_path: str | None = None, **arguments: Any) -> pl.Trainer:
    """Train until the validation loss stands still; checkpoints go to ``folder``."""
    pl.seed_everything(0, verbose=False)
    callbacks = [
        EarlyStopping(monitor="val_loss", patience=5),
        ModelCheckpoint(folder, filename="best", monitor="val_loss", save_last=True, enable_version_counter=False),
        *arguments.pop("callbacks", ()),
    ]
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=logger,
        callbacks=callbacks,
        log_every_n_steps=10,
        enable_model_summary=False,
        **arguments,
    )
    trainer.fit(LenetSystem(), datamodule=DigitsData(), ckpt_path=ckpt_path)
    return trainer


def train_in_child(folder: Path, epochs: int, ckpt_path: str | None) -> None:
    """What a child process does: the same training, to be interrupted, or continued from a checkpoint."""
    callbacks = [] if ckpt_path else [Interruption()]
    logger = CSVLogger(folder, name="")
    train(logger, folder / "checkpoints", epochs, ckpt_path, callbacks=callbacks, enable_progress_bar=False)


def start_child(folder: Path, epochs: int, ckpt_path: Path | None = None) -> subprocess.Popen[str]:
    """Start a process that trains; its standard output is a pipe, and so is its standard input."""
    command = [sys.executable, __file__, "--epochs", str(epochs), "--child", str(folder)]
    command += ["--ckpt-path", str(ckpt_path)] if ckpt_path else []
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def await_child(child: subprocess.Popen[str]) -> int:
    """Let a child process go on, and return its exit code."""
    try:
        child.communicate("\n", timeout=PATIENCE_IN_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
    return child.wait()


def train_interrupted(folder: Path, epochs: int) -> bool:
    """Train in a process that is stopped by SIGINT in the middle of an epoch, then in one that continues."""
    checkpoint = folder / "checkpoints" / "interrupted.ckpt"
    child = start_child(folder, epochs)
    assert child.stdout is not None
    place = child.stdout.readline().strip()
    if not keeps("a process that trains in the same way comes to the middle of an epoch", bool(place)):
        await_child(child)
        return False
    say(f"a process that trains in the same way is in {place}")
    child.send_signal(signal.SIGINT)
    code = await_child(child)
    say(f"sent it SIGINT: exit code {code}, saved in {checkpoint}")
    if not keeps("exit code 130 and a checkpoint", code == 130 and checkpoint.exists()):
        return False
    code = await_child(start_child(folder, epochs, checkpoint))
    say(f"another process continued from there: exit code {code}")
    return keeps("the continued training ends", code == 0)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a training's last checkpoint."""
    state: dict[str, torch.Tensor] = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    return state


def fingerprint(state: dict[str, torch.Tensor]) -> str:
    """The SHA-256 of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def compare(calm: dict[str, torch.Tensor], interrupted: dict[str, torch.Tensor]) -> bool:
    """Print the fingerprints of two trainings, and whether all their tensors are equal."""
    say(f"SHA-256 of the weights, calm run         {fingerprint(calm)}")
    say(f"SHA-256 of the weights, interrupted run  {fingerprint(interrupted)}")
    equal = sum(torch.equal(tensor, interrupted[name]) for name, tensor in calm.items())
    kept = keeps("the same bits", equal == len(calm) == len(interrupted))
    say(f"{equal} of {len(calm)} tensors are equal bit for bit", "green" if kept else "red")
    return kept


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw loss and accuracy over the steps."""
    from matplotlib.figure import Figure

    with metrics.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), ("loss", "acc"), strict=True):
        for stage, style in (("train", "C0-"), ("val", "C1o-")):
            points = [(int(row["step"]), float(row[f"{stage}_{kind}"])) for row in rows if row[f"{stage}_{kind}"]]
            axes.plot(*zip(*points, strict=True), style, label=stage, linewidth=1, markersize=3)
        axes.set(xlabel="step", ylabel={"loss": "cross-entropy", "acc": "accuracy"}[kind])
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(picture, dpi=100)


def say(text: str, style: str = "") -> None:
    """Print a line below a heading."""
    console.print(f"   {text}", style=style, markup=False)


def keeps(promise: str, kept: bool) -> bool:
    """Say so if a promise is broken."""
    if not kept:
        say(f"FAILED: {promise}", "bold red")
    return kept


def main(epochs: int) -> int:
    """Train, test, interrupt, resume, compare; return the exit code."""
    started = time.monotonic()
    console.print("LeNet learns the handwritten digits of scikit-learn: 1,257 to train, 180 to validate, 360 to test")

    console.print("\n1. Training: validation after every epoch, best and last checkpoint, early stop", style="bold")
    logger = CSVLogger("runs", name="demo")
    folder = Path(logger.log_dir)
    trainer = train(logger, folder / "checkpoints", epochs)
    best: Any = trainer.checkpoint_callback
    say(f"ended after {trainer.current_epoch} of {epochs} epochs; best validation loss {best.best_model_score:.4f}")

    console.print("\n2. The best checkpoint on the 360 digits that no training has seen", style="bold")
    (scores,) = trainer.test(datamodule=DigitsData(), ckpt_path="best", verbose=False)
    say(f"accuracy {scores['test_acc']:.4f}")
    kept = [keeps(f"accuracy of at least {ACCURACY}", scores["test_acc"] >= ACCURACY)]

    console.print("\n3. The promise: stop at any step, continue, and end with the same bits", style="bold")
    kept.append(train_interrupted(folder / "interrupted", epochs))
    if kept[-1]:
        kept.append(compare(weights(folder / "checkpoints"), weights(folder / "interrupted" / "checkpoints")))

    draw_curves(folder / "metrics.csv", folder / "curves.png")
    console.print("\n4. What it left behind", style="bold")
    say(f"metrics     {folder / 'metrics.csv'}")
    say(f"curves      {folder / 'curves.png'}")
    say(f"checkpoint  {os.path.relpath(best.best_model_path)}")
    console.print(f"\n{'Done' if all(kept) else 'FAILED'}, in {time.monotonic() - started:.0f} seconds.")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="Train LeNet on real digits; interrupt it, resume it, compare.")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"at most (default: {EPOCHS})")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ckpt-path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        train_in_child(options.child, options.epochs, options.ckpt_path)
    else:
        sys.exit(main(options.epochs))
