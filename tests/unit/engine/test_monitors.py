"""Monitored names: a misspelt one is found at the first step, and no program that works is stopped."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR

import leyden as pl
from helpers_results import fit, numbers, trainer
from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.errors import MisconfigurationException


class Plain(pl.LightningModule):
    """Logs ``train_loss`` and ``val_loss``."""

    steps = 0
    monitor: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.steps += 1
        loss = self.layer(batch[0]).square().mean()
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", 1.0)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        if self.monitor is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": ReduceLROnPlateau(optimizer), "monitor": self.monitor},
        }


def plateau(monitor: str) -> Plain:
    module = Plain()
    module.monitor = monitor
    return module


# -- mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize(
    ("callback", "error"),
    [(EarlyStopping("val_los"), RuntimeError), (EarlyStopping("train_los"), RuntimeError)]
    + [(ModelCheckpoint(monitor="val_los"), MisconfigurationException)],
)
def test_a_misspelt_monitor_is_found_before_the_second_step(callback: Any, error: Any, sanity: int) -> None:
    module = Plain()
    checkpointing = isinstance(callback, ModelCheckpoint)
    with pytest.raises(error, match=r"Available: \[.*'(val|train)_loss'.*Did you mean '(val|train)_loss'\?"):
        fit(
            module, val=numbers(), callbacks=[callback], num_sanity_val_steps=sanity, enable_checkpointing=checkpointing
        )
    assert module.steps == 1


def test_a_misspelt_monitor_of_a_scheduler() -> None:
    module = plateau("val_los")
    with pytest.raises(MisconfigurationException, match="ReduceLROnPlateau.*Did you mean 'val_loss'"):
        fit(module, val=numbers())
    assert module.steps == 1


def test_a_monitor_of_validation_without_validation() -> None:
    module = Plain()
    with pytest.raises(RuntimeError, match=r"EarlyStopping\(monitor='val_loss'\)"):
        fit(module, callbacks=[EarlyStopping("val_loss")])
    assert module.steps == 1


def test_a_misspelt_monitor_where_other_hooks_log() -> None:
    class EpochEnds(Plain):
        def on_validation_epoch_end(self) -> None:
            self.log("val_accuracy", 1.0)

    module = EpochEnds()
    with pytest.raises(RuntimeError, match="Did you mean 'val_accuracy'"):
        fit(module, val=numbers(), callbacks=[EarlyStopping("val_acuracy")])
    assert module.steps == 1


def test_a_misspelt_monitor_of_a_module_without_steps() -> None:
    class Forward(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: Any) -> Any:
            return self.layer(x)

    pairs = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1), torch.ones(4, 1)))
    with pytest.raises(RuntimeError, match="Did you mean 'val_loss'"):
        trainer(callbacks=[EarlyStopping("val_los")], num_sanity_val_steps=1).fit(Forward(), pairs, pairs)


# -- no mistakes --------------------------------------------------------------------------------------------------------


def works(module: Any, *callbacks: Any, val: bool = True, **arguments: Any) -> pl.Trainer:
    folder = f"run{len(os.listdir())}"
    os.mkdir(folder)
    arguments = {"num_sanity_val_steps": 2, "max_epochs": 2, "default_root_dir": folder, **arguments}
    checkpointing = any(isinstance(callback, ModelCheckpoint) for callback in callbacks)
    run = fit(
        module,
        numbers(8),
        numbers() if val else None,
        callbacks=list(callbacks),
        enable_checkpointing=checkpointing,
        **arguments,
    )
    assert run.state.finished
    return run


def watch(name: str) -> tuple[Any, ...]:
    return EarlyStopping(name), ModelCheckpoint(monitor=name)


def test_names_logged_from_the_start() -> None:
    works(plateau("val_loss"), *watch("val_loss"))
    works(plateau("train_loss"), *watch("train_loss"), num_sanity_val_steps=0)
    works(Plain(), ModelCheckpoint(monitor="step", mode="max"))


def test_names_of_steps_and_epochs() -> None:
    class Both(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("loss", 1.0, on_step=True, on_epoch=True)
            return super().training_step(batch, batch_idx)

    for name in ("loss", "loss_step", "loss_epoch"):
        works(Both(), *watch(name))


def test_a_name_with_a_loaders_number() -> None:
    class Several(Plain):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            self.log("val_loss", 1.0)

    for sanity in (0, 1):
        run = trainer(callbacks=[EarlyStopping("val_loss/dataloader_idx_1")], num_sanity_val_steps=sanity)
        run.fit(Several(), numbers(), [numbers(), numbers()])


@pytest.mark.parametrize(
    "hook", ["on_train_epoch_end", "on_train_epoch_start", "on_validation_epoch_end", "on_validation_epoch_start"]
)
def test_names_of_epoch_hooks(hook: str) -> None:
    def method(self: Any) -> None:
        if not self.trainer.sanity_checking:
            self.log("late", 1.0)

    works(type("Late", (Plain,), {hook: method})(), *watch("late"))


def test_names_of_conditional_lines() -> None:
    class Later(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 3:
                self.log("late", 1.0)
            return super().training_step(batch, batch_idx)

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            if self.trainer.sanity_checking:
                return
            self.log("val_late", 1.0)

    works(Later(), *watch("late"), *watch("val_late"))


def test_names_put_together_in_a_base_class() -> None:
    class Base(Plain):
        def report(self, stage: str, value: Any) -> None:
            if not self.trainer.sanity_checking:
                self.log(f"{stage}_score", value)

    class Uses(Base):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.report("val", 1.0)

    works(Uses(), *watch("val_score"))


def test_names_put_together_from_what_a_call_passes() -> None:
    class Numbered(Plain):
        def report(self, name: str, number: int = 1) -> None:
            if self.trainer.global_step >= number:
                self.log(f"{name}{number}", 1.0)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.report("loss", 0)
            self.report("loss", 3)
            return super().training_step(batch, batch_idx)

    works(Numbered(), *watch("loss3"))


def test_names_of_a_step_that_another_one_calls() -> None:
    class Reuses(Plain):
        def on_train_epoch_end(self) -> None:
            self.validation_step(None, 0)

    works(Reuses(), *watch("val_loss"), val=False)


def test_names_in_functions_inside_and_behind_decorators() -> None:
    class Inside(Plain):
        @torch.no_grad()
        def on_train_batch_end(self, *_: Any) -> None:
            def log() -> None:
                for name in ("train_loss1", "train_loss2"):
                    if self.trainer.global_step > 2:
                        self.log(name, 1.0)

            log()

    works(Inside(), *watch("train_loss2"))


class Mixin:
    def report(self: Any) -> None:
        if self.trainer.global_step > 2:
            self.log("mixed", 1.0)


def test_names_of_a_mixin() -> None:
    class Uses(Mixin, Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.report()
            return super().training_step(batch, batch_idx)

    works(Uses(), *watch("mixed"))


def report(module: Any, **values: float) -> None:
    if module.trainer.global_step > 2:
        module.log_dict(values)


def test_names_of_a_function() -> None:
    class Uses(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            report(self, helped=1.0)
            return super().training_step(batch, batch_idx)

    works(Uses(), *watch("helped"))


def test_names_of_a_part() -> None:
    class Head(torch.nn.Module):
        def forward(self, x: Any, module: Any) -> Any:
            if module.trainer.global_step > 2:
                module.log("head/" + "norm", 1.0)
            return x

    class Uses(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.head = Head()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.head(batch[0], self)
            return super().training_step(batch, batch_idx)

    works(Uses(), *watch("head/norm"))


def test_names_of_torchmetrics() -> None:
    torchmetrics = pytest.importorskip("torchmetrics")

    class Measures(Plain):
        def __init__(self) -> None:
            super().__init__()
            self.scores = torchmetrics.MetricCollection([torchmetrics.MeanSquaredError()], prefix="val_")

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.scores.update(batch[0], batch[0])

        def on_validation_epoch_end(self) -> None:
            if not self.trainer.sanity_checking:
                self.log_dict(self.scores.compute())
                self.scores.reset()

    works(Measures(), *watch("val_MeanSquaredError"))


def test_names_of_a_callback() -> None:
    class Logs(pl.Callback):
        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                self.log("called", 1.0)

    class Writes(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.callback_metrics["written"] = torch.ones(())

    works(Plain(), Logs(), *watch("called"))
    works(Plain(), Writes(), *watch("written"))


def test_whoever_would_not_raise_is_not_asked() -> None:
    works(Plain(), EarlyStopping("absent"), fast_dev_run=2)
    works(Plain(), EarlyStopping("absent", check_on_train_epoch_end=False), val=False)
    with pytest.warns(RuntimeWarning, match="EarlyStopping"):
        works(Plain(), EarlyStopping("absent", strict=False), max_epochs=1)
    with pytest.warns(UserWarning, match="could not find the monitored key"):
        works(Plain(), ModelCheckpoint(monitor="absent"), val=False, max_epochs=1)


def test_a_stopping_rule_of_the_users_own_is_not_asked() -> None:
    class Own(EarlyStopping):
        def _run_early_stopping_check(self, trainer: Any) -> None: ...

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None: ...

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None: ...

    works(Plain(), Own("absent"))


def test_manual_optimization_steps_its_own_schedulers() -> None:
    class Manual(Plain):
        monitor = "absent"

        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.optimizers().step()

    works(Manual())


# -- schedulers ---------------------------------------------------------------------------------------------------------


def test_a_scheduler_that_is_not_strict_warns() -> None:
    class Lenient(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            scheduler = {"scheduler": ReduceLROnPlateau(optimizer), "monitor": "absent", "strict": False}
            return {"optimizer": optimizer, "lr_scheduler": scheduler}

    with pytest.warns(UserWarning, match="ReduceLROnPlateau.*'absent'"):
        works(Lenient(), max_epochs=1)


def test_a_bare_plateau_follows_val_loss_if_it_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    class Bare(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [ReduceLROnPlateau(optimizer, patience=0)]

    for sanity in (2, 0):
        run = works(Bare(), max_epochs=4, num_sanity_val_steps=sanity)
        assert "val_loss" in capsys.readouterr().out
        assert run.optimizers[0].param_groups[0]["lr"] < 0.1

    class Silent(Bare):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("other", 1.0)

    with pytest.raises(MisconfigurationException, match="'val_loss'.*was not logged"):
        fit(Silent(), val=numbers(), num_sanity_val_steps=2)


def test_other_schedulers_get_no_metric() -> None:
    class Stepped(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
            return [optimizer], [StepLR(optimizer, 1, gamma=0.5)]

    assert works(Stepped(), max_epochs=3).optimizers[0].param_groups[0]["lr"] == 0.125
