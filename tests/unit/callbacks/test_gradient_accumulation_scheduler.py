"""GradientAccumulationScheduler: how many batches share a step, by epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers_fit import Regression, fit, loader, trainer
from leyden.callbacks import GradientAccumulationScheduler, LambdaCallback
from leyden.errors import MisconfigurationException, PossibleUserWarning


def steps_per_epoch(scheduling: dict[int, int], **arguments: Any) -> list[int]:
    steps: list[int] = []
    count = LambdaCallback(on_train_epoch_end=lambda trainer, pl_module: steps.append(trainer.global_step))
    fit(Regression(), callbacks=[GradientAccumulationScheduler(scheduling), count], **arguments)
    return [later - earlier for earlier, later in zip([0, *steps], steps, strict=False)]


def test_steps_follow_the_schedule():
    assert steps_per_epoch({1: 2, 3: 3}, max_epochs=5) == [
        4,
        2,
        2,
        2,
        2,
    ]  # 4 batches: of 3 per step, the last is cut short


def test_before_the_first_epoch_of_the_schedule_every_batch_steps():
    scheduler = GradientAccumulationScheduler({2: 4})
    assert scheduler.scheduling == {0: 1, 2: 4}
    assert scheduler.epochs == [0, 2]
    assert [scheduler.get_accumulate_grad_batches(epoch) for epoch in range(4)] == [1, 1, 4, 4]


def test_whether_it_accumulates_at_all():
    assert GradientAccumulationScheduler({1: 2}).going_to_accumulate_grad_batches()
    assert not GradientAccumulationScheduler({0: 1}).going_to_accumulate_grad_batches()


def test_the_dict_that_was_given_stays_as_it_is():
    given = {3: 2}
    GradientAccumulationScheduler(given)
    assert given == {3: 2}


def test_a_scheduled_window_is_the_big_batch():
    module, big = Regression(), Regression()
    fit(module, loader(8, 2), callbacks=[GradientAccumulationScheduler({0: 4})])
    fit(big, loader(8, 8))
    torch.testing.assert_close(module.layer.weight, big.layer.weight)


def test_the_trainer_shows_it_from_setup_on_and_a_second_fit_goes_on():
    seen: list[int] = []
    note = LambdaCallback(on_fit_start=lambda trainer, pl_module: seen.append(trainer.accumulate_grad_batches))
    made = trainer(callbacks=[GradientAccumulationScheduler({0: 2, 1: 4}), note], max_epochs=2)
    module = Regression()
    made.fit(module, loader())
    assert made.accumulate_grad_batches == 4
    made.fit_loop.max_epochs = 3
    made.fit(module, loader())
    assert seen == [2, 4]
    assert made.global_step == 2 + 1 + 1


@pytest.mark.parametrize("given", [{}, None, [(1, 2)], 2])
def test_no_schedule(given):
    with pytest.raises(TypeError, match="`scheduling` got"):
        GradientAccumulationScheduler(given)


@pytest.mark.parametrize("given", [{-1: 2}, {0.5: 2}, {"1": 2}])
def test_wrong_epochs(given):
    with pytest.raises(MisconfigurationException, match="Accepted: epochs as keys: ints >= 0"):
        GradientAccumulationScheduler(given)


@pytest.mark.parametrize("given", [{1: 0}, {1: 1.5}, {1: None}, {1: True}])
def test_wrong_numbers_of_batches(given):
    with pytest.raises(MisconfigurationException, match="Accepted: batches per step as values: ints >= 1"):
        GradientAccumulationScheduler(given)


def test_beside_the_trainers_own_accumulation():
    with pytest.raises(ValueError, match="`accumulate_grad_batches` got 2.*leave out one of them"):
        fit(Regression(), callbacks=[GradientAccumulationScheduler({1: 2})], accumulate_grad_batches=2)


def test_in_manual_optimization():
    module = Regression()
    module.automatic_optimization = False
    with pytest.raises(RuntimeError, match="no effect in manual optimization"):
        fit(module, callbacks=[GradientAccumulationScheduler({1: 2})])


@pytest.mark.parametrize("hook", ["optimizer_step", "optimizer_zero_grad"])
def test_a_module_with_optimizer_hooks_is_warned(hook):
    def own(self: Any, *given: Any) -> None:
        getattr(super(kind, self), hook)(*given)

    kind = type("Own", (Regression,), {hook: own})
    with pytest.warns(PossibleUserWarning, match=f"`{hook}` of Own run once per window"):
        fit(kind(), callbacks=[GradientAccumulationScheduler({1: 2})])
