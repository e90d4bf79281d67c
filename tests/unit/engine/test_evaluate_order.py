"""The order of every call in validate, test, predict and in the validation of a fit."""

from __future__ import annotations

import inspect
import types
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_results import Rows, numbers, trainer

pytestmark = pytest.mark.filterwarnings("ignore:Data module and module both define")
SPIED = {
    "setup", "teardown", "prepare_data", "configure_callbacks", "configure_model", "configure_optimizers",
    "training_step", "validation_step", "test_step", "predict_step", "forward", "on_before_batch_transfer",
    "transfer_batch_to_device", "on_after_batch_transfer", "val_dataloader", "test_dataloader", "predict_dataloader",
}  # fmt: skip
NOT_SPIED = {"on_validation_model_train", "on_test_model_train"}  # to override them changes what happens


def spied(base: type, letter: str, calls: list[str]) -> Any:
    """An instance of a subclass of ``base`` that notes each hook it gets, with the numbers among its arguments."""

    def spy(name: str, original: Any) -> Any:
        def method(self: Any, *given: Any) -> Any:
            calls.append(" ".join([f"{letter}.{name}", *(str(item) for item in given if type(item) is int)]))
            return original(self, *given)

        method.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
        return method

    names = [n for n in dir(base) if (n in SPIED or n.startswith("on_")) and n not in NOT_SPIED]
    functions = {name: inspect.getattr_static(base, name) for name in names}
    return type(
        base.__name__, (base,), {n: spy(n, f) for n, f in functions.items() if isinstance(f, types.FunctionType)}
    )()


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, batch: Any) -> Any:
        return self.layer(batch[0])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self(batch).mean()

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("v", 1.0)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("v", 1.0)

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Data(pl.LightningDataModule):
    loaders: Any = None

    def train_dataloader(self) -> Any:
        return numbers(2)

    def val_dataloader(self) -> Any:
        return self.loaders or numbers()

    def test_dataloader(self) -> Any:
        return self.loaders or numbers()

    def predict_dataloader(self) -> Any:
        return self.loaders or numbers()


class Noted(Rows):
    def __init__(self, calls: list[str]) -> None:
        super().__init__()
        self.calls = calls

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.calls.append("log row")

    def finalize(self, status: str) -> None:
        self.calls.append(f"finalize {status}")


def calls_of(call: Any, loaders: Any = None, **arguments: Any) -> list[str]:
    calls: list[str] = []
    module, data, callback = spied(Module, "m", calls), spied(Data, "d", calls), spied(pl.Callback, "c", calls)
    data.loaders = loaders
    run = trainer(logger=Noted(calls), callbacks=[callback], num_sanity_val_steps=1, **arguments)
    call(run, module, data)
    return calls


def split(*lines: str) -> list[str]:
    """Calls, separated by commas; "cm.x" stands for the callback's x, then the module's."""
    calls: list[str] = []
    for call in (part.strip() for line in lines for part in line.split(",")):
        owners, dot, name = call.partition(".")
        calls += [f"{owner}.{name}" for owner in owners] if dot else [call]
    return calls


def batch(name: str, batch_idx: int, index: int, several: bool = False) -> list[str]:
    """One batch; the step is told which loader it is from if there are several."""
    return split(
        f"d.on_before_batch_transfer {index}, d.transfer_batch_to_device {index}, d.on_after_batch_transfer {index}",
        f"cm.on_{name}_batch_start {batch_idx} {index}",
        f"m.{name}_step {batch_idx}{f' {index}' if several else ''}",
        f"cm.on_{name}_batch_end {batch_idx} {index}",
    )


BATCHES = {False: [(0, 0), (1, 0)], True: [(0, 0), (1, 0), (0, 1)]}
BEGIN = split(
    "m.configure_callbacks, d.prepare_data, m.prepare_data, dcm.setup, m.configure_model",
)
END = split("dcm.teardown, finalize success")


@pytest.mark.parametrize(("stage", "name", "prefix"), [("validate", "validation", "val"), ("test", "test", "test")])
@pytest.mark.parametrize("several", [False, True])
def test_validate_and_test(stage: str, name: str, prefix: str, several: bool) -> None:
    loaders = [numbers(), numbers(2)] if several else None
    calls = calls_of(lambda run, module, data: getattr(run, stage)(module, datamodule=data, verbose=False), loaders)
    expected = [*BEGIN, f"d.{prefix}_dataloader", f"m.on_{name}_model_eval"]
    expected += split(f"cm.on_{name}_start, cm.on_{name}_epoch_start")
    for batch_idx, index in BATCHES[several]:
        expected += batch(name, batch_idx, index, several)
    expected += split(f"cm.on_{name}_epoch_end, log row, cm.on_{name}_end")
    assert calls == expected + END


@pytest.mark.parametrize("several", [False, True])
def test_predict(several: bool) -> None:
    loaders = [numbers(), numbers(2)] if several else None
    calls = calls_of(lambda run, module, data: run.predict(module, datamodule=data), loaders)
    expected = [*BEGIN, "d.predict_dataloader", "m.on_predict_model_eval"]
    expected += split("cm.on_predict_start, cm.on_predict_epoch_start")
    for batch_idx, index in BATCHES[several]:
        expected += batch("predict", batch_idx, index, several)
    expected += split("cm.on_predict_epoch_end, cm.on_predict_end")
    assert calls == expected + END


def test_validation_in_fit() -> None:
    calls = calls_of(lambda run, module, data: run.fit(module, datamodule=data))
    begin = calls.index("c.on_sanity_check_start")
    check = calls[begin : calls.index("c.on_sanity_check_end") + 1]
    around = "m.on_validation_model_eval, cm.on_validation_start, cm.on_validation_epoch_start"
    assert check == [
        "c.on_sanity_check_start",
        "d.val_dataloader",
        *split(around),
        *batch("validation", 0, 0),
        *split("cm.on_validation_epoch_end, cm.on_validation_end"),
        "c.on_sanity_check_end",
    ]
    after = calls[calls.index("m.on_train_batch_end 0") + 1 :]
    assert after == [
        "m.on_validation_model_zero_grad",
        *split(around),
        *batch("validation", 0, 0),
        *batch("validation", 1, 0),
        *split("cm.on_validation_epoch_end, log row, cm.on_validation_end"),
        *split("cm.on_train_epoch_end, cm.on_train_end, cm.on_fit_end"),
        *END,
    ]
