"""One step: what is called, what the hooks get, clipping, precision, manual optimization."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from torch import nn

import leyden as pl
from helpers_fit import Regression, fit, loader, trainer, weights
from leyden.engine.step import loss_of
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.runtime.precision import MixedPrecision


class Noting(Regression):
    """Notes the hooks of a step; its loss is 6."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return {"loss": self.layer.weight.sum() * 0 + 6.0, "extra": batch_idx}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.calls.append({key: float(value) for key, value in outputs.items()})

    def on_before_backward(self, loss: Any) -> None:
        self.calls.append(loss.item())

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
        self.calls.append("zero")
        super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.calls.append("step")


class Skipping(Noting):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx == 1 else super().training_step(batch, batch_idx)


def test_row_02_zero_grad_runs_inside_the_closure_on_the_first_batch_of_a_window() -> None:
    calls: list[str] = []

    class Watching(Regression):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            calls.append("optimizer_step")
            optimizer.step(closure=optimizer_closure)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            calls.append(str(batch_idx))
            return super().training_step(batch, batch_idx)

        def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any) -> None:
            calls.append("zero")
            assert batch_idx == 0 or self.layer.weight.grad is not None
            optimizer.zero_grad()

    fit(Watching(), accumulate_grad_batches=3)
    assert calls == ["0", "zero", "1", "optimizer_step", "2", "optimizer_step", "3", "zero"]


@pytest.mark.parametrize(("window", "loss"), [(1, 6.0), (3, 2.0)])
def test_row_03_outputs_hold_the_detached_loss_over_the_window_and_the_extra_keys(window: int, loss: float) -> None:
    seen: list[Any] = []
    module = Noting()
    module.on_train_batch_end = lambda outputs, batch, batch_idx: seen.append(outputs)  # type: ignore[method-assign]
    fit(module, accumulate_grad_batches=window)
    assert [(out["loss"].item(), out["loss"].requires_grad, out["extra"]) for out in seen] == [
        (loss, False, index) for index in range(4)
    ]


def test_row_03_a_tensor_becomes_a_dict() -> None:
    class Tensors(Regression):
        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.calls.append(sorted(outputs))

    module = Tensors()
    fit(module, limit_train_batches=1)
    assert module.calls == [0, ["loss"]]


def test_row_04_none_skips_backward_but_the_step_counts() -> None:
    module = Skipping()
    made = fit(module, limit_train_batches=2)
    assert module.calls == ["zero", 6.0, "step", {"loss": 6.0, "extra": 0.0}, "zero", "step", {}]
    assert made.global_step == 2


def test_row_04_none_changes_no_weight() -> None:
    module = Regression()
    module.training_step = lambda batch, batch_idx: None  # type: ignore[method-assign]
    before = weights(module)
    with pytest.warns(PossibleUserWarning, match="None for every batch"):
        fit(module)
    assert torch.equal(weights(module), before)


def test_row_05_none_with_several_processes_is_an_error() -> None:
    run: Any = SimpleNamespace(strategy=SimpleNamespace(is_distributed=True))
    with pytest.raises(RuntimeError, match="returned None"):
        loss_of(None, run)
    assert loss_of({"loss": torch.ones(())}, run) == 1


@pytest.mark.parametrize("returned", [1.0, {"lss": torch.ones(1)}, "loss", [torch.ones(1)]])
def test_other_returns_are_refused(returned: Any) -> None:
    module = Regression()
    module.training_step = lambda batch, batch_idx: returned  # type: ignore[method-assign]
    with pytest.raises(MisconfigurationException, match="training_step"):
        fit(module)


def test_row_28_clipping_is_configured_even_when_off() -> None:
    class Clipping(Regression):
        def configure_gradient_clipping(self, optimizer: Any, **given: Any) -> None:
            self.calls.append((isinstance(optimizer, torch.optim.SGD), given))

    for value in (None, 0, -1.0):
        module = Clipping()
        fit(module, gradient_clip_val=value, limit_train_batches=1)
        assert module.calls == [0, (True, {"gradient_clip_val": value, "gradient_clip_algorithm": None})]


def gradients(module: Regression, **arguments: Any) -> torch.Tensor:
    seen: list[torch.Tensor] = []

    class Reading(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]))

    fit(module, callbacks=[Reading()], limit_train_batches=1, **arguments)
    return seen[0]


@pytest.mark.parametrize("algorithm", ["norm", "value", None])
def test_clipping(algorithm: str | None) -> None:
    raw = gradients(Regression())
    clipped = gradients(Regression(), gradient_clip_val=0.05, gradient_clip_algorithm=algorithm)
    reference = Regression()
    for parameter, part in zip(reference.parameters(), raw.split([2, 1]), strict=True):
        parameter.grad = part.view_as(parameter).clone()
    if algorithm == "value":
        nn.utils.clip_grad_value_(reference.parameters(), 0.05)
    else:
        nn.utils.clip_grad_norm_(reference.parameters(), 0.05)
    assert torch.equal(clipped, torch.cat([p.grad.flatten() for p in reference.parameters() if p.grad is not None]))


def test_clipping_of_ones_own() -> None:
    class Halving(Regression):
        def configure_gradient_clipping(
            self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
        ) -> None:
            self.clip_gradients(optimizer, gradient_clip_val / 2, gradient_clip_algorithm)

    assert gradients(Halving(), gradient_clip_val=0.1).norm().item() == pytest.approx(0.05, rel=1e-4)


def test_row_31_no_optimizer_trains_nothing_and_counts() -> None:
    class Without(Noting):
        def configure_optimizers(self) -> None:
            return None

    module = Without()
    before = weights(module)
    with pytest.warns(UserWarning, match="no optimizer"):
        made = fit(module, max_epochs=-1, max_steps=2)
    assert torch.equal(weights(module), before)
    assert module.calls == ["zero", 6.0, "step", {"loss": 6.0, "extra": 0.0}, *["zero", 6.0, "step"], ANY]
    assert made.global_step == 2


def test_row_32_lbfgs_evaluates_the_closure_several_times() -> None:
    class Newton(Regression):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), max_iter=3, line_search_fn="strong_wolfe")

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            self.calls.append("start")

        def on_before_backward(self, loss: Any) -> None:
            self.calls.append("backward")

    module, plain = Newton(), Newton()
    made = fit(module, limit_train_batches=1)
    assert module.calls.count("start") == 1
    assert module.calls.count("backward") == module.calls.count(0) > 1
    assert made.global_step == 1
    optimizer, batch = plain.configure_optimizers(), next(iter(loader()))

    def closure() -> Any:
        optimizer.zero_grad()
        loss = plain.loss(batch)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(weights(module), weights(plain))


def test_row_33_scaled_gradients_are_unscaled_before_hook_and_clipping() -> None:
    seen: list[float] = []

    class Reading(Regression):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            assert self.layer.bias.grad is not None
            seen.append(self.layer.bias.grad.item())

    fit(Reading(), limit_train_batches=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plugin = MixedPrecision("16-mixed", "cpu", scaler)
    made = fit(Reading(), limit_train_batches=2, accumulate_grad_batches=2, plugins=plugin)
    fit(Reading(), limit_train_batches=2, accumulate_grad_batches=2)
    assert made.scaler is scaler
    assert seen[1] == pytest.approx(seen[2], rel=1e-2)


def test_row_33_none_under_a_scaler_steps_nothing() -> None:
    module = Skipping()
    made = fit(module, limit_train_batches=2, plugins=MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu")))
    assert made.global_step == 2
    assert module.calls[-3:] == ["zero", "step", {}]


def test_row_36_batch_idx_is_optional_by_position() -> None:
    class One(Regression):
        def training_step(self, anything: Any) -> Any:
            return self.loss(anything)

    class Named(Regression):
        def training_step(self, x: Any, number: int) -> Any:
            self.calls.append(number)
            return self.loss(x)

    class Variable(Regression):
        def training_step(self, *given: Any) -> Any:
            self.calls.append(given[1])
            return self.loss(given[0])

    fit(One())
    for module in (Named(), Variable()):
        fit(module)
        assert module.calls == [0, 1, 2, 3]


def test_an_optimizer_step_that_forgets_the_closure_is_an_error() -> None:
    module = Regression()
    module.optimizer_step = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(MisconfigurationException, match="optimizer_closure"):
        fit(module)


def test_an_optimizer_step_may_call_the_closure_and_not_step() -> None:
    class Every(Regression):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            optimizer.step(optimizer_closure) if batch_idx % 2 else optimizer_closure()

    assert fit(Every()).global_step == 2


def test_row_12_two_optimizers_count_two_steps_per_batch() -> None:
    class Two(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1), torch.optim.Adam(self.parameters(), 0.1)

    assert fit(Two()).global_step == 8


def test_row_29_every_step_counts_wherever_it_is_but_those_of_bare_optimizers() -> None:
    class Two(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.loss(batch))
                optimizer.step()
            self.optimizers(use_pl_optimizer=False)[0].step()

        def on_train_epoch_end(self) -> None:
            self.optimizers()[0].step()

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.calls.append(type(optimizer).__name__)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1), torch.optim.Adam(self.parameters(), 0.1)

    module = Two()
    made = fit(module, limit_train_batches=2)
    assert made.global_step == 5
    assert module.calls == ["SGD", "Adam"] * 2 + ["SGD"]


class Manual(Regression):
    def __init__(self, returned: Any = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.returned = returned

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.returned

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.calls.append(outputs)


def test_what_manual_steps_return() -> None:
    for returned, outputs in ((None, {}), ({"a": 1}, {"a": 1}), (torch.ones(()), {"loss": torch.ones(())})):
        module = Manual(returned)
        with pytest.warns(PossibleUserWarning, match="has not stepped once"):
            fit(module, limit_train_batches=1)
        assert module.calls == [outputs]
    with pytest.raises(MisconfigurationException, match="manual optimization"):
        fit(Manual([1]))


def test_a_closure_of_manual_optimization_is_followed_by_the_hook() -> None:
    class Closing(Manual):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            def closure() -> Any:
                self.calls.append("closure")
                loss = self.loss(batch)
                self.manual_backward(loss)
                return loss

            self.optimizers().step(closure)

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.calls.append("hook")

    module = Closing()
    fit(module, limit_train_batches=1)
    assert module.calls == ["closure", "hook", {}]


@pytest.mark.parametrize("arguments", [{"gradient_clip_val": 1.0}, {"accumulate_grad_batches": 2}])
def test_manual_optimization_excludes(arguments: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match=next(iter(arguments))):
        fit(Manual(), **arguments)


@pytest.mark.parametrize(
    ("precision", "parameter", "activation"),
    [
        (None, torch.float32, torch.float32),
        ("32-true", torch.float32, torch.float32),
        (64, torch.float64, torch.float64),
        ("bf16-mixed", torch.float32, torch.bfloat16),
        ("bf16-true", torch.bfloat16, torch.bfloat16),
    ],
)
def test_precision(precision: Any, parameter: torch.dtype, activation: torch.dtype) -> None:
    class Typed(Regression):
        def loss(self, batch: Any) -> Any:
            output = self.layer(batch[0])
            self.calls.append(output.dtype)
            return (output - batch[1]).square().mean()

    module = Typed()
    before = weights(module)
    fit(module, precision=precision, accumulate_grad_batches=3)
    assert {p.dtype for p in module.parameters()} == {parameter}
    assert {call for call in module.calls if isinstance(call, torch.dtype)} == {activation}
    assert not torch.equal(weights(module).float(), before)


def test_detect_anomaly_only_during_fit() -> None:
    class Seeing(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(torch.is_anomaly_enabled())
            return self.loss(batch)

    module = Seeing()
    fit(module, limit_train_batches=1, detect_anomaly=True)
    assert module.calls == [True]
    assert not torch.is_anomaly_enabled()


@pytest.mark.parametrize("choice", [True, "warn"])
def test_deterministic_only_during_fit(choice: Any) -> None:
    class Seeing(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(torch.are_deterministic_algorithms_enabled())
            return self.loss(batch)

    module = Seeing()
    fit(module, limit_train_batches=1, deterministic=choice)
    assert module.calls == [True]
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_step_without_hooks_needs_no_trainer_of_its_own() -> None:
    made = trainer()
    made.fit(Regression(), loader())
    assert made.global_step == 4
