"""Weights of 4 and 8 bits with the real library, on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from leyden.runtime.quantized import BitsandbytesPrecision

MODES = {"nf4": 0.2, "nf4-dq": 0.2, "fp4": 0.2, "fp4-dq": 0.2, "int8": 0.02}


class Adapted(pl.LightningModule):
    """A base that is quantised, and a head that trains."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.head(self.base(inputs))
        return output

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0]).float().square().mean()

    def predict_step(self, batch: Any) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.head.parameters(), lr=0.1)


def trainer(mode: str) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", max_epochs=1, plugins=[BitsandbytesPrecision(mode, ignore_modules={"head"})], logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip


@pytest.fixture
def data() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.randn(16, 64)), batch_size=4)


@pytest.mark.parametrize("mode", MODES)
def test_predictions_are_close_and_small_weights_stay_whole(mode: str, data: DataLoader[Any]) -> None:
    module = Adapted()
    expected = torch.cat([module(inputs) for (inputs,) in data])
    found: Any = trainer(mode).predict(module, data)
    assert torch.cat(found).float().sub(expected).abs().max() < MODES[mode]
    assert {layer.weight.dtype for layer in module.base if isinstance(layer, nn.Linear)} <= {torch.uint8, torch.int8}
    assert module.head.weight.dtype is (torch.float16 if mode == "int8" else torch.bfloat16)


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_beside_the_quantised_layers_trains(mode: str, data: DataLoader[Any]) -> None:
    module = Adapted()
    made = trainer(mode)
    made.fit(module, data)
    assert made.global_step == 4
    assert not torch.allclose(module.head.weight.float(), Adapted().head.weight, atol=1e-3)
    assert [parameter.requires_grad for parameter in module.parameters()] == [False, True, False, True, True, True]
