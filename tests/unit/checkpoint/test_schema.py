"""What counts as a checkpoint."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from leyden.checkpoint import schema
from leyden.errors import CheckpointError


def test_checkpoints_pass_unchanged() -> None:
    for checkpoint in (
        {"state_dict": {}},
        {"state_dict": {"w": torch.ones(1)}, "epoch": 3, "pytorch-lightning_version": "1.9.0"},
        {"state_dict": {}, "leyden": {"version": schema.VERSION}},
        {"state_dict": {}, "leyden": "a user's own value"},
    ):
        assert schema.check(checkpoint, "a.ckpt") is checkpoint


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (torch.ones(2), "holds a Tensor"),
        ([1], "holds a list"),
        (None, "holds a NoneType"),
        ({"weight": torch.ones(2), "bias": torch.ones(1)}, "bare state_dict"),
        ({}, "its keys are []"),
        ({"model": {"w": torch.ones(1)}, "epoch": 1}, "no 'state_dict'; its keys are ['model', 'epoch']"),
        ({str(number): 0 for number in range(50)}, "'5', ..."),
        ({"state_dict": 3}, "no 'state_dict'"),
        ({"state_dict": {}, "leyden": {"version": schema.VERSION + 1}}, "newer Leyden"),
    ],
)
def test_others_are_refused_with_file_reason_and_fix(content: Any, reason: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        schema.check(content, "dir/a.ckpt")
    message = str(raised.value)
    assert "'dir/a.ckpt'" in message
    assert reason in message
    assert "Fix: " in message
