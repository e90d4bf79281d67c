"""Mistakes in loaders and data modules."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, IterableDataset

import leyden as pl
from leyden.errors import MisconfigurationException
from mistakes.kit import Model, dataset, doubtful, fit, loader, mistake, trainer


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.ones(2), torch.ones(1)


class Nothing(IterableDataset):
    def __iter__(self):
        return iter(())


@mistake(MisconfigurationException, "no data for `trainer.fit`", "DataLoader\\(dataset, batch_size=32\\)")
def no_training_data():
    trainer().fit(Model())


@mistake(TypeError, "`train_dataloaders`", " 5 \\(int\\)", "DataLoader")
def train_loader_as_a_number():
    fit(train=5)


@mistake(TypeError, "`train_dataloaders`", "TensorDataset", "DataLoader\\(dataset, batch_size=32\\)")
def dataset_as_train_loader():
    fit(train=dataset())


@mistake(TypeError, "`train_dataloaders`", "TensorDataset", "DataLoader\\(dataset, batch_size=32\\)")
def dataset_among_train_loaders():
    fit(train={"a": loader(), "b": [loader(), dataset()]})


@mistake(TypeError, "`train_dataloaders`", "DataLoader", "instance|DataLoader\\(dataset")
def loader_class_instead_of_instance():
    fit(train=DataLoader)


@mistake(TypeError, "`train_dataloaders`", "'data/train'", "DataLoader")
def folder_as_train_loader():
    fit(train="data/train")


@mistake(TypeError, "`train_dataloaders`", "function", "DataLoader")
def function_as_train_loader():
    fit(train=loader)


@mistake(TypeError, "`val_dataloaders`", "TensorDataset", "DataLoader\\(dataset, batch_size=32\\)")
def dataset_as_val_loader():
    fit(val=dataset(), num_sanity_val_steps=0)


@mistake(TypeError, "`val_dataloaders`", " 3 \\(int\\)", "DataLoader")
def number_among_val_loaders():
    fit(val=[loader(), 3], num_sanity_val_steps=0)


@mistake(TypeError, "train_dataloader", "TensorDataset", "DataLoader\\(dataset, batch_size=32\\)")
def hook_that_returns_a_dataset():
    class Own(Model):
        def train_dataloader(self):
            return dataset()

    trainer().fit(Own())


@mistake(MisconfigurationException, "train_dataloader", "returned None|returns a loader")
def hook_that_forgets_to_return():
    class Own(Model):
        def train_dataloader(self):
            loader()

    trainer().fit(Own())


@mistake(MisconfigurationException, "both loaders and a data module", "one of them")
def loaders_and_data_module():
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loader()

    trainer().fit(Model(), loader(), datamodule=Data())


@mistake(TypeError, "`datamodule`", "DataLoader", "LightningDataModule")
def loader_as_data_module():
    trainer().fit(Model(), datamodule=loader())


@mistake(TypeError, "`datamodule`", "Data", "instance")
def data_module_class_instead_of_instance():
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loader()

    trainer().fit(Model(), datamodule=Data)


@mistake(TypeError, "`train_dataloaders`", "Data", "DataLoader|instance")
def data_module_class_as_loader():
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loader()

    fit(train=Data)


@mistake(MisconfigurationException, "no data for `trainer.fit`", "train_dataloader")
def data_module_without_train_dataloader():
    trainer().fit(Model(), datamodule=pl.LightningDataModule())


@mistake(MisconfigurationException, "`Data.trian_dataloader`", "`train_dataloader`")
def misspelt_loader_hook():
    class Data(pl.LightningDataModule):
        def trian_dataloader(self):
            return loader()

    trainer().fit(Model(), datamodule=Data())


@mistake(MisconfigurationException, "`Data.setup\\(self\\)`", "gets \\(stage\\)", "def setup\\(self, stage\\)")
def setup_without_stage():
    class Data(pl.LightningDataModule):
        def setup(self):
            return None

        def train_dataloader(self):
            return loader()

    trainer().fit(Model(), datamodule=Data())


@mistake(ValueError, "sequential", "max_size_cycle")
def sequential_training():
    fit(train=pl.CombinedLoader([loader(), loader()], "sequential"))


@mistake(ValueError, "'min'", "min_size")
def unknown_mode_of_a_combined_loader():
    pl.CombinedLoader([loader(), loader()], "min")


@mistake(MisconfigurationException, "`val_check_interval=0.5`", "length", "number of batches")
def part_of_an_epoch_without_length():
    fit(train=DataLoader(Endless(), batch_size=2), val=loader(), val_check_interval=0.5)


@mistake(MisconfigurationException, "`limit_train_batches`", "0\\.5", "no length", "int")
def part_of_a_loader_without_length():
    fit(train=DataLoader(Endless(), batch_size=2), limit_train_batches=0.5)


@doubtful(UserWarning, "training data", "no batch", "epoch 0")
def iterable_without_samples():
    fit(train=DataLoader(Nothing(), batch_size=2))


@doubtful(UserWarning, "training data", "no batch", "epoch 1")
def generator_that_is_used_up():
    fit(train=iter(list(loader())), max_epochs=2)


@doubtful(UserWarning, "0 batches", "drop_last")
def loader_that_drops_its_only_batch():
    fit(train=DataLoader(dataset(4), batch_size=8, drop_last=True))


@doubtful(UserWarning, "0 batches")
def empty_list_of_loaders():
    fit(train=[])


@doubtful(UserWarning, "shuffl", "shuffle=False")
def overfitting_on_shuffled_batches():
    fit(train=DataLoader(dataset(), batch_size=2, shuffle=True), overfit_batches=2)
