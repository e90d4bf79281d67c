"""A training loop of one's own under Fabric: the same program for one process or several, in any number format.

python examples/fabric_loop.py                                                    # one process
python examples/fabric_loop.py --precision bf16-mixed                             # another number format
python -m leyden.cli.fabric run --devices 2 examples/fabric_loop.py               # two processes
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from leyden import Fabric


def circles(samples: int, seed: int) -> TensorDataset:
    """Points in the plane; the class is whether one lies outside the circle that halves them."""
    points = torch.randn(samples, 2, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, (points.norm(dim=1) > 1.18).long())


def train(fabric: Fabric, model: Any, optimizer: Any, loader: Any) -> Tensor:
    """One epoch; return the mean loss over all processes."""
    model.train()
    total = torch.zeros((), device=fabric.device)
    for points, classes in loader:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(points), classes)
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        total += loss.detach()
    mean: Tensor = fabric.all_reduce(total / len(loader))
    return mean


@torch.no_grad()
def accuracy(fabric: Fabric, model: Any, loader: Any) -> float:
    """The share of right answers."""
    model.eval()
    right = sum((model(points).argmax(dim=1) == classes).sum() for points, classes in loader)
    return float(fabric.all_reduce(right, reduce_op="sum") / fabric.all_reduce(len(loader.sampler), reduce_op="sum"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--precision")
    parser.add_argument("--checkpoint", type=Path, default=Path("circles.ckpt"))
    options = parser.parse_args()

    fabric = Fabric(accelerator="cpu", precision=options.precision)
    fabric.launch()
    with fabric.autocast():
        autocast = torch.is_autocast_enabled(fabric.device.type)
    fabric.print(f"{fabric.world_size} process{'es' * (fabric.world_size > 1)}, autocast: {autocast}")
    fabric.seed_everything(1, verbose=False)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2))
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=0.02))
    train_loader, test_loader = fabric.setup_dataloaders(
        DataLoader(circles(1024, seed=1), batch_size=32, shuffle=True), DataLoader(circles(512, seed=2), batch_size=64)
    )

    state = {"model": model, "optimizer": optimizer, "epoch": 0}
    if options.checkpoint.exists():
        fabric.load(options.checkpoint, state)
    while state["epoch"] < options.epochs:
        loss = train(fabric, model, optimizer, train_loader)
        state["epoch"] += 1
        fabric.print(f"epoch {state['epoch']}: loss {loss:.3f}")
        fabric.save(options.checkpoint, state)
    fabric.print(f"accuracy {accuracy(fabric, model, test_loader):.2f}")


if __name__ == "__main__":
    main()
