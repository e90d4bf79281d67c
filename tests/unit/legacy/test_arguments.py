from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leyden import Trainer
from leyden.errors import ConfigurationErrors, LightningDeprecationWarning, MisconfigurationException
from leyden.legacy.arguments import (
    OLD_ARGUMENTS,
    REMOVED_METHODS,
    Build,
    collect,
    rename_loaders,
    translate,
    translate_call,
)


class ModelCheckpoint:
    """Stands for the callback of that name: the translation goes by the name of the class."""


class LoggerCollection(list[str]):
    """Stands for the class that 1.x had."""


class TestTubeLogger:
    """Stands for the class that 1.x had."""

    __test__ = False


OWN = ModelCheckpoint()
FLUSHED = Build("CSVLogger", {"save_dir": ".", "flush_logs_every_n_steps": 7})


@pytest.fixture(autouse=True)
def with_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.legacy.arguments.find_spec", lambda name: name)


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ({"num_gpu_nodes": 2}, {"num_nodes": 2}),
        ({"nb_gpu_nodes": 2}, {"num_nodes": 2}),
        ({"use_amp": True}, {"precision": "16-mixed"}),
        ({"use_amp": True, "precision": 16}, {"precision": "16-mixed"}),
        ({"use_amp": False}, {}),
        ({"amp_backend": "native", "precision": 16}, {"precision": 16}),
        ({"amp_backend": "apex", "amp_level": "O2"}, {"precision": "16-mixed"}),
        ({"amp_level": "O3", "precision": 16}, {"precision": "16-true"}),
        ({"resume_from_checkpoint": "a.ckpt"}, {"ckpt_path": "a.ckpt"}),
        ({"resume_from_checkpoint": None}, {}),
        ({"weights_summary": "top"}, {"callbacks": [Build("ModelSummary", {"max_depth": 1})]}),
        ({"weights_summary": "full"}, {"callbacks": [Build("ModelSummary", {"max_depth": -1})]}),
        ({"weights_summary": None}, {"enable_model_summary": False}),
        ({"progress_bar_refresh_rate": 0}, {"enable_progress_bar": False}),
        ({"progress_bar_refresh_rate": 5}, {"callbacks": [Build("TQDMProgressBar", {"refresh_rate": 5})]}),
        ({"process_position": 1}, {"callbacks": [Build("TQDMProgressBar", {"process_position": 1})]}),
        (
            {"process_position": 1, "progress_bar_refresh_rate": 5},
            {"callbacks": [Build("TQDMProgressBar", {"refresh_rate": 5, "process_position": 1})]},
        ),
        ({"process_position": 1, "progress_bar_refresh_rate": 0}, {"enable_progress_bar": False}),
        ({"process_position": 0}, {}),
        ({"show_progress_bar": False}, {"enable_progress_bar": False}),
        ({"checkpoint_callback": True}, {"enable_checkpointing": True}),
        ({"checkpoint_callback": False}, {"enable_checkpointing": False}),
        ({"checkpoint_callback": OWN, "callbacks": ["mine"]}, {"callbacks": ["mine", OWN]}),
        (
            {"early_stop_callback": True},
            {"callbacks": [Build("EarlyStopping", {"monitor": "val_loss", "patience": 3, "mode": "min"})]},
        ),
        ({"early_stop_callback": "object"}, {"callbacks": ["object"]}),
        ({"early_stop_callback": False}, {}),
        ({"default_save_path": "out"}, {"default_root_dir": "out"}),
        ({"weights_save_path": "out"}, {"callbacks": [Build("ModelCheckpoint", {"dirpath": "out"})]}),
        ({"weights_save_path": "out", "checkpoint_callback": False}, {"enable_checkpointing": False}),
        ({"max_nb_epochs": 5, "min_nb_epochs": 2}, {"max_epochs": 5, "min_epochs": 2}),
        ({"nb_sanity_val_steps": 0}, {"num_sanity_val_steps": 0}),
        ({"max_steps": None}, {"max_steps": -1}),
        ({"train_percent_check": 1}, {"limit_train_batches": 1.0}),
        ({"val_percent_check": 0.5, "test_percent_check": 0.1}, {"limit_val_batches": 0.5, "limit_test_batches": 0.1}),
        ({"overfit_pct": 0.01}, {"overfit_batches": 0.01}),
        ({"row_log_interval": 10}, {"log_every_n_steps": 10}),
        ({"add_row_log_interval": 10}, {"log_every_n_steps": 10}),
        ({"log_save_interval": 7}, {}),
        ({"flush_logs_every_n_steps": 7, "logger": True}, {"logger": True}),
        ({"flush_logs_every_n_steps": 7, "logger": False}, {"logger": False}),
        ({"gradient_clip": 0.5}, {"gradient_clip_val": 0.5}),
        (
            {"accumulate_grad_batches": {0: 1, 5: 4}},
            {"callbacks": [Build("GradientAccumulationScheduler", {"scheduling": {0: 1, 5: 4}})]},
        ),
        ({"accumulate_grad_batches": 4}, {"accumulate_grad_batches": 4}),
        ({"auto_lr_find": True}, {"callbacks": [Build("LearningRateFinder")]}),
        ({"auto_lr_find": "rate"}, {"callbacks": [Build("LearningRateFinder", {"attr_name": "rate"})]}),
        ({"auto_lr_find": False}, {}),
        ({"auto_scale_batch_size": True}, {"callbacks": [Build("BatchSizeFinder", {"mode": "power"})]}),
        ({"auto_scale_batch_size": "binsearch"}, {"callbacks": [Build("BatchSizeFinder", {"mode": "binsearch"})]}),
        ({"terminate_on_nan": True}, {"nonfinite": "raise"}),
        ({"terminate_on_nan": False}, {"nonfinite": "ignore"}),
        ({"print_nan_grads": True}, {"detect_anomaly": True}),
        ({"track_grad_norm": -1}, {}),
        ({"log_gpu_memory": "all"}, {"callbacks": [Build("DeviceStatsMonitor")]}),
        ({"gpu_metrics": None}, {}),
        ({"stochastic_weight_avg": False}, {}),
        ({"reload_dataloaders_every_epoch": True}, {"reload_dataloaders_every_n_epochs": 1}),
        ({"replace_sampler_ddp": False}, {"use_distributed_sampler": False}),
        ({"multiple_trainloader_mode": "max_size_cycle"}, {}),
        ({"prepare_data_per_node": True}, {}),
        ({"move_metrics_to_cpu": False}, {}),
        ({"truncated_bptt_steps": None}, {}),
        ({"enable_pl_optimizer": True}, {}),
        ({"automatic_optimization": True}, {}),
        ({"profiler": True}, {"profiler": "simple"}),
        ({"profiler": False}, {"profiler": None}),
        ({"logger": LoggerCollection(["a", "b"])}, {"logger": ["a", "b"]}),
    ],
)
def test_each_row_of_the_table(given: dict[str, Any], today: dict[str, Any]) -> None:
    before = dict(given)
    assert translate(given)[0] == today
    assert given == before


@pytest.mark.parametrize("name", sorted(OLD_ARGUMENTS))
def test_every_old_argument_is_said_once_and_leaves(name: str) -> None:
    today, messages = translate({name: None})
    assert name not in today
    assert [f"`Trainer({name}=None)` is an old argument" in message for message in messages] == [True]


@pytest.mark.parametrize("given", [{"log_save_interval": 7}, {"flush_logs_every_n_steps": 7, "logger": True}])
def test_without_tensorboard_the_default_logger_is_told(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.legacy.arguments.find_spec", lambda name: None)
    assert translate(given)[0] == {"logger": FLUSHED}


def test_without_tqdm_the_other_bar_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.legacy.arguments.find_spec", lambda name: None)
    today, _ = translate({"progress_bar_refresh_rate": 5, "process_position": 1})
    assert today == {"callbacks": [Build("RichProgressBar", {"refresh_rate": 5})]}


def test_unknown_names_stay_for_the_trainer() -> None:
    assert translate({"max_epoch": 3}) == ({"max_epoch": 3}, [])


def test_todays_arguments_pass_untouched() -> None:
    callbacks = [object()]
    today = {"max_epochs": 3, "max_steps": -1, "profiler": "simple", "callbacks": callbacks, "logger": False}
    translated, messages = translate(today)
    assert translated == today
    assert translated["callbacks"] is callbacks
    assert messages == []


def test_all_refusals_come_in_one_error() -> None:
    given = {
        "track_grad_norm": 2,
        "truncated_bptt_steps": 5,
        "max_nb_epochs": 3,
        "multiple_trainloader_mode": "min_size",
    }
    with pytest.raises(ConfigurationErrors) as caught:
        translate(given)
    assert isinstance(caught.value, MisconfigurationException)
    assert isinstance(caught.value, TypeError)
    text = str(caught.value)
    assert all(name in text for name in ("track_grad_norm", "truncated_bptt_steps", "multiple_trainloader_mode"))
    assert "max_nb_epochs" not in text
    assert "automatic_optimization = False" in text


def test_refusals_can_be_collected_for_a_common_report() -> None:
    translation = collect({"track_grad_norm": 2, "max_nb_epochs": 3})
    assert translation.arguments == {"max_epochs": 3}
    assert len(translation.errors) == 1


@pytest.mark.parametrize(
    "given",
    [
        {"automatic_optimization": False},
        {"prepare_data_per_node": False},
        {"move_metrics_to_cpu": True},
        {"enable_pl_optimizer": False},
        {"stochastic_weight_avg": True},
        {"amp_level": "O9"},
        {"weights_summary": "some"},
        {"weights_save_path": "out", "callbacks": [OWN]},
        {"flush_logs_every_n_steps": 7, "logger": "an object"},
        {"logger": TestTubeLogger()},
        {"max_nb_epochs": 3, "max_epochs": 5},
        {"checkpoint_callback": True, "enable_checkpointing": False},
    ],
)
def test_what_cannot_be_translated_shows_what_to_do(given: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=r"Write `|keep one of them"):
        translate(given)


@pytest.mark.parametrize(
    ("method", "old", "new"),
    [
        ("fit", "train_dataloader", "train_dataloaders"),
        ("validate", "val_dataloaders", "dataloaders"),
        ("test", "test_dataloaders", "dataloaders"),
        ("predict", "predict_dataloaders", "dataloaders"),
    ],
)
def test_old_loader_names(method: str, old: str, new: str) -> None:
    today, messages = translate_call(method, {old: "loader"})
    assert today == {new: "loader"}
    assert f"trainer.{method}({new}=" in messages[0]


def test_both_loader_names_at_once() -> None:
    with pytest.raises(TypeError, match="two names of the same"):
        translate_call("fit", {"train_dataloader": 1, "train_dataloaders": 2})


def test_removed_methods_say_what_to_write() -> None:
    assert "Tuner(trainer)" in REMOVED_METHODS["tune"]
    assert all("Write `" in text for text in REMOVED_METHODS.values())


def test_loaders_get_today_s_names_and_order():
    today = {"train_dataloaders": None, "val_dataloaders": 2}
    with pytest.warns(LightningDeprecationWarning, match="train_dataloaders"):
        loaders = rename_loaders("fit", today, {"train_dataloader": 1}, ["train_dataloaders"])
    assert list(loaders.items()) == [("train_dataloaders", 1), ("val_dataloaders", 2)]
    with pytest.raises(TypeError, match="unexpected keyword arguments \\['modle'\\]. Did you mean 'model'"):
        rename_loaders("fit", today, {"modle": 1}, ["model"])


def test_the_guide_names_every_old_argument() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "from-1x.md").read_text(encoding="utf-8")
    assert [name for name in sorted(OLD_ARGUMENTS | REMOVED_METHODS.keys()) if name not in guide] == []


@pytest.mark.filterwarnings("ignore:.*precision")
@pytest.mark.parametrize(
    ("old", "today"),
    [(16, "mixed"), ("16", "mixed"), ("bf16", "bf16-mixed"), (64, "64-true"), ("64", "64-true"), (32, "32-true")],
)
def test_old_precisions_are_accepted(old: Any, today: str) -> None:
    made = Trainer(accelerator="cpu", precision=old, max_epochs=1, logger=False, enable_checkpointing=False)
    assert made.precision.endswith(today)
