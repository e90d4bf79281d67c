from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, loader, trainer
from leyden.errors import LightningDeprecationWarning
from leyden.legacy.attributes import DATAMODULE, MODULE, TRAINER, Renamed

RENAMED = {name: old for name, old in TRAINER.items() if isinstance(old, Renamed)}
VALUES: dict[str, Any] = {
    "proc_rank": 0,
    "gpus": None,
    "num_gpus": 0,
    "root_gpu": None,
    "num_processes": 1,
    "data_parallel": False,
    "data_parallel_device_ids": None,
    "use_amp": False,
    "optimizer_frequencies": [],
    "running_sanity_check": False,
    "disable_validation": True,
    "validated_ckpt_path": None,
    "tested_ckpt_path": None,
    "predicted_ckpt_path": None,
    "verbose_evaluate": True,
    "progress_bar_dict": {},
}


@pytest.mark.parametrize("name", sorted(RENAMED))
def test_attributes_with_another_name_are_found_and_said_once(name: str) -> None:
    runner = trainer()
    with pytest.warns(LightningDeprecationWarning, match=f"`trainer.{name}` is of an old release. Write `trainer."):
        value = getattr(runner, name)
    assert value == VALUES.get(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(runner, name)
    assert not hasattr(pl.Trainer, name)


@pytest.mark.filterwarnings("ignore::leyden.errors.LightningDeprecationWarning")
def test_their_values_in_a_run() -> None:
    class Scheduled(Regression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    runner: Any = trainer()
    runner.fit(Scheduled(), loader())
    assert runner.lr_schedulers[0]["scheduler"] is runner.lr_scheduler_configs[0].scheduler
    assert runner.lr_schedulers[0]["interval"] == "epoch"
    assert runner.lightning_optimizers[0].optimizer is runner.optimizers[0]
    assert runner.training_type_plugin is runner.strategy
    assert runner.weights_save_path == runner.default_root_dir
    assert runner.train_loop.max_epochs == 1


@pytest.mark.parametrize(
    ("owner", "name", "line"),
    [
        *((pl.Trainer, name, "") for name in sorted(TRAINER.keys() - RENAMED.keys())),
        *((pl.LightningModule, name, "hparams_file") for name in MODULE),
        *((pl.LightningDataModule, name, "LightningCLI") for name in DATAMODULE),
    ],
)
def test_methods_that_are_gone_say_what_to_write(owner: type, name: str, line: str) -> None:
    with pytest.raises(AttributeError, match=rf"`.*{name}` is gone. Write .*{line}"):
        getattr(owner, name)
    assert not hasattr(owner, name)


def test_loaders_are_reset_by_another_method() -> None:
    with pytest.raises(AttributeError, match=r"trainer.fit_loop.setup_data\(\)"):
        trainer().reset_train_dataloader()  # type: ignore[attr-defined]


def test_the_model_cannot_be_set() -> None:
    with pytest.raises(AttributeError):
        trainer().model = Regression()  # type: ignore[misc]


def test_numbers_of_batches_are_lists() -> None:
    class Validated(Regression):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...

    runner = trainer()
    runner.fit(Validated(), loader(), [loader(4), loader(2)])
    assert runner.num_val_batches == [2, 1]
    assert sum(runner.num_val_batches) == 3
