"""The rows that loggers get: which values, under which names, at which x. The expectations are Lightning's rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers_results import Probe, Rows, fit_rows, numbers, trainer


def step_value(module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
    module.log("e", float(batch_idx), on_step=True, on_epoch=True)


def epoch_value(module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
    module.log("v", float(batch_idx))


def only(rows: Any, name: str) -> list[tuple[int, float]]:
    """The x and value of one name."""
    return [(x, row[name]) for x, row in rows if name in row]


def test_row_14_epoch_values_of_training_and_validation() -> None:
    rows = fit_rows(Probe(training_step=step_value, validation_step=epoch_value), val=numbers(), max_epochs=2)
    assert rows == [
        (0, {"epoch": 0, "e_step": 0.0}),
        (1, {"epoch": 0, "e_step": 1.0}),
        (1, {"epoch": 0, "v": 0.5}),
        (1, {"epoch": 0, "e_epoch": 0.5}),
        (2, {"epoch": 1, "e_step": 0.0}),
        (3, {"epoch": 1, "e_step": 1.0}),
        (3, {"epoch": 1, "v": 0.5}),
        (3, {"epoch": 1, "e_epoch": 0.5}),
    ]


@pytest.mark.parametrize(
    ("every", "expected"),
    [(1, [*range(9)]), (2, [1, 3, 5, 7]), (4, [3, 7]), (9, [8]), (0, [])],
)
def test_row_15_log_every_n_steps(every: int, expected: list[int]) -> None:
    arguments = {"max_epochs": 3, "log_every_n_steps": every}
    if every > 3:
        with pytest.warns(UserWarning, match="log_every_n_steps"):
            rows = fit_rows(Probe(training_step=step_value), numbers(6), **arguments)
    else:
        rows = fit_rows(Probe(training_step=step_value), numbers(6), **arguments)
    assert only(rows, "e_step") == [(x, float(x % 3)) for x in expected]
    assert only(rows, "e_epoch") == [(2, 1.0), (5, 1.0), (8, 1.0)]


def test_row_13_accumulation_counts_the_batches_on_which_an_optimizer_stepped() -> None:
    rows = fit_rows(
        Probe(training_step=step_value, validation_step=epoch_value),
        numbers(10),
        numbers(),
        max_epochs=2,
        accumulate_grad_batches=2,
    )
    assert only(rows, "e_step") == [(0, 1.0), (1, 3.0), (2, 4.0), (3, 1.0), (4, 3.0), (5, 4.0)]
    assert only(rows, "e_epoch") == [(2, 2.0), (5, 2.0)]
    assert only(rows, "v") == [(2, 0.5), (5, 0.5)]


def test_row_13_manual_optimization_counts_batches() -> None:
    class Manual(Probe):
        def __init__(self) -> None:
            super().__init__(training_step=step_value)
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for _ in range(1 + batch_idx % 2):
                self.optimizers().step()
            self.log("e", float(batch_idx), on_epoch=True)

    rows = fit_rows(Manual(), numbers(8), max_epochs=2, log_every_n_steps=2)
    assert only(rows, "e_step") == [(1, 1.0), (3, 3.0), (5, 1.0), (7, 3.0)]
    assert only(rows, "e_epoch") == [(3, 1.5), (7, 1.5)]


def test_validation_within_an_epoch() -> None:
    def validation(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("v", float(batch_idx), on_step=True)

    rows = fit_rows(
        Probe(training_step=step_value, validation_step=validation), numbers(8), numbers(), val_check_interval=0.5
    )
    assert rows == [
        (0, {"epoch": 0, "e_step": 0.0}),
        (1, {"epoch": 0, "e_step": 1.0}),
        (0, {"v_step": 0.0}),
        (1, {"v_step": 1.0}),
        (1, {"epoch": 0, "v_epoch": 0.5}),
        (2, {"epoch": 0, "e_step": 2.0}),
        (3, {"epoch": 0, "e_step": 3.0}),
        (2, {"v_step": 0.0}),
        (3, {"v_step": 1.0}),
        (3, {"epoch": 0, "v_epoch": 0.5}),
        (3, {"epoch": 0, "e_epoch": 1.5}),
    ]


def test_row_67_steps_of_evaluation_count_the_batches_of_their_loader() -> None:
    def validation(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("v", batch_idx + 10.0 * dataloader_idx, on_step=True, on_epoch=False)

    rows = fit_rows(Probe(validation_step=validation), val=[numbers(2), numbers(4)], max_epochs=2)
    assert only(rows, "v/dataloader_idx_0") == [(0, 0.0), (1, 0.0)]
    assert only(rows, "v/dataloader_idx_1") == [(0, 10.0), (1, 11.0), (2, 10.0), (3, 11.0)]
    assert not any("epoch" in row for _, row in rows)


def test_row_67_reading_the_metrics_in_a_hook_takes_nothing_from_the_loggers() -> None:
    def validation(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("v", float(batch_idx), on_step=True, on_epoch=False)
        module.seen.append(dict(module.trainer.logged_metrics))

    rows = Rows()
    trainer(logger=rows).validate(Probe(validation_step=validation), numbers(), verbose=False)
    assert rows.rows == [(0, {"v": 0.0}), (1, {"v": 1.0})]


@pytest.mark.parametrize("stage", ["training", "validation"])
def test_a_value_that_is_not_logged_on_every_batch_is_repeated_until_the_epoch_ends(stage: str) -> None:
    def log(module: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        module.log("even" if batch_idx % 2 == 0 else "odd", float(batch_idx), on_step=True, on_epoch=False)

    module = Probe(**{f"{stage}_step": log})
    rows = fit_rows(module, numbers(6), numbers(6) if stage == "validation" else None, max_epochs=2)
    found = [{key: value for key, value in row.items() if key != "epoch"} for _, row in rows]
    assert found == [{"even": 0.0}, {"even": 0.0, "odd": 1.0}, {"even": 2.0, "odd": 1.0}] * 2


def test_row_70_a_value_named_step_is_the_x_axis() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.log("step", 100.0 + batch_idx)
        module.log("a", float(batch_idx))

    rows = fit_rows(Probe(training_step=log))
    assert [(x, row["a"]) for x, row in rows] == [(100, 0.0), (101, 1.0)]
    assert not any("step" in row for _, row in rows)


def test_row_70_a_value_named_epoch_is_the_column() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.log("epoch", 7.0)
        module.log("a", float(batch_idx))

    rows = fit_rows(Probe(training_step=log))
    assert rows == [(0, {"epoch": 7.0, "a": 0.0}), (1, {"epoch": 7.0, "a": 1.0})]


def test_row_70_epoch_values_move_to_the_step_that_is_logged() -> None:
    module = Probe(
        validation_step=epoch_value,
        on_validation_epoch_end=lambda m: m.log("step", 9.0 + m.current_epoch),
        on_train_epoch_end=lambda m: (m.log("step", float(m.current_epoch)), m.log("t", 1.0)),
    )
    rows = fit_rows(module, val=numbers(), max_epochs=2)
    assert only(rows, "v") == [(9, 0.5), (10, 0.5)]
    assert only(rows, "t") == [(0, 1.0), (1, 1.0)]


def test_hooks_of_every_kind_share_the_rows() -> None:
    module = Probe(
        on_train_start=lambda m: m.log("train_start", 1.0),
        on_train_epoch_start=lambda m: m.log("epoch_start", 2.0),
        on_train_batch_start=lambda m, *_: m.log("batch_start", 3.0),
        on_before_backward=lambda m, loss: m.log("before_backward", 4.0),
        on_train_epoch_end=lambda m: m.log("epoch_end", 5.0),
    )
    assert fit_rows(module, numbers(2)) == [
        (0, {"epoch": 0, "batch_start": 3.0, "before_backward": 4.0}),
        (0, {"epoch": 0, "train_start": 1.0, "epoch_start": 2.0, "epoch_end": 5.0}),
    ]


def test_logger_false_keeps_a_value_from_the_loggers() -> None:
    def log(module: Any, *_: Any) -> None:
        module.log("shown", 1.0)
        module.log("hidden", 1.0, logger=False, on_epoch=True)

    assert [set(row) for _, row in fit_rows(Probe(training_step=log))] == [{"epoch", "shown"}] * 2


def test_rows_hold_floats() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        module.log_dict({"int": 3, "bool": True, "tensor": torch.tensor([4]), "half": torch.tensor(0.5).half()})

    [(_, first), *_] = fit_rows(Probe(training_step=log))
    assert {key: value for key, value in first.items() if type(value) is float} == {
        "int": 3.0,
        "bool": 1.0,
        "tensor": 4.0,
        "half": 0.5,
    }


def test_a_value_of_the_last_epoch_is_not_in_the_rows_of_the_next() -> None:
    def log(module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 1:
            module.log("late", float(module.current_epoch))

    assert only(fit_rows(Probe(training_step=log), max_epochs=2), "late") == [(1, 0.0), (3, 1.0)]
