"""The linear regression of the guide as a plain PyTorch loop, then under the Trainer: the same losses, bit for bit."""

import pytorch_lightning as pl
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset


class LinearRegressionModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return self.linear(x)


torch.manual_seed(7)
model = LinearRegressionModel()
criterion = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.01)

x = torch.tensor([[1.0], [2.0], [3.0]])
y = torch.tensor([[2.0], [4.0], [6.0]])
dataset = TensorDataset(x, y)
loader = DataLoader(dataset, batch_size=2, shuffle=True)

plain = []
for epoch in range(100):
    for i, (inputs, targets) in enumerate(loader):
        optimizer.zero_grad()

        outputs = model(inputs)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()

        plain.append(loss.item())
        if i % 10 == 0:
            print(f"Epoch {epoch + 1}, Step {i}: Loss={loss.item():.4f}")

print("Final parameters:", list(model.parameters()))


class LitRegression(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = LinearRegressionModel()
        self.losses = []

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        loss = nn.functional.mse_loss(self.model(inputs), targets)
        self.losses.append(loss.item())
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return optim.SGD(self.parameters(), lr=0.01)


torch.manual_seed(7)
lit = LitRegression()
trainer = pl.Trainer(max_epochs=100, log_every_n_steps=1)
trainer.fit(lit, loader)

print("losses", len(plain), len(lit.losses), plain == lit.losses)
print("parameters", all(map(torch.equal, model.parameters(), lit.parameters())))
