"""What is said about a loss that backward refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import leyden as pl
from leyden.core.loss import LossError, explain
from leyden.errors import MisconfigurationException


def test_a_loss_that_is_fine():
    layer = nn.Linear(1, 1)
    assert explain(layer(torch.ones(1, 1)).sum(), layer) is None


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (torch.ones(2, 3, requires_grad=True), r"shape \(2, 3\).*loss.mean\(\)"),
        (torch.ones(0, requires_grad=True), r"shape \(0,\)"),
        (torch.tensor(1.0), r"needs no gradient \(torch.float32\)"),
        (torch.tensor(1), r"needs no gradient \(torch.int64\)"),
    ],
)
def test_a_loss_that_is_not(loss, words):
    error = explain(loss, nn.Linear(1, 1))
    assert isinstance(error, MisconfigurationException)
    assert isinstance(error, RuntimeError)
    with pytest.raises(LossError, match=words):
        raise error


def test_a_module_that_is_frozen():
    assert "no parameter of Linear has requires_grad=True" in str(
        explain(torch.tensor(1.0), nn.Linear(1, 1).requires_grad_(False))
    )


def test_the_module_s_backward_says_it_and_keeps_torch_s_own_error():
    module = pl.LightningModule()
    module.layer = nn.Linear(1, 2)
    with pytest.raises(LossError, match="single number") as raised:
        module.backward(module.layer(torch.ones(1, 1)))
    assert isinstance(raised.value.__cause__, RuntimeError)
    module.backward(module.layer(torch.ones(1, 1)), gradient=torch.ones(1, 2))


def test_other_errors_of_backward_are_left_alone():
    module = pl.LightningModule()
    module.layer = nn.Linear(1, 1)
    loss = module.layer(torch.ones(1, 1)).square().sum()
    module.backward(loss)
    with pytest.raises(RuntimeError, match="second time") as raised:
        module.backward(loss)
    assert not isinstance(raised.value, LossError)
