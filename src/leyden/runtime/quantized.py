"""Number formats below 16 bits, from libraries that replace a module's layers; imported where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from leyden.errors import bad_value, nearest
from leyden.runtime.precision import WholePrecision
from leyden.utils.optional import require
from leyden.utils.seed import isolate_rng


def replace_layers(module: nn.Module, make: Callable[[str, nn.Module], Any]) -> None:
    """Put other layers in the places of those that ``make(path, layer)`` has one for, with the same weights."""
    for path, layer in list(module.named_modules()):
        with isolate_rng():
            new = make(path, layer) if path else None
        if new is not None:
            new.load_state_dict(layer.state_dict(), strict=False)
            module.set_submodule(path, new.train(layer.training))


class BitsandbytesPrecision(WholePrecision):
    """Linear layers with weights of 4 or 8 bits, by bitsandbytes; everything else in a 16-bit format.

    The layers are replaced when a run begins and quantised when they move to the device. Quantised weights do not
    train; layers added beside them do (adapters), and those of "int8-training".

    Args:
        mode: "nf4", "fp4" (4 bits), "nf4-dq", "fp4-dq" (their scales quantised too), "int8" or "int8-training".
        dtype: What the layers compute in, and the other weights are; default: float16 for int8, else bfloat16.
        ignore_modules: Paths of sub-modules that keep their layers.

    Raises:
        ModuleNotFoundError: bitsandbytes is not installed.
        ValueError: Another mode.
    """

    def __init__(self, mode: str, dtype: torch.dtype | None = None, ignore_modules: Collection[str] = ()) -> None:
        if mode not in (modes := ("nf4", "nf4-dq", "fp4", "fp4-dq", "int8", "int8-training")):
            raise ValueError(bad_value("mode", mode, ", ".join(map(repr, modes))) + nearest(mode, modes))
        self._layers = require("bitsandbytes", "bitsandbytes").nn
        self.precision = mode
        self.dtype = dtype or (torch.float16 if mode.startswith("int8") else torch.bfloat16)
        self.ignore_modules = frozenset(ignore_modules)

    def convert_module(self, module: nn.Module) -> nn.Module:
        replace_layers(module, self._quantised)
        return super().convert_module(module)

    def _quantised(self, path: str, layer: nn.Module) -> Any:
        if type(layer) is not nn.Linear or any(f"{path}.".startswith(f"{name}.") for name in self.ignore_modules):
            return None
        shape, kind = (layer.in_features, layer.out_features, layer.bias is not None), self.precision
        if kind.startswith("int8"):
            return self._layers.Linear8bitLt(*shape, has_fp16_weights=kind == "int8-training", threshold=6.0)
        return self._layers.Linear4bit(*shape, self.dtype, compress_statistics="dq" in kind, quant_type=kind[:3])


class TransformerEnginePrecision(WholePrecision):
    """Matrix products in FP8, by Nvidia's Transformer Engine.

    Args:
        weights_dtype: What the weights and inputs are.
        recipe: How values are scaled, an object or a dict for ``DelayedScaling``; default: the library's own.
        replace_layers: Replace Linear and LayerNorm layers by the library's; default: unless there are such layers.
        fallback_compute_dtype: What the other operations compute in; default: ``weights_dtype``.

    Raises:
        ModuleNotFoundError: transformer-engine is not installed.
    """

    precision = "transformer-engine"

    def __init__(
        self, *, weights_dtype: torch.dtype, recipe: Any = None, replace_layers: bool | None = None,
        fallback_compute_dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        self._engine = require("transformer_engine.pytorch", "transformer-engine")
        if isinstance(recipe, Mapping):
            recipe = require("transformer_engine.common.recipe", "transformer-engine").DelayedScaling(**recipe)
        self.dtype, self.recipe, self.replace_layers = weights_dtype, recipe, replace_layers
        self.fallback_compute_dtype = fallback_compute_dtype or weights_dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        present = any(type(layer).__module__.startswith("transformer_engine") for layer in module.modules())
        if self.replace_layers or (self.replace_layers is None and not present):
            replace_layers(module, self._layer)
        return super().convert_module(module)

    @contextmanager
    def forward_context(self) -> Iterator[None]:
        fp8 = self._engine.fp8_autocast(enabled=True, fp8_recipe=self.recipe)
        with torch.autocast("cuda", self.fallback_compute_dtype), fp8:
            yield

    def _layer(self, path: str, layer: nn.Module) -> Any:
        if type(layer) is nn.Linear and layer.in_features % 16 == 0 == layer.out_features % 16:  # what FP8 kernels take
            return self._engine.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        if type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1 and layer.bias is not None:
            return self._engine.LayerNorm(layer.normalized_shape[0], eps=layer.eps)
        return None
