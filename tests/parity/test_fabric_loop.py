"""A loop under Fabric gives the same losses and weights, bit for bit, as the same loop without it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

EPOCHS = 3


class Rows(torch.utils.data.Dataset[Any]):
    """Samples that are made one by one, with randomness of their own."""

    def __init__(self, data: TensorDataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        inputs, targets = self.data[index]
        return inputs + 0.01 * torch.rand(4), targets


def parts(vectorised: bool, workers: int) -> tuple[nn.Module, torch.optim.Optimizer, Any, DataLoader[Any]]:
    torch.manual_seed(5)
    generator = torch.Generator().manual_seed(11)
    data = TensorDataset(torch.randn(37, 4, generator=generator), torch.randint(3, (37,), generator=generator))
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(16), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)
    loader = DataLoader(data if vectorised else Rows(data), batch_size=8, shuffle=True, num_workers=workers)
    return model, optimizer, scheduler, loader


def by_hand(clip: bool, mixed: bool, vectorised: bool, workers: int) -> tuple[list[float], Any]:
    model, optimizer, scheduler, loader = parts(vectorised, workers)
    losses = []
    for _ in range(EPOCHS):
        for inputs, targets in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                output = model(inputs)
            loss = functional.cross_entropy(output.float(), targets)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses, model.state_dict()


def under_fabric(clip: bool, mixed: bool, vectorised: bool, workers: int) -> tuple[list[float], Any]:
    model, optimizer, scheduler, loader = parts(vectorised, workers)
    fabric = pl.Fabric(accelerator="cpu", devices=1, precision="bf16-mixed" if mixed else None)
    fabric.launch()
    model, optimizer, scheduler = fabric.setup(model, optimizer, scheduler=scheduler)
    loader = fabric.setup_dataloaders(loader)
    losses = []
    for _ in range(EPOCHS):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            fabric.backward(loss)
            if clip:
                fabric.clip_gradients(model, optimizer, max_norm=0.5)
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
    return losses, model.state_dict()


@pytest.mark.parametrize(
    ("clip", "mixed", "vectorised", "workers"),
    [(False, False, True, 0), (True, False, False, 0), (False, False, False, 2), (True, True, True, 0)],
)
def test_losses_and_weights_are_those_of_the_plain_loop(clip, mixed, vectorised, workers):
    expected_losses, expected = by_hand(clip, mixed, vectorised, workers)
    losses, weights = under_fabric(clip, mixed, vectorised, workers)
    assert losses == expected_losses
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
