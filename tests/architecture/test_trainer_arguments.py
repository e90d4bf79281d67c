"""The Trainer's arguments are frozen: names, order, defaults. A change here breaks programs."""

from __future__ import annotations

import inspect
from dataclasses import fields

import leyden as pl
from leyden.engine.config import TrainerArguments

FROZEN = {
    "accelerator": "auto",
    "strategy": "auto",
    "devices": "auto",
    "num_nodes": 1,
    "precision": None,
    "logger": None,
    "callbacks": None,
    "fast_dev_run": False,
    "max_epochs": None,
    "min_epochs": None,
    "max_steps": -1,
    "min_steps": None,
    "max_time": None,
    "limit_train_batches": None,
    "limit_val_batches": None,
    "limit_test_batches": None,
    "limit_predict_batches": None,
    "overfit_batches": 0.0,
    "val_check_interval": None,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": None,
    "log_every_n_steps": None,
    "enable_checkpointing": None,
    "enable_progress_bar": None,
    "enable_model_summary": None,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "gradient_clip_algorithm": None,
    "deterministic": None,
    "benchmark": None,
    "inference_mode": True,
    "use_distributed_sampler": True,
    "profiler": None,
    "detect_anomaly": False,
    "barebones": False,
    "plugins": None,
    "sync_batchnorm": False,
    "reload_dataloaders_every_n_epochs": 0,
    "default_root_dir": None,
    "enable_autolog_hparams": True,
    "model_registry": None,
    "suggest_integrations": True,
    "nonfinite": "raise",
}

METHODS = {
    "fit": "model, train_dataloaders=None, val_dataloaders=None, datamodule=None, ckpt_path=None, weights_only=None",
    "validate": "model=None, dataloaders=None, ckpt_path=None, verbose=True, datamodule=None, weights_only=None",
    "test": "model=None, dataloaders=None, ckpt_path=None, verbose=True, datamodule=None, weights_only=None",
    "predict": (
        "model=None, dataloaders=None, datamodule=None, return_predictions=None, ckpt_path=None, weights_only=None"
    ),
    "save_checkpoint": "filepath, weights_only=None, storage_options=None",
    "init_module": "empty_init=None",
}


def test_names_order_and_defaults() -> None:
    parameters = inspect.signature(pl.Trainer.__init__).parameters
    assert next(iter(parameters)) == "self"
    found = {name: p.default for name, p in parameters.items() if name != "self"}
    assert list(found.items()) == list(FROZEN.items())
    assert {p.kind for name, p in parameters.items() if name != "self"} == {inspect.Parameter.KEYWORD_ONLY}


def test_a_call_of_the_class_shows_the_same() -> None:
    assert list(inspect.signature(pl.Trainer).parameters) == list(FROZEN)


def test_each_argument_has_a_type_and_a_line_of_documentation() -> None:
    text = inspect.getdoc(pl.Trainer)
    assert text is not None
    for item in fields(TrainerArguments):
        assert f"\n    {item.name}: {item.metadata['doc']}" in text
        assert item.metadata["doc"].endswith(".")
        assert inspect.signature(pl.Trainer).parameters[item.name].annotation is not inspect.Parameter.empty


def test_the_signatures_of_the_methods() -> None:
    for name, expected in METHODS.items():
        parameters = list(inspect.signature(getattr(pl.Trainer, name)).parameters.values())[1:]
        shown = [
            p.name if p.default is p.empty else f"{p.name}={p.default!r}"
            for p in parameters
            if p.kind is not p.VAR_KEYWORD
        ]
        assert ", ".join(shown) == expected
