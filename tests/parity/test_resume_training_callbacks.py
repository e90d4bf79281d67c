"""Interrupted runs with callbacks that change training are continued to the same bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from helpers_resume import FEATURES, Net, Resumed, Scenario, differences, make_data, run
from leyden.callbacks import (
    BackboneFinetuning,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    ModelPruning,
    StochasticWeightAveraging,
    WeightAveraging,
)

MID = {"val_check_interval": 2}
pytestmark = pytest.mark.filterwarnings("ignore:.*steps its scheduler once per epoch")


class OnBackbone(Net):
    """A frozen part with BatchNorm, which is trained later; a scheduler that keeps a value per parameter group."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = torch.nn.Sequential(torch.nn.Linear(FEATURES, FEATURES), torch.nn.BatchNorm1d(FEATURES))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(self.backbone(inputs))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=0.02)
        return [optimizer], [torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)]


class Late(WeightAveraging):
    """The mean of the weights after some steps and each epoch."""

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None or (step_idx is not None and step_idx >= 3 and step_idx % 2 == 0)


def swa(**arguments: Any) -> Any:
    return lambda: [StochasticWeightAveraging(0.03, swa_epoch_start=1, annealing_epochs=2, **arguments)]


def pruning(**arguments: Any) -> Any:
    return lambda: [ModelPruning("l1_unstructured", amount=0.3, **arguments)]


ACCUMULATION = {"accumulate_grad_batches": 4}
CLOSELY = ("moving average", "stochastic")
SCENARIOS = {
    "moving average": Scenario(callbacks=lambda: [EMAWeightAveraging(decay=0.7)], arguments=MID | ACCUMULATION),
    "moving average, late": Scenario(
        callbacks=lambda: [EMAWeightAveraging(decay=0.7, update_every_n_steps=2, update_starting_at_epoch=1)],
        arguments=MID,
    ),
    "mean": Scenario(lambda: Net("step"), callbacks=lambda: [Late(use_buffers=False)], arguments=MID),
    "stochastic": Scenario(lambda: Net("epoch"), callbacks=swa(), arguments=MID),
    "stochastic, no scheduler": Scenario(callbacks=swa(device=None), arguments=MID | ACCUMULATION),
    "accumulation": Scenario(callbacks=lambda: [GradientAccumulationScheduler({0: 4, 1: 3})], arguments=MID),
    "backbone": Scenario(OnBackbone, callbacks=lambda: [BackboneFinetuning(1)], arguments={"max_epochs": 3}),
    "pruning": Scenario(callbacks=pruning(), arguments={"max_epochs": 3}),
    "pruning, rewinding": Scenario(
        callbacks=pruning(use_lottery_ticket_hypothesis=lambda epoch: epoch == 1, prune_on_train_epoch_end=False),
        arguments={"max_epochs": 3},
    ),
    "pruning, not folded": Scenario(
        callbacks=pruning(make_pruning_permanent=False, resample_parameters=True), arguments={"max_epochs": 3}
    ),
}


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", SCENARIOS)
def test_from_the_files_of_a_run(name: str, tmp_path: Path) -> None:
    runs = Resumed(SCENARIOS[name], tmp_path)
    assert len(runs.files) > 8
    first = list(SCENARIOS).index(name)
    every = 4 if name in CLOSELY else 7
    chosen = [*runs.files[first % every : -1 : every], runs.files[-1]]
    assert {str(path): found for path in chosen if (found := runs.check(path))} == {}


class Killer(pl.Callback):
    """Sends a signal in the middle of a validation."""

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if trainer.global_step == 5 and not trainer.sanity_checking:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore:The checkpoint holds states of callbacks that this Trainer does not have")
def test_stopped_while_the_average_is_validated(tmp_path: Path) -> None:
    def scenario(*more: Any) -> Scenario:
        arguments = {"check_val_every_n_epoch": None, "val_check_interval": 5}
        return Scenario(callbacks=lambda: [EMAWeightAveraging(decay=0.7), *more], arguments=arguments)

    calm = run(scenario(), tmp_path / "calm", 1, save=False)
    with pytest.raises(SystemExit) as left:
        run(scenario(Killer()), tmp_path, 1)
    assert left.value.code == 143
    path = next(tmp_path.rglob("interrupted.ckpt"))
    resumed = run(scenario(), tmp_path / "resumed", 1000, ckpt_path=path, save=False)
    assert list(differences(calm.state["weights"], resumed.state["weights"])) == []
    assert list(differences(calm.state["optimizers"], resumed.state["optimizers"])) == []
    assert list(differences(calm.state["metrics"], resumed.state["metrics"])) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_states_are_plain_data(name: str, tmp_path: Path) -> None:
    scenario = SCENARIOS[name]
    pl.seed_everything(1, verbose=False)
    callbacks = scenario.callbacks()
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, num_sanity_val_steps=0, callbacks=callbacks,
    )  # fmt: skip
    trainer.fit(scenario.module(), DataLoader(TensorDataset(*make_data()), batch_size=4), scenario.val())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    stateful = [c for c in callbacks if not isinstance(c, GradientAccumulationScheduler)]
    assert saved["callbacks"].keys() >= {c.state_key for c in stateful}
