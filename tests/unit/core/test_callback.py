"""The base class of callbacks."""

from __future__ import annotations

import inspect

import pytest

import leyden as pl
from leyden.core.callback import Callback, Checkpoint


class Watch(Callback):
    def __init__(self, monitor: str = "loss") -> None:
        self.monitor = monitor

    @property
    def state_key(self) -> str:
        return self._generate_state_key(monitor=self.monitor)


def test_hooks_do_nothing_and_return_nothing() -> None:
    hooks = [name for name in vars(Callback) if name.startswith("on_") or name in ("setup", "teardown")]
    assert len(hooks) > 30
    for name in hooks:
        hook = getattr(Callback(), name)
        assert hook(*[None] * len(inspect.signature(hook).parameters)) is None, name


def test_state_keys_tell_instances_apart() -> None:
    assert Callback().state_key == "Callback"
    assert Watch().state_key == "Watch{'monitor': 'loss'}"
    assert Watch("accuracy").state_key != Watch().state_key


def test_without_state_a_checkpoint_holds_nothing_of_it() -> None:
    callback = Callback()
    assert callback.state_dict() == {}
    callback.load_state_dict({})


def test_logging_needs_a_run() -> None:
    with pytest.raises(RuntimeError, match=r"`Watch.log\('x', ...\)` was called outside a run"):
        Watch().log("x", 1.0)
    with pytest.raises(RuntimeError, match="outside a run"):
        Watch().log_dict({"x": 1.0})


def test_only_callbacks_that_decide_by_metrics_monitor() -> None:
    assert not pl.Callback.monitors
    assert Checkpoint.monitors
