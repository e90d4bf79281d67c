"""What a slot takes, and what an epoch of it becomes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from helpers_results import Probe, numbers, plain, trainer
from leyden.core.hooks import Hooks
from leyden.engine.results import Metrics, Results
from leyden.engine.slots import LogArguments, Slot, check_value, complete
from leyden.errors import MisconfigurationException
from leyden.runtime.strategies.single import SingleDeviceStrategy

GIVEN = LogArguments(False, None, None, None, "mean", False, False, None, True, None, False)


def slot(reduction: str, **changes: Any) -> Slot:
    return Slot(("validation_step", "x", None), GIVEN._replace(reduce_fx=reduction, **changes))


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("mean", 17 / 7), ("avg", 17 / 7), ("sum", 6.0), ("min", 1.0), ("max", 3.0), (torch.mean, 17 / 7)]
    + [(torch.sum, 6.0), (torch.max, 3.0), (torch.min, 1.0), (max, 3.0)],
)
@pytest.mark.parametrize("convert", [float, torch.tensor])
def test_reductions_of_an_epoch(reduction: Any, expected: float, convert: Any) -> None:
    one = slot(reduction)
    for value, weight in ((1.0, 1), (2.0, 2), (3.0, 4)):
        one.add(convert(value), weight)
    assert one.epoch_value() == pytest.approx(expected)
    one.reset()
    assert not one.logged
    one.add(convert(5.0), 1)
    assert one.epoch_value() == 5.0


@pytest.mark.parametrize("reduction", ["mean", "sum", "min", "max"])
@pytest.mark.parametrize("order", [(1.0, math.nan, 3.0), (math.nan, 1.0, 3.0), (3.0, 1.0, math.nan)])
def test_a_nan_is_not_hidden_by_any_reduction(reduction: str, order: tuple[float, ...]) -> None:
    one = slot(reduction)
    for value in order:
        one.add(value, 1)
    assert math.isnan(one.epoch_value())


class Elsewhere(torch.Tensor):
    """A tensor on the CPU that says it is not."""

    is_cpu = property(lambda self: False)  # type: ignore[assignment]


def elsewhere(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.bfloat16).as_subclass(Elsewhere)


@pytest.mark.parametrize("reduction", ["mean", "sum", "min", "max"])
def test_values_on_an_accelerator_stay_there_and_reduce_alike(reduction: str) -> None:
    host, device, nans = slot(reduction), slot(reduction), slot(reduction)
    for value, weight in ((1.0, 2), (-3.0, 1), (2.5, 2)):
        host.add(value, weight)
        device.add(elsewhere([value]), weight)
        assert type(device.value) is Elsewhere
        assert device.value.dtype == torch.float32
        assert device.value.shape == ()
    assert type(device.epoch_value()) is Elsewhere
    assert float(device.epoch_value()) == pytest.approx(host.epoch_value())
    for value in (1.0, math.nan, 3.0):
        nans.add(elsewhere(value), 1)
    assert math.isnan(nans.epoch_value())
    with pytest.raises(ValueError, match="shape"):
        device.add(elsewhere([1.0, 1.0]), 1)


@pytest.mark.parametrize(
    "value",
    [3, 2.5, True, np.float32(2.5), np.float64(2.5), np.int64(4), torch.tensor(1.5), torch.tensor([1.5])]
    + [torch.tensor([[1.5]]), torch.tensor(True), torch.tensor(3), torch.tensor(1.5, dtype=torch.float16)]
    + [torch.tensor(1.5, dtype=torch.bfloat16), torch.tensor(1.5, dtype=torch.float64), math.nan, math.inf],
)
def test_values_that_are_numbers(value: Any) -> None:
    one = slot("mean")
    for _ in range(2):
        one.add(value, 1)
    assert one.epoch_value() == pytest.approx(float(value), nan_ok=True)


@pytest.mark.parametrize(
    ("value", "fix"),
    [("a", "pass a number"), (None, "pass a number"), ([1.0], "pass a number"), ({"a": 1.0}, "log_dict")]
    + [(torch.ones(2), r"value.mean\(\)"), (torch.ones(0), r"value.mean\(\)"), (1j, "pass a number")]
    + [(np.array([1.0, 2.0]), "pass a number"), (np.array(1.0), "pass a number"), (torch.tensor(1j), "mean")],
)
def test_values_that_are_none(value: Any, fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        check_value("x", value)


@pytest.mark.parametrize("later", ["text", None, torch.ones(2), {"a": 1.0}, [1.0], np.ones(2)])
@pytest.mark.parametrize("where", [{"on_step": True, "on_epoch": False}, {}])
def test_a_wrong_value_is_found_after_right_ones(later: Any, where: dict[str, Any]) -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("x", 1.0 if batch_idx == 0 else later, **where)

    with pytest.raises(ValueError, match=r"self\.log\('x', value\)` got"):
        trainer().validate(Probe(validation_step=log), numbers())


def test_row_66_the_metric_dictionaries_hold_the_default_float_type() -> None:
    """Loggers and results get the exact number: Lightning rounds 16777217 for them too."""

    def log(module: Any, *_: Any) -> None:
        module.log("int", 16777217)
        module.log("double", torch.tensor(0.1, dtype=torch.float64))
        module.log("float", 0.1)

    run = trainer()
    [row] = run.validate(Probe(validation_step=log), numbers(), verbose=False)
    assert row == {"int": 16777217.0, "double": 0.1, "float": 0.1}
    shown = run.callback_metrics
    assert shown["int"].dtype == torch.float32
    assert shown["int"] == 16777216
    assert shown["double"].dtype == torch.float64
    assert shown["float"].dtype == torch.float32
    assert all(value.shape == () for value in shown.values())


@pytest.mark.parametrize("reduction", ["median", torch.median, None, 3, lambda values: values])
def test_other_reductions_are_refused(reduction: Any) -> None:
    with pytest.raises(MisconfigurationException, match="reduce_fx"):
        complete("validation_step", "x", GIVEN._replace(reduce_fx=reduction))


def test_a_misspelt_reduction_is_recognised() -> None:
    with pytest.raises(MisconfigurationException, match="Did you mean 'mean'"):
        complete("validation_step", "x", GIVEN._replace(reduce_fx="mena"))


def test_keys_are_forked_when_both_are_logged() -> None:
    both = slot("mean", on_step=True, on_epoch=True)
    assert (both.key("step"), both.key("epoch")) == ("x_step", "x_epoch")
    alone = slot("mean", on_step=True, on_epoch=False)
    assert alone.key("step") == "x"


@pytest.mark.parametrize("reduction", ["mean", "sum", "min", "max"])
def test_a_slot_survives_a_checkpoint(reduction: str) -> None:
    def results() -> Results:
        module, strategy = Probe(), SingleDeviceStrategy(torch.device("cpu"))
        hooks = Hooks(None, [], module)
        hooks.current = "validation_step"
        return Results(hooks, module, strategy)

    given = tuple(GIVEN._replace(reduce_fx=reduction, on_step=True, prog_bar=True))
    one, again = results(), results()
    for value in (2.0, 4.0):
        one.log("x", value, given, 3)
    again.load_state_dict(one.state_dict())
    shown = [Metrics(), Metrics()]
    for each, metrics in zip((one, again), shown, strict=True):
        each.log("x", 9.0, given, 1)
        each.publish_epoch(metrics)
    assert shown[0] == shown[1]
    assert shown[0].bar == {"x_epoch": one.publish_epoch(Metrics())["x_epoch"]}
    with pytest.raises(MisconfigurationException, match="twice"):
        again.log("x", 9.0, tuple(GIVEN), 1)


def test_an_explicit_weight_of_zero_counts_nothing() -> None:
    def log(module: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        module.log("some", float(batch_idx), batch_size=batch_idx)
        module.log("none", 5.0, batch_size=0)
        module.log("tensor", float(batch_idx), batch_size=torch.tensor(batch_idx + 1))

    run = trainer()
    run.validate(Probe(validation_step=log), numbers(6), verbose=False)
    shown = plain(run.callback_metrics)
    assert math.isnan(shown.pop("none"))
    assert shown == {"some": round(5 / 3, 5), "tensor": round(8 / 6, 5)}
