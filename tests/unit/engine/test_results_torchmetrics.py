"""torchmetrics in `self.log`: the metric accumulates, the epoch's value is its `compute()`, the Trainer resets it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers_results import Probe, fit, fit_rows, numbers, plain, trainer
from leyden.errors import MisconfigurationException

torchmetrics = pytest.importorskip("torchmetrics")


class Measured(Probe):
    def __init__(self, **hooks: Any) -> None:
        super().__init__(**hooks)
        self.mean = torchmetrics.MeanMetric()
        self.total = torchmetrics.SumMetric()
        self.errors = torchmetrics.MetricCollection(
            [torchmetrics.MeanSquaredError(), torchmetrics.MeanAbsoluteError()], prefix="val_"
        )
        self.each = torch.nn.ModuleList([torchmetrics.MeanMetric(), torchmetrics.MeanMetric()])


def test_row_71_forward_values_per_step_and_compute_per_epoch() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.mean(batch[0])
        module.log("m", module.mean, on_step=True, on_epoch=True, prog_bar=True)

    rows = fit_rows(Measured(training_step=log), max_epochs=2)
    epoch = [{"m_step": 0.5}, {"m_step": 2.5}, {"m_epoch": 1.5}]
    assert [{key: value for key, value in row.items() if key != "epoch"} for _, row in rows] == epoch * 2


@pytest.mark.parametrize("arguments", [{}, {"on_step": False, "on_epoch": True}, {"on_step": True, "on_epoch": True}])
def test_row_71_the_trainer_resets_a_logged_metric(arguments: dict[str, Any]) -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.mean(batch[0])
        module.log("m", module.mean, **arguments)
        module.seen.append(float(module.mean.compute()))

    module = Measured(training_step=log)
    fit(module, max_epochs=2)
    assert module.seen == [0.5, 1.5, 0.5, 1.5]
    assert module.mean.update_count == 0


def test_row_71_a_metric_that_is_no_attribute_is_refused() -> None:
    def log(module: Any, batch: Any, batch_idx: int, **arguments: Any) -> None:
        stray = torchmetrics.MeanMetric()
        stray(batch[0])
        module.log("m", stray, **arguments)

    with pytest.raises(MisconfigurationException, match="not an attribute of Probe"):
        fit(Probe(training_step=log))
    run = fit(Probe(training_step=lambda *given: log(*given, metric_attribute="somewhere")))
    assert plain(run.callback_metrics) == {"m": 2.5}


def test_a_metric_logged_at_the_end_of_the_epoch() -> None:
    module = Measured(
        training_step=lambda m, batch, *_: m.mean.update(batch[0]),
        on_train_epoch_end=lambda m: (m.log("m", m.mean), m.seen.append(float(m.trainer.callback_metrics["m"]))),
    )
    fit(module, max_epochs=2)
    assert module.seen == [1.5, 1.5]


def test_a_metric_that_was_updated_without_forward_has_no_step_value() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.mean.update(batch[0])
        module.log("m", module.mean, on_step=True, on_epoch=True)

    assert fit_rows(Measured(training_step=log)) == [(1, {"epoch": 0, "m_epoch": 1.5})]


def test_computed_values_are_the_users_to_reset() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.total.update(batch[0])
        module.log("sum", module.total.compute())

    rows = fit_rows(Measured(training_step=log), max_epochs=2)
    assert [row["sum"] for _, row in rows] == [1.0, 6.0, 7.0, 12.0]


def test_a_collection_in_log_dict() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.errors.update(batch[0], batch[0] + 2 * batch_idx)
        module.log_dict(module.errors, prog_bar=True)

    run = trainer(max_epochs=2, num_sanity_val_steps=1)
    run.fit(Measured(validation_step=log), numbers(), numbers())
    assert plain(run.callback_metrics) == {"val_MeanSquaredError": 2.0, "val_MeanAbsoluteError": 1.0}
    assert plain(run.progress_bar_metrics) == plain(run.callback_metrics)


def test_a_collection_in_log_is_refused() -> None:
    with pytest.raises(ValueError, match=r"log_dict|MetricCollection"):
        fit(Measured(training_step=lambda m, *_: m.log("errors", m.errors)))


@pytest.mark.parametrize("where", [{"on_step": True, "on_epoch": False}, {"on_step": False, "on_epoch": True}])
def test_a_metric_that_computes_several_numbers_is_refused(where: dict[str, bool]) -> None:
    class PerClass(Probe):
        def __init__(self) -> None:
            super().__init__()
            self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=2, average=None)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.accuracy(torch.tensor([0, 1]), torch.tensor([0, 1]))
            self.log("accuracy", self.accuracy, **where)
            return super().training_step(batch, batch_idx)

    with pytest.raises(ValueError, match=r"self\.log\('accuracy', value\)` got .*shape \(2,\)"):
        fit(PerClass())


def test_a_metric_per_loader_and_one_for_all() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.each[dataloader_idx].update(batch[0])
        module.log("own", module.each[dataloader_idx])
        module.total.update(batch[0])
        module.log("going_on", module.total)
        module.mean.update(batch[0])
        module.log("all", module.mean, add_dataloader_idx=False)

    module = Measured(validation_step=log)
    rows = trainer().validate(module, [numbers(), numbers(first=100.0)], verbose=False)
    assert rows == [
        {"own/dataloader_idx_0": 1.5, "going_on/dataloader_idx_0": 6.0, "all": 51.5},
        {"own/dataloader_idx_1": 101.5, "going_on/dataloader_idx_1": 412.0, "all": 51.5},
    ]


def test_metrics_of_validation_are_reset_after_each_and_after_the_sanity_check() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.total(batch[0])
        module.log("v", module.total, on_step=True, on_epoch=True)

    module = Measured(validation_step=log)
    rows = fit_rows(module, val=numbers(), max_epochs=2, num_sanity_val_steps=1)
    assert [row["v_epoch"] for _, row in rows if "v_epoch" in row] == [6.0, 6.0]
    assert module.total.update_count == 0
