"""What needs neither library, and Transformer Engine's part with a stand-in; tests/services has the real bitsandbytes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import leyden as pl
from helpers_fit import Regression, fit
from leyden.runtime.quantized import BitsandbytesPrecision, TransformerEnginePrecision, replace_layers


@pytest.mark.parametrize("precision", ["transformer-engine", "transformer-engine-float16"])
def test_without_transformer_engine(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformer_engine.pytorch", None)
    line = r'needs transformer_engine.pytorch: pip install "leyden\[transformer-engine\]"'
    with pytest.raises(ModuleNotFoundError, match=line):
        pl.Trainer(accelerator="cpu", precision=precision)


def test_without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModuleNotFoundError, match=r'needs bitsandbytes: pip install "leyden\[bitsandbytes\]"'):
        BitsandbytesPrecision("nf4")


def test_an_unknown_mode_is_refused_first() -> None:
    with pytest.raises(ValueError, match="`mode` got 'nf5' .*'int8-training'.*Did you mean 'nf4'"):
        BitsandbytesPrecision("nf5")


def test_layers_are_replaced_with_their_weights_and_modes_and_no_random_draw() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 3)).eval())
    weights = [parameter.clone() for parameter in module.parameters()]
    state, asked = torch.get_rng_state(), []

    def make(path: str, layer: nn.Module) -> nn.Module | None:
        asked.append(path)
        return nn.LazyLinear(3) if path == "1.0" else None

    replace_layers(module, make)
    assert asked == ["0", "1", "1.0"]
    new = module[1][0]  # type: ignore[index]
    assert not new.training and module[0].training
    assert all(torch.equal(old, kept) for old, kept in zip(weights, module.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


class EngineLinear(nn.Linear):
    """Stands in for the library's layer."""


class EngineNorm(nn.LayerNorm):
    """Stands in for the library's layer."""


@pytest.fixture
def recipes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A stand-in for Transformer Engine, which needs a GPU; what its contexts were given."""
    entered: list[Any] = []

    @contextlib.contextmanager
    def fp8_autocast(enabled: bool, fp8_recipe: Any) -> Iterator[None]:
        entered.append((enabled, fp8_recipe))
        yield

    library = ModuleType("transformer_engine.pytorch")
    for layer in (EngineLinear, EngineNorm):
        monkeypatch.setattr(layer, "__module__", library.__name__)
    vars(library).update(Linear=EngineLinear, LayerNorm=EngineNorm, fp8_autocast=fp8_autocast)
    recipe = ModuleType("transformer_engine.common.recipe")
    recipe.DelayedScaling = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, library.__name__, library)
    monkeypatch.setitem(sys.modules, recipe.__name__, recipe)
    return entered


def layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(16, 32), nn.LayerNorm(32), nn.Linear(32, 3))


def test_layers_that_fp8_kernels_take_are_replaced(recipes: list[Any]) -> None:
    precision = TransformerEnginePrecision(weights_dtype=torch.bfloat16)
    made = precision.convert_module(layers())
    assert [type(layer).__name__ for layer in made] == ["EngineLinear", "EngineNorm", "Linear"]
    assert {parameter.dtype for parameter in made.parameters()} == {torch.bfloat16}
    again = precision.convert_module(made)
    assert [type(layer).__name__ for layer in again] == ["EngineLinear", "EngineNorm", "Linear"]


def test_a_module_with_such_layers_is_left_alone_unless_asked(recipes: list[Any]) -> None:
    def kinds(replace: bool | None, *more: nn.Module) -> list[str]:
        precision = TransformerEnginePrecision(weights_dtype=torch.float16, replace_layers=replace)
        return [type(layer).__name__ for layer in precision.convert_module(nn.Sequential(*layers(), *more))]

    assert kinds(None, EngineLinear(1, 1))[:2] == ["Linear", "LayerNorm"]
    assert kinds(True, EngineLinear(1, 1))[:2] == ["EngineLinear", "EngineNorm"]
    assert kinds(False)[:2] == ["Linear", "LayerNorm"]


def test_steps_run_in_its_context(recipes: list[Any]) -> None:
    class Typed(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(batch[0].dtype)
            return self.layer(batch[0]).float().square().mean()

    module = Typed()
    plugin = TransformerEnginePrecision(
        weights_dtype=torch.float16, recipe={"margin": 2}, fallback_compute_dtype=torch.bfloat16
    )
    with pytest.warns(UserWarning, match="CUDA") if not torch.cuda.is_available() else contextlib.nullcontext():
        fit(module, plugins=plugin, limit_train_batches=2)
    assert recipes == [(True, SimpleNamespace(margin=2))] * 2
    assert module.calls == [torch.float16] * 2
    assert plugin.fallback_compute_dtype is torch.bfloat16


def test_names(recipes: list[Any]) -> None:
    for name, dtype in (("transformer-engine", torch.bfloat16), ("transformer-engine-float16", torch.float16)):
        plugin = pl.Trainer(accelerator="cpu", max_epochs=1, precision=name).precision_plugin
        assert isinstance(plugin, TransformerEnginePrecision) and plugin.dtype is dtype
