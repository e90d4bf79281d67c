"""ThroughputMonitor in runs: what is logged when, and which time counts."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from helpers_fit import Validated, fit, loader, trainer
from leyden.callbacks import throughput_monitor
from leyden.callbacks.throughput_monitor import ThroughputMonitor
from leyden.loggers import CSVLogger


class Rows(CSVLogger):
    """Keeps the rows of the monitor."""

    def __init__(self, folder: Any) -> None:
        super().__init__(folder)
        self.rows: list[Any] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if any("batches" in name for name in metrics):
            self.rows.append((step, metrics))


class Model(Validated):
    """A training batch takes 2 s, a validation batch 5 s."""

    def __init__(self, clock: list[float]) -> None:
        super().__init__()
        self.clock = clock

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.clock[0] += 2.0
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.clock[0] += 5.0
        super().validation_step(batch, batch_idx)

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        self.clock[0] += 1.0
        return batch


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(throughput_monitor, "monotonic", lambda: now[0])
    return now


def monitor(**arguments: Any) -> ThroughputMonitor:
    return ThroughputMonitor(**{"batch_size_fn": lambda batch: len(batch[0]), "window_size": 2, **arguments})


def test_rates_in_fit_leave_out_validation(tmp_path, clock) -> None:
    logger = Rows(tmp_path)
    bars = monitor(length_fn=lambda batch: batch[0].numel())
    fit(Model(clock), loader(16), callbacks=[bars], logger=logger, log_every_n_steps=2, val_check_interval=0.5)
    training = [(step, row) for step, row in logger.rows if "train/time" in row]
    assert [step for step, _ in training] == [1, 3, 5, 7]
    assert training[2][1] == {
        "train/time": 12.0,
        "train/batches": 6,
        "train/samples": 12,
        "train/lengths": 24,
        "train/device/batches_per_sec": 0.5,
        "train/device/samples_per_sec": 1.0,
        "train/device/items_per_sec": 2.0,
        "epoch": 0,
    }
    validation = [(step, row) for step, row in logger.rows if "validate/time" in row]
    assert [step for step, _ in validation] == [2, 4, 6, 8]  # batches over all validations
    assert validation[3][1]["validate/time"] == 40.0
    assert validation[3][1]["validate/device/samples_per_sec"] == 0.4


def test_only_a_batch_that_steps_is_logged(tmp_path, clock) -> None:
    logger = Rows(tmp_path)
    fit(Model(clock), loader(16), callbacks=[monitor()], logger=logger, log_every_n_steps=2, accumulate_grad_batches=2)
    assert [(step, row["train/batches"]) for step, row in logger.rows if "train/time" in row] == [(1, 4), (3, 8)]


@pytest.mark.parametrize("every", [0, 50])
def test_nothing_is_logged_more_often_than_the_rest(tmp_path, clock, every) -> None:
    logger = Rows(tmp_path)
    with pytest.warns(UserWarning, match="log_every_n_steps") if every else nullcontext():
        fit(Model(clock), callbacks=[monitor()], logger=logger, log_every_n_steps=every)
    assert logger.rows == []


def test_other_stages(tmp_path, clock) -> None:
    logger, model = Rows(tmp_path), Model(clock)
    made = trainer(callbacks=[monitor()], logger=logger, log_every_n_steps=1)
    made.validate(model, loader(), verbose=False)
    made.test(model, loader(), verbose=False)
    made.predict(model, loader())
    for stage, seconds in (("validate", 5.0), ("test", 5.0), ("predict", 1.0)):
        rows = [(step, row) for step, row in logger.rows if f"{stage}/time" in row]
        assert [step for step, _ in rows] == [1, 2, 3, 4]
        assert rows[0][1] == {f"{stage}/time": seconds, f"{stage}/batches": 1, f"{stage}/samples": 2}
        assert rows[3][1][f"{stage}/device/batches_per_sec"] == 1 / seconds


def test_the_sanity_check_is_left_out(tmp_path, clock) -> None:
    logger = Rows(tmp_path)
    fit(Model(clock), callbacks=[monitor()], logger=logger, log_every_n_steps=1, num_sanity_val_steps=2)
    assert not [row for _, row in logger.rows if any(name.startswith("sanity") for name in row)]
    assert logger.rows[0][1]["train/time"] == 2.0


def test_operations_per_second_where_the_module_knows_them(tmp_path, clock) -> None:
    logger, model = Rows(tmp_path), Model(clock)
    model.flops_per_batch = 1000
    callback = monitor(available_flops=4000.0, separator="|")
    fit(model, callbacks=[callback], logger=logger, log_every_n_steps=1)
    row = next(row for step, row in logger.rows if step == 3)
    assert row["train|device|flops_per_sec"] == 500.0
    assert row["train|device|mfu"] == 0.125


def test_without_a_logger_it_only_counts(clock) -> None:
    fit(Model(clock), callbacks=[monitor()], log_every_n_steps=1)


def test_wrong_arguments_are_found_at_once() -> None:
    with pytest.raises(ValueError, match="window_size"):
        monitor(window_size=1)
    with pytest.raises(TypeError, match="windows"):
        monitor(windows=1)
