"""Interrupt at any step, resume, and get the same bits as the run that was never interrupted."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torchmetrics
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, Subset, TensorDataset, WeightedRandomSampler

import leyden as pl
from helpers_resume import (
    CLASSES,
    Augmented,
    Net,
    Resumed,
    Saver,
    Scenario,
    differences,
    make_data,
    run,
)
from leyden.callbacks import EarlyStopping

MID = {"val_check_interval": 2}
METRICS = torchmetrics.classification
Set = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def tensors(**arguments: Any) -> Any:
    return lambda: DataLoader(TensorDataset(*make_data()), **{"batch_size": 4, "shuffle": True, **arguments})


def augmented(**arguments: Any) -> Any:
    return lambda: DataLoader(Augmented(), **{"batch_size": 4, "shuffle": True, **arguments})


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Two(Net):
    """Trains on the batches of two loaders."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.loss(batch[0]) + self.loss(batch[1])
        self.log("train_loss", loss, on_step=True, on_epoch=True, batch_size=4)
        return loss


class Metered(Net):
    """Metrics in mid-epoch: logged, not logged, with list states, sharing states in a collection."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = METRICS.MulticlassAccuracy(CLASSES)
        self.area = METRICS.MulticlassAUROC(CLASSES)
        self.mean = torchmetrics.MeanMetric()
        self.recent = torchmetrics.wrappers.Running(torchmetrics.SumMetric(), window=3)
        names = {"precision": METRICS.MulticlassPrecision(CLASSES), "recall": METRICS.MulticlassRecall(CLASSES)}
        self.collection = torchmetrics.MetricCollection(names)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        prediction = self(batch[0]).detach().softmax(-1)
        self.accuracy(prediction, batch[1])
        self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
        self.area.update(prediction, batch[1])
        self.collection.update(prediction, batch[1])
        self.log_dict(self.collection, on_step=False, on_epoch=True)
        loss = super().training_step(batch, batch_idx)
        self.mean.update(loss.detach())
        self.recent.update(loss.detach())
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("area", self.area.compute())
        self.log("mean", self.mean.compute())
        self.log("recent", self.recent.compute())
        self.area.reset()
        self.mean.reset()


class Adversarial(Net):
    """Manual optimization with two optimizers and schedulers."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            with optimizer.toggle_model():
                loss = self.loss(batch)
                optimizer.zero_grad()
                self.manual_backward(loss)
                optimizer.step()
        for scheduler in self.lr_schedulers():
            scheduler.step()
        self.log("train_loss", loss, on_epoch=True)

    def configure_optimizers(self) -> Any:
        one = torch.optim.Adam([*self.first.parameters(), *self.norm.parameters()], lr=0.02)
        two = torch.optim.SGD(self.second.parameters(), lr=0.05, momentum=0.9)
        schedulers = torch.optim.lr_scheduler
        return [one, two], [schedulers.StepLR(one, 2, 0.9), schedulers.ExponentialLR(two, 0.95)]


class Hoarding(Net):
    """Manual optimization that keeps gradients over several batches."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.manual_backward(self.loss(batch))
        if batch_idx % 3 == 2:
            self.optimizers().step()
            self.optimizers().zero_grad()


class Leaving(Net):
    """Leaves out batches, and the rest of an epoch."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 1 else super().training_step(batch, batch_idx)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if (self.current_epoch, batch_idx) == (1, 4) else None


class Unfreezing(Net):
    """Hooks at an epoch's start that change the module: a buffer, who is trained, who is in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))
        self.second.requires_grad_(False)

    def on_train_start(self) -> None:
        self.log("once", torch.rand(()))

    def on_train_epoch_start(self) -> None:
        self.temperature.mul_(0.9)
        self.log("started", torch.rand(()))
        if self.current_epoch == 1:
            self.second.requires_grad_(True)
            self.norm.eval()


class Stopping(Net):
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (self.current_epoch, batch_idx) == (1, 2):
            self.trainer.should_stop = True


class NoNorm(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.Identity()


class Accumulating(pl.Callback):
    """Another accumulation in each epoch."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        trainer.accumulate_grad_batches = 1 + trainer.current_epoch


class Endless(IterableDataset):
    """Data of unknown length."""

    def __iter__(self) -> Any:
        columns = make_data()
        return (tuple(column[index] for column in columns) for index in torch.randperm(23).tolist())


def stopping_early() -> list[Any]:
    return [EarlyStopping("val_loss", patience=2, min_delta=0.5)]


SCENARIOS = {
    "tensors": Scenario(arguments=MID),
    "accumulation": Scenario(lambda: Net("step"), arguments={**MID, "accumulate_grad_batches": 4, "max_epochs": 3}),
    "plateau": Scenario(lambda: Net("plateau")),
}
MORE = {
    "augmented": Scenario(train=augmented(), val=augmented(), arguments=MID),
    "metrics": Scenario(Metered, arguments=MID),
    "scheduler per epoch": Scenario(lambda: Net("epoch"), arguments=MID),
    "plateau per step": Scenario(lambda: Net("plateau per step"), arguments=MID),
    "clipping": Scenario(arguments={**MID, "gradient_clip_val": 0.1, "accumulate_grad_batches": 2}),
    "bf16-mixed": Scenario(arguments={**MID, "precision": "bf16-mixed"}),
    "bf16-true": Scenario(NoNorm, arguments={**MID, "precision": "bf16-true"}),
    "64-true": Scenario(arguments={**MID, "precision": "64-true"}),
    "early stopping": Scenario(callbacks=stopping_early, arguments={**MID, "max_epochs": 4}),
    "should_stop": Scenario(Stopping, arguments={**MID, "max_epochs": 5}),
    "max_steps": Scenario(lambda: Net("plateau"), arguments={**MID, "max_steps": 9, "max_epochs": -1}),
    "limits": Scenario(arguments={**MID, "limit_train_batches": 4, "limit_val_batches": 2}),
    "overfit": Scenario(train=tensors(shuffle=False), arguments={**MID, "overfit_batches": 3, "max_epochs": 3}),
    "across epochs": Scenario(arguments={"check_val_every_n_epoch": None, "val_check_interval": 5, "max_epochs": 3}),
    "no validation": Scenario(arguments={"limit_val_batches": 0}),
    "own generators": Scenario(train=lambda: tensors(generator=generator(3))(), arguments=MID),
    "own samplers": Scenario(
        train=lambda: augmented(shuffle=False, sampler=RandomSampler(range(23), generator=generator(4)))(),
    ),
    "weighted": Scenario(train=tensors(shuffle=False, sampler=WeightedRandomSampler([0.3] * 23, 22))),
    "subset": Scenario(train=lambda: DataLoader(Subset(Augmented(), range(2, 21)), batch_size=4, shuffle=True)),
    "two loaders": Scenario(Two, train=lambda: [tensors()(), augmented(batch_size=3)()], arguments=MID),
    "two optimizers": Scenario(Adversarial, arguments=MID),
    "gradients by hand": Scenario(Hoarding, arguments=MID),
    "left out": Scenario(Leaving, arguments={**MID, "max_epochs": 3, "accumulate_grad_batches": 2}),
    "unfreezing": Scenario(Unfreezing, arguments=MID),
    "accumulation schedule": Scenario(callbacks=lambda: [Accumulating()], arguments=MID),
    "unknown length": Scenario(lambda: Net("plateau"), train=lambda: DataLoader(Endless(), batch_size=4)),
    "reloaded": Scenario(arguments={**MID, "reload_dataloaders_every_n_epochs": 1}),
}
EXPECTED = ["ignore:.*cannot seek", "ignore:.*asked to stop", "ignore:.*shuffling is turned off"]
pytestmark = [pytest.mark.filterwarnings(text) for text in EXPECTED]


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of files are written here, and none has to outlive a power cut."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", SCENARIOS)
def test_from_every_file(name: str, tmp_path: Path) -> None:
    runs = Resumed(SCENARIOS[name], tmp_path)
    assert {str(path): found for path in runs.files if (found := runs.check(path))} == {}


@pytest.mark.parametrize("name", MORE)
def test_row_96_from_some_files(name: str, tmp_path: Path) -> None:
    runs = Resumed(MORE[name], tmp_path)
    chosen = runs.files[list(MORE).index(name) % 5 :: 8]
    assert {str(path): found for path in chosen if (found := runs.check(path))} == {}


@pytest.mark.parametrize("persistent", [False, True])
def test_with_workers(persistent: bool, tmp_path: Path) -> None:
    def train() -> Any:
        data = Subset(TensorDataset(*make_data()), range(23))
        arguments = {"num_workers": 2, "persistent_workers": persistent, "collate_fn": torch.utils.data.default_collate}
        return DataLoader(data, batch_size=4, shuffle=True, **arguments)

    runs = Resumed(Scenario(train=train, arguments=MID), tmp_path)
    chosen = [path for path in runs.files if path.name in ("step=3.ckpt", "step=6.ckpt")]
    assert len(chosen) == 4
    assert {str(path): found for path in chosen if (found := runs.check(path))} == {}


class Killer(pl.Callback):
    """Sends this process a signal in some hook."""

    HOOKS = (
        "on_train_epoch_start", "on_train_batch_start", "on_after_backward", "on_train_batch_end", "on_train_epoch_end",
        "on_validation_start", "on_validation_batch_end", "on_validation_epoch_end", "on_validation_end",
    )  # fmt: skip

    def __init__(self, chance: random.Random) -> None:
        self.number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        self.left = chance.randint(1, 4)

        def hook(trainer: Any, *_: Any) -> None:
            self.left -= not trainer.sanity_checking
            if self.left == 0:
                os.kill(os.getpid(), self.number)
                self.left = -1

        setattr(self, chance.choice(self.HOOKS), hook)


def run_until_killed(scenario: Scenario, folder: Path, attempt: int, killer: Killer) -> tuple[Any, int, list[Any]]:
    """Go on from where the last attempt stopped; the outcome (None if killed), the exit code and the samples seen."""
    modules: list[Any] = []

    def module() -> Any:
        modules.append(scenario.module())
        return modules[-1]

    def callbacks() -> list[Any]:
        return [*scenario.callbacks(), killer, Saver(folder / "saved", every_n_epochs=1, filename="at{step}")]

    arguments = {**scenario.arguments, "enable_checkpointing": True}
    killed = dataclasses.replace(scenario, module=module, callbacks=callbacks, arguments=arguments)
    path = folder / "saved" / "interrupted.ckpt" if attempt else None
    outcome, code = None, 0
    try:
        outcome = run(killed, folder, seed=1 + 100 * attempt, ckpt_path=path, save=False)
    except SystemExit as left:
        code = int(left.code or 0)
    return outcome, code, modules[-1].samples


@pytest.mark.parametrize("name", ["augmented", "accumulation", "plateau", "two loaders", "own generators"])
def test_stopped_by_signals_again_and_again(name: str, tmp_path: Path) -> None:
    scenario = (SCENARIOS | MORE)[name]
    calm = run(scenario, tmp_path / "calm", 1, save=False)
    chance, outcome, attempt = random.Random(7), None, 0
    samples: list[Any] = []
    while outcome is None:
        killer = Killer(chance)
        outcome, code, seen = run_until_killed(scenario, tmp_path, attempt, killer)
        assert code == (0 if outcome else 128 + killer.number)
        attempt, samples = attempt + 1, samples + seen
    calm.state.pop("callbacks"), outcome.state.pop("callbacks")
    assert attempt > 3
    assert list(differences(calm.state, outcome.state)) == []
    assert samples == calm.samples
    assert not (tmp_path / "saved" / "interrupted.ckpt").exists()


def test_skipped_samples_are_not_read(tmp_path: Path) -> None:
    data: list[Augmented] = []

    def train() -> Any:
        data.append(Augmented())
        return DataLoader(data[-1], batch_size=4, shuffle=True)

    scenario = Scenario(train=train, arguments={"max_epochs": 1})
    runs = Resumed(scenario, tmp_path)
    path = next(path for path in runs.files if path.name == "step=4.ckpt")
    assert runs.check(path) == []
    assert data[1].read == data[0].read[16:]
    assert sorted(data[0].read) == list(range(23))
