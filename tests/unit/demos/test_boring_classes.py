from __future__ import annotations

from typing import Any

import pytest
import torch

import leyden as pl
from leyden.demos import boring_classes as boring


def trainer(**options: Any) -> pl.Trainer:
    quiet: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False, "max_epochs": 1}
    return pl.Trainer(**quiet, limit_train_batches=2, limit_val_batches=1, limit_test_batches=1, **options)


@pytest.mark.parametrize("kind", [boring.BoringModel, boring.ManualOptimBoringModel])
def test_the_boring_models_run_every_stage_by_themselves(kind: type[boring.BoringModel]) -> None:
    module, runner = kind(), trainer(limit_predict_batches=1)
    runner.fit(module)
    assert runner.global_step == 2
    runner.test(module, verbose=False)
    assert [output.shape for output in runner.predict(module) or []] == [(1, 2)]


@pytest.mark.parametrize("kind", [boring.BoringDataModule, boring.BoringDataModuleNoLen])
def test_the_data_modules_serve_every_stage(kind: type[pl.LightningDataModule]) -> None:
    data, runner = kind(), trainer(limit_predict_batches=1)
    runner.fit(boring.BoringModel(), datamodule=data)
    runner.validate(boring.BoringModel(), datamodule=data, verbose=False)
    runner.test(boring.BoringModel(), datamodule=data, verbose=False)
    assert len(runner.predict(boring.BoringModel(), datamodule=data) or []) == 1


def test_two_loaders_per_stage() -> None:
    data = boring.IterableBoringDataModule()
    data.setup("fit")
    first, second = data.train_dataloader()
    assert len(first) == 64
    assert next(iter(second)).shape == (1, 32)
    assert len(data.val_dataloader()) == len(data.test_dataloader()) == len(data.predict_dataloader()) == 2


def test_the_demo_model_takes_arguments_and_trains() -> None:
    model = boring.DemoModel(out_dim=3, learning_rate=0.1)
    assert model(torch.ones(2, 32)).shape == (2, 3)
    assert model.configure_optimizers().param_groups[0]["lr"] == 0.1
    trainer().fit(model, torch.utils.data.DataLoader(boring.RandomDataset(32, 4)))


def test_the_data_sets() -> None:
    assert boring.RandomDataset(3, 4)[0].shape == (3,)
    assert len(boring.RandomDataset(3, 4)) == len(boring.RandomDictDataset(3, 4)) == 4
    item = boring.RandomDictDataset(3, 4)[1]
    assert torch.equal(item["b"], item["a"] + 2)
    assert len(list(boring.RandomIterableDataset(3, 5))) == len(boring.RandomIterableDatasetWithLen(3, 5)) == 5
