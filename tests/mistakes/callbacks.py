"""Mistakes with callbacks and loggers."""

from __future__ import annotations

import leyden as pl
from leyden.callbacks import EarlyStopping, ModelCheckpoint, Timer
from leyden.errors import MisconfigurationException
from mistakes.kit import Model, fit, loader, mistake


@mistake(MisconfigurationException, "`patience`", "-1", "int >= 0")
def patience_negative():
    EarlyStopping("val_loss", patience=-1)


@mistake(MisconfigurationException, "`patience`", "2\\.5", "int >= 0")
def patience_as_a_fraction():
    EarlyStopping("val_loss", patience=2.5)


@mistake(MisconfigurationException, "`mode`", "'minimum'", "min")
def early_stopping_mode_misspelt():
    EarlyStopping("val_loss", mode="minimum")


@mistake(MisconfigurationException, "`monitor`", "None", "name of a logged value")
def early_stopping_monitors_nothing():
    EarlyStopping(None)


@mistake(MisconfigurationException, "`min_delta`", "'0.1'", "number")
def min_delta_as_text():
    EarlyStopping("val_loss", min_delta="0.1")


@mistake(RuntimeError, "EarlyStopping", "'val_los'", "Did you mean 'val_loss'", batches=1, steps=1)
def early_stopping_monitor_misspelt():
    fit(val=loader(), callbacks=[EarlyStopping("val_los")])


@mistake(RuntimeError, "EarlyStopping", "'val_loss'", "self.log", batches=1, steps=1)
def early_stopping_monitor_never_logged():
    fit(callbacks=[EarlyStopping("val_loss")])


@mistake(MisconfigurationException, "ModelCheckpoint", "'val_los'", "Did you mean 'val_loss'", batches=1, steps=1)
def checkpoint_monitor_misspelt():
    fit(val=loader(), enable_checkpointing=True, callbacks=[ModelCheckpoint(monitor="val_los")])


@mistake(MisconfigurationException, "mode", "'minimum'|minimum", "min")
def checkpoint_mode_misspelt():
    ModelCheckpoint(monitor="val_loss", mode="minimum")


@mistake(MisconfigurationException, "save_top_k", "-2")
def save_top_k_below_minus_one():
    ModelCheckpoint(monitor="val_loss", save_top_k=-2)


@mistake(MisconfigurationException, "`save_top_k` got 3", "monitor='val_loss'")
def save_top_k_without_a_monitor():
    ModelCheckpoint(save_top_k=3)


@mistake(MisconfigurationException, "every_n_train_steps", "every_n_epochs|train_time_interval")
def two_schedules_for_checkpoints():
    ModelCheckpoint(every_n_train_steps=2, every_n_epochs=1)


@mistake(MisconfigurationException, "every_n_train_steps", "-1")
def every_n_train_steps_negative():
    ModelCheckpoint(every_n_train_steps=-1)


@mistake(MisconfigurationException, "'one hour'", "DD:HH:MM:SS")
def timer_in_words():
    Timer("one hour")


@mistake(MisconfigurationException, "interval", "'batch'", "step")
def timer_interval_misspelt():
    Timer("00:01:00:00", interval="batch")


@mistake(RuntimeError, "key", "EarlyStopping", "different")
def two_callbacks_with_one_state():
    fit(callbacks=[EarlyStopping("a"), EarlyStopping("a")])


@mistake(TypeError, "configure_callbacks", "EarlyStopping", "Callback instances|instance")
def configure_callbacks_returns_a_class():
    class Own(Model):
        def configure_callbacks(self):
            return [EarlyStopping]

    fit(Own())


@mistake(
    MisconfigurationException, "`Greets.on_train_start\\(self\\)`", "def on_train_start\\(self, trainer, pl_module\\)"
)
def callback_hook_without_its_arguments():
    class Greets(pl.Callback):
        def on_train_start(self):
            return None

    fit(callbacks=[Greets()])


@mistake(
    MisconfigurationException,
    "`Own.on_train_epoch_start\\(self, epoch\\)`",
    "epoch",
    "def on_train_epoch_start\\(self\\)",
)
def hook_with_an_argument_of_its_own():
    class Own(Model):
        def on_train_epoch_start(self, epoch):
            return None

    fit(Own())
