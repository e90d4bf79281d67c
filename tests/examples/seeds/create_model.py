# ruff: noqa: RET504 - as the guide writes it
"""A model that is a plain nn.Sequential, built by a function. Repaired: the loaders, which the guide does not define."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x = torch.linspace(-1, 1, 64).unsqueeze(1)
train_dataloader = DataLoader(TensorDataset(x, x**2), batch_size=8, shuffle=True)
val_dataloader = DataLoader(TensorDataset(x, x**2), batch_size=8)


def create_model(hidden_dim=128, learning_rate=0.001):
    model = nn.Sequential(nn.Linear(1, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, 1))
    return model


model = create_model()
model = create_model(hidden_dim=64, learning_rate=0.01)
with torch.no_grad():
    before = nn.functional.mse_loss(model(x), x**2).item()
trainer = pl.Trainer(max_epochs=10, gpus=-1, auto_select_gpus=True)
trainer.fit(model, train_dataloader, val_dataloaders=val_dataloader)

print("before", before)
with torch.no_grad():
    print("after", nn.functional.mse_loss(model(x), x**2).item())
