"""A data module in the hands of a Trainer."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import leyden as pl
from helpers_fit import Regression, Validated, loader, samples, trainer

SIGNATURES = {
    "from_datasets": (
        "train_dataset=None, val_dataset=None, test_dataset=None, predict_dataset=None, batch_size=1, num_workers=0, "
        "**datamodule_kwargs"
    ),
    "load_from_checkpoint": "checkpoint_path, map_location=None, hparams_file=None, weights_only=None, **kwargs",
    "prepare_data": "self",
    "setup": "self, stage",
    "teardown": "self, stage",
    "train_dataloader": "self",
    "val_dataloader": "self",
    "test_dataloader": "self",
    "predict_dataloader": "self",
    "transfer_batch_to_device": "self, batch, device, dataloader_idx",
    "on_before_batch_transfer": "self, batch, dataloader_idx",
    "on_after_batch_transfer": "self, batch, dataloader_idx",
    "state_dict": "self",
    "load_state_dict": "self, state_dict",
    "on_exception": "self, exception",
    "save_hyperparameters": "self, *args, ignore=None, frame=None, logger=True",
}


class Data(pl.LightningDataModule):
    """Notes what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def setup(self, stage: str) -> None:
        self.calls.append(("setup", stage, self.trainer))

    def teardown(self, stage: str) -> None:
        self.calls.append(("teardown", stage, self.trainer))

    def train_dataloader(self) -> Any:
        return loader()

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


class Evaluated(Validated):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_loss", self.loss(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0])


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    shown = inspect.signature(getattr(pl.LightningDataModule, name)).parameters.values()
    parameters = [str(p.replace(annotation=p.empty)) for p in shown]
    assert ", ".join(parameters) == SIGNATURES[name]


def test_constants() -> None:
    kind = pl.LightningDataModule
    assert kind.name is None
    assert kind.CHECKPOINT_HYPER_PARAMS_KEY == "datamodule_hyper_parameters"
    assert kind.CHECKPOINT_HYPER_PARAMS_NAME == "datamodule_hparams_name"
    assert kind.CHECKPOINT_HYPER_PARAMS_TYPE == "datamodule_hparams_type"


def test_trainer_is_set_by_a_run() -> None:
    data, made = Data(), trainer()
    assert data.trainer is None
    made.fit(Evaluated(), datamodule=data)
    assert data.trainer is made
    assert made.datamodule is data


def test_setup_and_teardown_in_every_call() -> None:
    data, made, module = Data(), trainer(), Evaluated()
    made.fit(module, data)
    for method in (made.validate, made.test):
        method(module, datamodule=data, verbose=False)
    made.predict(module, datamodule=data)
    stages = ["fit", "validate", "test", "predict"]
    assert data.calls == [(hook, stage, made) for stage in stages for hook in ("setup", "teardown")]
    made.validate(module, datamodule=data, verbose=False)
    assert data.calls[-2:] == [("setup", "validate", made), ("teardown", "validate", made)]


def test_loader_hooks_may_return_collections() -> None:
    class Several(Data):
        def train_dataloader(self) -> Any:
            return {"a": loader(), "b": loader(4)}

        def test_dataloader(self) -> Any:
            return [loader(), loader(4)]

    class Takes(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(sorted(batch))
            return self.loss(batch["a"]) + self.loss(batch["b"])

        def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("loss", self.loss(batch))

    module, made = Takes(), trainer(limit_val_batches=0)
    with pytest.warns(UserWarning, match="Takes has no `validation_step`"):
        made.fit(module, Several())
    assert module.calls == [["a", "b"]] * 4
    assert len(made.test(module, Several(), verbose=False)) == 2


def test_both_transfer_hooks_are_said() -> None:
    class Moves(Data):
        def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
            self.calls.append("data")
            return batch

    class AlsoMoves(Evaluated):
        def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
            raise AssertionError

    data = Moves()
    with pytest.warns(UserWarning, match="both define `transfer_batch_to_device`. The data module's is used") as caught:
        trainer().test(AlsoMoves(), data, verbose=False)
    assert caught[0].filename == __file__
    assert data.calls.count("data") == 4


def test_memory_is_pinned_where_there_is_an_accelerator() -> None:
    made = pl.LightningDataModule.from_datasets(samples()).train_dataloader()
    assert isinstance(made, DataLoader)
    assert made.pin_memory is torch.accelerator.is_available()
