"""Hyper-parameters from configuration libraries, and where they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, fit
from helpers_loggers import Recording


class Configured(Regression):
    def __init__(self, config: Any) -> None:
        super().__init__(lr=config.optimizer.lr)
        self.save_hyperparameters(config)


def test_an_omegaconf_container(tmp_path: Path) -> None:
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"optimizer": {"lr": 0.5, "betas": [0.9, 0.99]}, "name": "${optimizer.lr}"})
    made = fit(Configured(config))
    made.save_checkpoint(tmp_path / "model.ckpt")
    torch.load(tmp_path / "model.ckpt", weights_only=True)
    loaded = Configured.load_from_checkpoint(tmp_path / "model.ckpt", config=config)
    assert loaded.hparams.optimizer["lr"] == 0.5
    assert list(loaded.hparams.optimizer["betas"]) == [0.9, 0.99]
    assert loaded.hparams.name == 0.5


@pytest.mark.parametrize("logger", [True, False])
def test_hyper_parameters_kept_from_loggers(logger: bool) -> None:
    class Saves(Regression):
        def __init__(self, lr: float = 0.25) -> None:
            super().__init__(lr)
            self.save_hyperparameters(logger=logger)

    class Takes(Recording):
        def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
            taken.append(dict(params))

    taken: list[dict[str, Any]] = []
    module = Saves()
    fit(module, logger=Takes(), log_every_n_steps=1)
    assert taken == ([{"lr": 0.25}] if logger else [])
    assert module.hparams == {"lr": 0.25}


def test_another_instantiator_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("jsonargparse")
    path = tmp_path / "hostile.ckpt"
    state = {"state_dict": {}, "hyper_parameters": {"_instantiator": "os.system"}, "hparams_name": "kwargs"}
    torch.save({**state, "epoch": 0, "global_step": 0, "pytorch-lightning_version": "2.6.0"}, path)
    with pytest.raises(ValueError, match="`_instantiator` got 'os.system'"):
        pl.LightningModule.load_from_checkpoint(path)
