"""EarlyStopping and Timer in real runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
import torch
from torch.utils.data import DataLoader

import leyden as pl
from leyden.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason
from leyden.callbacks.timer import Timer

BATCHES = 4


class Model(pl.LightningModule):
    """Logs ``val_loss`` from a list, one value per validation."""

    def __init__(self, scores):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.scores = iter(scores)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).sum()

    def validation_step(self, batch, batch_idx):
        pass

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            self.log("val_loss", torch.tensor(next(self.scores)))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(folder, callbacks, scores, **arguments):
    options = {"max_epochs": 10, "enable_checkpointing": False, "num_sanity_val_steps": 0, **arguments}
    trainer = pl.Trainer(
        default_root_dir=folder,
        callbacks=callbacks,
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    data = DataLoader(torch.ones(BATCHES, 2), batch_size=1)
    trainer.fit(Model(scores), data, data)
    return trainer


def test_stops_when_patience_is_exhausted(tmp_path):
    stopping = EarlyStopping("val_loss", patience=2)
    trainer = fit(tmp_path, [stopping], [3.0, 2.0, 2.5, 2.1, 0.0, 0.0])
    assert trainer.global_step == 4 * BATCHES
    assert (stopping.stopped_epoch, stopping.wait_count) == (3, 2)
    assert stopping.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED


def test_validation_after_every_batch_is_counted(tmp_path):
    stopping = EarlyStopping("val_loss", patience=2)
    trainer = fit(tmp_path, [stopping], [1.0] * 20, val_check_interval=1)
    assert trainer.global_step == 3


def test_min_epochs_come_first(tmp_path):
    trainer = fit(tmp_path, [EarlyStopping("val_loss", patience=1)], [1.0] * 10, min_epochs=5)
    assert trainer.global_step == 5 * BATCHES


def test_unknown_metric_names_the_nearest(tmp_path):
    with pytest.raises(RuntimeError, match="val_loss"):
        fit(tmp_path, [EarlyStopping("val_los")], [1.0] * 10)


def test_nothing_happens_in_a_dev_run(tmp_path):
    stopping = EarlyStopping("no_such_metric")
    fit(tmp_path, [stopping], [1.0], fast_dev_run=True, max_epochs=1)
    assert stopping.wait_count == 0


def test_row_95_resume_continues_the_count(tmp_path):
    first = EarlyStopping("val_loss", patience=3)
    trainer = fit(tmp_path, [first], [1.0, 1.0], max_epochs=2)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    resumed = EarlyStopping("val_loss", patience=3)
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        callbacks=[resumed],
        max_epochs=10,
        logger=False,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = DataLoader(torch.ones(BATCHES, 2), batch_size=1)
    trainer.fit(Model([1.0] * 10), data, data, ckpt_path=tmp_path / "a.ckpt")
    assert (resumed.stopped_epoch, trainer.global_step) == (3, 4 * BATCHES)


def test_timer_without_time_left_prevents_training(tmp_path):
    assert fit(tmp_path, [Timer(timedelta(0), verbose=False)], [1.0] * 10).global_step == 0


def test_max_time_adds_a_timer(tmp_path):
    trainer = fit(tmp_path, [], [1.0], max_time="00:01:00:00", max_epochs=1)
    timer = next(callback for callback in trainer.callbacks if isinstance(callback, Timer))
    assert 3500 < timer.time_remaining() <= 3600
