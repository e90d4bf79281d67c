"""Validation and testing: results, loaders, modes, and the checkpoint that is tested."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from helpers_results import Probe, Rows, fit, numbers, plain, trainer
from leyden.data.combined import CombinedLoader


def log_v(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
    module.log("v", batch_idx + 10.0 * dataloader_idx)


# -- what comes back ----------------------------------------------------------------------------------------------------


def test_row_41_one_dict_of_floats_per_loader() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("both", float(batch_idx), on_step=True)
        module.log("step", 1.0, on_step=True, on_epoch=False)
        module.log("hidden", 1.0, logger=False)

    def epoch_end(module: Any) -> None:
        module.log("end", 3.0)

    module = Probe(test_step=log, on_test_epoch_end=epoch_end)
    assert trainer().test(module, numbers(), verbose=False) == [{"both_epoch": 0.5, "end": 3.0}]
    rows = trainer().test(module, [numbers(), numbers(2)], verbose=False)
    assert rows == [
        {"both_epoch/dataloader_idx_0": 0.5, "end": 3.0},
        {"both_epoch/dataloader_idx_1": 0.0, "end": 3.0},
    ]
    assert all(type(value) is float for row in rows for value in row.values())


@pytest.mark.parametrize("several", [list, tuple, lambda loaders: dict(zip("ab", loaders, strict=True))])
def test_row_47_collections_run_one_loader_after_the_other(several: Any) -> None:
    run = trainer()
    rows = run.validate(Probe(validation_step=log_v), several([numbers(), numbers(6)]), verbose=False)
    assert rows == [{"v/dataloader_idx_0": 0.5}, {"v/dataloader_idx_1": 11.0}]
    assert plain(run.callback_metrics) == {"v/dataloader_idx_0": 0.5, "v/dataloader_idx_1": 11.0}


def test_row_47_without_the_suffix() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("shared", batch_idx + 10.0 * dataloader_idx, add_dataloader_idx=False)
        module.log(f"own{dataloader_idx}", 1.0 + dataloader_idx, add_dataloader_idx=False)

    rows = trainer().validate(Probe(validation_step=log), [numbers(), numbers(6)], verbose=False)
    shared = (0 * 2 + 1 * 2 + (10 + 11 + 12) * 2) / 10
    assert rows == [{"shared": shared, "own0": 1.0}, {"shared": shared, "own1": 2.0}]


def test_nothing_ran() -> None:
    assert trainer(limit_test_batches=0).test(Probe(test_step=log_v), numbers(), verbose=False) == []
    assert trainer().test(Probe(test_step=log_v), [], verbose=False) == []
    assert trainer().test(Probe(), numbers(), verbose=False) == [{}]


def test_a_limit_of_zero_asks_for_no_loader() -> None:
    class Data(pl.LightningDataModule):
        def test_dataloader(self) -> Any:
            raise AssertionError("not needed")

    assert trainer(limit_test_batches=0).test(Probe(test_step=log_v), datamodule=Data(), verbose=False) == []


def test_an_empty_loader_gives_an_empty_dict() -> None:
    empty = DataLoader(TensorDataset(torch.ones(0, 1)), batch_size=2)
    module = Probe(validation_step=log_v)
    assert trainer().validate(module, [empty, numbers()], verbose=False) == [{}, {"v/dataloader_idx_1": 10.5}]
    assert trainer().validate(module, [numbers(), empty], verbose=False) == [{"v/dataloader_idx_0": 0.5}, {}]
    assert trainer().validate(module, [empty, empty], verbose=False) == []


# -- loaders ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "counts"), [(1, [1, 1]), (2, [2, 2]), (3, [2, 3]), (0.5, [1, 2]), (1.0, [2, 4]), (10, [2, 4])]
)
def test_row_61_limits_are_per_loader(limit: Any, counts: list[int]) -> None:
    seen: list[int] = [0, 0]

    def step(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        seen[dataloader_idx] += 1

    run = trainer(limit_val_batches=limit)
    run.validate(Probe(validation_step=step), [numbers(4), numbers(8)], verbose=False)
    assert seen == counts == run.num_val_batches


@pytest.mark.parametrize(("steps", "counts"), [(1, [1, 1]), (3, [2, 3]), (-1, [2, 4])])
def test_row_27_the_sanity_check_is_limited_per_loader(steps: int, counts: list[int]) -> None:
    seen: list[int] = [0, 0]

    def step(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        seen[dataloader_idx] += module.trainer.sanity_checking

    run = fit(Probe(validation_step=step), val=[numbers(4), numbers(8)], num_sanity_val_steps=steps)
    assert seen == counts == run.num_sanity_val_batches


class Two(pl.LightningModule):
    """Its subclasses differ in the signature of their steps."""


def two_loaders(step: Any) -> None:
    kind = type("Signature", (Two,), {"validation_step": step, "test_step": step})
    trainer().validate(kind(), [numbers(), numbers()], verbose=False)
    trainer().test(kind(), [numbers(), numbers()], verbose=False)


def test_row_37_several_loaders_need_the_argument() -> None:
    for step in (
        lambda self, batch, batch_idx: None,
        lambda self, batch: None,
        lambda self, batch, batch_idx, other=0: None,
        lambda self, batch, batch_idx, **named: None,
    ):
        with pytest.raises(RuntimeError, match="dataloader_idx=0"):
            two_loaders(step)
    two_loaders(lambda self, batch, batch_idx, dataloader_idx: None)
    two_loaders(lambda self, batch, batch_idx, dataloader_idx=0: None)
    two_loaders(lambda self, *given: None)


def test_row_37_hooks_may_leave_the_argument_out() -> None:
    calls: list[Any] = []

    class Short(Probe):
        def on_validation_batch_start(self, batch: Any, batch_idx: int) -> None:
            calls.append(("start", batch_idx))

        def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            calls.append(("end", batch_idx, dataloader_idx, outputs))

    class Hooks(pl.Callback):
        def on_validation_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            calls.append(("callback", batch_idx))

    module = Short(validation_step=lambda m, batch, batch_idx, dataloader_idx: dataloader_idx)
    trainer(callbacks=[Hooks()]).validate(module, [numbers(2), numbers(2)], verbose=False)
    assert calls == [("start", 0), ("callback", 0), ("end", 0, 0, 0), ("start", 0), ("callback", 0), ("end", 0, 1, 1)]


def test_an_argument_without_default_is_filled_for_one_loader() -> None:
    class Required(pl.LightningModule):
        def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.log("index", float(dataloader_idx))

    assert trainer().test(Required(), numbers(), verbose=False) == [{"index": 0.0}]


@pytest.mark.parametrize(
    ("mode", "batches"), [("min_size", 1), ("max_size", 2), ("max_size_cycle", 2), ("sequential", 3)]
)
def test_combined_loaders_of_every_mode(mode: Any, batches: int) -> None:
    seen: list[Any] = []
    module = Probe(validation_step=lambda m, *given: seen.append(given))
    trainer().validate(module, CombinedLoader({"a": numbers(4), "b": numbers(2)}, mode), verbose=False)
    assert len(seen) == batches
    if mode == "sequential":
        assert [given[1:] for given in seen] == [(0, 0), (1, 0), (0, 1)]
    else:
        assert [set(given[0]) for given in seen] == [{"a", "b"}] * batches
        assert [given[1:] for given in seen] == [(index, 0) for index in range(batches)]
    if mode == "max_size":
        assert seen[1][0]["b"] is None


def test_row_45_samplers_are_told_the_epoch() -> None:
    told: list[tuple[str, int]] = []

    class Told(torch.utils.data.SequentialSampler):
        def __init__(self, name: str, data: Any) -> None:
            super().__init__(data)
            self.name = name

        def set_epoch(self, epoch: int) -> None:
            told.append((self.name, epoch))

    def loader(name: str) -> Any:
        data = TensorDataset(torch.ones(4, 1))
        return DataLoader(data, batch_size=2, sampler=Told(name, data))

    module = Probe(validation_step=lambda *_: None, test_step=lambda *_: None)
    run = fit(module, loader("train"), loader("val"), max_epochs=2, num_sanity_val_steps=1)
    run.test(module, loader("test"), verbose=False)
    assert told == [("val", 0), ("train", 0), ("val", 0), ("train", 1), ("val", 1), ("test", 2)]


# -- modes --------------------------------------------------------------------------------------------------------------


class Modes(Probe):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(1).eval()
        self.noted: dict[str, tuple[bool, ...]] = {}

    def note(self, where: str) -> None:
        grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        self.noted[where] = (self.training, self.norm.training, self.layer.training, grad, inference)

    def validation_step(self, *_: Any) -> None:
        self.note("validation")

    def test_step(self, *_: Any) -> None:
        self.note("test")

    def predict_step(self, *_: Any) -> None:
        self.note("predict")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.note("training")
        return super().training_step(batch, batch_idx)


def test_row_40_parts_in_evaluation_mode_stay_there_in_fit_with_a_warning() -> None:
    module = Modes()
    with pytest.warns(UserWarning, match="evaluation mode"):
        fit(module, val=numbers(), max_epochs=2, num_sanity_val_steps=1)
    assert module.noted == {
        "training": (True, False, True, True, False),
        "validation": (False, False, False, False, False),
    }
    assert (module.training, module.norm.training, module.layer.training) == (True, False, True)


@pytest.mark.parametrize("inference", [True, False])
@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_row_38_inference_mode_outside_fit(stage: str, inference: bool) -> None:
    module = Modes()
    getattr(trainer(inference_mode=inference), stage)(module, numbers())
    assert list(module.noted.values()) == [(False, False, False, False, inference)]
    assert (module.training, module.norm.training, module.layer.training) == (True, False, True)


def test_row_39_a_module_in_evaluation_mode_stays_there() -> None:
    module = Modes().eval()
    trainer().validate(module, numbers(), verbose=False)
    assert not any(child.training for child in module.modules())


def test_row_39_modes_are_restored_after_an_error() -> None:
    def fails(*_: Any) -> None:
        raise KeyError("broken")

    module = Probe(validation_step=fails)
    with pytest.raises(KeyError, match="broken"):
        trainer().validate(module, numbers(), verbose=False)
    assert all(child.training for child in module.modules())


def test_row_39_the_module_may_decide_about_modes() -> None:
    class Decides(Probe):
        def on_validation_model_eval(self) -> None:
            self.seen.append("eval")
            super().on_validation_model_eval()

        def on_validation_model_train(self) -> None:
            self.seen.append("train")
            self.layer.train()

        def on_test_model_train(self) -> None:
            self.seen.append("after test")

    module = Decides()
    run = trainer()
    run.validate(module, numbers(), verbose=False)
    assert (module.training, module.layer.training) == (False, True)
    run.test(module, numbers(), verbose=False)
    assert (module.training, module.layer.training) == (False, False)
    assert module.seen == ["eval", "train", "after test"]


def test_flags_of_the_trainer() -> None:
    def flags(module: Any) -> None:
        run = module.trainer
        module.seen.append((run.sanity_checking, run.validating, run.testing, run.training, run.evaluating))

    module = Probe(validation_step=lambda *_: None, on_validation_start=flags, on_test_start=flags)
    run = fit(module, val=numbers(), num_sanity_val_steps=1)
    run.test(module, numbers(), verbose=False)
    sanity, validating = (True, False, False, False, True), (False, True, False, False, True)
    assert module.seen == [sanity, validating, (False, False, True, False, True)]


# -- weights ------------------------------------------------------------------------------------------------------------


class Counter(pl.LightningModule):
    """Its weight is the number of steps it was trained; its loss is best after two epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return -self.weight

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("loss", (self.weight - 2).abs())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("weight", self.weight)

    def predict_step(self, batch: Any, batch_idx: int) -> float:
        return self.weight.item()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=1.0)


def test_row_42_without_a_module_the_best_weights_are_tested(tmp_path: Any) -> None:
    best = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, monitor="loss")
    run = trainer(max_epochs=4, enable_checkpointing=True, callbacks=[best])
    module = Counter()
    run.fit(module, numbers(2), numbers(2))
    assert module.weight == 4.0
    assert run.test(module, numbers(2), verbose=False) == [{"weight": 4.0}]
    assert run.test(dataloaders=numbers(2), verbose=False) == [{"weight": 2.0}]
    assert run.ckpt_path == best.best_model_path
    assert run.predict(dataloaders=numbers(2)) == [2.0]


def test_row_42_without_a_checkpoint_the_last_weights_are_tested() -> None:
    run = trainer(max_epochs=3)
    run.fit(Counter(), numbers(2), numbers(2))
    assert run.test(dataloaders=numbers(2), verbose=False) == [{"weight": 3.0}]


def test_evaluation_outside_fit_is_logged_at_the_global_step() -> None:
    rows = Rows()
    run = trainer(logger=rows)
    run.fit(Counter(), numbers(), numbers())
    rows.rows.clear()
    run.test(Counter(), numbers(), verbose=False)
    assert rows.rows == [(2, {"epoch": 1, "weight": 0.0})]
