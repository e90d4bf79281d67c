"""When ModelCheckpoint saves, under which names, and how it writes."""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch

from leyden.callbacks.model_checkpoint import ModelCheckpoint


class Logger:
    """Notes which file was the best each time it was told of a save."""

    save_dir, name, version = None, "logs", 0

    def __init__(self):
        self.seen = []

    def after_save_checkpoint(self, checkpoint_callback):
        self.seen.append(checkpoint_callback.best_model_path)


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )


def step_of(path):
    return torch.load(path, weights_only=True)["global_step"]


# -- names -----------------------------------------------------------------------------------------------------------


def test_row_85_slash_in_a_metric_makes_a_folder(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}-{val/loss:.2f}", monitor="val/loss")
    Run(tmp_path, checkpoint).start().epoch(**{"val/loss": 0.5})
    assert files(tmp_path) == ["epoch=0-val/loss=0.50.ckpt"]


def test_logged_epoch_and_step_take_precedence(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path)
    Run(tmp_path, checkpoint).start().epoch(epoch=7.0, step=9.0)
    assert files(tmp_path) == ["epoch=7-step=9.ckpt"]


def test_row_84_taken_name_gets_a_version(tmp_path, Run):
    for _ in range(3):
        checkpoint = ModelCheckpoint(tmp_path / "c", filename="best")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the folder is not empty
            Run(tmp_path, checkpoint).start().epoch()
    assert files(tmp_path / "c") == ["best-v1.ckpt", "best-v2.ckpt", "best.ckpt"]


def test_own_predecessor_is_overwritten_under_a_fixed_name(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, filename="best")).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["best.ckpt"]
    assert step_of(tmp_path / "best.ckpt") == 4


def test_without_version_counter_a_taken_name_is_overwritten(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, "m", save_top_k=-1, enable_version_counter=False)).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["m.ckpt"]


def test_keeping_all_under_a_fixed_name_keeps_all(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, "m", save_top_k=-1)).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["m-v1.ckpt", "m.ckpt"]


def test_two_callbacks_never_choose_the_same_unwritten_name(tmp_path, Run):
    first, second = ModelCheckpoint(tmp_path, "m", save_last=True), ModelCheckpoint(tmp_path, "m", save_last=True)
    run = Run(tmp_path, first, second, deferred=[]).start()
    run.epoch()
    assert files(tmp_path) == []
    for fn in run.deferred:
        fn()
    assert files(tmp_path) == ["last-v1.ckpt", "last.ckpt", "m-v1.ckpt", "m.ckpt"]


# -- when ------------------------------------------------------------------------------------------------------------


def test_default_keeps_the_latest_epoch(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path)
    run = Run(tmp_path, checkpoint).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=1-step=4.ckpt"]
    assert checkpoint.best_model_path == str(tmp_path / "epoch=1-step=4.ckpt")


def test_steps(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1)).start()
    run.epoch(steps=4)
    run.epoch(steps=4)
    assert files(tmp_path) == ["epoch=0-step=3.ckpt", "epoch=1-step=6.ckpt"]


def test_epochs(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_epochs=2, save_top_k=-1)).start()
    for _ in range(4):
        run.epoch(steps=1)
    assert files(tmp_path) == ["epoch=1-step=2.ckpt", "epoch=3-step=4.ckpt"]


def test_zero_epochs_switches_epochs_off(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_epochs=0)).start()
    run.epoch()
    assert files(tmp_path) == []


def test_interval_of_time(tmp_path, monkeypatch, Run):
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    run = Run(tmp_path, ModelCheckpoint(tmp_path, train_time_interval=timedelta(seconds=10), save_top_k=-1)).start()
    for now in (105.0, 110.0, 112.0, 121.0):
        clock[0] = now
        run.steps(1)
    run.epoch_end()
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=0-step=4.ckpt"]


@pytest.mark.parametrize(
    ("settings", "choice", "at_validation"),
    [
        ({}, None, False),
        ({"val_check_interval": 0.5}, None, True),
        ({"val_check_interval": 1}, None, True),  # every batch, not 1.0
        ({"val_check_interval": "00:00:10:00"}, None, True),
        ({"check_val_every_n_epoch": 2}, None, True),
        ({"check_val_every_n_epoch": None}, None, True),
        ({"check_val_every_n_epoch": 2, "validates": False}, None, False),
        ({"num_val_batches": [0]}, None, False),
        ({}, False, True),
        ({"val_check_interval": 0.5}, True, False),
    ],
)
def test_place_of_epoch_saves(tmp_path, settings, choice, at_validation, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_train_epoch_end=choice), **settings).start()
    run.steps(1)
    run.validation()
    assert bool(files(tmp_path)) is at_validation
    run.epoch_end()
    assert files(tmp_path) == ["epoch=0-step=1.ckpt"]


def test_row_89_one_save_per_global_step(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_train_epoch_end=False, save_top_k=-1)).start()
    run.steps(1)
    run.validation()
    run.current_epoch = 1
    run.validation()
    assert files(tmp_path) == ["epoch=0-step=1.ckpt"]


@pytest.mark.parametrize("off", [{"fast_dev_run": 1}, {"sanity_checking": True}, {"state": SimpleNamespace(fn="test")}])
def test_nothing_is_saved_elsewhere(tmp_path, off, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_last=True, save_on_exception=True), **off).start()
    run.epoch()
    run.each("on_train_end")
    run.each("on_exception", ValueError())
    assert files(tmp_path) == []


def test_save_waits_for_the_metric_of_the_next_validation(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=1)
    run = Run(tmp_path, checkpoint).start()
    run.steps(1)
    assert files(tmp_path) == []
    run.steps(1)
    run.validation(val_loss=0.5)
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]


def test_save_waits_for_the_metric_of_the_training_epoch(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="train_loss", every_n_train_steps=2)
    run = Run(tmp_path, checkpoint).start()
    run.steps(2)
    run.is_last_batch = True
    run.validation()
    run.epoch_end(train_loss=0.5)
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]


def test_waiting_survives_a_resume(tmp_path, Run):
    interrupted = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=1)
    Run(tmp_path, interrupted).start().steps(1)
    resumed = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=1)
    run = Run(tmp_path, resumed, global_step=1)
    resumed.setup(run, run.module, "fit")
    resumed.load_state_dict(interrupted.state_dict())
    run.validation(val_loss=0.5)
    assert files(tmp_path) == ["epoch=0-step=1.ckpt"]


# -- writing ---------------------------------------------------------------------------------------------------------


def test_attributes_are_set_at_the_decision_and_files_follow(tmp_path, Run):
    checkpoint, logger = ModelCheckpoint(tmp_path, save_last=True), Logger()
    run = Run(tmp_path, checkpoint, deferred=[], logger=logger).start()
    run.epoch()
    path = str(tmp_path / "epoch=0-step=2.ckpt")
    assert (checkpoint.best_model_path, files(tmp_path), logger.seen) == (path, [], [])
    run.deferred.pop()()
    saved = torch.load(path, weights_only=True)["callbacks"][checkpoint.state_key]
    assert saved["best_model_path"] == path
    assert saved["last_model_path"] == str(tmp_path / "last.ckpt")
    assert logger.seen == [path]


def test_failed_write_leaves_the_previous_file_and_says_so(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path)
    run = Run(tmp_path, checkpoint).start()
    run.epoch()

    def fail(path, weights_only=None):
        raise OSError("disk full")

    run.save_checkpoint = fail
    with pytest.raises(OSError, match="disk full"):
        run.epoch()
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]
    assert checkpoint.best_model_path == str(tmp_path / "epoch=0-step=2.ckpt")


def test_undone_saves_are_forgotten_at_an_exception(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path)
    run = Run(tmp_path, checkpoint, deferred=[]).start()
    run.epoch()
    run.each("on_exception", ValueError())
    for fn in run.deferred:
        fn()
    assert (files(tmp_path), checkpoint.best_model_path) == ([], "")


def test_save_on_exception(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_exception=True, save_last=True)).start()
    run.steps(3)
    run.each("on_exception", KeyboardInterrupt())
    run.each("on_exception", KeyboardInterrupt())  # one file for this step
    assert files(tmp_path) == ["epoch=0-step=3.ckpt", "last.ckpt"]


def test_failing_to_save_on_exception_only_warns(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_exception=True)).start()
    run.steps(1)
    run.save_checkpoint = lambda *_: 1 / 0
    with pytest.warns(UserWarning, match="could not save"):
        run.each("on_exception", ValueError())


def test_weights_only_is_passed_on(tmp_path, Run):
    Run(tmp_path, ModelCheckpoint(tmp_path, save_weights_only=True)).start().epoch()
    assert torch.load(tmp_path / "epoch=0-step=2.ckpt")["callbacks"] == {}


def test_other_ranks_leave_files_alone(tmp_path, Run):
    checkpoint, logger = ModelCheckpoint(tmp_path), Logger()
    run = Run(tmp_path, checkpoint, is_global_zero=False, logger=logger).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"]  # the stand-in writes on any rank
    assert logger.seen == []
