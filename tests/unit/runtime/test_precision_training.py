"""Number formats in a run, against the loop that PyTorch's documentation shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from helpers_fit import Regression, fit, loader, trainer, weights
from leyden.errors import MisconfigurationException
from leyden.runtime.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision


def scaler(**options: Any) -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", **{"init_scale": 8.0, "growth_interval": 2, **options})


def mixed(**options: Any) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", scaler(**options))


def plain(module: Any, scaling: torch.amp.GradScaler, epochs: int = 1) -> None:
    """The loop of the documentation of ``torch.amp``, with clipping."""
    optimizer = module.configure_optimizers()
    for _ in range(epochs):
        for batch in loader():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16):
                loss = module.loss(batch)
            scaling.scale(loss).backward()
            scaling.unscale_(optimizer)
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            scaling.step(optimizer)
            scaling.update()


@pytest.mark.parametrize("init_scale", [8.0, 2.0**24])
def test_float16_is_the_documented_loop(init_scale: float) -> None:
    """The larger scale overflows at first: steps are left out until it is small enough."""
    module, reference, scaling = Regression(), Regression(), scaler(init_scale=init_scale)
    made = fit(module, max_epochs=5, gradient_clip_val=0.5, plugins=mixed(init_scale=init_scale))
    plain(reference, scaling, epochs=5)
    assert torch.equal(weights(module), weights(reference))
    assert made.scaler is not None and made.scaler.state_dict() == scaling.state_dict()
    assert made.global_step == 20, "steps that were left out count, as in Lightning"


def test_gradients_that_overflow_under_a_scaler_are_no_event() -> None:
    module = Regression()
    before = weights(module)
    made = fit(module, limit_train_batches=1, plugins=mixed(init_scale=2.0**40))
    assert made.scaler is not None and made.scaler.get_scale() == 2.0**39
    assert torch.equal(weights(module), before)


class Adversaries(Regression):
    """Manual optimization of two layers, with gradients of both before either steps."""

    def __init__(self, train: Callable[[Any, Any], None]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.other = nn.Linear(2, 1)
        self.train_on = train

    def losses(self, batch: Any) -> tuple[Tensor, Tensor]:
        return self.loss(batch), (self.other(batch[0]) - batch[1]).square().mean()

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.train_on(self, batch)

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(layer.parameters(), lr=0.1) for layer in (self.layer, self.other)]


def both_then_both(module: Adversaries, batch: Any) -> None:
    optimizers = module.optimizers()
    for optimizer, loss in zip(optimizers, module.losses(batch), strict=True):
        optimizer.zero_grad()
        module.manual_backward(loss)
    for optimizer in optimizers:
        module.clip_gradients(optimizer, 0.5, "norm")
    for optimizer in optimizers:
        optimizer.step()


def one_after_the_other(module: Adversaries, batch: Any) -> None:
    for optimizer, loss in zip(module.optimizers(), module.losses(batch), strict=True):
        optimizer.zero_grad()
        module.manual_backward(loss)
        module.clip_gradients(optimizer, 0.5, "norm")
        optimizer.step()


def with_closures(module: Adversaries, batch: Any) -> None:
    for index, optimizer in enumerate(module.optimizers()):

        def closure(index: int = index, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            module.manual_backward(module.losses(batch)[index])

        optimizer.step(closure)


@pytest.mark.parametrize("train", [both_then_both, one_after_the_other, with_closures])
def test_manual_optimization_scales_and_unscales(train: Any) -> None:
    """As in float32, but for the rounding of float16; a wrong scale would be off by factors of 2."""
    module, reference = Adversaries(train), Adversaries(train)
    made = fit(module, max_epochs=3, plugins=mixed(growth_interval=5))
    fit(reference, max_epochs=3)
    assert made.global_step == 24
    assert torch.allclose(weights(module), weights(reference), atol=2e-3)


def test_several_optimizers_share_an_update_of_the_scale() -> None:
    """PyTorch's recipe: all of an iteration's optimizers step, then the scale is adapted once."""
    made = fit(Adversaries(both_then_both), limit_train_batches=3, plugins=mixed(growth_interval=100))
    assert made.scaler is not None and made.scaler.state_dict()["_growth_tracker"] == 3


def test_row_33_manual_optimization_unscales_before_the_hook() -> None:
    seen: list[float] = []

    class Seeing(Adversaries):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            seen.append(optimizer.param_groups[0]["params"][1].grad.item())

    fit(Seeing(one_after_the_other), limit_train_batches=1)
    fit(Seeing(one_after_the_other), limit_train_batches=1, plugins=mixed(init_scale=1024.0))
    assert seen[2:] == pytest.approx(seen[:2], rel=1e-2)


@pytest.mark.parametrize("steps_on", [lambda index: index % 2, lambda index: index >= 2])
def test_a_closure_without_a_step_leaves_no_scale_behind(steps_on: Callable[[int], Any]) -> None:
    class Sparing(Regression):
        def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
            optimizer.step(optimizer_closure) if steps_on(batch_idx) else optimizer_closure()

    module, reference = Sparing(), Sparing()
    fit(module, max_epochs=2, plugins=mixed())
    fit(reference, max_epochs=2)
    assert torch.allclose(weights(module), weights(reference), atol=2e-3)


def test_lbfgs_has_no_scaler() -> None:
    class Searching(Regression):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters())

    with pytest.raises(MisconfigurationException, match="LBFGS"):
        fit(Searching(), plugins=mixed())
    assert fit(Searching(), precision="bf16-mixed").global_step == 4


def test_a_failed_run_leaves_no_unscaled_gradients_behind() -> None:
    class Failing(Regression):
        def on_before_optimizer_step(self, optimizer: Any) -> None:
            raise KeyError

    plugin, module = mixed(), Regression()
    made = trainer(plugins=plugin)
    with pytest.raises(KeyError):
        made.fit(Failing(), loader())
    made.fit(module, loader())
    assert made.global_step == 4 and not plugin.unscaled


def test_the_scale_is_saved_and_resumed(tmp_path: Path) -> None:
    made = fit(Regression(), plugins=mixed())
    made.save_checkpoint(tmp_path / "run.ckpt")
    saved = torch.load(tmp_path / "run.ckpt", weights_only=True)["MixedPrecision"]
    assert saved == made.scaler.state_dict() and saved["scale"] == 32.0  # type: ignore[union-attr]
    plugin = mixed(init_scale=2.0)
    trainer(plugins=plugin).fit(Regression(), loader(), ckpt_path=tmp_path / "run.ckpt")
    assert plugin.state_dict() == saved


def test_a_format_of_ones_own_is_used_and_keeps_its_state(tmp_path: Path) -> None:
    class Counting(Precision):
        precision = "counting"

        def __init__(self) -> None:
            self.batches = 0

        def convert_input(self, data: Any) -> Any:
            self.batches += 1
            return data

        def state_dict(self) -> dict[str, Any]:
            return {"batches": self.batches}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            self.batches = state_dict["batches"]

    made = fit(Regression(), plugins=[Counting()])
    assert made.precision == "counting" and isinstance(made.precision_plugin, Counting)
    made.save_checkpoint(tmp_path / "run.ckpt")
    resumed = Counting()
    trainer(plugins=[resumed], max_epochs=2).fit(Regression(), loader(), ckpt_path=tmp_path / "run.ckpt")
    assert resumed.batches == 8


@pytest.mark.parametrize(
    ("plugin", "dtype"),
    [
        (DoublePrecision(), torch.float64),
        (HalfPrecision("16-true"), torch.float16),
        (HalfPrecision("bf16-true"), torch.bfloat16),
    ],
)
def test_whole_formats_convert_floats_and_nothing_else(plugin: Precision, dtype: torch.dtype) -> None:
    seen: list[Any] = []

    class Typed(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.phase = nn.Parameter(torch.ones(1, dtype=torch.complex64))

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            seen.append((batch["x"].dtype, batch["index"].dtype, batch["name"], torch.ones(1).dtype))
            return self.layer(batch["x"]).square().mean()

        def predict_step(self, batch: Any) -> Any:
            return self.layer(batch["x"])

    module = Typed()
    samples = [{"x": torch.ones(2, 2), "index": torch.ones(2, dtype=torch.int64), "name": "a"}]
    data = DataLoader(samples, batch_size=None)  # type: ignore[arg-type]  # a list is a data set
    made = fit(module, data, plugins=plugin)
    assert seen == [(dtype, torch.int64, "a", dtype)]
    assert (module.layer.weight.dtype, module.phase.dtype, module.dtype) == (dtype, torch.complex64, dtype)
    assert made.predict(module, data)[0].dtype == dtype  # type: ignore[index]
    assert torch.ones(1).dtype == torch.float32


def test_new_layers_are_made_in_the_format() -> None:
    class Late(Regression):
        def configure_model(self) -> None:
            self.late = nn.Linear(2, 1)
            self.calls.append(self.late.weight.dtype)

    module = Late()
    made = fit(module, precision="bf16-true", limit_train_batches=1)
    assert module.calls[0] is torch.bfloat16
    with made.init_module():
        assert nn.Linear(1, 1).weight.dtype is torch.bfloat16
    assert nn.Linear(1, 1).weight.dtype is torch.float32
