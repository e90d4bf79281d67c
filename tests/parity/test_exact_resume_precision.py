"""Runs under a gradient scaler, interrupted at each step and resumed: the same bits, and the same scale."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_resume import Augmented, Net, Resumed, Scenario
from leyden.runtime.precision import HalfPrecision, MixedPrecision


class Scale(pl.Callback):
    """Notes the scaler's state after each step, and shows the last one."""

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.scaler = trainer.scaler

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        pl_module.samples[-1] += (self.scaler.state_dict(),)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scaler.state_dict())


class Two(Net):
    """Manual optimization of two optimizers that share a scale, one of which steps on every other batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for index, optimizer in enumerate(self.optimizers()):
            loss = self.loss(batch)
            with optimizer.toggle_model():
                self.manual_backward(loss)
            if index == 0 or batch_idx % 2:
                self.clip_gradients(optimizer, 0.5, "norm")
                optimizer.step()
                optimizer.zero_grad()

    def configure_optimizers(self) -> Any:
        one = torch.optim.Adam([*self.first.parameters(), *self.norm.parameters()], lr=0.02)
        return [one, torch.optim.SGD(self.second.parameters(), lr=0.05, momentum=0.9)]


class NoNorm(Net):
    """BatchNorm of a batch in float16 on the CPU is left out."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.dropout(torch.relu(self.first(inputs))))


def loader() -> Any:
    return torch.utils.data.DataLoader(Augmented(), batch_size=4, shuffle=True)


def scaled(module: Any = Net, init_scale: float = 64.0, **arguments: Any) -> Scenario:
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=2)
    given = {"val_check_interval": 2, "plugins": MixedPrecision("16-mixed", "cpu", scaler), **arguments}
    return Scenario(module, loader, callbacks=lambda: [Scale()], arguments=given)


SCENARIOS: dict[str, Any] = {
    "16-mixed": scaled,
    "overflows": lambda: scaled(init_scale=2.0**21),
    "accumulation": lambda: scaled(accumulate_grad_batches=4, gradient_clip_val=0.1),
    "two optimizers": lambda: scaled(Two),
    "bf16-mixed": lambda: Scenario(train=loader, arguments={"precision": "bf16-mixed", "accumulate_grad_batches": 2}),
    "16-true": lambda: Scenario(
        lambda: NoNorm(optimizer="sgd"), loader, arguments={"plugins": HalfPrecision("16-true")}
    ),
}


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("name", SCENARIOS)
def test_resumed_from_every_step(name: str, tmp_path: Path) -> None:
    made = SCENARIOS[name]
    resumed = Resumed(made(), tmp_path)
    assert len(resumed.files) > 5
    for path in resumed.files[::-2]:
        resumed.scenario = made()  # with a scaler of its own
        assert resumed.check(path) == [], path.relative_to(resumed.kept)


def test_the_scenario_with_overflows_has_some(tmp_path: Path) -> None:
    scales = [state["scale"] for *_, state in Resumed(SCENARIOS["overflows"](), tmp_path).calm.samples]
    assert any(later < earlier for earlier, later in itertools.pairwise(scales))
    assert any(later > earlier for earlier, later in itertools.pairwise(scales))
