"""A run seen from outside: what is there during and after it, and which file a path means."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import leyden as pl
from helpers_fit import Regression, Validated, fit, loader, trainer
from leyden.core.callback import Checkpoint
from leyden.core.logger import Logger
from leyden.core.profiler import Profiler
from leyden.engine.states import RunningStage, TrainerFn, TrainerState, TrainerStatus
from leyden.runtime.accelerators import Accelerator
from leyden.runtime.precision import Precision
from leyden.runtime.strategies.base import Strategy

Nothing = type(None)
TYPES: dict[str, tuple[type, ...]] = {
    "accelerator": (Accelerator,),
    "callback_metrics": (dict,),
    "checkpoint_callback": (Checkpoint,),
    "checkpoint_callbacks": (list,),
    "ckpt_path": (Nothing, str),
    "current_epoch": (int,),
    "default_root_dir": (str,),
    "device_ids": (list,),
    "distributed_sampler_kwargs": (Nothing, dict),
    "early_stopping_callback": (pl.Callback,),
    "early_stopping_callbacks": (list,),
    "enable_validation": (bool,),
    "estimated_stepping_batches": (int, float),
    "evaluating": (bool,),
    "global_rank": (int,),
    "global_step": (int,),
    "interrupted": (bool,),
    "is_global_zero": (bool,),
    "is_last_batch": (bool,),
    "lightning_module": (pl.LightningModule,),
    "local_rank": (int,),
    "log_dir": (str,),
    "logged_metrics": (dict,),
    "logger": (Logger,),
    "loggers": (list,),
    "lr_scheduler_configs": (list,),
    "max_epochs": (int,),
    "max_steps": (int,),
    "min_epochs": (int,),
    "min_steps": (Nothing, int),
    "model": (torch.nn.Module,),
    "node_rank": (int,),
    "num_devices": (int,),
    "num_nodes": (int,),
    "num_predict_batches": (list,),
    "num_sanity_val_batches": (list,),
    "num_test_batches": (list,),
    "num_training_batches": (int, float),
    "num_val_batches": (list,),
    "optimizers": (list,),
    "precision": (str,),
    "precision_plugin": (Precision,),
    "predict_dataloaders": (Nothing,),
    "predicting": (bool,),
    "progress_bar_callback": (pl.Callback,),
    "progress_bar_metrics": (dict,),
    "received_sigterm": (bool,),
    "sanity_checking": (bool,),
    "scaler": (Nothing,),
    "strategy": (Strategy,),
    "test_dataloaders": (Nothing,),
    "testing": (bool,),
    "train_dataloader": (DataLoader,),
    "training": (bool,),
    "val_dataloaders": (DataLoader,),
    "validating": (bool,),
    "world_size": (int,),
    "callbacks": (list,),
    "datamodule": (Nothing,),
    "profiler": (Profiler,),
    "state": (TrainerState,),
    "should_stop": (bool,),
}
SETTABLE = {"ckpt_path", "logger", "loggers", "optimizers", "callbacks", "state", "should_stop", "default_root_dir"}
SETTABLE |= {"training", "validating", "testing", "predicting", "sanity_checking"}
SETTABLE |= {"max_epochs", "min_epochs", "max_steps", "min_steps"}


class Looks(Validated):
    """Reads every property at each stage of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, dict[str, Any]] = {}

    def look(self, place: str) -> None:
        self.seen[place] = {name: getattr(self.trainer, name) for name in TYPES}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.look("training")
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.look("sanity check" if self.trainer.sanity_checking else "validation")
        super().validation_step(batch, batch_idx)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    module, folder = Looks(), tmp_path_factory.mktemp("runs")
    made = trainer(
        callbacks=[pl.callbacks.EarlyStopping("val_loss")],
        logger=pl.loggers.CSVLogger(folder),
        log_every_n_steps=1,
        num_sanity_val_steps=1,
        enable_checkpointing=True,
        enable_progress_bar=True,
    )
    made.fit(module, loader(), loader())
    return {**module.seen, "after": {name: getattr(made, name) for name in TYPES}}


@pytest.mark.parametrize("name", TYPES)
def test_every_property_has_its_documented_type(looked: dict[str, dict[str, Any]], name: str) -> None:
    before_training = {"train_dataloader": (Nothing,)}.get(name, ())
    for place in ("training", "validation", "after", "sanity check"):
        accepted = TYPES[name] + (before_training if place == "sanity check" else ())
        assert isinstance(looked[place][name], accepted), place


def test_there_are_57_properties_in_the_contract() -> None:
    assert len(TYPES) - len(("callbacks", "datamodule", "profiler", "state", "should_stop")) == 57


@pytest.mark.parametrize("name", TYPES)
def test_what_can_be_set_and_what_cannot(name: str) -> None:
    if name in ("logger", "loggers", "callbacks", "optimizers"):
        return  # set to something useful in the tests of engine/properties.py
    if name in SETTABLE:
        made = trainer()
        setattr(made, name, getattr(made, name))
    else:
        member = inspect.getattr_static(pl.Trainer, name, None)
        assert isinstance(member, property)
        with pytest.raises(AttributeError):
            setattr(trainer(), name, None)


def test_after_fit() -> None:
    module = Regression()
    made = trainer(max_epochs=2)
    made.fit(module, loader())
    assert made.state == TrainerState(TrainerStatus.FINISHED, TrainerFn.FITTING, None)
    assert made.state.finished
    assert not made.training
    assert made.current_epoch == made.max_epochs == 2
    assert [type(optimizer) for optimizer in made.optimizers] == [torch.optim.SGD]
    assert {parameter.device.type for parameter in module.parameters()} == {"cpu"}
    assert module.training
    assert RunningStage.TRAINING == "train"


def test_fit_returns_nothing() -> None:
    made = trainer()
    assert made.fit(Regression(), loader()) is None  # type: ignore[func-returns-value]


def saved(folder: str) -> str:
    made = trainer()
    made.fit(Regression(), loader())
    path = f"{folder}/model.ckpt"
    made.save_checkpoint(path)
    return path


def test_a_checkpoint_from_a_url() -> None:
    path = saved("memory://checkpoints")
    made = trainer(max_epochs=2)
    made.fit(Regression(), loader(), ckpt_path=path)
    assert (made.ckpt_path, made.global_step) == (path, 8)


def test_the_checkpoint_of_a_signal() -> None:
    with pytest.raises(ValueError, match=r"ckpt_path='hpc'.*Fix: pass a path"):
        trainer().fit(Regression(), loader(), ckpt_path="hpc")
    Path(saved(".")).rename("interrupted.ckpt")
    made = trainer(max_epochs=2)
    made.fit(Regression(), loader(), ckpt_path="hpc")
    assert str(made.ckpt_path).endswith("interrupted.ckpt")
    assert made.global_step == 8


@pytest.mark.parametrize("path", ["registry", "registry:team/model:version:2"])
def test_there_is_no_model_registry(path: str) -> None:
    with pytest.raises(ValueError, match=r"no model registry here. Fix: pass a path or URL"):
        trainer().fit(Regression(), loader(), ckpt_path=path)


def test_a_file_may_be_called_registry() -> None:
    Path(saved(".")).rename("registry.ckpt")
    assert fit_from("registry.ckpt").global_step == 8


def fit_from(path: str, **options: Any) -> pl.Trainer:
    made = trainer(max_epochs=2)
    made.fit(Regression(), loader(), ckpt_path=path, **options)
    return made


class Opaque:
    """Something that only unpickling brings back."""


def test_weights_only_reaches_the_reader() -> None:
    path = saved(".")
    checkpoint = torch.load(path, weights_only=True)
    torch.save({**checkpoint, "extra": Opaque()}, path)
    for weights_only in (None, True):
        with pytest.raises(Exception, match="weights_only=False"):
            fit_from(path, weights_only=weights_only)
    assert fit_from(path, weights_only=False).global_step == 8


class Draws(Dataset[torch.Tensor]):
    """Draws a number in the worker for each sample."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torch.rand(2), torch.rand(1)


class Keeps(Regression):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.calls.append(batch[0].tolist())
        return super().loss(batch)


def test_workers_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PL_SEED_WORKERS", raising=False)
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    seen = []
    for _ in range(2):
        pl.seed_everything(5, workers=True, verbose=False)
        module = Keeps()
        fit(module, DataLoader(Draws(), num_workers=2))
        seen.append(module.calls)
    assert seen[0] == seen[1]
    assert len({str(draw) for draw in seen[0]}) == 4


def test_no_advice_about_workers() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(Regression(), DataLoader(loader().dataset, batch_size=2, num_workers=1))
    assert [str(w.message) for w in caught if "worker" in str(w.message)] == []


def test_warnings_name_the_line_that_called_the_trainer() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pl.Trainer(logger=False, enable_progress_bar=False)
        fit(Regression(), DataLoader([]), val=loader())
        trainer(logger=pl.loggers.CSVLogger(".")).fit(Regression(), loader(), ckpt_path="last")
    said = [str(warning.message)[:30] for warning in caught]
    assert len(said) == 5, said
    assert {Path(warning.filename).name for warning in caught} == {"test_trainer_runs.py", "helpers_fit.py"}
