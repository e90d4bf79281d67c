from typing import Any

import pytest

import leyden as pl
from leyden.core.hooks import HOOKS, PER_BATCH, PER_EPOCH, PER_STEP, Hooks, overridden
from leyden.core.profiler import Profiler


class Module(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def on_train_epoch_end(self) -> None:
        self.calls.append("module")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int:
        self.calls.append(("module", batch, batch_idx))
        return -1


def hooks_of(module: Module, *callbacks: pl.Callback, data: Any = None, profiler: Any = None) -> Hooks:
    return Hooks("trainer", callbacks, module, data, profiler)


def callback(module: Module, name: str, hook: str, monitors: bool = False) -> pl.Callback:
    made = pl.Callback()
    made.monitors = monitors
    setattr(made, hook, lambda *given: module.calls.append((name, *given[2:])))
    return made


def test_callbacks_then_module_and_the_modules_answer_counts() -> None:
    module = Module()
    hooks = hooks_of(module, *(callback(module, name, "on_train_batch_start") for name in "ab"))
    assert hooks.call("on_train_batch_start", "batch", 3) == -1
    assert module.calls == [("a", "batch", 3), ("b", "batch", 3), ("module", "batch", 3)]


def test_row_91_monitors_come_after_the_module_at_the_epochs_end_only() -> None:
    module = Module()
    late = callback(module, "late", "on_train_epoch_end", monitors=True)
    late.on_train_batch_start = lambda *_: module.calls.append("late")  # type: ignore[method-assign, assignment]
    hooks = hooks_of(module, late, callback(module, "early", "on_train_epoch_end"))
    hooks.call("on_train_epoch_end")
    hooks.call_monitors("on_train_epoch_end")
    assert module.calls == [("early",), "module", ("late",)]
    module.calls.clear()
    hooks.call("on_train_batch_start", "batch", 0)
    assert module.calls == ["late", ("module", "batch", 0)]


def test_the_data_module_is_first_in_setup_and_last_on_exceptions() -> None:
    module = Module()
    data: Any = pl.LightningDataModule()
    data.setup = lambda stage: module.calls.append(("data", stage))
    data.on_exception = lambda error: module.calls.append(("data", error))
    made = callback(module, "callback", "setup")
    made.on_exception = lambda *given: module.calls.append(("callback", given[2]))  # type: ignore[method-assign]
    hooks = hooks_of(module, made, data=data)
    hooks.call("setup", "fit")
    hooks.call("on_exception", "error")
    assert module.calls == [("data", "fit"), ("callback", "fit"), ("callback", "error"), ("data", "error")]


def test_only_overridden_hooks_are_active() -> None:
    assert hooks_of(Module()).active == {"on_train_epoch_end", "on_train_batch_start"}
    assert hooks_of(Module()).call("on_fit_start") is None


@pytest.mark.parametrize("name", ["on_validation_model_train", "on_validation_model_zero_grad", "on_test_model_train"])
def test_hooks_that_only_modules_have_are_dispatched(name: str) -> None:
    module = Module()
    setattr(module, name, lambda: module.calls.append(name))
    hooks = hooks_of(module)
    assert name in hooks.active
    hooks.call(name)
    assert module.calls == [name]


def test_current_names_the_running_hook() -> None:
    module = Module()
    seen: list[str] = []
    module.on_train_epoch_end = lambda: seen.append(hooks.current)  # type: ignore[method-assign]
    hooks = hooks_of(module)
    hooks.current = "before"
    hooks.call("on_train_epoch_end")
    with hooks.inside("configure_optimizers"):
        seen.append(hooks.current)
    assert seen == ["on_train_epoch_end", "configure_optimizers"]
    assert hooks.current == "before"


def test_row_37_dataloader_idx_is_optional_in_batch_hooks() -> None:
    class Evaluated(Module):
        def on_validation_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.calls.append((batch, batch_idx))

        def on_validation_batch_end(self, *given: Any) -> None:
            self.calls.append(given)

    class Short(pl.Callback):
        def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            pl_module.calls.append(batch_idx)

    module = Evaluated()
    hooks = hooks_of(module, Short())
    hooks.call("on_validation_batch_start", "batch", 1, 2)
    hooks.call("on_validation_batch_end", "out", "batch", 1, 2)
    assert module.calls == [1, ("batch", 1), ("out", "batch", 1, 2)]


def test_a_profiler_measures_each_listener_by_name() -> None:
    module, names = Module(), []

    class Noting(Profiler):
        def start(self, action_name: str) -> None:
            names.append(action_name)

    hooks = hooks_of(module, callback(module, "a", "on_train_epoch_end"), profiler=Noting())
    assert names == []
    hooks.call("on_train_epoch_end")
    assert names == ["[Callback]Callback.on_train_epoch_end", "[LightningModule]Module.on_train_epoch_end"]


def test_binding_again_finds_what_has_changed() -> None:
    module = Module()
    hooks = hooks_of(module)
    module.on_fit_start = lambda: module.calls.append("set later")  # type: ignore[method-assign]
    hooks.call("on_fit_start")
    assert module.calls == []
    hooks.bind()
    hooks.call("on_fit_start")
    assert module.calls == ["set later"]


def test_listeners_are_all_who_override_a_hook() -> None:
    module = Module()
    late = callback(module, "late", "on_train_epoch_end", monitors=True)
    hooks = hooks_of(module, late, callback(module, "early", "on_train_epoch_end"))
    for listener in hooks.listeners("on_train_epoch_end"):
        listener()
    assert module.calls == [("early",), "module", ("late",)]
    assert hooks.listeners("on_fit_start") == []


def test_overridden() -> None:
    module = Module()
    assert overridden(module, "on_fit_start", pl.LightningModule) is None
    assert overridden(module, "on_train_epoch_end", pl.LightningModule) == module.on_train_epoch_end
    assert overridden(module, "no_hook", pl.LightningModule) is None


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (PER_STEP, ["training_step", "on_train_batch_end", "on_before_zero_grad", "optimizer_step", "backward"]),
        (PER_BATCH, ["validation_step", "test_step", "on_validation_batch_start", "on_test_batch_end"]),
        (PER_EPOCH, ["on_train_start", "on_train_epoch_end", "on_validation_epoch_end", "on_test_start"]),
        (None, ["on_fit_start", "on_train_end", "on_validation_end", "predict_step", "setup", "on_save_checkpoint"]),
    ],
)
def test_what_may_be_logged_where(rule: Any, names: list[str]) -> None:
    assert {HOOKS[name].log for name in names} == {rule}
