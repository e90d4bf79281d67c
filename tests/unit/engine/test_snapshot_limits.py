"""Limits that are smaller than what a checkpoint has behind it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers_fit import Regression, loader, trainer
from leyden.callbacks import Callback, ModelCheckpoint

pytestmark = pytest.mark.filterwarnings("ignore:The checkpoint holds states of callbacks")


def saved_in_mid_epoch(tmp_path: Path) -> Path:
    """A checkpoint of the second epoch, before its end."""
    saver = ModelCheckpoint(tmp_path / "saved", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    first = trainer(max_epochs=2, callbacks=[saver], enable_checkpointing=True, default_root_dir=tmp_path)
    first.fit(Regression(), loader())
    batches = first.num_training_batches
    assert batches > 2
    return tmp_path / "saved" / f"step={batches + 1}.ckpt"


def test_an_epoch_beyond_max_epochs_is_not_trained(tmp_path: Path) -> None:
    path = saved_in_mid_epoch(tmp_path)
    again = trainer(max_epochs=1, default_root_dir=tmp_path)
    again.fit(Regression(), loader(), ckpt_path=path)
    assert (again.current_epoch, f"step={again.global_step}.ckpt") == (1, path.name)


def test_a_run_that_stopped_at_max_steps_ends_its_epoch_when_resumed(tmp_path: Path) -> None:
    path = saved_in_mid_epoch(tmp_path)
    steps = int(path.stem.partition("=")[2])
    calm = trainer(max_epochs=-1, max_steps=steps, default_root_dir=tmp_path)
    calm.fit(Regression(), loader())
    again = trainer(max_epochs=-1, max_steps=steps, default_root_dir=tmp_path)
    again.fit(Regression(), loader(), ckpt_path=path)
    assert (again.current_epoch, again.global_step) == (calm.current_epoch, calm.global_step) == (2, steps)


def test_row_98_a_file_of_weights_alone_cannot_be_resumed(tmp_path: Path) -> None:
    first = trainer(max_epochs=1, default_root_dir=tmp_path)
    first.fit(Regression(), loader())
    first.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    again = trainer(max_epochs=2, default_root_dir=tmp_path)
    with pytest.raises(KeyError, match=r"weights.ckpt' holds only the model .*Fix: load the weights with"):
        again.fit(Regression(), loader(), ckpt_path=tmp_path / "weights.ckpt")
    assert again.global_step == 0


def test_hooks_of_an_epochs_end_run_once_also_if_one_of_them_saves(tmp_path: Path) -> None:
    class Ends(Callback):
        def __init__(self) -> None:
            self.epochs: list[int] = []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.epochs.append(trainer.current_epoch)
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "end.ckpt")

    calm, again = Ends(), Ends()
    whole = trainer(max_epochs=3, callbacks=[calm], default_root_dir=tmp_path)
    whole.fit(first := Regression(), loader())
    resumed = trainer(max_epochs=3, callbacks=[again], default_root_dir=tmp_path)
    resumed.fit(second := Regression(), loader(), ckpt_path=tmp_path / "end.ckpt")
    assert (calm.epochs, again.epochs) == ([0, 1, 2], [2])
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
