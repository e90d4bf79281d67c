"""The same losses and weights, bit for bit, as a loop written by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

EPOCHS = 3


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(16), nn.Linear(16, 3))


def data() -> tuple[TensorDataset, TensorDataset]:
    generator = torch.Generator().manual_seed(11)
    inputs, targets = torch.randn(53, 4, generator=generator), torch.randint(3, (53,), generator=generator)
    return TensorDataset(inputs[:37], targets[:37]), TensorDataset(inputs[37:], targets[37:])


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-2)


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)


class Module(pl.LightningModule):
    def __init__(self, optimizer: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.optimizer = model(), optimizer
        self.losses: list[float] = []
        self.validation: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = functional.cross_entropy(self.model(batch[0]), batch[1])
        self.losses.append(loss.item())
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss = functional.cross_entropy(self.model(batch[0]), batch[1])
        if not self.trainer.sanity_checking:
            self.validation.append(loss.item())
        self.log("val_loss", loss, prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)]


def by_hand(optimizer_of: Callable[..., Any], workers: int, clip: float | None) -> tuple[list[float], list[float], Any]:
    torch.manual_seed(5)
    net = model()
    optimizer = optimizer_of(net.parameters())
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)
    train_data, val_data = data()
    train = DataLoader(train_data, batch_size=8, shuffle=True, num_workers=workers)
    val = DataLoader(val_data, batch_size=8)
    losses, validation = [], []
    for _ in range(EPOCHS):
        net.train()
        for inputs, targets in train:
            optimizer.zero_grad()
            loss = functional.cross_entropy(net(inputs), targets)
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        net.eval()
        with torch.no_grad():
            validation += [functional.cross_entropy(net(inputs), targets).item() for inputs, targets in val]
    return losses, validation, net.state_dict()


@pytest.mark.parametrize(
    ("optimizer", "workers", "clip"), [(adam, 0, None), (momentum, 0, None), (adam, 0, 0.5), (momentum, 2, None)]
)
def test_equal_to_a_loop_by_hand(tmp_path: Any, optimizer: Any, workers: int, clip: float | None) -> None:
    losses, validation, state = by_hand(optimizer, workers, clip)
    torch.manual_seed(5)
    module = Module(optimizer)
    train, val = data()
    # Everything at its default: logger, bar, summary, checkpoint, sanity check.
    trainer = pl.Trainer(
        max_epochs=EPOCHS, default_root_dir=tmp_path, accelerator="cpu", log_every_n_steps=2, gradient_clip_val=clip
    )
    trainer.fit(
        module,
        DataLoader(train, batch_size=8, shuffle=True, num_workers=workers),
        DataLoader(val, batch_size=8),
    )
    assert len(losses) == 5 * EPOCHS
    assert module.losses == losses
    assert module.validation == validation
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.model.state_dict().items())
    assert trainer.checkpoint_callback.best_model_path
    assert list((tmp_path / "lightning_logs" / "version_0").glob("events.out.tfevents.*"))
