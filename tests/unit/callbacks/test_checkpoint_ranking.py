import math

import pytest
import torch

from leyden.callbacks.checkpoint_ranking import best_of, ranked, score_of, worst_score


@pytest.mark.parametrize(("mode", "best", "order"), [("min", "b", ["b", "c", "a"]), ("max", "a", ["c", "a", "b"])])
def test_order_by_mode_with_the_oldest_of_equals_last(mode, best, order):
    scores = {"a": torch.tensor(2.0), "b": torch.tensor(1.0), "c": torch.tensor(2.0)}
    assert ranked(scores, mode) == order
    assert best_of(scores, mode) == best


@pytest.mark.parametrize(("mode", "worst"), [("min", math.inf), ("max", -math.inf)])
def test_nan_is_the_worst(mode, worst):
    assert worst_score(mode).item() == worst
    assert score_of(float("nan"), mode).item() == worst
    assert score_of(torch.tensor([float("nan")]), mode).item() == worst


def test_a_score_is_a_scalar_that_no_longer_follows_the_value():
    value = torch.tensor([0.5], requires_grad=True)
    score = score_of(value, "min")
    assert score.shape == ()
    assert not score.requires_grad
    with torch.no_grad():
        value.zero_()
    assert score.item() == 0.5
