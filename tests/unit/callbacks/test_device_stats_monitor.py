"""DeviceStatsMonitor: names, moments, and what it needs."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers_fit import Validated, fit, loader, trainer
from leyden.callbacks.device_stats_monitor import DeviceStatsMonitor, cpu_stats, device_stats
from leyden.errors import MisconfigurationException
from leyden.loggers import CSVLogger

CPU = ["cpu_percent", "cpu_swap_percent", "cpu_vm_percent"]


class Rows(CSVLogger):
    def __init__(self, folder: Any) -> None:
        super().__init__(folder)
        self.rows: list[Any] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if any("Monitor" in name for name in metrics):
            self.rows.append((step, *sorted(metrics)))


class Model(Validated):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        pass


@pytest.fixture
def psutil(monkeypatch):
    percent = SimpleNamespace(percent=20.0)
    module = SimpleNamespace(cpu_percent=lambda: 10.0, virtual_memory=lambda: percent, swap_memory=lambda: percent)
    monkeypatch.setitem(sys.modules, "psutil", module)


def names(hook: str) -> list[str]:
    return [f"DeviceStatsMonitor.{hook}/{name}" for name in CPU]


def test_the_start_and_end_of_batches_that_are_logged(tmp_path, psutil) -> None:
    logger, model = Rows(tmp_path), Model()
    made = fit(model, callbacks=[DeviceStatsMonitor()], logger=logger, log_every_n_steps=2, num_sanity_val_steps=2)
    made.test(model, loader(), verbose=False)
    batch = ["on_train_batch_start", "on_train_batch_end"]
    validated = ["on_validation_batch_start", "on_validation_batch_end"]
    tested = ["on_test_batch_start", "on_test_batch_end"]
    moments = [(1, hook) for hook in batch] + [(3, hook) for hook in [*batch, *validated * 2]]
    moments += [(4, hook) for hook in tested * 2]
    assert logger.rows == [(step, *names(hook)) for step, hook in moments]


def test_only_chosen_values(tmp_path, psutil) -> None:
    logger = Rows(tmp_path)
    monitor = DeviceStatsMonitor(filter_keys={"cpu_percent"})
    fit(Model(), callbacks=[monitor], logger=logger, log_every_n_steps=4, limit_val_batches=0)
    assert logger.rows == [
        (3, "DeviceStatsMonitor.on_train_batch_start/cpu_percent"),
        (3, "DeviceStatsMonitor.on_train_batch_end/cpu_percent"),
    ]


def test_unknown_values_are_refused(tmp_path, psutil) -> None:
    with pytest.raises(MisconfigurationException, match=r"cpu_percents.*cpu_percent"):
        fit(Model(), callbacks=[DeviceStatsMonitor(filter_keys=["cpu_percents"])], logger=Rows(tmp_path))


def test_the_processor_can_be_left_out(tmp_path) -> None:
    logger = Rows(tmp_path)
    fit(Model(), callbacks=[DeviceStatsMonitor(cpu_stats=False)], logger=logger, log_every_n_steps=1)
    assert all(len(row) == 1 for row in logger.rows)


def test_a_logger_is_needed() -> None:
    with pytest.raises(MisconfigurationException, match="DeviceStatsMonitor"):
        fit(Model(), callbacks=[DeviceStatsMonitor()])
    model = Model()
    model.forward = lambda batch: batch
    trainer(callbacks=[DeviceStatsMonitor()]).predict(model, loader())  # it has nothing to do there


def test_psutil_is_needed_on_the_cpu(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(ImportError, match=r"leyden\[stats\]"):
        fit(Model(), callbacks=[DeviceStatsMonitor()], logger=Rows(tmp_path))


@pytest.mark.parametrize("wrong", [{"cpu_stats": "yes"}, {"filter_keys": "cpu_percent"}])
def test_wrong_arguments_are_named(wrong) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(wrong))):
        DeviceStatsMonitor(**wrong)


def test_the_real_numbers_of_the_processor() -> None:
    pytest.importorskip("psutil", reason="an optional dependency")
    stats = cpu_stats()
    assert sorted(stats) == CPU
    assert 0 < stats["cpu_vm_percent"] <= 100


def test_the_numbers_of_an_accelerator(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: {"allocated_bytes.all.current": 512})
    assert device_stats(torch.device("cuda", 0)) == {"allocated_bytes.all.current": 512.0}
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 1)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2)
    assert device_stats(torch.device("mps")) == {
        "mps_current_allocated_bytes": 1.0,
        "mps_driver_allocated_bytes": 2.0,
    }
