from __future__ import annotations

from typing import Any

import pytest
import torch

import leyden as pl
from leyden.demos.boring_classes import BoringModel


class Logging(BoringModel):
    seen: Any = None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("loss", float(batch_idx), prog_bar=True, on_epoch=True)
        return super().training_step(batch, batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        results: Any = self.trainer._results  # type: ignore[attr-defined]
        (metric,) = results.result_metrics
        self.seen = (
            results.keys(), len(results), metric.meta.name, metric.meta.fx, metric.meta.prog_bar, metric.meta.on_epoch,
            metric.value, metric.compute(), metric.cumulated_batch_size, results["training_step.loss"].value,
        )  # fmt: skip
        assert list(results) == results.keys() and results.dataloader_idx is None and results.batch_size == 1
        with pytest.raises(AttributeError, match="internal to Lightning"):
            _ = metric.forward


def test_what_was_logged_is_shown_while_it_runs() -> None:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer: Any = pl.Trainer(
        max_epochs=1, limit_train_batches=3, limit_val_batches=0, accelerator="cpu", enable_checkpointing=False, **quiet
    )
    assert trainer._results is None
    module = Logging()
    trainer.fit(module)
    keys = ["training_step.loss"]
    assert module.seen == (keys, 1, "loss", "training_step", True, True, 2.0, 1.0, 3, 2.0)
    assert trainer._results is None


def test_the_suffix_of_several_loaders() -> None:
    from leyden.legacy.views.results import ResultCollection

    assert ResultCollection.DATALOADER_SUFFIX.format(1) == "/dataloader_idx_1"
    assert torch.is_tensor(torch.ones(1))
