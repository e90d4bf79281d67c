"""What must hold before a run begins; each message is in tests/mistakes."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import leyden as pl
from leyden.engine.checks import check_constructed
from leyden.errors import ConfigurationErrors, MisconfigurationException, PossibleUserWarning
from mistakes.kit import Bare, Counts, Model, dataset, loader, trainer


def test_everything_that_is_wrong_is_reported_at_once():
    class Wrong(Bare):
        def validaton_step(self, batch, batch_idx):
            return None

        def on_train_epoch_start(self, outputs):
            return None

    with pytest.raises(ConfigurationErrors) as raised:
        trainer(callbacks=[type("Greets", (pl.Callback,), {"on_fit_start": lambda self: None})()]).fit(
            Wrong(), dataset()
        )
    assert len(raised.value.errors) == 6
    for part in (
        "no `training_step`",
        "no `configure_optimizers`",
        "TensorDataset",
        "validaton_step",
        "outputs",
        "Greets",
    ):
        assert part in str(raised.value)


def test_nothing_of_the_run_has_begun():
    begun = []

    class Wrong(Bare):
        def setup(self, stage):
            begun.append("setup")

        def prepare_data(self):
            begun.append("prepare_data")

        def train_dataloader(self):
            begun.append("train_dataloader")

    with pytest.raises(MisconfigurationException):
        trainer().fit(Wrong())
    assert begun == []


def test_a_failed_check_leaves_the_trainer_usable():
    made = trainer()
    with pytest.raises(MisconfigurationException):
        made.fit(Bare(), loader())
    assert not made.training
    made.fit(Model(), loader(), loader())
    assert made.global_step == 4


@pytest.mark.parametrize(
    ("step", "data", "text"),
    [(True, False, "no validation data"), (False, True, "no `validation_step`"), (True, True, ""), (False, False, "")],
)
def test_validation_needs_a_step_and_data(step, data, text):
    class Trains(Bare):
        def training_step(self, batch, batch_idx):
            return self.layer(batch[0]).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Validates(Trains):
        def validation_step(self, batch, batch_idx):
            return None

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer().fit((Validates if step else Trains)(), loader(), loader() if data else None)
    texts = [str(w.message) for w in caught if w.category is PossibleUserWarning]
    assert [t for t in texts if "validation" in t] == [t for t in texts if text and text in t]
    assert bool(text) == any("validation" in t for t in texts)


def test_methods_set_on_the_instance_count():
    model = Bare()
    model.training_step = lambda batch, batch_idx: model.layer(batch[0]).sum()
    model.configure_optimizers = lambda: torch.optim.SGD(model.parameters(), lr=0.1)
    made = trainer()
    made.fit(model, loader())
    assert made.global_step == 4


def test_clipping_by_zero_is_no_clipping():
    class Manual(Model):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            self.optimizers().step()

    trainer(gradient_clip_val=0).fit(Manual(), loader(), loader())


def test_several_loaders_and_a_step_that_takes_them():
    class Several(Model):
        def validation_step(self, batch, batch_idx, dataloader_idx):
            return None

    trainer().fit(Several(), loader(), [loader(), loader()])
    with pytest.raises(RuntimeError, match="dataloader_idx=0"):
        trainer().validate(Model(), [loader(), loader()])
    trainer().validate(Model(), [loader()], verbose=False)


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_evaluation_needs_no_optimizer(method):
    class OnlyEvaluates(pl.LightningModule):
        def forward(self, x):
            return x

        def validation_step(self, batch, batch_idx):
            return None

        test_step = validation_step

    getattr(trainer(), method)(OnlyEvaluates(), loader())


def test_constructed():
    class Forgets(nn.Module):
        def __init__(self):
            self.rate = 1

    with pytest.raises(MisconfigurationException, match="Forgets.*super"):
        check_constructed("fit", Forgets())
    with pytest.raises(MisconfigurationException, match="Forgets"):
        trainer().predict(Forgets(), loader())
    check_constructed("fit", nn.Linear(1, 1))
    check_constructed("fit", Model())


def test_a_module_that_calls_only_torch_s_init():
    class Skips(pl.LightningModule):
        def __init__(self):
            nn.Module.__init__(self)

    with pytest.raises(MisconfigurationException, match="Skips"):
        trainer().fit(Skips(), loader())


def test_a_data_module_needs_no_init_call():
    class Data(pl.LightningDataModule):
        def __init__(self):
            self.size = 8

        def train_dataloader(self):
            return loader(self.size)

        val_dataloader = train_dataloader

    Counts.reset()
    trainer().fit(Model(), datamodule=Data())
    assert Counts.batches == 4
