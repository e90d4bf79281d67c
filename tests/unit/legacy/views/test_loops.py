from __future__ import annotations

from typing import Any

import pytest
import torch

import leyden as pl
from leyden.callbacks import BasePredictionWriter
from leyden.demos.boring_classes import BoringModel, RandomDataset
from leyden.legacy.views.loops import EpochLoop

QUIET: dict[str, Any] = {
    "logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu",
    "enable_checkpointing": False,
}  # fmt: skip


def counts(trainer: Any) -> list[int]:
    epochs, loop = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop
    batches, total = loop.batch_progress.current, loop.batch_progress.total
    return [
        epochs.ready, epochs.processed, epochs.completed, batches.ready, batches.processed, batches.completed,
        total.ready, total.completed, loop.batch_idx, loop.total_batch_idx, loop._batches_that_stepped,
        loop.global_step,
    ]  # fmt: skip


class Watching(pl.Callback):
    """Notes the counts in every hook."""

    def __init__(self) -> None:
        self.seen: dict[str, list[list[int]]] = {}

    def note(self, hook: str, trainer: Any) -> None:
        self.seen.setdefault(hook, []).append(counts(trainer))

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        self.note("on_fit_start", trainer)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.note("on_train_epoch_start", trainer)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.note("on_train_batch_start", trainer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.note("on_train_batch_end", trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.note("on_validation_start", trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.note("on_train_epoch_end", trainer)


def test_the_counts_are_those_of_lightnings_loops_in_every_hook() -> None:
    watching = Watching()
    trainer = pl.Trainer(
        max_epochs=2, limit_train_batches=2, limit_val_batches=1, num_sanity_val_steps=0, callbacks=[watching], **QUIET
    )
    trainer.fit(BoringModel())
    # The values that Lightning 2.6 shows in these hooks.
    assert watching.seen == {
        "on_fit_start": [[0, 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0]],
        "on_train_epoch_start": [[1, 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0], [2, 1, 1, 0, 0, 0, 2, 2, -1, 1, 2, 2]],
        "on_train_batch_start": [
            [1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0],
            [1, 0, 0, 2, 1, 1, 2, 1, 1, 1, 1, 1],
            [2, 1, 1, 1, 0, 0, 3, 2, 0, 2, 2, 2],
            [2, 1, 1, 2, 1, 1, 4, 3, 1, 3, 3, 3],
        ],
        "on_train_batch_end": [
            [1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1],
            [1, 0, 0, 2, 2, 1, 2, 1, 1, 1, 1, 2],
            [2, 1, 1, 1, 1, 0, 3, 2, 0, 2, 2, 3],
            [2, 1, 1, 2, 2, 1, 4, 3, 1, 3, 3, 4],
        ],
        "on_validation_start": [[1, 0, 0, 2, 2, 2, 2, 2, 1, 1, 1, 2], [2, 1, 1, 2, 2, 2, 4, 4, 1, 3, 3, 4]],
        "on_train_epoch_end": [[1, 1, 0, 2, 2, 2, 2, 2, 1, 1, 2, 2], [2, 2, 1, 2, 2, 2, 4, 4, 1, 3, 4, 4]],
    }


def test_what_a_loop_shows_before_and_after_a_run() -> None:
    trainer: Any = pl.Trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=1, **QUIET)
    loop = trainer.fit_loop.epoch_loop
    assert counts(trainer) == [0, 0, 0, 0, 0, 0, 0, 0, -1, -1, 0, 0]
    assert isinstance(loop, EpochLoop) and not loop.val_loop._data_source.is_defined()
    assert trainer.predict_loop.epoch_batch_indices == [] and loop.val_loop.max_batches == []
    trainer.fit(BoringModel())
    assert trainer.fit_loop.epoch_loop.val_loop._data_source.is_defined()
    assert trainer.fit_loop.epoch_loop.val_loop.max_batches == [1]
    assert trainer.fit_loop._data_source.is_defined() and trainer.fit_loop.total_batch_idx == 1
    assert trainer.fit_loop.batch_idx == -1  # of the epoch that would come next
    trainer.fit_loop.max_epochs = 5
    assert trainer.max_epochs == 5


def test_the_loggers_count_can_be_set_and_nothing_else() -> None:
    trainer: Any = pl.Trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=0, **QUIET)
    trainer.fit(BoringModel())
    trainer.fit_loop.epoch_loop._batches_that_stepped = 40
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 40
    with pytest.raises(AttributeError, match="cannot be set"):
        trainer.fit_loop.epoch_loop.batch_idx = 3
    with pytest.raises(AttributeError, match="internal to Lightning"):
        _ = trainer.fit_loop.epoch_loop.manual_optimization
    with pytest.raises(AttributeError, match="has no attribute '_restarting'"):
        _ = trainer.fit_loop._restarting


def test_the_samples_that_were_predicted() -> None:
    class Writer(BasePredictionWriter):
        def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, batch_indices: Any) -> None:
            self.indices = trainer.predict_loop.epoch_batch_indices

    writer = Writer("epoch")
    trainer: Any = pl.Trainer(max_epochs=1, callbacks=[writer], **QUIET)
    trainer.predict(BoringModel(), torch.utils.data.DataLoader(RandomDataset(32, 4), batch_size=2))
    assert writer.indices == [[[0, 1], [2, 3]]]
