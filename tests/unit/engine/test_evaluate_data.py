"""Loaders, data hooks and life cycle around the stages (rows 46 to 62 of the contract)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

import leyden as pl
from helpers_results import Probe, fit, numbers, trainer
from leyden.data.combined import CombinedLoader
from leyden.errors import MisconfigurationException


class Sees(Probe):
    """Keeps its training batches."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(batch)
        return self.layer.weight.sum() * 0


def first_values(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: first_values(value) for key, value in batch.items()}
    return batch[0].flatten().tolist() if isinstance(batch[0], torch.Tensor) else [first_values(b) for b in batch]


def test_row_46_collections_of_training_loaders_give_collections_of_batches() -> None:
    module = Sees()
    fit(module, [numbers(4), numbers(2, first=10.0)])
    assert list(map(first_values, module.seen)) == [[[0.0, 1.0], [10.0, 11.0]], [[2.0, 3.0], [10.0, 11.0]]]
    module = Sees()
    fit(module, {"a": numbers(2), "b": numbers(2)})
    assert list(map(first_values, module.seen)) == [{"a": [0.0, 1.0], "b": [0.0, 1.0]}]


def test_row_48_a_list_of_tensors_is_a_list_of_loaders() -> None:
    module = Sees()
    fit(module, [torch.arange(2.0), torch.arange(10.0, 13.0)])
    assert [[value.item() for value in batch] for batch in module.seen] == [[0.0, 10.0], [1.0, 11.0], [0.0, 12.0]]


def test_row_49_a_combined_loader_stops_with_the_shortest() -> None:
    module = Sees()
    fit(module, CombinedLoader([numbers(6), numbers(2)]))
    assert len(module.seen) == 1


def test_row_50_transfer_hooks_of_the_data_module_come_first() -> None:
    calls: list[str] = []

    def spy(kind: str, name: str) -> Any:
        def method(self: Any, batch: Any, *_: Any) -> Any:
            calls.append(f"{kind}.{name}")
            return batch

        return method

    names = ["on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"]
    module = type("Module", (Sees,), {name: spy("module", name) for name in names})()
    data = type("Data", (pl.LightningDataModule,), {name: spy("data", name) for name in names[:2]})()
    data.train_dataloader = lambda: numbers(2)
    run = trainer(limit_val_batches=0)
    with pytest.warns(UserWarning) as caught:
        run.fit(module, datamodule=data)
    said = [str(warning.message) for warning in caught if "both define" in str(warning.message)]
    assert [text.split("`")[1] for text in said] == names[:2]
    assert calls == ["data.on_before_batch_transfer", "data.transfer_batch_to_device", "module.on_after_batch_transfer"]


def test_row_51_loaders_come_back_as_they_were_given() -> None:
    train, val = {"a": numbers(), "b": numbers()}, [numbers(), numbers()]
    run = fit(Probe(validation_step=lambda *_: None, training_step=lambda *_: None), numbers(), val)
    assert run.val_dataloaders is val
    run = fit(Sees(), train)
    assert run.train_dataloader is train


def test_row_52_a_batch_of_an_own_type_is_moved_by_the_module() -> None:
    class Graph:
        moved = False

    class Moves(Probe):
        def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
            assert device == torch.device("cpu")
            batch.moved = True
            return batch

    module = Moves(test_step=lambda m, batch, *_: m.log("moved", batch.moved, batch_size=1))
    rows = trainer().test(module, DataLoader([Graph()], batch_size=None), verbose=False)  # type: ignore[arg-type]
    assert rows == [{"moved": 1.0}]


def test_row_53_loaders_are_asked_for_again_every_n_epochs() -> None:
    class Loads(Probe):
        def train_dataloader(self) -> Any:
            self.seen.append(("train", self.current_epoch))
            return numbers()

        def val_dataloader(self) -> Any:
            self.seen.append(("val", self.current_epoch))
            return numbers()

    module = Loads(validation_step=lambda *_: None)
    trainer(max_epochs=4, reload_dataloaders_every_n_epochs=2).fit(module)
    assert sorted(module.seen) == [("train", 0), ("train", 2), ("val", 0), ("val", 2)]
    module = Loads(validation_step=lambda *_: None)
    trainer(max_epochs=4).fit(module)
    assert sorted(module.seen) == [("train", 0), ("val", 0)]


def test_row_55_row_58_setup_and_configure_model_run_in_every_call() -> None:
    calls: list[str] = []
    module = Probe(
        setup=lambda m, stage: calls.append(f"setup {stage}"),
        teardown=lambda m, stage: calls.append(f"teardown {stage}"),
        configure_model=lambda m: calls.append("configure_model"),
        validation_step=lambda *_: None,
    )
    run = fit(module, val=numbers())
    run.validate(module, numbers(), verbose=False)
    run.test(module, numbers(), verbose=False)
    run.predict(module, numbers())
    assert calls == [
        call
        for stage in ("fit", "validate", "test", "predict")
        for call in (f"setup {stage}", "configure_model", f"teardown {stage}")
    ]


def test_row_57_the_device_is_known_in_setup() -> None:
    module = Probe(setup=lambda m, stage: m.seen.append(m.device))
    trainer().test(module, numbers(), verbose=False)
    assert module.seen == [torch.device("cpu")]


def test_row_59_an_error_ends_the_run_with_teardown_and_without_fit_end() -> None:
    calls: list[str] = []

    def fails(*_: Any) -> None:
        raise KeyError("broken")

    class Watches(pl.Callback):
        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            calls.append(type(exception).__name__)

    module = Probe(
        validation_step=fails,
        teardown=lambda m, stage: calls.append(f"teardown {stage}"),
        on_fit_end=lambda m: calls.append("on_fit_end"),
    )
    with pytest.raises(KeyError, match="broken"):
        fit(module, val=numbers(), callbacks=[Watches()])
    assert calls == ["KeyError", "teardown fit"]


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_row_60_an_interrupt_ends_the_program(stage: str) -> None:
    def interrupts(*_: Any) -> None:
        raise KeyboardInterrupt

    module = Probe(validation_step=interrupts, test_step=interrupts, predict_step=interrupts)
    run = trainer()
    with pytest.raises(SystemExit) as raised:
        getattr(run, stage)(module, numbers())
    assert raised.value.code == 130
    assert run.interrupted
    assert module.training


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(torch.arange(4.0).reshape(4, 1))


def test_row_62_data_without_a_length() -> None:
    def log(module: Any, batch: Any, *_: Any) -> None:
        module.log("v", batch.mean())

    loader: Any = DataLoader(Endless(), batch_size=2)
    assert trainer().validate(Probe(validation_step=log), loader, verbose=False) == [{"v": 1.5}]
    assert trainer(limit_val_batches=1).validate(Probe(validation_step=log), loader, verbose=False) == [{"v": 0.5}]
    with pytest.raises(MisconfigurationException, match="limit_val_batches"):
        trainer(limit_val_batches=0.5).validate(Probe(validation_step=log), loader, verbose=False)
    with pytest.raises(MisconfigurationException, match="val_check_interval"):
        trainer(val_check_interval=0.5).fit(Sees(validation_step=log), loader, loader)
