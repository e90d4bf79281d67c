"""What the tests of the checkpoint callback share: a stand-in for the Trainer; the files are real."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch


class Strategy:
    def broadcast(self, value, src=0):
        return value

    def reduce_boolean_decision(self, decision, all=True):
        return decision

    def barrier(self, name=None):
        pass


class StandIn:
    """The part of the Trainer that a checkpoint callback sees, with ``steps`` and ``validation`` to drive it."""

    def __init__(self, root, *callbacks, validates=True, logger=None, **settings):
        self.default_root_dir = str(root)
        self.checkpoint_callbacks = list(callbacks)
        self.loggers = [logger] if logger else []
        self.strategy, self.state = Strategy(), SimpleNamespace(fn="fit")
        self._runtime = SimpleNamespace(checkpoint_io=None)
        self.callback_metrics: dict[str, torch.Tensor] = {}
        self.current_epoch = self.global_step = 0
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1
        self.enable_validation, self.num_val_batches = validates, [1] if validates else []
        self.fast_dev_run = self.sanity_checking = self.is_last_batch = False
        self.is_global_zero, self.ckpt_path = True, None
        self.deferred: list | None = None
        self.module = torch.nn.Linear(2, 1)
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def when_settled(self, fn):
        if self.deferred is None:
            fn()
        else:
            self.deferred.append(fn)

    def save_checkpoint(self, path, weights_only=None):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(path):
            os.remove(path)
        states = {} if weights_only else {c.state_key: c.state_dict() for c in self.checkpoint_callbacks}
        torch.save({"global_step": self.global_step, "callbacks": states}, path)

    def each(self, hook, *arguments):
        for callback in self.checkpoint_callbacks:
            getattr(callback, hook)(self, self.module, *arguments)

    def start(self):
        self.each("setup", "fit")
        self.each("on_train_start")
        return self

    def steps(self, number, **metrics):
        for _ in range(number):
            self.global_step += 1
            self.log(metrics)
            self.each("on_train_batch_end", {}, None, 0)

    def validation(self, **metrics):
        self.log(metrics)
        self.each("on_validation_end")

    def epoch_end(self, **metrics):
        self.log(metrics)
        self.each("on_train_epoch_end")
        self.current_epoch += 1

    def epoch(self, steps=2, **metrics):
        self.steps(steps)
        if self.enable_validation:
            self.is_last_batch = True
            self.validation(**metrics)
            self.is_last_batch = False
        self.epoch_end(**({} if self.enable_validation else metrics))

    def log(self, metrics):
        self.callback_metrics.update({name: torch.as_tensor(value) for name, value in metrics.items()})


@pytest.fixture
def Run():  # it is a class
    return StandIn
