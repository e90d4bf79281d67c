# ruff: noqa: RET504, RUF003 - as the guide writes it
"""The data module of the guide. Repaired: its imports, `LitMNIST`, `batch_size` and `num_workers`, which it does not define.

data_module.py [FOLDER]     the folder becomes the data module's `data_path`
"""

import sys

import torch
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchvision import transforms
from torchvision.datasets import MNIST

batch_size = 64
num_workers = 0


class LitMNIST(LightningModule):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 10))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return nn.functional.cross_entropy(self.model(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", nn.functional.cross_entropy(self.model(x), y))

    def test_step(self, batch, batch_idx):
        x, y = batch
        self.log("test_loss", nn.functional.cross_entropy(self.model(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


class DataModule(LightningDataModule):
    def prepare_data(self):
        # 在此处自定义数据处理流程，例如下载数据集
        print("prepare_data")

    def setup(self, stage):
        # 在此处自定义数据集，比如划分训练集、验证集
        print("setup", stage)
        dataset = MNIST(root="./", train=True, transform=transforms.ToTensor(), download=True)
        testset = MNIST(root="./", train=False, transform=transforms.ToTensor(), download=True)
        self.mnist_train, self.mnist_val = random_split(dataset, [55000, 5000])
        self.mnist_test = testset

    def train_dataloader(self):
        loader = DataLoader(self.mnist_train, batch_size=batch_size, num_workers=num_workers)
        return loader

    def val_dataloader(self):
        loader = DataLoader(self.mnist_val, batch_size=batch_size * 2, num_workers=num_workers)
        return loader

    def test_dataloader(self):
        loader = DataLoader(self.mnist_test, batch_size=batch_size * 2, num_workers=num_workers)
        return loader


model = LitMNIST()
datamodule = DataModule()
if sys.argv[1:]:
    datamodule.data_path = sys.argv[1]

trainer = Trainer()
trainer.fit(model, datamodule=datamodule)
print("batches", trainer.num_training_batches, trainer.num_val_batches)
trainer.test(model, datamodule=datamodule)
print("batches", trainer.num_test_batches)
