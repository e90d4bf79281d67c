"""Mistakes in calls of validate, test and predict."""

from __future__ import annotations

import torch

import leyden as pl
from leyden.errors import MisconfigurationException
from mistakes.kit import Bare, Model, dataset, fit, loader, mistake, trainer


@mistake(MisconfigurationException, "Bare has no `test_step`", "def test_step")
def test_without_a_step():
    trainer().test(with_training(), loader())


@mistake(MisconfigurationException, "Bare has no `validation_step`", "def validation_step")
def validate_without_a_step():
    trainer().validate(with_training(), loader())


@mistake(MisconfigurationException, "Bare has no `predict_step`", "def predict_step", "def forward")
def predict_without_forward():
    trainer().predict(with_training(), loader())


def with_training() -> Bare:
    class Trains(Bare):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[0]).sum()

    Trains.__name__ = "Bare"
    return Trains()


@mistake(TypeError, "`Trainer.test\\(model\\)` got None", "LightningModule", "after a fit")
def test_without_a_model():
    trainer().test(dataloaders=loader())


@mistake(MisconfigurationException, "no data for `trainer.test`", "dataloaders=")
def test_without_data():
    trainer().test(Model())


@mistake(MisconfigurationException, "no data for `trainer.predict`", "predict_dataloader")
def predict_without_data():
    trainer().predict(Model(), datamodule=pl.LightningDataModule())


@mistake(TypeError, "`dataloaders`", "TensorDataset", "DataLoader")
def test_on_a_dataset():
    trainer().test(Model(), dataset())


@mistake(TypeError, "'train_loader'|\\['train_loader'\\]", "train_dataloaders|Did you mean")
def misspelt_argument_of_fit():
    trainer().fit(Model(), train_loader=loader())


@mistake(TypeError, "'dataloadrs'", "Did you mean 'dataloaders'")
def misspelt_argument_of_test():
    trainer().test(Model(), dataloadrs=loader())


@mistake(RuntimeError, "several validation loaders", "`validation_step`", "dataloader_idx=0")
def several_loaders_without_dataloader_idx():
    fit(val=[loader(), loader()], num_sanity_val_steps=0)


@mistake(ValueError, 'ckpt_path="best"', "ModelCheckpoint", "enable_checkpointing=True")
def best_without_a_checkpoint_callback():
    trainer().test(Model(), loader(), ckpt_path="best")


@mistake(ValueError, 'ckpt_path="best"', "no checkpoint was saved", "call `fit` first")
def best_without_a_fit():
    trainer(enable_checkpointing=True).test(Model(), loader(), ckpt_path="best")


@mistake(ValueError, 'ckpt_path="best"', "fast_dev_run", "Fix|leave")
def best_of_a_development_run():
    trainer(fast_dev_run=True, enable_checkpointing=True).test(Model(), loader(), ckpt_path="best")


@mistake(AttributeError, "save_checkpoint", "needs a model", "after `fit`")
def saving_without_a_model():
    trainer().save_checkpoint("x.ckpt")


@mistake(MisconfigurationException, "input, target", "Tensor", "training_step", batches=1)
def supervised_batch_that_is_no_pair():
    trainer().fit(torch.nn.Linear(2, 1), torch.utils.data.DataLoader(torch.ones(8, 2), batch_size=4))


@mistake(MisconfigurationException, "\\(4, 1\\)", "\\(4,\\)", "leyden.Supervised\\(model, loss=", batches=1)
def supervised_shapes_that_do_not_fit():
    pairs = torch.utils.data.TensorDataset(torch.ones(8, 2), torch.ones(8))
    trainer().fit(torch.nn.Linear(2, 1), torch.utils.data.DataLoader(pairs, batch_size=4))


@mistake(MisconfigurationException, "Sequential", "no parameter")
def supervised_without_parameters():
    trainer().fit(torch.nn.Sequential(torch.nn.ReLU()), loader())
