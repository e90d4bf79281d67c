"""Mistakes in the arguments of the Trainer."""

from __future__ import annotations

from datetime import timedelta

import pytest

import leyden as pl
from leyden.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from leyden.errors import ConfigurationErrors, MisconfigurationException
from mistakes.kit import Model, doubtful, fit, loader, mistake, trainer


@mistake(MisconfigurationException, "`max_epochs`", "'10' \\(str\\)", "int >= -1")
def max_epochs_as_text():
    trainer(max_epochs="10")


@mistake(MisconfigurationException, "`max_epochs`", "1\\.5 \\(float\\)", "int >= -1")
def max_epochs_as_a_fraction():
    trainer(max_epochs=1.5)


@mistake(MisconfigurationException, "`max_epochs`", "-5", "int >= -1")
def max_epochs_below_minus_one():
    trainer(max_epochs=-5)


@mistake(TypeError, "`max_steps`", "'100' \\(str\\)", "int >= -1")
def max_steps_as_text():
    trainer(max_steps="100")


@mistake(MisconfigurationException, "`max_steps`", "-2", "int >= -1")
def max_steps_below_minus_one():
    trainer(max_steps=-2)


@mistake(MisconfigurationException, "`min_steps`", "-1", "int >= 0, or None")
def min_steps_negative():
    trainer(min_steps=-1)


@mistake(MisconfigurationException, "`min_epochs`", "'3' \\(str\\)")
def min_epochs_as_text():
    trainer(min_epochs="3")


@mistake(MisconfigurationException, "`max_time`", "'1 hour'", "DD:HH:MM:SS")
def max_time_in_words():
    trainer(max_time="1 hour")


@mistake(MisconfigurationException, "`max_time`", "60 \\(int\\)", "timedelta")
def max_time_in_seconds():
    trainer(max_time=60)


@mistake(MisconfigurationException, "`max_time`", "'minute': 5", "'hours': 1")
def max_time_with_a_misspelt_unit():
    trainer(max_time={"minute": 5})


@mistake(MisconfigurationException, "`limit_train_batches`", "1\\.5", "0\\.0-1\\.0", "int >= 0")
def limit_train_batches_above_one():
    trainer(limit_train_batches=1.5)


@mistake(MisconfigurationException, "`limit_val_batches`", "-1", "int >= 0")
def limit_val_batches_negative():
    trainer(limit_val_batches=-1)


@mistake(TypeError, "`limit_test_batches`", "'0.5' \\(str\\)", "0\\.0-1\\.0")
def limit_test_batches_as_text():
    trainer(limit_test_batches="0.5")


@mistake(TypeError, "`limit_predict_batches`", "\\[1\\]", "int >= 0")
def limit_predict_batches_as_a_list():
    trainer(limit_predict_batches=[1])


@mistake(MisconfigurationException, "`limit_train_batches` got 0.01", "a batch of 4", "limit_train_batches=1")
def limit_that_gives_no_batch():
    fit(limit_train_batches=0.01)


@mistake(MisconfigurationException, "`overfit_batches`", "-2", "int >= 0")
def overfit_batches_negative():
    trainer(overfit_batches=-2)


@mistake(TypeError, "`overfit_batches`", "None", "int >= 0")
def overfit_batches_none():
    trainer(overfit_batches=None)


@mistake(MisconfigurationException, "`val_check_interval`", "1\\.5", "int >= 1")
def val_check_interval_above_one():
    trainer(val_check_interval=1.5)


@mistake(MisconfigurationException, "`val_check_interval`", " 0 \\(int\\)", "int >= 1")
def val_check_interval_zero():
    trainer(val_check_interval=0)


@mistake(ValueError, "`val_check_interval` \\(1000\\)", "4 training batches", "check_val_every_n_epoch=None")
def val_check_interval_above_the_batches():
    fit(val=loader(), val_check_interval=1000)


@mistake(MisconfigurationException, "`check_val_every_n_epoch`", " 0 \\(int\\)", "int >= 1, or None")
def check_val_every_n_epoch_zero():
    trainer(check_val_every_n_epoch=0)


@mistake(MisconfigurationException, "`check_val_every_n_epoch`", "0\\.5", "int >= 1, or None")
def check_val_every_n_epoch_as_a_fraction():
    trainer(check_val_every_n_epoch=0.5)


@mistake(MisconfigurationException, "val_check_interval=0.5", "check_val_every_n_epoch=None", "<int>")
def a_part_of_no_epoch():
    trainer(check_val_every_n_epoch=None, val_check_interval=0.5)


@mistake(MisconfigurationException, "`num_sanity_val_steps`", "-2", "int >= -1")
def num_sanity_val_steps_below_minus_one():
    trainer(num_sanity_val_steps=-2)


@mistake(MisconfigurationException, "`log_every_n_steps`", "-1", "int >= 0")
def log_every_n_steps_negative():
    trainer(log_every_n_steps=-1)


@mistake(MisconfigurationException, "`accumulate_grad_batches`", " 0 \\(int\\)", "int >= 1")
def accumulate_grad_batches_zero():
    trainer(accumulate_grad_batches=0)


@mistake(MisconfigurationException, "`accumulate_grad_batches`", "1\\.5", "int >= 1")
def accumulate_grad_batches_as_a_fraction():
    trainer(accumulate_grad_batches=1.5)


@mistake(TypeError, "`gradient_clip_val`", "'1.0' \\(str\\)", "number")
def gradient_clip_val_as_text():
    trainer(gradient_clip_val="1.0")


@mistake(MisconfigurationException, "`gradient_clip_algorithm`", "'norms'", "'value'", "Did you mean 'norm'")
def gradient_clip_algorithm_misspelt():
    trainer(gradient_clip_algorithm="norms")


@mistake(MisconfigurationException, "`gradient_clip_algorithm`", " 2 \\(int\\)", "'norm'")
def gradient_clip_algorithm_as_a_number():
    trainer(gradient_clip_algorithm=2)


@mistake(ValueError, "`deterministic`", "'yes'", "'warn'")
def deterministic_in_words():
    trainer(deterministic="yes")


@mistake(ValueError, "`benchmark`", "'on'", "True")
def benchmark_in_words():
    trainer(benchmark="on")


@mistake(MisconfigurationException, "`enable_progress_bar`", "'no'", "False")
def enable_progress_bar_in_words():
    trainer(enable_progress_bar="no")


@mistake(MisconfigurationException, "`detect_anomaly`", "'true'", "True or False")
def detect_anomaly_in_words():
    trainer(detect_anomaly="true")


@mistake(MisconfigurationException, "`fast_dev_run`", "'true'", "number of batches")
def fast_dev_run_in_words():
    trainer(fast_dev_run="true")


@mistake(MisconfigurationException, "`fast_dev_run`", "-3", "int >= 0")
def fast_dev_run_negative():
    trainer(fast_dev_run=-3)


@mistake(MisconfigurationException, "`fast_dev_run`", "2\\.5", "int >= 0")
def fast_dev_run_as_a_fraction():
    trainer(fast_dev_run=2.5)


@mistake(ValueError, "`precision`", "'fp15'", "'bf16-mixed'")
def precision_misspelt():
    trainer(precision="fp15")


@mistake(ValueError, "`precision`", "8", "'16-mixed'")
def precision_of_eight_bits():
    trainer(precision=8)


@mistake(ValueError, "`accelerator`", "'cpuu'", "Did you mean 'cpu'")
def accelerator_misspelt():
    trainer(accelerator="cpuu")


@mistake(MisconfigurationException, "`accelerator`", "'tpu'", "accelerator='auto'")
def accelerator_that_is_not_there():
    trainer(accelerator="tpu")


@mistake(ValueError, "`accelerator`", "None", "'auto'")
def accelerator_none():
    trainer(accelerator=None)


@mistake(ValueError, "`strategy`", "'dpp'", "Did you mean 'ddp'")
def strategy_misspelt():
    trainer(strategy="dpp")


@mistake(ValueError, "`strategy`", "None", "'ddp'")
def strategy_none():
    trainer(strategy=None)


@mistake(TypeError, "`devices`", "'abc'")
def devices_in_words():
    trainer(devices="abc")


@mistake(MisconfigurationException, "`devices`", " 0 \\(int\\)")
def devices_zero():
    trainer(devices=0)


@mistake(TypeError, "`devices`", "1\\.5", "devices=1")
def devices_as_a_fraction():
    trainer(devices=1.5)


@mistake(MisconfigurationException, "`devices`", "3 x 1 processes", "torchrun --nproc-per-node=3", "devices=1")
def more_devices_than_processes():
    trainer(devices=3)


@mistake(ValueError, "`num_nodes`", " 0 \\(int\\)", "int >= 1")
def num_nodes_zero():
    trainer(num_nodes=0)


@mistake(MisconfigurationException, "`plugins`", " 3 \\(int\\)", "Precision")
def plugins_as_a_number():
    trainer(plugins=3)


@mistake(TypeError, "`callbacks`", "EarlyStopping", "not classes")
def callback_class_instead_of_instance():
    trainer(callbacks=[EarlyStopping])


@mistake(TypeError, "`callbacks`", "'early_stopping'", "instance")
def callbacks_by_name():
    trainer(callbacks="early_stopping")


@mistake(TypeError, "`callbacks`", " 5 \\(int\\)", "instance")
def callbacks_as_a_number():
    trainer(callbacks=5)


@mistake(MisconfigurationException, "enable_checkpointing=False", "ModelCheckpoint", "leave out")
def checkpoint_callback_without_checkpointing():
    trainer(enable_checkpointing=False, callbacks=[ModelCheckpoint()])


@mistake(MisconfigurationException, "enable_progress_bar=False", "RichProgressBar", "leave out")
def progress_bar_without_progress_bar():
    trainer(enable_progress_bar=False, callbacks=[RichProgressBar()])


@mistake(MisconfigurationException, "`callbacks` got 2 progress bars", "one")
def two_progress_bars():
    trainer(enable_progress_bar=True, callbacks=[RichProgressBar(), RichProgressBar()])


@mistake(TypeError, "`logger`", "'tensorboardd'", "Logger instance")
def logger_by_name():
    trainer(logger="tensorboardd")


@mistake(TypeError, "`logger`", " 5 \\(int\\)", "Logger instance")
def logger_as_a_number():
    trainer(logger=5)


@mistake(TypeError, "`logger`", "CSVLogger", "Logger instance")
def logger_class_instead_of_instance():
    trainer(logger=pl.loggers.CSVLogger)


@mistake(MisconfigurationException, "`profiler`", "'simpel'", "Did you mean 'simple'?")
def profiler_misspelt():
    trainer(profiler="simpel")


@mistake(MisconfigurationException, "`reload_dataloaders_every_n_epochs`", "-1", "int >= 0")
def reload_dataloaders_negative():
    trainer(reload_dataloaders_every_n_epochs=-1)


@mistake(TypeError, "`default_root_dir`", " 5 \\(int\\)", "path")
def default_root_dir_as_a_number():
    trainer(default_root_dir=5)


@mistake(ValueError, "`nonfinite`", "'stopp'", "Did you mean 'stop'")
def nonfinite_misspelt():
    trainer(nonfinite="stopp")


@mistake(ValueError, "barebones=True, enable_progress_bar=True", "leave enable_progress_bar out")
def barebones_with_a_bar():
    pl.Trainer(barebones=True, enable_progress_bar=True, max_epochs=1)


@mistake(MisconfigurationException, "barebones=True", "ModelCheckpoint", "leave out")
def barebones_with_a_checkpoint():
    pl.Trainer(barebones=True, callbacks=[ModelCheckpoint()], max_epochs=1)


@mistake(TypeError, "'max_epoch'", "Did you mean 'max_epochs'")
def misspelt_argument():
    trainer(max_epoch=3)


@mistake(TypeError, "'batch_size'", "help\\(leyden.Trainer\\)")
def argument_that_does_not_exist():
    trainer(batch_size=3)


@mistake(TypeError, "keyword arguments only", "'cpu'", "max_epochs=3")
def positional_argument():
    pl.Trainer("cpu")


@mistake(ConfigurationErrors, "3 mistakes", "`max_epochs`", "`precision`", "'max_step'")
def several_at_once():
    trainer(max_epochs="3", precision="fp15", max_step=4)


@mistake(MisconfigurationException, "`max_epochs \\(from PL_TRAINER_MAX_EPOCHS\\)`", "'ten'", "int >= -1")
def wrong_value_in_the_environment():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_TRAINER_MAX_EPOCHS", "ten")
        pl.Trainer(accelerator="cpu")


@mistake(MisconfigurationException, "`val_check_interval`", "'every hour'", "DD:HH:MM:SS")
def val_check_interval_in_words():
    trainer(val_check_interval="every hour")


@doubtful(UserWarning, "`max_epochs` was not set", "max_epochs=<int>")
def no_limit_at_all():
    trainer(max_epochs=None)


@doubtful(UserWarning, "log_every_n_steps=50", "4 training batches", "smaller `log_every_n_steps`")
def fewer_batches_than_log_steps():
    fit(logger=True)


@mistake(MisconfigurationException, "`gradient_clip_val=0.5`", "manual optimization", "clip_gradients")
def clipping_in_manual_optimization():
    model = Model()
    model.automatic_optimization = False
    fit(model, gradient_clip_val=0.5)


@mistake(MisconfigurationException, "`accumulate_grad_batches=2`", "manual optimization", "every n-th batch")
def accumulation_in_manual_optimization():
    model = Model()
    model.automatic_optimization = False
    fit(model, accumulate_grad_batches=2)


@mistake(MisconfigurationException, "`max_time`", "timedelta")
def max_time_as_a_list():
    trainer(max_time=[timedelta(minutes=1)])
