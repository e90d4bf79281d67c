# ruff: noqa: RET504 - as the guide writes it
"""A model that defines only `forward`. Repaired: the loaders, which the guide does not define."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

x = torch.linspace(-1, 1, 64).unsqueeze(1)
train_dataloader = DataLoader(TensorDataset(x, x**2), batch_size=8, shuffle=True)
val_dataloader = DataLoader(TensorDataset(x, x**2), batch_size=8)


class MyModel(pl.LightningModule):
    def __init__(self, hidden_dim=128, learning_rate=0.001):
        super().__init__()
        self.layer = nn.Linear(in_features=1, out_features=hidden_dim)
        self.activation = nn.ReLU()
        self.output_layer = nn.Linear(in_features=hidden_dim, out_features=1)

    def forward(self, x):
        x = self.activation(self.layer(x))
        output = self.output_layer(x)
        return output


model = MyModel()
with torch.no_grad():
    before = nn.functional.mse_loss(model(x), x**2).item()
trainer = pl.Trainer(max_epochs=10, gpus=-1, auto_select_gpus=True)
trainer.fit(model, train_dataloader, val_dataloaders=val_dataloader)

print("epochs", trainer.current_epoch)
print("before", before)
print("after", trainer.callback_metrics["val_loss"].item())
