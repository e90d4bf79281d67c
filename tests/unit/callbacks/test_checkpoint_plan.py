"""The plan is what lands on disk: rehearsed and real runs of many configurations are compared, save by save."""

from __future__ import annotations

import os
import re
import time
from datetime import timedelta
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import leyden as pl
from helpers_fit import Endless, Regression, Validated, loader, trainer
from leyden.callbacks.model_checkpoint import ModelCheckpoint

BATCHES, SECONDS = 6, 10.0
EVERY_SECOND = timedelta(seconds=25)


class Model(Validated):
    """Logs scores that depend on the step only: ``val_loss`` in validation, ``loss`` per step and per epoch."""

    def score(self) -> torch.Tensor:
        return torch.tensor(float([5, 3, 4, 1, 2, 6, 0][self.trainer.global_step % 7]))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        self.log("step_loss", self.score())
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("epoch_loss", self.score())

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.log("val_score", self.score())


class Clock(pl.Callback):
    """Time stands still but for ``SECONDS`` per training batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.now += SECONDS


class Recording(ModelCheckpoint):
    """Notes what is written and deleted, at which epoch and step."""

    def _write(self, trainer: Any, save: Any) -> None:
        pending = save in self._pending
        before = files(self.dirpath)
        moment = (trainer.current_epoch, trainer.global_step)
        super()._write(trainer, save)
        if pending:
            after = files(self.dirpath)
            names = {os.path.relpath(path, self.dirpath) for path in (save.path, save.last) if path}
            self.noted.append((*moment, names, before - after))


def files(folder: Any) -> set[str]:
    return {
        os.path.relpath(os.path.join(root, name), folder) for root, _, names in os.walk(folder or "") for name in names
    }


def case(name: str, *callbacks: dict[str, Any], **arguments: Any) -> Any:
    return pytest.param(callbacks or ({},), arguments, id=name)


KNOWN = [
    case("default"),
    case("no epochs", {"every_n_epochs": 0}),
    case("every 2 epochs", {"every_n_epochs": 2}, max_epochs=5),
    case("every 3 epochs, all", {"every_n_epochs": 3, "save_top_k": -1}, max_epochs=7),
    case("all", {"save_top_k": -1}),
    case("none", {"save_top_k": 0}),
    case("only last", {"save_top_k": 0, "save_last": True}),
    case("last", {"save_last": True}),
    case("last and all", {"save_last": True, "save_top_k": -1}),
    case("last as a link", {"save_last": "link"}),
    case("last as a link, all by steps", {"save_last": "link", "save_top_k": -1, "every_n_train_steps": 4}),
    case("steps", {"every_n_train_steps": 2}),
    case("steps, all", {"every_n_train_steps": 4, "save_top_k": -1}),
    case("steps across epochs", {"every_n_train_steps": 5, "save_top_k": -1}, max_epochs=4),
    case("steps beyond the end", {"every_n_train_steps": 1000}),
    case("steps beyond the end, last", {"every_n_train_steps": 1000, "save_last": True}),
    case("steps off, epochs off", {"every_n_train_steps": 0, "every_n_epochs": 0}),
    case("every step", {"every_n_train_steps": 1, "save_top_k": -1}, max_epochs=1),
    case("steps with accumulation", {"every_n_train_steps": 2, "save_top_k": -1}, accumulate_grad_batches=4),
    case("epochs with accumulation", {"save_top_k": -1}, accumulate_grad_batches=5),
    case("max_steps", {"save_top_k": -1}, max_steps=8, max_epochs=-1),
    case("max_steps inside an epoch", {"every_n_train_steps": 3, "save_top_k": -1}, max_steps=10, max_epochs=-1),
    case("max_steps before max_epochs", {"save_last": True}, max_steps=7, max_epochs=3),
    case("max_steps 0", {"save_last": True}, max_steps=0, max_epochs=3),
    case("max_epochs 0", {"save_last": True}, max_epochs=0),
    case("half epochs", {"save_top_k": -1}, val_check_interval=0.5),
    case("validation every 2 batches", {"save_top_k": -1}, val_check_interval=2),
    case("validation every batch", {"save_top_k": -1}, val_check_interval=1, max_epochs=1),
    case("validation across epochs", {"save_top_k": -1}, val_check_interval=4, check_val_every_n_epoch=None),
    case("validation every 2 epochs", {"save_top_k": -1}, check_val_every_n_epoch=2, max_epochs=5),
    case("validation every 2 epochs, 0.5", {"save_last": True}, check_val_every_n_epoch=2, val_check_interval=0.5),
    case("after training", {"save_on_train_epoch_end": True, "save_top_k": -1}, val_check_interval=0.5),
    case("after training, every 2", {"save_on_train_epoch_end": True}, check_val_every_n_epoch=2),
    case("after validation", {"save_on_train_epoch_end": False, "save_top_k": -1}),
    case("after validation, every 2", {"save_on_train_epoch_end": False, "every_n_epochs": 2}, max_epochs=4),
    case("without validation", {"save_top_k": -1}, limit_val_batches=0),
    case("without validation, after it", {"save_on_train_epoch_end": False}, limit_val_batches=0),
    case("time", {"train_time_interval": EVERY_SECOND, "save_top_k": -1}),
    case("time, last", {"train_time_interval": timedelta(seconds=40), "save_last": True}),
    case("time longer than the run", {"train_time_interval": timedelta(hours=9), "save_last": True}),
    case("validation by time", {"save_top_k": -1}, val_check_interval={"seconds": 30}),
    case("limited training", {"save_top_k": -1}, limit_train_batches=0.5),
    case("limited to a number", {"every_n_train_steps": 2, "save_top_k": -1}, limit_train_batches=3),
    case("no training", {"save_last": True}, limit_train_batches=0),
    case("overfitting", {"save_top_k": -1}, overfit_batches=2),
    case("dev run", {"save_last": True}, fast_dev_run=2),
    case("weights only", {"save_weights_only": True, "save_top_k": -1}),
    case("fixed name", {"filename": "best"}),
    case("fixed name, all", {"filename": "model", "save_top_k": -1}),
    case("fixed name, overwritten", {"filename": "model", "save_top_k": -1, "enable_version_counter": False}),
    case("folders", {"filename": "{epoch}/{step:03d}", "save_top_k": -1}),
    case("values alone", {"filename": "{epoch}_{step}", "auto_insert_metric_name": False, "save_top_k": -1}),
    case("two", {"save_top_k": -1}, {"every_n_train_steps": 4, "save_last": True, "save_top_k": -1}),
    case("two under one name", {"filename": "x", "save_top_k": -1}, {"filename": "x", "every_n_train_steps": 3}),
    case("three with last", {"save_last": True}, {"every_n_train_steps": 4, "save_last": True}, {"every_n_epochs": 2}),
    case("the most steps", {"monitor": "step", "mode": "max", "every_n_train_steps": 2, "save_top_k": 2}),
    case("the first epochs", {"monitor": "epoch", "mode": "min", "save_top_k": 2, "save_last": True}, max_epochs=4),
    case("a name that gets free", {"filename": "{epoch}"}, {"filename": "epoch=0", "every_n_train_steps": 14}),
    case("sanity check", {"save_top_k": -1}, num_sanity_val_steps=2),
]


def run(folder: Any, callbacks: Any, arguments: dict[str, Any], monkeypatch: Any, **planning: Any) -> Any:
    """Plan a run, carry it out; return the callbacks and their plans."""
    clock = Clock(monkeypatch)
    checkpoints = [Recording(**{"dirpath": str(folder), **given}) for given in callbacks]
    for checkpoint in checkpoints:
        checkpoint.noted = []
    made = trainer(**{"max_epochs": 3, "callbacks": [clock, *checkpoints], "enable_checkpointing": True} | arguments)
    train = loader(2 * BATCHES)
    plans = [
        checkpoint.plan(made, train, loader(), seconds_per_batch=SECONDS, **planning) for checkpoint in checkpoints
    ]
    assert files(folder) == set()  # a plan writes nothing
    made.fit(Model(), train, loader())
    return checkpoints, plans


def names(plan: Any, paths: Any) -> set[str]:
    return {os.path.relpath(path, plan.dirpath) for path in paths}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("callbacks", "arguments"), KNOWN)
def test_the_plan_is_what_lands_on_disk(tmp_path, monkeypatch, capsys, callbacks, arguments) -> None:
    checkpoints, plans = run(tmp_path / "saved", callbacks, arguments, monkeypatch)
    for checkpoint, plan in zip(checkpoints, plans, strict=True):
        planned = [
            (save.epoch, save.step, names(plan, filter(None, (save.path, save.last))), names(plan, save.deletes))
            for save in plan.saves
        ]
        assert checkpoint.noted == planned
    left = set().union(*(names(plan, plan.files) for plan in plans))
    assert files(tmp_path / "saved") == left
    assert str(plans[0]) in capsys.readouterr().out


def test_more_than_fifty_configurations_are_compared() -> None:
    assert len(KNOWN) + len(MONITORED) >= 50
    assert len({str(given.values) for given in KNOWN}) == len(KNOWN)


MONITORED = [
    case("best", {"monitor": "val_score"}, max_epochs=7),
    case("best two", {"monitor": "val_score", "save_top_k": 2}, max_epochs=7),
    case("best three, highest", {"monitor": "val_score", "save_top_k": 3, "mode": "max"}, max_epochs=7),
    case("best with all", {"monitor": "val_score", "save_top_k": -1}, max_epochs=4),
    case("best two of half epochs", {"monitor": "val_score", "save_top_k": 2}, val_check_interval=0.5),
    case("best of every second epoch", {"monitor": "val_score", "every_n_epochs": 2}, max_epochs=6),
    case("best of rare validations", {"monitor": "val_score"}, check_val_every_n_epoch=2, max_epochs=5),
    case("best two of steps", {"monitor": "val_score", "every_n_train_steps": 4, "save_top_k": 2}, max_epochs=4),
    case(
        "best two, name with a value", {"monitor": "val_score", "save_top_k": 2, "filename": "{step}-{val_score:.1f}"}
    ),
    case("best per step", {"monitor": "step_loss", "every_n_train_steps": 2, "save_top_k": 2}),
    case("best per epoch", {"monitor": "epoch_loss", "save_top_k": 2}, max_epochs=6),
]
PLACES = {"val_score": "validation", "step_loss": "step", "epoch_loss": "epoch"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("callbacks", "arguments"), MONITORED)
def test_what_depends_on_a_monitored_value_is_planned_as_such(tmp_path, monkeypatch, callbacks, arguments) -> None:
    """Of the planned rows those are written, in their order, whose value is among the best when its time has come."""
    monitor = callbacks[0]["monitor"]
    (checkpoint,), (plan,) = run(tmp_path / "saved", callbacks, arguments, monkeypatch, logged_in=PLACES[monitor])
    k, rows, written = checkpoint.save_top_k, list(plan.saves), list(checkpoint.noted)
    assert [save.best_of for save in rows] == [0 if k == -1 or index < k else k for index in range(len(rows))]
    for save in rows:
        pattern = re.escape(os.path.relpath(save.path, plan.dirpath)).replace(r"\?", r"-?\d+(\.\d+)?")
        if written and (save.epoch, save.step) == written[0][:2]:
            (name,) = written.pop(0)[2]
            assert re.fullmatch(pattern, name)
        else:
            assert save.best_of  # only such a row may be left out
    assert written == []
    best = sorted(score.item() for score in checkpoint.best_k_models.values())
    assert len(best) == (len(rows) if k == -1 else min(k, len(rows)))
    assert files(tmp_path / "saved") == names(plan, checkpoint.best_k_models)


def quiet(*callbacks: Any, **arguments: Any) -> pl.Trainer:
    return trainer(callbacks=list(callbacks), enable_checkpointing=True, **arguments)


def test_unknown_values_are_shown_as_such(tmp_path, capsys) -> None:
    checkpoint = ModelCheckpoint(
        tmp_path, "{epoch}-{val_loss:.2f}-{acc}", monitor="val_loss", save_top_k=2, save_last=True
    )
    plan = checkpoint.plan(quiet(checkpoint, max_epochs=3), 10, 2)
    head, *rows = str(plan).splitlines()
    assert head == f"3 saves in {tmp_path}"
    assert [re.split(r"  +", row) for row in rows] == [
        ["epoch", "step", "after", "writes", "then deletes"],
        ["0", "10", "training epoch", "epoch=0-val_loss=?-acc=?.ckpt, last.ckpt"],
        ["1", "20", "training epoch", "epoch=1-val_loss=?-acc=?.ckpt, last.ckpt"],
        [
            *["2", "30", "training epoch"],
            *["epoch=2-val_loss=?-acc=?.ckpt, last.ckpt if among the 2 best", "the worst of them"],
        ],
    ]
    assert capsys.readouterr().out == f"{plan}\n"
    assert os.listdir(tmp_path) == []


def test_a_fixed_name_that_may_be_any_of_the_best(tmp_path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, "best", monitor="val_loss", save_top_k=2)
    saves = checkpoint.plan(quiet(checkpoint, max_epochs=3), 10, 2).saves
    assert [os.path.basename(save.path) for save in saves] == ["best.ckpt", "best-v1.ckpt", "best-v?.ckpt"]


def test_files_that_are_there_are_taken_into_account(tmp_path) -> None:
    (tmp_path / "epoch=0-step=10.ckpt").touch()
    checkpoint = ModelCheckpoint(tmp_path)
    (save,) = checkpoint.plan(quiet(checkpoint, max_epochs=1), 10).saves
    assert os.path.basename(save.path) == "epoch=0-step=10-v1.ckpt"


def test_a_metric_that_comes_too_late_is_told(tmp_path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", save_on_train_epoch_end=True)
    plan = checkpoint.plan(quiet(checkpoint, max_epochs=2, check_val_every_n_epoch=2), 10, 2)
    assert [save.epoch for save in plan.saves] == [1]
    assert plan.notes == ("At step 10 nothing is saved: 'val_loss' was not logged yet.",)


def test_what_is_left_open_is_told(tmp_path) -> None:
    checkpoint = ModelCheckpoint(
        tmp_path, train_time_interval=timedelta(minutes=30), save_last="link", save_on_exception=True
    )
    plan = checkpoint.plan(quiet(checkpoint, pl.callbacks.EarlyStopping("val_loss")), 10)
    text = str(plan)
    assert "0:30:00" in text
    assert "seconds_per_batch" in text
    assert "link" in text
    assert "exception" in text
    assert "stopped earlier" in text


def test_an_endless_run_is_planned_in_part_and_a_long_table_is_cut(tmp_path) -> None:
    checkpoint = ModelCheckpoint(tmp_path, save_top_k=-1)
    plan = checkpoint.plan(quiet(checkpoint, max_epochs=-1), 2)
    assert len(plan.saves) == 20
    assert "no end" in plan.notes[0]
    long = checkpoint.plan(quiet(ModelCheckpoint(tmp_path / "other"), max_epochs=100), 2)  # not in the Trainer's list
    assert len(long.saves) == 100
    lines = str(long).splitlines()
    assert len(lines) == 2 + 20 + 1
    assert "... 80 more ..." in lines
    assert lines[-1].startswith("99 ")


def test_the_number_of_batches_comes_from_loaders_numbers_or_the_last_run(tmp_path) -> None:
    checkpoint = ModelCheckpoint(tmp_path)
    made = quiet(checkpoint)
    for given in (loader(8), [loader(8), loader(4)], {"a": loader(8)}, pl.CombinedLoader([loader(8), loader(20)]), 4):
        assert [save.step for save in checkpoint.plan(made, given).saves] == [4]
    with pytest.raises(ValueError, match="number of batches in an epoch"):
        checkpoint.plan(made)
    with pytest.raises(ValueError, match="number of batches in an epoch"):
        checkpoint.plan(made, DataLoader(Endless()))
    with pytest.raises(ValueError, match="logged_in"):
        checkpoint.plan(made, 4, logged_in="val")
    made.fit(Regression(), loader(8))
    assert checkpoint.plan(made).saves == ()  # it has trained its epochs
    made.fit_loop.max_epochs = 2
    (save,) = checkpoint.plan(made).saves
    assert (save.epoch, save.step, save.deletes) == (1, 8, (str(tmp_path / "epoch=0-step=4.ckpt"),))


def test_a_subclass_decides_in_its_plan_too(tmp_path) -> None:
    class Renamed(ModelCheckpoint):
        def format_checkpoint_name(self, metrics: Any, *args: Any, **kwargs: Any) -> str:
            return super().format_checkpoint_name(metrics, *args, **kwargs).replace("epoch=", "e")

    checkpoint = Renamed(tmp_path)
    (save,) = checkpoint.plan(quiet(checkpoint), 4).saves
    assert os.path.basename(save.path) == "e0-step=4.ckpt"
