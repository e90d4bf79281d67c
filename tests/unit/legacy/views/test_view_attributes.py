"""What programs read of a Trainer, a module, a data module and Fabric, all of it in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import leyden as pl
from leyden.demos.boring_classes import BoringDataModule, BoringModel

TRAINER = """fit strategy current_epoch callback_metrics max_epochs sanity_checking predict state global_step test optimizers
checkpoint_callback is_global_zero should_stop datamodule early_stopping_callback logger callbacks fit_loop logged_metrics
_accelerator_connector world_size lr_scheduler_configs _checkpoint_connector _results estimated_stepping_batches global_rank
num_training_batches train_dataloader log_every_n_steps precision save_checkpoint validate accelerator max_steps model
predict_dataloaders _callback_connector limit_train_batches num_devices predict_loop check_val_every_n_epoch
checkpoint_callbacks ckpt_path default_root_dir enable_validation log_dir loggers num_test_batches num_val_batches
progress_bar_metrics test_dataloaders val_dataloaders"""
MODULE = """current_epoch named_parameters log_dict load_state_dict device parameters get_submodule named_modules
_trainer _compiler_ctx global_rank automatic_optimization configure_model dtype eval log logger
modules named_children state_dict get_parameter predict_step trainer"""
DATA = "setup val_dataloader train_dataloader prepare_data test_dataloader teardown"
FABRIC = """print device global_rank world_size log_dict barrier init_tensor all_reduce init_module strategy launch
setup_module save backward no_backward_sync rank_zero_first seed_everything setup_dataloaders setup_optimizers setup
_precision accelerator load_raw is_global_zero load logger to_device clip_gradients"""


class Reading(pl.Callback):
    missing: Any = None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        owners = [(trainer, TRAINER), (pl_module, MODULE), (trainer.datamodule, DATA)]
        self.missing = [name for owner, names in owners for name in names.split() if not hasattr(owner, name)]
        assert trainer.state.fn == "fit" and trainer.state.stage == "train"
        assert callable(trainer.checkpoint_callback.setup) and callable(trainer.datamodule.train_dataloader)
        assert trainer.checkpoint_callback.best_model_path == ""
        assert trainer.strategy.root_device.type == "cpu" and trainer.strategy.broadcast(3) == 3
        trainer.strategy.barrier()


def test_what_programs_read_is_there(tmp_path: Path) -> None:
    reading = Reading()
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    quiet["log_every_n_steps"] = 1
    trainer = pl.Trainer(
        max_epochs=1,
        limit_train_batches=1,
        limit_val_batches=1,
        callbacks=[reading],
        default_root_dir=tmp_path,
        **quiet,
    )
    trainer.fit(BoringModel(), datamodule=BoringDataModule())
    assert reading.missing == []
    assert trainer.checkpoint_callback.best_model_path.endswith(".ckpt")


def test_what_programs_read_of_fabric_is_there() -> None:
    fabric = pl.Fabric(accelerator="cpu", devices=1)
    assert [name for name in FABRIC.split() if not hasattr(fabric, name)] == []


def test_the_state_has_no_epoch() -> None:
    with pytest.raises(AttributeError, match="epoch"):
        _ = pl.Trainer(barebones=True, max_epochs=1, accelerator="cpu", logger=False).state.epoch  # type: ignore[attr-defined]
