"""What the Trainer's arguments accept, and what becomes of them; what they refuse is in tests/mistakes."""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import leyden as pl
from leyden.callbacks import ModelCheckpoint, Timer
from leyden.engine.config import FLAG, LIMIT, TrainerArguments, at_least, listed, one_of
from leyden.errors import ConfigurationErrors, MisconfigurationException, PossibleUserWarning
from leyden.loggers import CSVLogger, TensorBoardLogger
from mistakes.kit import Model, fit, loader, trainer

ACCEPTED = [
    ("max_epochs", -1),
    ("max_epochs", 0),
    ("max_epochs", np.int64(3)),
    ("min_epochs", 2),
    ("max_steps", -1),
    ("max_steps", np.int32(7)),
    ("min_steps", 5),
    ("max_time", "00:01:00:00"),
    ("max_time", timedelta(minutes=3)),
    ("max_time", {"hours": 2}),
    ("limit_train_batches", 0),
    ("limit_train_batches", 0.0),
    ("limit_train_batches", 1.0),
    ("limit_train_batches", 2.0),
    ("limit_val_batches", 7),
    ("limit_val_batches", True),
    ("limit_test_batches", np.float32(0.5)),
    ("overfit_batches", 3),
    ("overfit_batches", 0.5),
    ("val_check_interval", 0.25),
    ("val_check_interval", 1),
    ("val_check_interval", "00:00:10:00"),
    ("val_check_interval", timedelta(minutes=1)),
    ("val_check_interval", {"minutes": 1}),
    ("check_val_every_n_epoch", 2),
    ("check_val_every_n_epoch", None),
    ("num_sanity_val_steps", -1),
    ("num_sanity_val_steps", 0),
    ("log_every_n_steps", 0),
    ("log_every_n_steps", 1),
    ("accumulate_grad_batches", 4),
    ("gradient_clip_val", 0.5),
    ("gradient_clip_val", -1),
    ("gradient_clip_val", np.float64(0.5)),
    ("gradient_clip_algorithm", "norm"),
    ("gradient_clip_algorithm", "value"),
    ("deterministic", False),
    ("deterministic", "warn"),
    ("benchmark", False),
    ("inference_mode", False),
    ("use_distributed_sampler", False),
    ("detect_anomaly", True),
    ("sync_batchnorm", True),
    ("reload_dataloaders_every_n_epochs", 2),
    ("default_root_dir", "runs"),
    ("default_root_dir", Path("runs")),
    ("enable_autolog_hparams", False),
    ("model_registry", "somewhere"),
    ("suggest_integrations", False),
    ("nonfinite", "skip"),
    ("nonfinite", "ignore"),
    ("fast_dev_run", 0),
    ("precision", "64-true"),
    ("precision", 64),
    ("devices", "1"),
    ("devices", "auto"),
    ("num_nodes", 1),
    ("strategy", "ddp"),
    ("plugins", []),
]


@pytest.mark.parametrize(("name", "value"), ACCEPTED, ids=lambda value: repr(value))
def test_accepted(name, value):
    found = getattr(trainer(**{name: value})._arguments, name)
    assert found == value


def test_numbers_become_python_s():
    arguments = trainer(
        max_epochs=np.int64(3), limit_train_batches=np.float32(0.5), detect_anomaly=np.bool_(1)
    )._arguments
    assert [type(value) for value in (arguments.max_epochs, arguments.limit_train_batches)] == [int, float]
    assert arguments.detect_anomaly is True


def test_zero_and_one_are_flags():
    arguments = trainer(detect_anomaly=1, enable_progress_bar=0, benchmark=1, fast_dev_run=0)._arguments
    assert arguments.detect_anomaly is True
    assert arguments.enable_progress_bar is False
    assert arguments.benchmark is True


def test_defaults_that_depend_on_nothing():
    made = trainer()
    names = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches")
    assert [getattr(made, name) for name in (*names, "val_check_interval")] == [1.0] * 5
    assert (made.num_sanity_val_steps, made.log_every_n_steps, made.accumulate_grad_batches) == (2, 50, 1)
    assert (made.min_epochs, made.min_steps, made.max_steps) == (0, None, -1)


@pytest.mark.parametrize(
    ("given", "max_epochs", "min_epochs"),
    [
        ({"max_steps": 5}, -1, 0),
        ({"max_time": "00:00:01:00"}, -1, 0),
        ({"callbacks": [Timer("00:00:01:00")]}, -1, 0),
        ({"max_epochs": 3, "max_steps": 5}, 3, 0),
        ({"max_steps": 5, "min_steps": 2}, -1, 1),
        ({"max_steps": 5, "min_steps": 2, "min_epochs": 4}, -1, 4),
        ({"barebones": True}, 1000, 0),
    ],
)
def test_epochs_follow_from_the_other_limits(given, max_epochs, min_epochs):
    made = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, **given)
    assert (made.max_epochs, made.min_epochs) == (max_epochs, min_epochs)


def test_no_limit_means_a_thousand_epochs_and_a_warning():
    with pytest.warns(PossibleUserWarning, match="max_epochs=<int>"):
        made = trainer(max_epochs=None)
    assert made.max_epochs == 1000


def test_max_time_adds_a_timer_unless_there_is_one():
    timers = [c for c in trainer(max_time="00:00:01:00").callbacks if isinstance(c, Timer)]
    assert len(timers) == 1
    own = Timer("00:02:00:00")
    assert [c for c in trainer(max_time="00:00:01:00", callbacks=[own]).callbacks if isinstance(c, Timer)] == [own]


def test_fast_dev_run():
    made = trainer(
        fast_dev_run=3, max_epochs=10, num_sanity_val_steps=5, val_check_interval=2, check_val_every_n_epoch=4
    )
    limits = [getattr(made, f"limit_{name}_batches") for name in ("train", "val", "test", "predict")]
    assert limits == [3, 3, 3, 3]
    assert (made.max_steps, made.max_epochs, made.num_sanity_val_steps) == (3, 1, 0)
    assert (made.val_check_interval, made.check_val_every_n_epoch, made.fast_dev_run) == (1.0, 1, 3)
    assert made.loggers == []


def test_fast_dev_run_of_true_is_one_batch_and_keeps_overfit_batches():
    made = trainer(fast_dev_run=True, overfit_batches=2)
    assert made.limit_test_batches == 1
    assert made.limit_train_batches == 1.0
    assert made.overfit_batches == 2


def test_fast_dev_run_replaces_the_loggers():
    made = trainer(fast_dev_run=True, logger=CSVLogger("logs"))
    assert [type(logger).__name__ for logger in made.loggers] == ["DummyLogger"]
    assert not Path("logs").exists()


def test_barebones_turns_everything_off():
    made = pl.Trainer(accelerator="cpu", barebones=True, max_epochs=1)
    assert made.callbacks == []
    assert made.loggers == []
    assert (made.num_sanity_val_steps, made.log_every_n_steps) == (0, 0)


@pytest.mark.parametrize("limit", [True, 1])
def test_true_as_a_limit_is_one_batch(limit):
    seen = []

    class Counts(Model):
        def training_step(self, batch, batch_idx):
            seen.append(batch_idx)
            return self.loss(batch)

    fit(Counts(), val=loader(), limit_train_batches=limit, limit_val_batches=limit)
    assert seen == [0]


def test_the_list_of_callbacks_stays_the_user_s():
    given = [ModelCheckpoint(), pl.Callback()]
    before = list(given)
    made = trainer(callbacks=given, enable_checkpointing=True, enable_progress_bar=True)
    assert given == before
    assert made.callbacks is not given
    assert isinstance(made.callbacks[-1], ModelCheckpoint)


@pytest.mark.parametrize("given", [pl.Callback(), [pl.Callback()], (pl.Callback(),), []], ids=repr)
def test_forms_of_callbacks(given):
    assert all(isinstance(callback, pl.Callback) for callback in trainer(callbacks=given).callbacks)


def test_loggers_in_any_iterable():
    loggers = [CSVLogger("a"), CSVLogger("b")]
    assert trainer(logger=iter(loggers)).loggers == loggers
    assert trainer(logger=loggers[0]).loggers == loggers[:1]
    assert trainer(logger=[]).loggers == []
    assert trainer(logger=False).loggers == []
    assert isinstance(trainer(logger=True).logger, TensorBoardLogger)


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("-1", -1), ("None", None)], ids=repr)
def test_defaults_come_from_the_environment(monkeypatch, text, value):
    monkeypatch.setenv("PL_TRAINER_MIN_EPOCHS", text)
    assert TrainerArguments.checked({})[0].min_epochs == value


def test_the_environment_gives_text_and_other_types(monkeypatch):
    monkeypatch.setenv("PL_TRAINER_PRECISION", "64-true")
    monkeypatch.setenv("PL_TRAINER_LIMIT_VAL_BATCHES", "0.5")
    monkeypatch.setenv("PL_TRAINER_DETECT_ANOMALY", "True")
    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "5")
    made = trainer()
    assert made.precision == "64-true"
    assert made.limit_val_batches == 0.5
    assert made._arguments.detect_anomaly is True
    assert made.max_epochs == 1, "what is written in the call wins"


def test_the_environment_cannot_run_code(monkeypatch):
    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "__import__('os').system('touch ran')")
    with pytest.raises(MisconfigurationException, match="PL_TRAINER_MAX_EPOCHS"):
        pl.Trainer(accelerator="cpu")
    assert not Path("ran").exists()


def test_several_mistakes_are_one_error_of_every_type():
    with pytest.raises(ConfigurationErrors) as raised:
        trainer(max_epochs="3", limit_val_batches="1", precision="fp15", devices="x", max_step=1, gradient_clip_val="1",
                callbacks=[ModelCheckpoint()])  # fmt: skip
    error = raised.value
    assert isinstance(error, MisconfigurationException)
    assert isinstance(error, ValueError)
    assert isinstance(error, TypeError)
    assert len(error.errors) == 7
    for name in ("max_epochs", "limit_val_batches", "precision", "devices", "max_step", "gradient_clip_val"):
        assert f"{name}" in str(error)
    assert "enable_checkpointing=False" in str(error)


def test_old_arguments_are_reported_with_the_others():
    with pytest.raises(ConfigurationErrors, match="2 mistakes"):
        trainer(max_epochs="3", ipus=2)


def test_nothing_is_made_when_something_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MisconfigurationException):
            pl.Trainer(accelerator="cpu", max_epochs="3")
    assert list(Path.cwd().iterdir()) == []


def test_rules():
    assert [at_least(1).holds(value) for value in (1, 0, True, 1.0, "1")] == [True, False, False, False, False]
    assert [FLAG.holds(value) for value in (True, False, 1, "yes")] == [True, True, False, False]
    limits = (0, True, 0.5, 3.0, 1.5, -1, "1", float("inf"), float("nan"))
    assert [LIMIT.holds(value) for value in limits] == [True] * 4 + [False] * 5
    choices = one_of(True, "warn")
    assert [choices.holds(value) for value in (True, "warn", 1, "True", False)] == [True, True, False, False, False]


@pytest.mark.parametrize("name", ["min_epochs", "limit_val_batches", "enable_progress_bar", "max_time", "benchmark"])
def test_none_is_accepted_where_the_annotation_has_it(name):
    trainer(**{name: None})
    with pytest.raises(Exception, match=f"`{name}` got .*, or None"):
        trainer(**{name: "x"})


@pytest.mark.parametrize("name", ["overfit_batches", "inference_mode", "accumulate_grad_batches"])
def test_none_is_refused_elsewhere(name):
    with pytest.raises((MisconfigurationException, TypeError), match=f"`{name}` got None") as raised:
        trainer(**{name: None})
    assert "or None" not in str(raised.value)


def test_one_or_several_as_a_list():
    given = [1, 2]
    assert [listed(value) for value in (None, 3, given, (1, 2), "text")] == [[], [3], [1, 2], [1, 2], ["text"]]
    assert listed(given) is not given
