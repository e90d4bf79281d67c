import copy
import pickle
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from leyden.core.optimizers import (
    LightningOptimizer,
    NoOptimizer,
    move_optimizer_state,
    parse_optimizers,
    wrap_optimizer,
)
from leyden.errors import MisconfigurationException, PossibleUserWarning


@pytest.fixture
def sgd() -> Optimizer:
    return SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)


def test_form_1_an_optimizer(sgd: Optimizer) -> None:
    assert parse_optimizers(sgd) == ([sgd], [])


def test_form_2_a_list_or_tuple_of_optimizers(sgd: Optimizer) -> None:
    other = Adam(nn.Linear(1, 1).parameters())
    assert parse_optimizers([sgd, other]) == ([sgd, other], [])
    assert parse_optimizers((sgd,)) == ([sgd], [])


def test_form_3_two_lists(sgd: Optimizer) -> None:
    one, two = StepLR(sgd, 1), StepLR(sgd, 2)
    optimizers, schedulers = parse_optimizers(([sgd], [one, {"scheduler": two, "interval": "step", "frequency": 3}]))
    assert optimizers == [sgd]
    assert [(c.scheduler, c.interval, c.frequency) for c in schedulers] == [(one, "epoch", 1), (two, "step", 3)]
    assert parse_optimizers([[sgd], []]) == ([sgd], [])


def test_form_4_a_dict(sgd: Optimizer) -> None:
    plateau = ReduceLROnPlateau(sgd)
    for given in (
        {"optimizer": sgd, "lr_scheduler": plateau, "monitor": "val_loss"},
        {"optimizer": sgd, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}},
        {"optimizer": sgd, "lr_scheduler": {"scheduler": plateau}, "monitor": "val_loss"},
    ):
        (config,) = parse_optimizers(given)[1]
        assert (config.reduce_on_plateau, config.monitor, config.strict) == (True, "val_loss", True)
        assert not config.assumed_monitor
    assert parse_optimizers({"optimizer": sgd}) == ([sgd], [])
    assert parse_optimizers({"optimizer": sgd, "lr_scheduler": None}) == ([sgd], [])


def test_form_5_several_dicts(sgd: Optimizer) -> None:
    other = Adam(nn.Linear(1, 1).parameters())
    scheduler = StepLR(other, 1)
    optimizers, (config,) = parse_optimizers([{"optimizer": sgd}, {"optimizer": other, "lr_scheduler": scheduler}])
    assert optimizers == [sgd, other]
    assert config.scheduler is scheduler


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_form_6_none(nothing: Any) -> None:
    with pytest.warns(UserWarning, match="no optimizer"):
        (optimizer,), schedulers = parse_optimizers(nothing)
    assert isinstance(optimizer, NoOptimizer)
    assert schedulers == []
    assert optimizer.step(lambda: torch.is_grad_enabled()) is True
    optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("returned", [5, "adam", [1, 2], [SGD], {"optimiser": 1}, {"optimizer": 3}, ([1], []), True])
def test_anything_else_is_refused(returned: Any) -> None:
    with pytest.raises(MisconfigurationException, match="configure_optimizers"):
        parse_optimizers(returned)


def test_errors_of_scheduler_dicts(sgd: Optimizer) -> None:
    def parse(**scheduler: Any) -> Any:
        return parse_optimizers({"optimizer": sgd, "lr_scheduler": scheduler})

    step = StepLR(sgd, 1)
    with pytest.raises(MisconfigurationException, match="'scheduler'"):
        parse(schedular=step)
    with pytest.raises(MisconfigurationException, match="interval.*batch"):
        parse(scheduler=step, interval="batch")
    with pytest.raises(MisconfigurationException, match="frequency"):
        parse(scheduler=step, frequency=0)
    with pytest.raises(MisconfigurationException, match="monitor"):
        parse(scheduler=ReduceLROnPlateau(sgd))
    with pytest.warns(UserWarning, match="freq"):
        parse(scheduler=step, freq=1)
    with pytest.raises(MisconfigurationException, match="did not return"):
        parse(scheduler=StepLR(SGD(nn.Linear(1, 1).parameters()), 1))
    with pytest.warns(UserWarning, match="scheduler_lr"):
        parse_optimizers({"optimizer": sgd, "scheduler_lr": step})


def test_a_plateau_scheduler_that_names_no_metric(sgd: Optimizer) -> None:
    (config,) = parse_optimizers(([sgd], [ReduceLROnPlateau(sgd)]))[1]
    assert (config.monitor, config.assumed_monitor) == ("val_loss", True)
    with pytest.raises(MisconfigurationException, match="monitor"):
        parse_optimizers({"optimizer": sgd, "lr_scheduler": ReduceLROnPlateau(sgd)})
    with pytest.raises(MisconfigurationException, match="monitor"):
        parse_optimizers(([sgd], [{"scheduler": ReduceLROnPlateau(sgd)}]))


def test_one_cycle_per_epoch_is_announced(sgd: Optimizer) -> None:
    with pytest.warns(PossibleUserWarning, match="OneCycleLR"):
        parse_optimizers(([sgd], [OneCycleLR(sgd, 1.0, 10)]))
    parse_optimizers(([sgd], [{"scheduler": OneCycleLR(sgd, 1.0, 10), "interval": "step"}]))


class Counter:
    global_step = 0


def test_row_30_the_wrapper_is_an_instance_of_the_optimizers_class(sgd: Optimizer) -> None:
    wrapped = wrap_optimizer(sgd)
    assert isinstance(wrapped, LightningOptimizer)
    assert isinstance(wrapped, SGD)
    assert type(wrapped).__name__ == "LightningSGD"
    assert wrapped.optimizer is sgd
    assert wrap_optimizer(wrapped) is wrapped
    assert repr(wrapped).startswith("LightningSGD")


def test_the_wrapper_shares_state_and_groups(sgd: Optimizer) -> None:
    counter = Counter()
    wrapped: Any = wrap_optimizer(sgd, counter=counter)
    for parameter in sgd.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    wrapped.step()
    assert counter.global_step == 1
    assert wrapped.state is sgd.state
    assert len(sgd.state) == 2
    assert wrapped.param_groups is sgd.param_groups
    wrapped.param_groups = sgd.param_groups[:]
    assert sgd.param_groups is wrapped.param_groups
    assert wrapped.state_dict() == sgd.state_dict()
    wrapped.zero_grad()
    assert all(p.grad is None for p in sgd.param_groups[0]["params"])
    wrapped.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert len(sgd.param_groups) == 2
    sgd.mark = "mine"  # type: ignore[attr-defined]
    assert wrapped.mark == "mine"
    with pytest.raises(AttributeError):
        _ = wrapped.missing


def test_the_wrapper_passes_closure_and_keywords_on() -> None:
    class Own(SGD):
        def step(self, closure: Any = None, *, scale: float = 1.0) -> Any:  # type: ignore[override]
            return closure(), scale

    wrapped = wrap_optimizer(Own(nn.Linear(1, 1).parameters(), lr=0.1))
    assert wrapped.step(lambda: 5, scale=2.0) == (5, 2.0)


def test_a_scheduler_may_be_built_on_the_wrapper(sgd: Optimizer) -> None:
    wrapped: Any = wrap_optimizer(sgd)
    scheduler = StepLR(wrapped, 1, gamma=0.5)
    wrapped.step()
    scheduler.step()
    assert sgd.param_groups[0]["lr"] == 0.05


def test_moving_state_leaves_step_counts_on_the_host() -> None:
    parameter = nn.Parameter(torch.ones(1))
    optimizer = Adam([parameter])
    parameter.grad = torch.ones(1)
    optimizer.step()
    move_optimizer_state(optimizer, torch.device("meta"))
    assert optimizer.state[parameter]["exp_avg"].device.type == "meta"
    assert optimizer.state[parameter]["step"].device.type == "cpu"


def test_a_wrapped_optimizer_can_be_copied_and_pickled():
    parameter = torch.nn.Parameter(torch.ones(2))
    wrapped = wrap_optimizer(torch.optim.SGD([parameter], lr=0.5, momentum=0.9))
    for duplicate in (copy.copy(wrapped), copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert isinstance(duplicate, torch.optim.SGD)
        assert duplicate.param_groups[0]["lr"] == 0.5
    assert copy.deepcopy(wrapped).param_groups[0]["params"][0] is not parameter
    assert copy.copy(wrapped).optimizer is wrapped.optimizer
