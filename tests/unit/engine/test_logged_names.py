"""Which names a program can log, read from its source; None wherever that is not certain."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import leyden as pl
from leyden.engine.logged_names import logged_names

FIT = {"training", "validation"}


class Certain(pl.LightningModule):
    """Everything here is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x: Any) -> Any:
        return self.layer(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = torch.log(self(batch) + math.log(2.0)).log().sum()
        self.log("train_loss", loss)
        if self.trainer.sanity_checking or self.current_epoch > 3:
            self.log(name="late", value=loss, prog_bar=True)
        return self.shared(loss)

    def shared(self, loss: Any) -> Any:
        self.log_dict({"a": loss, "b": [value + 1 for value in loss]})
        return loss

    @staticmethod
    def accuracy(predicted: Any, target: Any) -> Any:
        return (predicted == target).float().mean()

    @property
    def rate(self) -> float:
        return self.trainer.optimizers[0].param_groups[0]["lr"]

    @torch.no_grad()
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.accuracy(batch, batch))

    def on_test_epoch_end(self) -> None:
        self.log("test_loss", 1.0)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_step_loss", 1.0)


class Child(Certain):
    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.log("epoch_end", 1.0)


WRITTEN = {"train_loss", "late", "a", "b", "val_loss"}


def test_names_that_are_written_out() -> None:
    assert logged_names(Certain(), [], FIT) == WRITTEN
    assert logged_names(Child(), [], FIT) == WRITTEN | {"epoch_end"}
    assert logged_names(Child(), [], {"training"}) == (WRITTEN | {"epoch_end"}) - {"val_loss"}


def test_a_step_of_another_stage_counts_if_somebody_calls_it() -> None:
    class Reuses(Certain):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            return self.test_step(batch, batch_idx)

    assert logged_names(Reuses(), [], FIT) == WRITTEN | {"test_step_loss"}


def test_callbacks_count() -> None:
    class Logs(pl.Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.log("own", 1.0)
            self.write(trainer, pl_module)

        def write(self, trainer: Any, pl_module: Any) -> None:
            pl_module.log("modules", float(trainer.current_epoch))

    ours = [pl.callbacks.EarlyStopping("x"), pl.callbacks.ModelCheckpoint(), pl.callbacks.ModelSummary()]
    assert logged_names(Certain(), [Logs(), *ours], FIT) == WRITTEN | {"own", "modules"}


def helper(module: Any) -> None:
    module.log("x", 1.0)


class Formatted(Certain):
    def shared(self, loss: Any) -> Any:
        self.log(f"{self.trainer.state.stage}_loss", loss)


class Variable(Certain):
    def shared(self, loss: Any) -> Any:
        for name in ("x", "y"):
            self.log(name, loss)


class DictVariable(Certain):
    def shared(self, loss: Any) -> Any:
        self.log_dict(loss)


class DictUnpacked(Certain):
    def shared(self, loss: Any) -> Any:
        self.log_dict({"a": loss, **loss})


class DictBuilt(Certain):
    def shared(self, loss: Any) -> Any:
        self.log_dict({f"x_{name}": value for name, value in loss.items()})


class Keywords(Certain):
    def shared(self, loss: Any) -> Any:
        self.log(**loss)


class HandsSelfOn(Certain):
    def shared(self, loss: Any) -> Any:
        helper(self)


class HandsTrainerOn(Certain):
    def shared(self, loss: Any) -> Any:
        helper(self.trainer)


class HandsMethodOn(Certain):
    def shared(self, loss: Any) -> Any:
        list(map(self.log, loss))


class Alias(Certain):
    def shared(self, loss: Any) -> Any:
        log = self.log
        log("x", loss)


class Keeps(Certain):
    def shared(self, loss: Any) -> Any:
        this = self
        this.layer(loss)


class WritesDirectly(Certain):
    def on_train_batch_end(self, *_: Any) -> None:
        self.trainer.callback_metrics["x"] = torch.ones(())


class OnceMore(Certain):
    def shared(self, loss: Any) -> Any:
        getattr(self, "log")("x", loss)  # noqa: B009


UNCERTAIN = [
    Formatted, Variable, DictVariable, DictUnpacked, DictBuilt, Keywords, HandsSelfOn, HandsTrainerOn, HandsMethodOn,
    Alias, Keeps, WritesDirectly, OnceMore,
]  # fmt: skip


@pytest.mark.parametrize("kind", UNCERTAIN)
def test_names_that_only_a_run_tells(kind: type[pl.LightningModule]) -> None:
    assert logged_names(kind(), [], FIT) is None


def test_parts_that_could_log() -> None:
    class Part(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return self.parent[0].log("x", 1.0)

    class Quiet(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x + 1

    module = Certain()
    module.part = Quiet()
    assert logged_names(module, [], FIT) == WRITTEN
    module.part = Part()
    assert logged_names(module, [], FIT) is None
    module.part = Certain()
    assert logged_names(module, [], FIT) is None


def test_methods_set_on_an_instance() -> None:
    module = Certain()
    module.on_train_epoch_end = lambda: module.log("x", 1.0)  # type: ignore[method-assign]
    assert logged_names(module, [], FIT) is None
    callback = pl.Callback()
    callback.on_train_epoch_end = lambda trainer, pl_module: pl_module.log("x", 1.0)  # type: ignore[method-assign]
    assert logged_names(Certain(), [callback], FIT) is None


def test_code_without_source() -> None:
    space: dict[str, Any] = {"Certain": Certain, "__name__": "__main__"}
    exec("class Typed(Certain):\n    def shared(self, loss):\n        self.log('x', loss)\n", space)
    assert logged_names(space["Typed"](), [], FIT) is None
    lambdas = type("Lambda", (Certain,), {"shared": lambda self, loss: self.log("x", loss)})
    assert logged_names(lambdas(), [], FIT) in (None, WRITTEN | {"x"})
