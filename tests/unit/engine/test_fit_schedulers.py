"""When schedulers step."""

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader

import leyden as pl
from helpers_fit import Endless, Validated, fit, loader, trainer
from leyden.errors import MisconfigurationException

EPOCH = [0, 1, 2, 3]


class Scheduled(Validated):
    """Notes each step of its scheduler, and the rate in validation and at the epoch's end."""

    def __init__(self, kind: type = StepLR, **options: Any) -> None:
        super().__init__(lr=1.0)
        self.kind, self.options = kind, options
        self.rates: list[float] = []

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        arguments = {"step_size": 1, "gamma": 0.5} if self.kind is StepLR else {}
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.kind(optimizer, **arguments), **self.options},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        self.calls.append("tick" if metric is None else "metric")
        super().lr_scheduler_step(scheduler, metric)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])


def test_row_07_a_step_comes_before_the_batchs_end_and_validation() -> None:
    module = Scheduled(interval="step")
    fit(module)
    assert module.calls == [0, "tick", 1, "tick", 2, "tick", 3, "tick", "val", "end"]
    assert module.rates == [0.5, 0.25, 0.125, 0.0625]


def test_row_07_per_epoch_on_the_last_batch() -> None:
    module = Scheduled()
    fit(module, max_epochs=2)
    assert module.calls == [*EPOCH, "tick", "val", "end"] * 2
    assert module.rates == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_row_06_leaving_an_epoch_steps_its_scheduler() -> None:
    module = Scheduled()
    module.on_train_batch_start = lambda batch, batch_idx: -1 if batch_idx == 2 else None  # type: ignore[method-assign]
    fit(module)
    assert module.calls == [0, 1, "tick", "end"]


def test_should_stop_in_mid_epoch_does_not_step_it() -> None:
    class Stopping(Scheduled):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.trainer.should_stop = batch_idx == 1

    module = Stopping()
    fit(module, max_epochs=3)
    assert module.calls == [0, 1, "val", "end"]


def test_row_08_plateau_per_epoch_steps_after_the_epochs_values() -> None:
    module = Scheduled(ReduceLROnPlateau, monitor="val_loss")
    fit(module, max_epochs=2)
    assert module.calls == [*EPOCH, "val", "end", "metric"] * 2


def test_row_08_plateau_per_step_steps_after_validation() -> None:
    module = Scheduled(ReduceLROnPlateau, monitor="val_loss", interval="step", frequency=2)
    fit(module, val_check_interval=2)
    assert module.calls == [0, 1, "val", "metric", 2, 3, "val", "metric", "end"]


def test_plateau_may_follow_a_value_of_the_training_epoch() -> None:
    class Monitored(Scheduled):
        def on_train_epoch_end(self) -> None:
            super().on_train_epoch_end()
            self.log("late", 1.0)

    module = Monitored(ReduceLROnPlateau, monitor="late")
    fit(module, limit_val_batches=0)
    assert module.calls == [*EPOCH, "end", "metric"]


def test_a_missing_metric_is_an_error_if_strict() -> None:
    with pytest.raises(MisconfigurationException, match="val_loss"):
        fit(Scheduled(ReduceLROnPlateau, monitor="val_loss"), check_val_every_n_epoch=2, max_epochs=2)
    module = Scheduled(ReduceLROnPlateau, monitor="val_loss", strict=False)
    with pytest.warns(UserWarning, match="val_loss"):
        fit(module, check_val_every_n_epoch=2, max_epochs=2)
    assert module.calls == [*EPOCH, "end", *EPOCH, "val", "end", "metric"]


@pytest.mark.parametrize(
    ("count", "frequency", "window", "ticks"), [(13, 3, 2, [5, 11]), (8, 3, 1, [2, 5]), (7, 1, 3, [2, 5, 6])]
)
def test_row_09_frequency_counts_batches_and_waits_for_the_window(
    count: int, frequency: int, window: int, ticks: list[int]
) -> None:
    module = Scheduled(interval="step", frequency=frequency)
    fit(module, loader(count, 1), limit_val_batches=0, accumulate_grad_batches=window)
    assert [module.calls[i - 1] for i, call in enumerate(module.calls) if call == "tick"] == ticks


def test_row_09_frequency_of_epochs() -> None:
    module = Scheduled(frequency=2)
    fit(module, max_epochs=5, limit_train_batches=1, limit_val_batches=0)
    assert module.calls == [0, "end", 0, "tick", "end"] * 2 + [0, "end"]


class Bare(Validated):
    """The list form with a scheduler that needs a metric and names none."""

    name = "val_loss"

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log(self.name, self.loss(batch))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [ReduceLROnPlateau(optimizer, patience=5, factor=0.5)]

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        self.calls.append(metric.item())
        super().lr_scheduler_step(scheduler, metric)


@pytest.mark.parametrize("sanity", [2, 0])
def test_a_bare_plateau_scheduler_follows_val_loss(sanity: int, capsys: pytest.CaptureFixture[str]) -> None:
    module = Bare()
    made = fit(module, num_sanity_val_steps=sanity, max_epochs=2)
    assert [call for call in module.calls if isinstance(call, float)][1] == made.callback_metrics["val_loss"].item()
    assert capsys.readouterr().out.count("it follows 'val_loss'") == 1


@pytest.mark.parametrize("sanity", [2, 0])
def test_a_bare_plateau_scheduler_without_val_loss_is_an_error(sanity: int) -> None:
    module = Bare()
    module.name = "score"
    with pytest.raises(MisconfigurationException, match=r"monitor.*'val_loss'.*score"):
        fit(module, num_sanity_val_steps=sanity)
    assert (module.calls == []) == (sanity == 2)


def test_a_scheduler_of_ones_own_needs_its_step() -> None:
    class Own:
        def __init__(self, optimizer: Any) -> None:
            self.optimizer, self.count = optimizer, 0

        def advance(self) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, Any]:
            return {}

    class Stepping(Validated):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [Own(optimizer)]

    with pytest.raises(MisconfigurationException, match="lr_scheduler_step"):
        fit(Stepping())
    module = Stepping()
    module.lr_scheduler_step = lambda scheduler, metric: scheduler.advance()  # type: ignore[method-assign]
    made = fit(module, max_epochs=2)
    assert made.lr_scheduler_configs[0].scheduler.count == 2


def test_manual_optimization_leaves_schedulers_to_the_module() -> None:
    class Manual(Scheduled):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            optimizer, scheduler = self.optimizers(), self.lr_schedulers()
            assert isinstance(scheduler, LRScheduler)
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()
            if self.trainer.is_last_batch:
                scheduler.step()

    module = Manual()
    fit(module)
    assert module.calls == ["val", "end"]
    assert module.rates[-1] == 0.5


class SaveAtEpochEnd(pl.Callback):
    monitors = True

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 0:
            trainer.when_settled(lambda: trainer.save_checkpoint(self.path))


@pytest.mark.parametrize("known", [True, False])
def test_a_plateau_step_that_was_due_at_a_save_is_done_once_on_resuming(tmp_path: Any, known: bool) -> None:
    def data() -> Any:
        return loader() if known else DataLoader(Endless(), batch_size=2)

    class Constant(Scheduled):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", 1.0)

        def configure_optimizers(self) -> Any:
            configured = super().configure_optimizers()
            configured["lr_scheduler"]["scheduler"].patience = 0
            return configured

    path = str(tmp_path / "end.ckpt")
    calm, resumed = (Constant(ReduceLROnPlateau, monitor="val_loss") for _ in range(2))
    fit(calm, data(), max_epochs=3, callbacks=[SaveAtEpochEnd(path)])
    made = trainer(max_epochs=3)
    made.fit(resumed, data(), loader(), ckpt_path=path)
    assert resumed.calls == ["metric", *calm.calls[6:]]
    assert resumed.rates == calm.rates[4:]
