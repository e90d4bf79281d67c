from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from leyden.demos.boring_classes import BoringModel
from leyden.runtime.strategies.ddp import DDPStrategy


class Asking(BoringModel):
    answers: Any = None

    def on_train_start(self) -> None:
        strategy: Any = self.trainer.strategy
        assert strategy.lightning_module is self and strategy.model is self
        assert strategy.precision_plugin is self.trainer.precision_plugin
        self.answers = (len(strategy.optimizers), len(strategy.lr_scheduler_configs), type(strategy.checkpoint_io))


def test_what_belongs_to_the_run_is_shown_by_its_strategy(tmp_path: Path) -> None:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(max_steps=1, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet)
    strategy: Any = trainer.strategy
    assert strategy.lightning_module is None and strategy.optimizers == [] and strategy.lr_scheduler_configs == []
    assert strategy.precision_plugin is None
    module = Asking()
    trainer.fit(module)
    assert module.answers is not None
    assert module.answers[:2] == (1, 1) and module.answers[2].__name__ == "TorchCheckpointIO"


def test_checkpoints_go_through_the_strategy(tmp_path: Path) -> None:
    strategy: Any = pl.Trainer(accelerator="cpu", logger=False, barebones=True).strategy
    path = tmp_path / "a.ckpt"
    strategy.save_checkpoint({"state_dict": {"w": torch.ones(1)}, "epoch": 0, "global_step": 3}, path)
    assert strategy.load_checkpoint(path)["global_step"] == 3
    strategy.remove_checkpoint(path)
    assert not path.exists()


def test_a_module_is_connected_and_a_wrapped_one_is_shown_wrapped() -> None:
    strategy: Any = DDPStrategy()
    module = BoringModel()
    strategy.connect(module)
    assert strategy.lightning_module is module and strategy.model is module
    strategy._wrapped = wrapped = torch.nn.Linear(1, 1)
    assert strategy.model is wrapped
    with pytest.raises(AttributeError, match="has no attribute 'launcher'"):
        _ = strategy.launcher
