"""Callbacks in real runs: every hook with its arguments, logging, order, state."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, fit, loader, trainer
from leyden.callbacks import EarlyStopping, ModelCheckpoint, Timer
from leyden.core.hooks import HOOKS

NAMES = [hook.name for hook in HOOKS.values() if "c" in hook.owners and hook.dispatched]


class Complete(Regression):
    """Has every step."""

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def test_step(self, batch: Any, batch_idx: int) -> None:
        if "fail" in self.calls:
            raise TypeError("as told")

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0])


class Recorder(pl.Callback):
    """Notes each hook with the arguments that it gets, by the names in the base class's signature."""

    def __init__(self) -> None:
        self.given: dict[str, dict[str, Any]] = {}
        for name in NAMES:
            setattr(self, name, self.recording(name))

    def recording(self, name: str) -> Any:
        signature = inspect.signature(getattr(pl.Callback(), name))

        def record(*given: Any) -> None:
            self.given[name] = signature.bind(*given).arguments

        record.__signature__ = signature  # type: ignore[attr-defined]
        return record


def test_every_hook_is_called_with_the_arguments_of_its_signature(tmp_path):
    recorder, module = Recorder(), Complete()
    made = trainer(callbacks=[recorder], num_sanity_val_steps=1)
    made.fit(module, loader(), loader())
    made.save_checkpoint(tmp_path / "a.ckpt")
    made.validate(module, loader(), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    made.test(module, loader(), verbose=False)
    made.predict(module, loader())
    module.calls.append("fail")
    with pytest.raises(TypeError, match="as told"):
        trainer(callbacks=[recorder]).test(module, loader(), verbose=False)
    assert set(NAMES) - set(recorder.given) == set()
    for name, given in recorder.given.items():
        assert isinstance(given["trainer"], pl.Trainer), name
        assert given["pl_module"] is module, name
    assert recorder.given["on_train_batch_end"]["outputs"].keys() == {"loss"}
    assert recorder.given["on_test_batch_start"]["dataloader_idx"] == 0
    assert isinstance(recorder.given["on_before_optimizer_step"]["optimizer"], torch.optim.SGD)
    assert isinstance(recorder.given["on_exception"]["exception"], TypeError)
    assert recorder.given["on_save_checkpoint"]["checkpoint"]["global_step"] == 4


def test_a_callback_logs_in_a_run_and_not_after_it():
    class Logs(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *given: Any) -> None:
            self.log("step", 1.0)
            self.log_dict({"a": 2.0, "b": 3.0}, on_step=False, on_epoch=True)

    callback = Logs()
    metrics = fit(Regression(), callbacks=[callback]).callback_metrics
    assert {name: float(value) for name, value in metrics.items()} == {"step": 1.0, "a": 2.0, "b": 3.0}
    with pytest.raises(RuntimeError, match="outside a run"):
        callback.log("step", 1.0)


def test_callbacks_keep_their_order_and_checkpoints_come_last(tmp_path):
    class Mine(pl.Callback): ...

    checkpoint, timer, mine = ModelCheckpoint(tmp_path), Timer(), Mine()
    given = [checkpoint, timer, mine]
    made = trainer(callbacks=given, enable_checkpointing=True)
    assert made.callbacks == [timer, mine, checkpoint]
    assert given == [checkpoint, timer, mine]


class Counting(pl.Callback):
    """Has a state."""

    def __init__(self, name: str = "") -> None:
        self.name, self.count = name, 0

    @property
    def state_key(self) -> str:
        return self._generate_state_key(name=self.name) if self.name else super().state_key

    def on_train_batch_end(self, *given: Any) -> None:
        self.count += 1

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


def test_states_come_back_under_their_keys(tmp_path):
    one, two = Counting("one"), Counting("two")
    fit(module := Regression(), callbacks=[one, two]).save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]
    assert saved == {"Counting{'name': 'one'}": {"count": 4}, "Counting{'name': 'two'}": {"count": 4}}
    again = [Counting("two"), Counting("one")]
    trainer(callbacks=again, max_epochs=2).fit(module, loader(), ckpt_path=tmp_path / "a.ckpt")
    assert [callback.count for callback in again] == [8, 8]


def test_a_state_under_the_class_alone_is_found(tmp_path):
    fit(module := Regression(), callbacks=[Counting()]).save_checkpoint(tmp_path / "a.ckpt")
    again = Counting("now with a key of its own")
    trainer(callbacks=[again], max_epochs=2).fit(module, loader(), ckpt_path=tmp_path / "a.ckpt")
    assert again.count == 8


def test_a_state_without_its_callback_is_announced(tmp_path):
    fit(module := Regression(), callbacks=[Counting()]).save_checkpoint(tmp_path / "a.ckpt")
    with pytest.warns(UserWarning, match=r"does not have: \['Counting'\]. Fix: add them"):
        trainer(max_epochs=2).fit(module, loader(), ckpt_path=tmp_path / "a.ckpt")


def test_two_states_under_one_key_are_refused():
    with pytest.raises(RuntimeError, match="under the key 'Counting'"):
        fit(Regression(), callbacks=[Counting(), Counting()])
    fit(Regression(), callbacks=[Counting("one"), Counting("two")])


@pytest.mark.parametrize(
    "own", [EarlyStopping("x", patience=9), ModelCheckpoint()], ids=lambda callback: type(callback).__name__
)
def test_a_callback_of_the_module_replaces_one_of_its_kind(own, tmp_path):
    class Bringing(Regression):
        def configure_callbacks(self) -> Any:
            return own

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("x", 1.0)
            return super().training_step(batch, batch_idx)

    other = type(own)(*(["x"] if isinstance(own, EarlyStopping) else []))
    made = fit(Bringing(), callbacks=[other], enable_checkpointing=True, default_root_dir=tmp_path)
    assert own in made.callbacks
    assert other not in made.callbacks


def test_hooks_of_weights_that_are_replaced_run_for_files_of_weights_alone(tmp_path):
    class Doubling(pl.Callback):
        replaces_weights = True

        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint["state_dict"] = {name: 2 * tensor for name, tensor in checkpoint["state_dict"].items()}

    class Other(pl.Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            checkpoint["other"] = True

    made = fit(module := Regression(), callbacks=[Doubling(), Other()])
    for weights_only in (True, False):
        made.save_checkpoint(tmp_path / "a.ckpt", weights_only)
        saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
        assert torch.equal(saved["state_dict"]["layer.weight"], 2 * module.layer.weight)
        assert ("other" in saved) is not weights_only
