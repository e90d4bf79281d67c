"""Train LeNet on MNIST, from the IDX files of the original data set.

    python examples/mnist.py --data data

Put the four files into the folder, plain or as .gz; without them the program says which it misses.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from idx import find_idx, read_idx
from lenet import LenetSystem
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset, random_split

import leyden as pl
from leyden.callbacks import ModelCheckpoint

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MEAN, DEVIATION = 0.1307, 0.3081  # of the pixels of the training images


class MnistData(pl.LightningDataModule):
    """MNIST from IDX files; a twelfth of the training images (5,000 of 60,000) is kept for validation.

    Args:
        data_dir: The folder with the files.
        batch_size: Images per batch.
    """

    def __init__(self, data_dir: str | Path, batch_size: int = 64) -> None:
        super().__init__()
        self.data_dir = Path(data_dir)
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        if stage == "fit":
            images = self.read("train")
            held_out = len(images) // 12
            parts = [len(images) - held_out, held_out]
            self.train, self.val = random_split(images, parts, torch.Generator().manual_seed(0))
        elif stage == "test":
            self.test = self.read("test")

    def read(self, part: str) -> TensorDataset:
        """Read one part: images as floats of shape (n, 1, 28, 28), normalised, and labels of shape (n,)."""
        images, labels = (read_idx(find_idx(self.data_dir, name) or name) for name in FILES[part])
        return TensorDataset((images.unsqueeze(1) / 255 - MEAN) / DEVIATION, labels.long())

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.val, self.batch_size)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(self.test, self.batch_size)


def missing_files(folder: Path) -> list[str]:
    """Return the names of the files that are not in the folder."""
    return [name for names in FILES.values() for name in names if find_idx(folder, name) is None]


def download(folder: Path) -> None:
    """Let torchvision fetch the files, if it can be imported."""
    try:
        from torchvision.datasets import MNIST  # pyright: ignore[reportMissingImports]  # not installed here
    except (ImportError, RuntimeError) as error:  # beside a CPU build of torch its import raises RuntimeError
        print(f"torchvision cannot be used here ({error}).", file=sys.stderr)
        return
    try:
        MNIST(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        print(f"The download failed: {error}", file=sys.stderr)


def main() -> int:
    """Train, then test the best checkpoint; return the exit code."""
    parser = argparse.ArgumentParser(description="Train LeNet on MNIST.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder with the IDX files (default: data)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--output", type=Path, default=Path(), help="where logs and checkpoints go")
    parser.add_argument("--download", action="store_true", help="let torchvision fetch the files, if it is installed")
    arguments = parser.parse_args()

    if arguments.download and missing_files(arguments.data):
        download(arguments.data)
    missing = missing_files(arguments.data)
    if missing:
        lines = "\n".join(f"  {name}[.gz]" for name in missing)
        print(f"Put these files of MNIST into {arguments.data.resolve()}:\n{lines}", file=sys.stderr)
        return 1

    pl.seed_everything(0)
    best = ModelCheckpoint(monitor="val_acc", mode="max")
    trainer = pl.Trainer(max_epochs=arguments.epochs, default_root_dir=arguments.output, callbacks=[best])
    data = MnistData(arguments.data, arguments.batch_size)
    trainer.fit(LenetSystem(learning_rate=1e-3), datamodule=data)
    (scores,) = trainer.test(datamodule=data, ckpt_path="best")
    print(f"test accuracy {scores['test_acc']:.4f}, best checkpoint {best.best_model_path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
