"""ModelCheckpoint alone: a stand-in plays the Trainer, the files are real."""

from __future__ import annotations

import os
import warnings
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
import yaml

from leyden.callbacks.model_checkpoint import ModelCheckpoint
from leyden.errors import MisconfigurationException


class Strategy:
    def broadcast(self, value, src=0):
        return value

    def reduce_boolean_decision(self, decision, all=True):
        return decision

    def barrier(self, name=None):
        pass


class Logger:
    def __init__(self, save_dir, name="logs", version=0):
        self.save_dir, self.name, self.version = save_dir, name, version
        self.seen = []

    def after_save_checkpoint(self, checkpoint_callback):
        self.seen.append(checkpoint_callback.best_model_path)


class Run:
    """The part of the Trainer that a checkpoint callback sees, with ``steps`` and ``validation`` to drive it."""

    def __init__(self, root, *callbacks, validates=True, logger=None, **settings):
        self.default_root_dir = str(root)
        self.checkpoint_callbacks = list(callbacks)
        self.loggers = [logger] if logger else []
        self.strategy, self.state = Strategy(), SimpleNamespace(fn="fit")
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.current_epoch = self.global_step = 0
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        self.enable_validation, self.num_val_batches = validates, [1] if validates else []
        self.fast_dev_run = self.sanity_checking = self.is_last_batch = False
        self.is_global_zero, self.ckpt_path = True, None
        self.deferred: list | None = None
        self.module = torch.nn.Linear(2, 1)
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def when_settled(self, fn):
        if self.deferred is None:
            fn()
        else:
            self.deferred.append(fn)

    def save_checkpoint(self, path, weights_only=None):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(path):
            os.remove(path)
        states = {} if weights_only else {c.state_key: c.state_dict() for c in self.checkpoint_callbacks}
        torch.save({"global_step": self.global_step, "callbacks": states}, path)

    def each(self, hook, *arguments):
        for callback in self.checkpoint_callbacks:
            getattr(callback, hook)(self, self.module, *arguments)

    def start(self):
        self.each("setup", "fit")
        self.each("on_train_start")
        return self

    def steps(self, number, **metrics):
        for _ in range(number):
            self.global_step += 1
            self.log(metrics)
            self.each("on_train_batch_end", {}, None, 0)

    def validation(self, **metrics):
        self.log(metrics)
        self.each("on_validation_end")

    def epoch_end(self, **metrics):
        self.log(metrics)
        self.each("on_train_epoch_end")
        self.current_epoch += 1

    def epoch(self, steps=2, **metrics):
        self.steps(steps)
        if self.enable_validation:
            self.is_last_batch = True
            self.validation(**metrics)
            self.is_last_batch = False
        self.epoch_end(**({} if self.enable_validation else metrics))

    def log(self, metrics):
        self.callback_metrics.update({name: torch.as_tensor(value) for name, value in metrics.items()})


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )


def step_of(path):
    return torch.load(path, weights_only=True)["global_step"]


def name_of(checkpoint, metrics, **arguments):
    return os.path.basename(checkpoint.format_checkpoint_name(metrics, **arguments))


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "metrics", "name"),
    [
        (None, {"epoch": 0, "step": 4}, "epoch=0-step=4.ckpt"),
        ("{epoch:03d}", {"epoch": 5}, "epoch=005.ckpt"),
        ("{epoch}-{val_loss:.2f}", {"epoch": 2, "val_loss": torch.tensor(0.123456)}, "epoch=2-val_loss=0.12.ckpt"),
        ("{missing:d}", {}, "missing=0.ckpt"),
        ("{missing:.2f}", {}, "missing=0.00.ckpt"),
        ("{a.b}", {"a.b": torch.tensor(2.0)}, "a.b=2.0.ckpt"),
        ("{epoch.__class__}", {"epoch": 3}, "epoch.__class__=0.ckpt"),
        ("plain", {"epoch": 3}, "plain.ckpt"),
    ],
)
def test_template_is_filled(template, metrics, name):
    assert ModelCheckpoint(filename=template).format_checkpoint_name(metrics) == name


def test_names_can_be_left_out():
    checkpoint = ModelCheckpoint(filename="epoch={epoch}-loss={val/loss:.1f}", auto_insert_metric_name=False)
    assert checkpoint.format_checkpoint_name({"epoch": 1, "val/loss": 0.25}) == "epoch=1-loss=0.2.ckpt"


def test_prefix_version_and_folder(tmp_path):
    checkpoint = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}")
    assert checkpoint.format_checkpoint_name({"epoch": 1}, ver=2, prefix="pre") == str(tmp_path / "pre-epoch=1-v2.ckpt")


def test_characters_are_settings_of_the_class():
    class Mine(ModelCheckpoint):
        CHECKPOINT_JOIN_CHAR = "_"
        CHECKPOINT_EQUALS_CHAR = ":"
        FILE_EXTENSION = ".pt"

    assert Mine().format_checkpoint_name({"epoch": 1, "step": 2}) == "epoch:1_step:2.pt"


@pytest.mark.parametrize("template", ["x{}", "a{b", "a}b", "{loss!r}", "{loss:zz}", "{loss:{epoch}}"])
def test_template_that_cannot_be_filled_is_refused_at_once(template):
    with pytest.raises(MisconfigurationException, match="`filename` got"):
        ModelCheckpoint(filename=template)


def test_format_that_does_not_fit_the_value_names_the_field():
    with pytest.raises(MisconfigurationException, match=r"loss=0\.5.*\{loss:\.2f\}"):
        ModelCheckpoint(filename="{loss:d}").format_checkpoint_name({"loss": 0.5})


def test_slash_in_a_metric_makes_a_folder(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}-{val/loss:.2f}", monitor="val/loss")
    Run(tmp_path, checkpoint).start().epoch(**{"val/loss": 0.5})
    assert files(tmp_path) == ["epoch=0-val/loss=0.50.ckpt"]


def test_logged_epoch_and_step_take_precedence(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path)
    Run(tmp_path, checkpoint).start().epoch(epoch=7.0, step=9.0)
    assert files(tmp_path) == ["epoch=7-step=9.ckpt"]


def test_taken_name_gets_a_version(tmp_path):
    for _ in range(3):
        checkpoint = ModelCheckpoint(tmp_path / "c", filename="best")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the folder is not empty
            Run(tmp_path, checkpoint).start().epoch()
    assert files(tmp_path / "c") == ["best-v1.ckpt", "best-v2.ckpt", "best.ckpt"]


def test_own_predecessor_is_overwritten_under_a_fixed_name(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, filename="best")).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["best.ckpt"]
    assert step_of(tmp_path / "best.ckpt") == 4


def test_without_version_counter_a_taken_name_is_overwritten(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, "m", save_top_k=-1, enable_version_counter=False)).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["m.ckpt"]


def test_keeping_all_under_a_fixed_name_keeps_all(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, "m", save_top_k=-1)).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["m-v1.ckpt", "m.ckpt"]


def test_two_callbacks_never_choose_the_same_unwritten_name(tmp_path):
    first, second = ModelCheckpoint(tmp_path, "m", save_last=True), ModelCheckpoint(tmp_path, "m", save_last=True)
    run = Run(tmp_path, first, second, deferred=[]).start()
    run.epoch()
    assert files(tmp_path) == []
    for fn in run.deferred:
        fn()
    assert files(tmp_path) == ["last-v1.ckpt", "last.ckpt", "m-v1.ckpt", "m.ckpt"]


# -- when ------------------------------------------------------------------------------------------------------------


def test_default_keeps_the_latest_epoch(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path)
    run = Run(tmp_path, checkpoint).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=1-step=4.ckpt"]
    assert checkpoint.best_model_path == str(tmp_path / "epoch=1-step=4.ckpt")


def test_steps(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1)).start()
    run.epoch(steps=4)
    run.epoch(steps=4)
    assert files(tmp_path) == ["epoch=0-step=3.ckpt", "epoch=1-step=6.ckpt"]


def test_epochs(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_epochs=2, save_top_k=-1)).start()
    for _ in range(4):
        run.epoch(steps=1)
    assert files(tmp_path) == ["epoch=1-step=2.ckpt", "epoch=3-step=4.ckpt"]


def test_zero_epochs_switches_epochs_off(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_epochs=0)).start()
    run.epoch()
    assert files(tmp_path) == []


def test_interval_of_time(tmp_path, monkeypatch):
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
def test_place_of_epoch_saves(tmp_path, settings, choice, at_validation):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_train_epoch_end=choice), **settings).start()
    run.steps(1)
    run.validation()
    assert bool(files(tmp_path)) is at_validation
    run.epoch_end()
    assert files(tmp_path) == ["epoch=0-step=1.ckpt"]


def test_one_save_per_global_step(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_train_epoch_end=False, save_top_k=-1)).start()
    run.steps(1)
    run.validation()
    run.current_epoch = 1
    run.validation()
    assert files(tmp_path) == ["epoch=0-step=1.ckpt"]


@pytest.mark.parametrize("off", [{"fast_dev_run": 1}, {"sanity_checking": True}, {"state": SimpleNamespace(fn="test")}])
def test_nothing_is_saved_elsewhere(tmp_path, off):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_last=True, save_on_exception=True), **off).start()
    run.epoch()
    run.each("on_train_end")
    run.each("on_exception", ValueError())
    assert files(tmp_path) == []


def test_save_waits_for_the_metric_of_the_next_validation(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=1)
    run = Run(tmp_path, checkpoint).start()
    run.steps(1)
    assert files(tmp_path) == []
    run.steps(1)
    run.validation(val_loss=0.5)
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]


def test_save_waits_for_the_metric_of_the_training_epoch(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="train_loss", every_n_train_steps=2)
    run = Run(tmp_path, checkpoint).start()
    run.steps(2)
    run.is_last_batch = True
    run.validation()
    run.epoch_end(train_loss=0.5)
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]


def test_waiting_survives_a_resume(tmp_path):
    interrupted = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=1)
    Run(tmp_path, interrupted).start().steps(1)
    resumed = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=1)
    run = Run(tmp_path, resumed, global_step=1)
    resumed.setup(run, run.module, "fit")
    resumed.load_state_dict(interrupted.state_dict())
    run.validation(val_loss=0.5)
    assert files(tmp_path) == ["epoch=0-step=1.ckpt"]


# -- which to keep ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kept"), [("min", [1, 4]), ("max", [2, 3])])
def test_the_best_are_kept(tmp_path, mode, kept):
    checkpoint = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", mode=mode, save_top_k=2)
    run = Run(tmp_path, checkpoint).start()
    for value in (0.2, 0.9, 0.5, 0.1):
        run.epoch(steps=1, val_loss=value)
    assert files(tmp_path) == [f"step={step}.ckpt" for step in kept]
    best, kth = (0.1, 0.2) if mode == "min" else (0.9, 0.5)
    assert checkpoint.best_model_score == torch.tensor(best)
    assert checkpoint.kth_value == torch.tensor(kth)
    assert checkpoint.best_k_models[checkpoint.kth_best_model_path] == torch.tensor(kth)
    assert set(checkpoint.best_k_models) == {str(tmp_path / name) for name in files(tmp_path)}


def test_nan_never_wins(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(steps=1, val_loss=float("nan"))
    assert files(tmp_path) == ["step=1.ckpt"]  # better than nothing
    run.epoch(steps=1, val_loss=3.0)
    run.epoch(steps=1, val_loss=float("nan"))
    assert files(tmp_path) == ["step=2.ckpt"]
    assert checkpoint.best_model_score == torch.tensor(3.0)


def test_worse_value_changes_nothing(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(val_loss=1.0)
    run.epoch(val_loss=2.0)
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]
    assert checkpoint.current_score == torch.tensor(1.0)


def test_step_can_be_monitored(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, monitor="step", mode="max", save_top_k=2)).start()
    for _ in range(3):
        run.epoch()
    assert files(tmp_path) == ["epoch=1-step=4.ckpt", "epoch=2-step=6.ckpt"]


def test_scores_are_no_views_of_the_logged_values(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(val_loss=1.0)
    run.callback_metrics["val_loss"].fill_(5.0)
    assert checkpoint.best_model_score == torch.tensor(1.0)


def test_fewer_to_keep_than_before_the_resume(tmp_path):
    old = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_top_k=3)
    run = Run(tmp_path, old).start()
    for value in (0.3, 0.2, 0.1):
        run.epoch(steps=1, val_loss=value)
    new = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_top_k=1)
    new.load_state_dict(old.state_dict())
    run.checkpoint_callbacks = [new]
    run.epoch(steps=1, val_loss=0.05)
    assert files(tmp_path) == ["step=4.ckpt"]


def test_resumed_file_is_never_deleted(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_last="link")
    run = Run(tmp_path, checkpoint).start()
    run.epoch()
    run.ckpt_path = str(tmp_path / "last.ckpt")  # a link to epoch=0-step=2.ckpt
    run.each("on_train_start")
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=2-step=6.ckpt", "last.ckpt"]


def test_files_of_other_folders_are_never_deleted(tmp_path):
    old = ModelCheckpoint(tmp_path / "old")
    Run(tmp_path, old).start().epoch()
    new = ModelCheckpoint(tmp_path / "new")
    run = Run(tmp_path, new)
    new.setup(run, run.module, "fit")
    with pytest.warns(UserWarning, match="dirpath has changed"):
        new.load_state_dict(old.state_dict())
    assert new.best_model_path == str(tmp_path / "old" / "epoch=0-step=2.ckpt")
    assert not new.best_k_models
    run.global_step = 2
    run.epoch()
    assert files(tmp_path) == ["new/epoch=0-step=4.ckpt", "old/epoch=0-step=2.ckpt"]


def test_missing_monitor_warns_before_validation_and_raises_after(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_los", save_on_train_epoch_end=True)
    run = Run(tmp_path, checkpoint).start()
    run.steps(1, train_loss=1.0)
    with pytest.warns(UserWarning, match=r"could not find the monitored key.*\['train_loss'\]"):
        run.epoch_end()
    run.steps(1)
    run.validation(val_loss=0.5)
    with pytest.raises(MisconfigurationException, match=r"monitor='val_los'.*Did you mean 'val_loss'\?"):
        run.epoch_end()


def test_missing_monitor_in_mid_epoch_is_found_at_the_first_validation(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, monitor="val_los", every_n_train_steps=1)).start()
    run.steps(1)
    with pytest.raises(MisconfigurationException, match="val_los"):
        run.validation(val_loss=0.5)


# -- last ------------------------------------------------------------------------------------------------------------


def test_last_accompanies_each_save(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", save_last=True)
    run = Run(tmp_path, checkpoint).start()
    run.epoch(val_loss=1.0)
    run.epoch(val_loss=2.0)  # not saved, so last stays
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "last.ckpt"]
    assert step_of(tmp_path / "last.ckpt") == 2
    run.epoch(val_loss=0.5)
    assert step_of(tmp_path / "last.ckpt") == 6
    assert checkpoint.last_model_path == str(tmp_path / "last.ckpt")


def test_only_last(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_top_k=0, save_last=True)).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["last.ckpt"]
    assert step_of(tmp_path / "last.ckpt") == 4


def test_last_is_written_at_the_end_if_nothing_was_saved(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_train_steps=10, save_last=True)).start()
    run.epoch()
    run.each("on_train_end")
    assert files(tmp_path) == ["last.ckpt"]


def test_previous_last_goes_when_its_name_changes(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_last=True)
    checkpoint.CHECKPOINT_NAME_LAST = "{epoch}-last"
    run = Run(tmp_path, checkpoint).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=1-last.ckpt", "epoch=1-step=4.ckpt"]


def test_last_as_a_relative_link(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_last="link")).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=1-step=4.ckpt", "last.ckpt"]
    assert os.readlink(tmp_path / "last.ckpt") == "epoch=1-step=4.ckpt"


def test_link_becomes_a_copy_where_links_are_impossible(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    Run(tmp_path, ModelCheckpoint(tmp_path, save_last="link")).start().epoch()
    assert not (tmp_path / "last.ckpt").is_symlink()
    assert step_of(tmp_path / "last.ckpt") == 2


# -- writing ---------------------------------------------------------------------------------------------------------


def test_attributes_are_set_at_the_decision_and_files_follow(tmp_path):
    checkpoint, logger = ModelCheckpoint(tmp_path, save_last=True), Logger(tmp_path)
    run = Run(tmp_path, checkpoint, deferred=[], logger=logger).start()
    run.epoch()
    path = str(tmp_path / "epoch=0-step=2.ckpt")
    assert (checkpoint.best_model_path, files(tmp_path), logger.seen) == (path, [], [])
    run.deferred.pop()()
    saved = torch.load(path, weights_only=True)["callbacks"][checkpoint.state_key]
    assert saved["best_model_path"] == path
    assert saved["last_model_path"] == str(tmp_path / "last.ckpt")
    assert logger.seen == [path]


def test_failed_write_leaves_the_previous_file_and_says_so(tmp_path):
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


def test_undone_saves_are_forgotten_at_an_exception(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path)
    run = Run(tmp_path, checkpoint, deferred=[]).start()
    run.epoch()
    run.each("on_exception", ValueError())
    for fn in run.deferred:
        fn()
    assert (files(tmp_path), checkpoint.best_model_path) == ([], "")


def test_save_on_exception(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_exception=True, save_last=True)).start()
    run.steps(3)
    run.each("on_exception", KeyboardInterrupt())
    run.each("on_exception", KeyboardInterrupt())  # one file for this step
    assert files(tmp_path) == ["epoch=0-step=3.ckpt", "last.ckpt"]


def test_failing_to_save_on_exception_only_warns(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_on_exception=True)).start()
    run.steps(1)
    run.save_checkpoint = lambda *_: 1 / 0
    with pytest.warns(UserWarning, match="could not save"):
        run.each("on_exception", ValueError())


def test_weights_only_is_passed_on(tmp_path):
    Run(tmp_path, ModelCheckpoint(tmp_path, save_weights_only=True)).start().epoch()
    assert torch.load(tmp_path / "epoch=0-step=2.ckpt")["callbacks"] == {}


def test_other_ranks_leave_files_alone(tmp_path):
    checkpoint, logger = ModelCheckpoint(tmp_path), Logger(tmp_path)
    run = Run(tmp_path, checkpoint, is_global_zero=False, logger=logger).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=1-step=4.ckpt"]  # the stand-in writes on any rank
    assert logger.seen == []


# -- folder ----------------------------------------------------------------------------------------------------------


def test_default_folder_without_a_logger(tmp_path):
    run = Run(tmp_path, ModelCheckpoint()).start()
    run.epoch()
    assert files(tmp_path) == ["checkpoints/epoch=0-step=2.ckpt"]


@pytest.mark.parametrize(("version", "folder"), [(3, "version_3"), ("mine", "mine")])
def test_default_folder_with_a_logger(tmp_path, version, folder):
    checkpoint = ModelCheckpoint()
    Run(tmp_path / "root", checkpoint, logger=Logger(str(tmp_path), "logs", version)).start()
    assert checkpoint.dirpath == str(tmp_path / "logs" / folder / "checkpoints")


def test_folder_is_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ModelCheckpoint("~/runs/../checks").dirpath == str(tmp_path / "checks")
    assert ModelCheckpoint("s3://bucket/runs").dirpath == "s3://bucket/runs"


def test_filled_folder_is_announced(tmp_path):
    (tmp_path / "other").write_text("")
    with pytest.warns(UserWarning, match="exists and is not empty"):
        Run(tmp_path, ModelCheckpoint(tmp_path)).start()


def test_folder_that_is_a_file_is_found_before_any_batch(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(MisconfigurationException, match=r"`dirpath` got '.*file'.*this is a file"):
        Run(tmp_path, ModelCheckpoint(path)).start()


def test_folder_that_cannot_be_made_is_found_before_any_batch(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MisconfigurationException, match="`dirpath` got '.*folder'.*this fails with"):
        Run(tmp_path, ModelCheckpoint(tmp_path / "file" / "folder")).start()


def test_too_small_disk_is_found_before_any_batch(tmp_path):
    run = Run(tmp_path, ModelCheckpoint(tmp_path))
    run.module = torch.nn.Module()
    run.module.big = torch.nn.Parameter(torch.empty(10**7, 10**10, device="meta"), requires_grad=False)
    with pytest.raises(MisconfigurationException, match="MB free; this has"):
        run.start()


def test_remote_folder(tmp_path):
    import fsspec

    checkpoint = ModelCheckpoint("memory://remote/checks", save_top_k=1)
    run = Run(tmp_path, checkpoint)
    store = fsspec.filesystem("memory")
    run.save_checkpoint = lambda path, weights_only=None: store.pipe_file(path, b"x")
    run.start()
    run.epoch()
    run.epoch()
    assert [os.path.basename(p) for p in store.ls("/remote/checks", detail=False)] == ["epoch=1-step=4.ckpt"]
    with pytest.raises(ValueError, match="link"):
        ModelCheckpoint("memory://remote", save_last="link")


# -- state and arguments ---------------------------------------------------------------------------------------------


def test_state_continues_the_ranking(tmp_path):
    old = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_last=True)
    run = Run(tmp_path, old).start()
    run.epoch(val_loss=0.5)
    new = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_last=True)
    new.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][old.state_key])
    assert new.state_dict() == old.state_dict()
    run.checkpoint_callbacks = [new]
    run.epoch(val_loss=0.9)
    run.epoch(val_loss=0.1)
    assert files(tmp_path) == ["last.ckpt", "step=6.ckpt"]


def test_state_key_tells_callbacks_apart():
    assert ModelCheckpoint(monitor="a").state_key == (
        "ModelCheckpoint{'monitor': 'a', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    assert ModelCheckpoint(monitor="a", every_n_train_steps=5).every_n_epochs == 0


def test_new_run_with_an_old_callback_saves_again(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "c", save_top_k=-1)
    Run(tmp_path, checkpoint).start().epoch(steps=4)
    with pytest.warns(UserWarning, match="not empty"):
        run = Run(tmp_path, checkpoint).start()
    run.epoch(steps=4)
    assert files(tmp_path / "c") == ["epoch=0-step=4-v1.ckpt", "epoch=0-step=4.ckpt"]


def test_ranking_as_yaml(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    Run(tmp_path, checkpoint).start().epoch(val_loss=0.5)
    checkpoint.to_yaml()
    assert yaml.safe_load((tmp_path / "best_k_models.yaml").read_text()) == {checkpoint.best_model_path: 0.5}


def test_verbose_announces(tmp_path, caplog):
    caplog.set_level("INFO", logger="leyden")
    run = Run(tmp_path, ModelCheckpoint(tmp_path, monitor="val_loss", verbose=True)).start()
    run.epoch(val_loss=0.5)
    run.epoch(val_loss=0.7)
    assert "Epoch 0, global step 2: 'val_loss' reached 0.50000" in caplog.text
    assert "was not in top 1" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"save_top_k": -2}, "save_top_k"),
        ({"save_top_k": 2}, "save_top_k"),
        ({"save_top_k": 1.5, "monitor": "a"}, "save_top_k"),
        ({"mode": "minimum"}, "Did you mean 'min'"),
        ({"save_last": "lnk"}, "save_last"),
        ({"every_n_train_steps": -1}, "every_n_train_steps"),
        ({"every_n_epochs": -1}, "every_n_epochs"),
        ({"every_n_epochs": 0.5}, "every_n_epochs"),
        ({"train_time_interval": 60}, "timedelta"),
        ({"train_time_interval": timedelta(0)}, "train_time_interval"),
        ({"every_n_train_steps": 1, "every_n_epochs": 1}, "exclude each other"),
        ({"every_n_train_steps": 1, "train_time_interval": timedelta(1)}, "exclude each other"),
    ],
)
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(MisconfigurationException, match=name):
        ModelCheckpoint(**arguments)
