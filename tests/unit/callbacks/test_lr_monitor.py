"""LearningRateMonitor: names, places, values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from helpers_fit import Regression, fit, loader
from helpers_loggers import Recording
from leyden.callbacks import LambdaCallback, LearningRateMonitor
from leyden.errors import MisconfigurationException


class Memory(Recording):
    """Keeps the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, metrics))


class Scheduled(Regression):
    """SGD with momentum; a scheduler that halves the rate; groups."""

    def __init__(self, interval: str | None = "epoch", **group: Any) -> None:
        super().__init__()
        self.interval, self.group = interval, group

    def configure_optimizers(self) -> Any:
        groups = [{"params": [self.layer.weight], **self.group}, {"params": [self.layer.bias], "lr": 0.01}]
        parameters = groups if self.group else self.parameters()
        optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)
        if self.interval is None:
            return optimizer
        return [optimizer], [{"scheduler": StepLR(optimizer, 1, 0.5), "interval": self.interval}]


class Several(Regression):
    """Manual optimization: two Adams and an SGD, of which the first and the last are scheduled."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.step()

    def configure_optimizers(self) -> Any:
        one, two = (torch.optim.Adam(self.parameters(), lr=rate) for rate in (0.1, 0.2))
        three = torch.optim.SGD(self.parameters(), lr=0.3)
        return [one, two, three], [StepLR(one, 1), {"scheduler": StepLR(three, 1), "name": "mine"}]


def rows(module: Any, monitor: LearningRateMonitor, **arguments: Any) -> Any:
    logger = Memory()
    trainer = fit(module, logger=logger, callbacks=[monitor], **{"max_epochs": 2, "log_every_n_steps": 2} | arguments)
    return trainer, [(step, {name: pytest.approx(value) for name, value in row.items()}) for step, row in logger.rows]


EPOCHS = [(0, {"lr-SGD": 0.1}), (4, {"lr-SGD": 0.05})]
STEPS = [(1, {"lr-SGD": 0.1}), (3, {"lr-SGD": 0.1}), (5, {"lr-SGD": 0.05}), (7, {"lr-SGD": 0.05})]


def test_the_last_momentum_and_weight_decay() -> None:
    monitor = LearningRateMonitor("epoch", log_momentum=True, log_weight_decay=True)
    rows(Scheduled(), monitor)
    assert monitor.last_momentum_values == {"lr-SGD-momentum": 0.9}
    assert monitor.last_weight_decay_values == {"lr-SGD-weight_decay": 0.01}


@pytest.mark.parametrize(
    ("interval", "expected"),
    [("epoch", EPOCHS), ("step", STEPS), (None, EPOCHS)],
)
def test_when_it_logs(interval, expected):
    assert rows(Scheduled(), LearningRateMonitor(interval))[1] == expected


def test_each_optimizer_as_often_as_its_scheduler_steps():
    _, found = rows(Scheduled("step"), LearningRateMonitor())
    assert found == [(step, {"lr-SGD": 0.1 * 0.5**step}) for step in (1, 3, 5, 7)]


def test_without_a_scheduler_the_constant_rate_is_logged():
    _, found = rows(Scheduled(None), LearningRateMonitor())
    assert found == [(step, {"lr-SGD": 0.1}) for step in (0, 1, 3, 4, 5, 7)]


def test_a_step_of_several_batches_is_logged_once():
    _, found = rows(Scheduled("step"), LearningRateMonitor(), accumulate_grad_batches=2)
    assert found == [(1, {"lr-SGD": 0.05}), (3, {"lr-SGD": 0.0125})]


def test_groups_momentum_and_weight_decay():
    monitor = LearningRateMonitor("epoch", log_momentum=True, log_weight_decay=True)
    _, found = rows(Scheduled(lr=0.2), monitor, max_epochs=1)
    first = {"lr-SGD/pg1": 0.2, "lr-SGD/pg1-momentum": 0.9, "lr-SGD/pg1-weight_decay": 0.01}
    second = {"lr-SGD/pg2": 0.01, "lr-SGD/pg2-momentum": 0.9, "lr-SGD/pg2-weight_decay": 0.01}
    assert found == [(0, first | second)]


def test_a_group_with_a_name():
    _, found = rows(Scheduled(name="weights"), LearningRateMonitor("epoch"), max_epochs=1)
    assert found == [(0, {"lr-SGD/weights": 0.1, "lr-SGD/pg2": 0.01})]


def test_several_optimizers():
    monitor = LearningRateMonitor("epoch", log_momentum=True)
    _, found = rows(Several(), monitor, max_epochs=1)
    momenta = {"lr-Adam-momentum": 0.9, "mine-momentum": 0.0, "lr-Adam-1-momentum": 0.9}
    assert found == [(0, {"lr-Adam": 0.1, "mine": 0.3, "lr-Adam-1": 0.2} | momenta)]


def test_a_prefix_for_every_name():
    _, found = rows(Scheduled(), LearningRateMonitor("epoch", log_key_prefix="optim/"), max_epochs=1)
    assert found == [(0, {"optim/lr-SGD": 0.1})]


def test_the_values_are_callback_metrics_and_in_lrs():
    monitor = LearningRateMonitor()
    trainer, _ = rows(Scheduled(), monitor)
    assert trainer.callback_metrics["lr-SGD"].item() == pytest.approx(0.05)
    assert monitor.lrs == {"lr-SGD": [0.1, 0.05]}


def test_a_group_that_is_added_later_renames_the_first():
    def add(trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            trainer.optimizers[0].add_param_group({"params": [torch.nn.Parameter(torch.ones(1))], "lr": 0.5})

    monitor = LearningRateMonitor("epoch")
    fit(
        Scheduled(None), logger=Memory(), max_epochs=2, log_every_n_steps=2,
        callbacks=[LambdaCallback(on_train_epoch_start=add), monitor],
    )  # fmt: skip
    assert monitor.lrs == {"lr-SGD/pg1": [0.1, 0.1], "lr-SGD/pg2": [0.5]}


def test_without_a_logger_it_is_an_error():
    with pytest.raises(MisconfigurationException, match="the Trainer has no logger. Fix: leave out `logger=False`"):
        fit(Scheduled(), callbacks=[LearningRateMonitor()])


def test_groups_of_one_name_are_an_error():
    class Twice(Regression):
        def configure_optimizers(self) -> Any:
            groups = [{"params": [p], "name": "same"} for p in self.parameters()]
            return torch.optim.SGD(groups, lr=0.1)

    module = Twice()
    with pytest.raises(MisconfigurationException, match="several groups are called 'same'. Fix: give each group"):
        fit(module, loader(), logger=Memory(), callbacks=[LearningRateMonitor()], log_every_n_steps=1)
    assert module.calls == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [("logging_interval", "batch"), ("log_momentum", 1), ("log_weight_decay", "yes"), ("log_key_prefix", 3)],
)
def test_wrong_arguments(argument, value):
    with pytest.raises(MisconfigurationException, match=f"`{argument}` got {value!r}"):
        LearningRateMonitor(**{argument: value})
