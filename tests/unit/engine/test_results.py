"""What `self.log` collects: its arguments, and the metric dictionaries at every point of a run."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_results import Probe, fit, fit_rows, numbers, plain, trainer
from leyden.errors import MisconfigurationException, PossibleUserWarning


def shown(module: Any) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    run = module.trainer
    return plain(run.callback_metrics), plain(run.logged_metrics), plain(run.progress_bar_metrics)


def note(module: Any, *_: Any) -> None:
    module.seen.append(shown(module))


def as_loader(*batches: Any) -> Any:
    """A loader of batches that are made already."""
    return torch.utils.data.DataLoader(list(batches), batch_size=None)


# -- the dictionaries ---------------------------------------------------------------------------------------------------


def test_row_64_keys_of_training() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.log("a", float(batch_idx), prog_bar=True)
        module.log("b", batch_idx * 10.0, on_epoch=True, prog_bar=True)
        module.log("c", batch_idx * 100.0, on_step=False, on_epoch=True, logger=False)
        note(module)

    module = Probe(training_step=log, on_train_batch_end=note, on_train_epoch_end=note, on_train_end=note)
    run = fit(module)
    first = {"a": 0.0, "b": 0.0, "b_step": 0.0}, {"a": 0.0, "b_step": 0.0}, {"a": 0.0, "b_step": 0.0}
    second = {"a": 1.0, "b": 10.0, "b_step": 10.0}, {"a": 1.0, "b_step": 10.0}, {"a": 1.0, "b_step": 10.0}
    over = (
        {"a": 1.0, "b": 5.0, "b_step": 10.0, "b_epoch": 5.0, "c": 50.0},
        {"a": 1.0, "b_step": 10.0, "b_epoch": 5.0},
        {"a": 1.0, "b_step": 10.0, "b_epoch": 5.0},
    )
    assert module.seen == [first, first, second, second, over, over]
    assert plain(run.callback_metrics) == over[0]
    assert all(type(value) is float for value in run.progress_bar_metrics.values())


def test_row_64_evaluation_shows_no_step_to_callbacks() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("v", float(batch_idx), prog_bar=True)
        module.log("both", batch_idx * 2.0, on_step=True)
        module.log("step", batch_idx * 3.0, on_step=True, on_epoch=False, prog_bar=True)
        note(module)

    module = Probe(validation_step=log, on_validation_epoch_end=note)
    trainer().validate(module, numbers(), verbose=False)
    assert module.seen == [
        ({}, {"both_step": 0.0, "step": 0.0}, {"step": 0.0}),
        ({}, {"both_step": 2.0, "step": 3.0}, {"step": 3.0}),
        (
            {"v": 0.5, "both": 1.0, "both_epoch": 1.0},
            {"v": 0.5, "both_epoch": 1.0, "both_step": 2.0, "step": 3.0},
            {"v": 0.5, "step": 3.0},
        ),
    ]


@pytest.mark.parametrize(
    "hook",
    ["on_train_start", "on_train_epoch_start", "on_train_epoch_end"]
    + ["on_validation_start", "on_validation_epoch_start", "on_validation_epoch_end"],
)
def test_what_a_hook_of_an_epoch_logs_is_seen_at_once(hook: str) -> None:
    def log(module: Any) -> None:
        module.log("x", 7.0, prog_bar=True)
        module.seen += shown(module)

    module = Probe(validation_step=lambda *_: None, **{hook: log})
    fit(module, val=numbers())
    assert module.seen == [{"x": 7.0}] * 3


def test_row_68_validation_values_stay_until_the_next_validation() -> None:
    def log(module: Any, *_: Any) -> None:
        module.log("v", float(module.current_epoch))

    def epoch_end(module: Any) -> None:
        module.seen.append(float(module.trainer.callback_metrics.get("v", math.nan)))

    module = Probe(validation_step=log, on_train_epoch_end=epoch_end)
    run = fit(module, val=numbers(), max_epochs=5, check_val_every_n_epoch=2)
    assert math.isnan(module.seen[0])
    assert module.seen[1:] == [1.0, 1.0, 3.0, 3.0]
    assert run.callback_metrics["v"] == 3.0


def test_row_69_nothing_of_the_sanity_check_stays() -> None:
    def log(module: Any, *_: Any) -> None:
        module.log("v", 1.0, prog_bar=True, on_step=True, on_epoch=True)

    module = Probe(validation_step=log, on_train_start=note)
    sane = fit_rows(module, val=numbers(), num_sanity_val_steps=2)
    assert module.seen == [({}, {}, {})]
    assert sane == fit_rows(Probe(validation_step=log), val=numbers())


def test_a_new_call_starts_with_empty_dictionaries() -> None:
    module = Probe(training_step=lambda m, *_: m.log("a", 1.0), test_step=lambda m, *_: m.log("t", 2.0))
    run = fit(module)
    assert set(run.callback_metrics) == {"a"}
    run.test(module, numbers(), verbose=False)
    assert plain(run.callback_metrics) == {"t": 2.0}
    run.predict(module, numbers())
    assert run.callback_metrics == {}


def test_row_80_without_a_logger_the_dictionaries_fill() -> None:
    run = fit(Probe(training_step=lambda m, *_: m.log("a", 1.0)), logger=False)
    assert plain(run.callback_metrics) == plain(run.logged_metrics) == {"a": 1.0}


def test_row_76_the_bar_shows_nothing_by_itself() -> None:
    assert fit(Probe(training_step=lambda m, *_: m.log("a", 1.0))).progress_bar_metrics == {}


def test_the_same_name_in_several_hooks_is_separate_and_the_last_one_shows() -> None:
    module = Probe(
        on_train_batch_start=lambda m, *_: m.log("a", 5.0),
        training_step=lambda m, *_: m.log("a", 10.0, on_epoch=True),
        on_train_batch_end=lambda m, *_: m.log("a", 20.0, on_epoch=True),
        on_train_epoch_end=lambda m: m.log("a", 50.0),
    )
    rows = fit_rows(module)
    assert rows[0] == (0, {"epoch": 0, "a": 5.0, "a_step": 20.0})
    assert rows[-1] == (1, {"epoch": 0, "a_epoch": 20.0, "a": 50.0})


def test_a_graph_is_never_kept() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        value = module.layer(batch[0]).sum()
        module.log("x", value, enable_graph=True, on_epoch=True, prog_bar=True)
        module.seen += [module.trainer.callback_metrics["x"], module.trainer.logged_metrics["x_step"]]

    module = Probe(training_step=log)
    fit(module)
    assert not any(value.requires_grad for value in module.seen)


# -- arguments ----------------------------------------------------------------------------------------------------------


def test_row_65_the_same_key_with_other_arguments_is_an_error() -> None:
    for changed in (
        {"on_step": True},
        {"prog_bar": True},
        {"logger": False},
        {"reduce_fx": "max"},
        {"enable_graph": True},
        {"rank_zero_only": True},
        {"add_dataloader_idx": False},
        {"metric_attribute": "layer"},
    ):

        def log(module: Any, *_: Any, changed: Any = changed) -> None:
            module.log("x", 1.0)
            module.log("x", 1.0, **changed)

        with pytest.raises(MisconfigurationException, match="twice in `validation_step` with different arguments"):
            trainer().validate(Probe(validation_step=log), numbers(), verbose=False)


def test_row_65_the_same_arguments_in_other_words_are_none() -> None:
    def log(module: Any, *_: Any) -> None:
        module.log("x", 1.0)
        for same in (
            {"on_epoch": True},
            {"on_step": False},
            {"logger": True},
            {"reduce_fx": "avg"},
            {"reduce_fx": torch.mean},
            {"sync_dist": True},
            {"batch_size": 2},
        ):
            module.log("x", 2.0, **same)

    [row] = trainer().validate(Probe(validation_step=log), numbers(), verbose=False)
    assert row["x"] == pytest.approx(15 / 8)


def test_row_63_the_mean_is_weighted_by_the_batch_size() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("mean", float(batch_idx))
        module.log("given", float(batch_idx), batch_size=1)
        module.log("sum", float(batch_idx), reduce_fx="sum")
        module.log("largest", float(batch_idx), reduce_fx="max")

    [row] = trainer().validate(Probe(validation_step=log), numbers(5), verbose=False)
    assert row == {"mean": pytest.approx(4 / 5), "given": 1.0, "sum": 3.0, "largest": 2.0}


def test_row_63_a_batch_whose_size_is_ambiguous_warns_once() -> None:
    batches = as_loader({"a": torch.ones(3, 2), "b": torch.ones(2)}, {"a": torch.ones(1, 2), "b": torch.ones(5)})

    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("x", float(batch_idx))
        module.log("y", float(batch_idx))

    with pytest.warns(PossibleUserWarning, match="batch_size=") as caught:
        [row] = trainer().validate(Probe(validation_step=log), batches, verbose=False)
    assert len([w for w in caught if "ambiguous" in str(w.message)]) == 1
    assert row == {"x": 0.25, "y": 0.25}


def test_an_explicit_batch_size_asks_nobody() -> None:
    batches = as_loader({"a": torch.ones(3, 2), "b": torch.ones(2)})
    module = Probe(validation_step=lambda m, *_: m.log("x", 1.0, batch_size=7))
    assert trainer().validate(module, batches, verbose=False) == [{"x": 1.0}]


def test_the_samplers_size_comes_before_the_batchs() -> None:
    class Pairs(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, index: int) -> Any:
            return torch.full((2,), float(index))

    loader = torch.utils.data.DataLoader(Pairs(), batch_size=2, collate_fn=torch.cat)  # 4 and 2 rows: 2 and 1 samples
    module = Probe(validation_step=lambda m, batch, *_: m.log("x", float(batch.mean())))
    assert trainer().validate(module, loader, verbose=False) == [{"x": pytest.approx((0.5 * 2 + 2.0) / 3)}]


@pytest.mark.parametrize("name", ["x/dataloader_idx_0", "a/dataloader_idx_12"])
def test_a_name_must_not_carry_the_loaders_suffix(name: str) -> None:
    with pytest.raises(MisconfigurationException, match="dataloader_idx"):
        fit(Probe(training_step=lambda m, *_: m.log(name, 1.0)))


def test_a_name_is_a_string() -> None:
    with pytest.raises(TypeError, match="`name` got 3"):
        fit(Probe(training_step=lambda m, *_: m.log(3, 1.0)))


def test_log_dict_takes_what_log_takes() -> None:
    def log(module: Any, *_: Any) -> None:
        module.log_dict({"a": 1.0, "b": torch.tensor(2.0)}, prog_bar=True, on_step=True, on_epoch=True)

    run = fit(Probe(training_step=log))
    assert plain(run.logged_metrics) == {"a_step": 1.0, "a_epoch": 1.0, "b_step": 2.0, "b_epoch": 2.0}
    assert plain(run.progress_bar_metrics) == plain(run.logged_metrics)
    with pytest.raises(ValueError, match="log_dict"):
        fit(Probe(training_step=lambda m, *_: m.log_dict({"a": {"b": 1.0}})))


def test_rank_zero_only_changes_nothing_on_one_process() -> None:
    run = fit(Probe(training_step=lambda m, *_: m.log("a", 1.0, rank_zero_only=True, sync_dist=True)))
    assert plain(run.callback_metrics) == {"a": 1.0}


# -- places -------------------------------------------------------------------------------------------------------------


def test_without_a_trainer_logging_warns() -> None:
    with pytest.warns(UserWarning, match="no Trainer runs this module"):
        Probe().log("a", 1.0)


def test_after_a_run_logging_warns() -> None:
    module = Probe()
    fit(module)
    with pytest.warns(UserWarning, match="no Trainer runs this module"):
        module.log("a", 1.0)


def test_row_82_barebones_warns_once_and_logs_nothing() -> None:
    module = Probe(
        training_step=lambda m, *_: m.log("a", 1.0), on_train_epoch_end=lambda m: m.log("b", 1.0, on_step=True)
    )
    run = pl.Trainer(barebones=True, max_epochs=2, accelerator="cpu")
    with pytest.warns(UserWarning) as caught:
        run.fit(module, numbers())
    assert len([w for w in caught if "self.log" in str(w.message)]) == 1
    assert run.callback_metrics == run.logged_metrics == run.progress_bar_metrics == {}


def test_a_module_inside_the_module_logs_too() -> None:
    parent = Probe(training_step=lambda m, *_: m.child.log("inner", 4.0))
    parent.child = Probe()
    assert plain(fit(parent).callback_metrics) == {"inner": 4.0}


def test_row_72_callbacks_log_by_the_rules_of_their_hooks() -> None:
    class Logs(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            self.log("batch", 1.0)

        def on_train_epoch_end(self, *_: Any) -> None:
            self.log_dict({"epoch_end": 2.0})

        def on_validation_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            self.log("validation", float(batch_idx))

        def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            pl_module.log("module", 4.0)

    callback = Logs()
    rows = fit_rows(Probe(validation_step=lambda *_: None), val=numbers(), callbacks=[callback])
    assert rows == [
        (0, {"epoch": 0, "batch": 1.0}),
        (1, {"epoch": 0, "batch": 1.0}),
        (1, {"epoch": 0, "validation": 0.5, "module": 4.0}),
        (1, {"epoch": 0, "epoch_end": 2.0}),
    ]
    with pytest.raises(RuntimeError, match="outside a run"):
        callback.log("a", 1.0)
