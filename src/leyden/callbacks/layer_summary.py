"""What a module consists of: names, types, parameters, modes and, from an example input, sizes and operations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode

from leyden.errors import bad_value
from leyden.utils.rank import rank_zero_warn
from leyden.utils.seed import isolate_rng
from leyden.utils.tree import map_tensors, move_to_device

UNKNOWN_SIZE = "?"
NOT_APPLICABLE = "n/a"


def summarize(lightning_module: nn.Module, max_depth: int = 1) -> ModelSummary:
    """Summarize a module; see :class:`ModelSummary`.

    Example:
        >>> print(summarize(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))))
          | Name | Type   | Params | Mode
        ------------------------------------
        0 | 0    | Linear | 36     | train
        1 | 1    | Linear | 10     | train
        ------------------------------------
        46        Trainable params
        0         Non-trainable params
        46        Total params
        0.000     Total estimated model params size (MB)
        2         Modules in train mode
        0         Modules in eval mode
    """
    return ModelSummary(lightning_module, max_depth)


def check_max_depth(max_depth: object) -> int:
    """Return ``max_depth`` if it is an int >= -1.

    Raises:
        ValueError: It is not.
    """
    if isinstance(max_depth, bool) or not isinstance(max_depth, int) or max_depth < -1:
        raise ValueError(bad_value("max_depth", max_depth, "an int >= -1; -1 shows all modules, 0 none"))
    return max_depth


@dataclass
class LayerSummary:
    """One row: a module inside the model."""

    name: str
    layer_type: str
    num_parameters: int
    training: bool
    in_size: Any = UNKNOWN_SIZE
    out_size: Any = UNKNOWN_SIZE
    flops: int = 0
    """Floating-point operations of the example's forward pass; 0 without an example."""


class ModelSummary:
    """A module's layers, parameters and modes; ``print`` it for a table.

    With an ``example_input_array`` on the module (a tensor, a tuple of arguments, a dict of keyword arguments) one
    forward pass in eval mode finds the sizes, and counts the floating-point operations of matrix products, convolutions
    and attention. It leaves random numbers, modes, parameters and buffers as they were.
    Parameters that are shared count once in the totals.

    Args:
        model: The module.
        max_depth: How deep to look into it; -1: all the way, 0: totals only.

    Raises:
        ValueError: ``max_depth`` is no int >= -1.
    """

    def __init__(self, model: nn.Module, max_depth: int = 1) -> None:
        self.max_depth = check_max_depth(max_depth)
        self.named_modules = dict(_named_modules(model, max_depth))
        """The modules of the rows, by name."""
        self.layers = [
            LayerSummary(name, type(module).__name__, _count(module), module.training)
            for name, module in self.named_modules.items()
        ]
        parameters = list(model.parameters())
        shaped = [item for item in parameters if not is_lazy(item)]
        self.total_parameters = sum(item.numel() for item in shaped)
        self.trainable_parameters = sum(item.numel() for item in shaped if item.requires_grad)
        self.model_size = sum(item.numel() * item.element_size() for item in shaped) / 1e6
        """The parameters' size in MB (1e6 bytes)."""
        self.other_parameters = sum(_numel(item) for item in model.parameters(recurse=False))
        """The number of elements in parameters that belong to the model itself and to no layer."""
        modes = [module.training for module in model.modules() if module is not model]
        self.total_training_modes = {"train": sum(modes), "eval": len(modes) - sum(modes)}
        """How many modules, at any depth, are in train and in eval mode."""
        self.total_flops = 0
        """The floating-point operations of the example's forward pass; 0 without an example."""
        self.has_sizes = False
        if len(shaped) < len(parameters):
            rank_zero_warn(
                "The model has lazy parameters without a shape yet; the summary counts them as 0. "
                "Run one batch through it before the Trainer gets it."
            )
        elif getattr(model, "example_input_array", None) is not None and self.layers:
            self._find_sizes(model)

    @property
    def layer_names(self) -> list[str]:
        """The rows' names."""
        return [layer.name for layer in self.layers]

    @property
    def layer_types(self) -> list[str]:
        """The rows' class names."""
        return [layer.layer_type for layer in self.layers]

    @property
    def in_sizes(self) -> list[Any]:
        """The rows' input sizes; ``"?"`` where unknown."""
        return [layer.in_size for layer in self.layers]

    @property
    def out_sizes(self) -> list[Any]:
        """The rows' output sizes; ``"?"`` where unknown."""
        return [layer.out_size for layer in self.layers]

    @property
    def param_nums(self) -> list[int]:
        """The rows' numbers of parameters."""
        return [layer.num_parameters for layer in self.layers]

    @property
    def training_modes(self) -> list[bool]:
        """Whether the rows' modules are in train mode."""
        return [layer.training for layer in self.layers]

    def columns(self) -> dict[str, list[str]]:
        """Return the table as text, column by column; the first, the row numbers, has no name."""
        layers = self.layers
        table = {
            " ": [str(number) for number in range(len(layers))],
            "Name": self.layer_names,
            "Type": self.layer_types,
            "Params": [readable_count(layer.num_parameters) for layer in layers],
            "Mode": ["train" if layer.training else "eval" for layer in layers],
        }
        if self.has_sizes:
            table["FLOPs"] = [readable_count(layer.flops) for layer in layers]
            table |= {"In sizes": [str(size) for size in self.in_sizes], "Out sizes": [str(s) for s in self.out_sizes]}
        if self.other_parameters and layers:
            other = {" ": " ", "Name": "other params", "Params": readable_count(self.other_parameters)}
            for name, column in table.items():
                column.append(other.get(name, NOT_APPLICABLE))
        return table

    def totals(self) -> dict[str, str]:
        """Return the lines under the table: what is counted, and the count as text."""
        flops = self.total_flops if self.has_sizes else None
        return totals(
            self.total_parameters, self.trainable_parameters, self.model_size, self.total_training_modes, flops
        )

    def __str__(self) -> str:
        return as_text(self.columns() if self.layers else {}, self.totals())

    def _find_sizes(self, model: nn.Module) -> None:
        handles = [
            module.register_forward_hook(_recorder(layer), with_kwargs=True)
            for layer, module in zip(self.layers, self.named_modules.values(), strict=True)
            if not isinstance(module, torch.jit.ScriptModule)
        ]
        try:
            counter = FlopCounterMode(display=False)
            with _unchanged(model), isolate_rng(), torch.no_grad(), counter:
                example = _like_parameters(model.example_input_array, model)
                if isinstance(example, Mapping):
                    model(**example)
                else:
                    model(*example) if isinstance(example, tuple) else model(example)
            counts = counter.get_flop_counts()
            for layer in self.layers:
                layer.flops = sum(counts.get(f"{type(model).__name__}.{layer.name}", {}).values())
            self.total_flops = counter.get_total_flops()
            self.has_sizes = True
        except Exception as error:  # noqa: BLE001  # a summary must not end a run
            rank_zero_warn(
                f"The summary shows no sizes: the forward pass of `example_input_array` failed with "
                f"{type(error).__name__}: {error}"
            )
        finally:
            for handle in handles:
                handle.remove()


def totals(
    total_parameters: int,
    trainable_parameters: int,
    model_size: float,
    total_training_modes: Mapping[str, int],
    total_flops: int | None = None,
) -> dict[str, str]:
    """Return the lines under a summary's table: what is counted, and the count as text."""
    lines = {
        "Trainable params": readable_count(trainable_parameters),
        "Non-trainable params": readable_count(total_parameters - trainable_parameters),
        "Total params": readable_count(total_parameters),
        "Total estimated model params size (MB)": f"{model_size:,.3f}",
        "Modules in train mode": str(total_training_modes["train"]),
        "Modules in eval mode": str(total_training_modes["eval"]),
    }
    return lines if total_flops is None else lines | {"Total FLOPs": readable_count(total_flops)}


def as_text(columns: Mapping[str, list[str]], lines: Mapping[str, str]) -> str:
    """Return a table and the lines under it as plain text."""
    text = []
    if columns:
        widths = [max(map(len, (name, *column))) for name, column in columns.items()]
        rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
        cells = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        rule = "-" * (len(cells[0]) + 2)
        text = [cells[0].rstrip(), rule, *(line.rstrip() for line in cells[1:]), rule]
    return "\n".join([*text, *(f"{value:<10}{name}" for name, value in lines.items())])


def readable_count(number: int) -> str:
    """Return a number with a unit: K, M, B or T.

    Example:
        >>> [readable_count(number) for number in (999, 1234, 123_456, 2_000_000)]
        ['999', '1.2 K', '123 K', '2.0 M']
    """
    if number < 1000:
        return str(number)
    power = min((len(str(number)) - 1) // 3, 4)
    value = number / 1000**power
    text = f"{int(value):,}" if value >= 100 else f"{int(value * 10) / 10:.1f}"
    return f"{text} {' KMBT'[power]}"


def _named_modules(model: nn.Module, max_depth: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules down to a depth, each once, under its shallowest name."""
    found = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if name and (max_depth == -1 or name.count(".") < max_depth)
    ]
    shallowest: dict[int, int] = {}
    for name, module in found:
        shallowest[id(module)] = min(name.count("."), shallowest.get(id(module), name.count(".")))
    for name, module in found:
        if shallowest.get(id(module)) == name.count("."):
            del shallowest[id(module)]
            yield name, module


def _numel(parameter: Tensor) -> int:
    return 0 if is_lazy(parameter) else parameter.numel()


def _count(module: nn.Module) -> int:
    return sum(map(_numel, module.parameters()))


def _recorder(layer: LayerSummary) -> Any:
    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if layer.out_size == UNKNOWN_SIZE:  # the first call counts
            inputs = [*args, *kwargs.values()]
            layer.in_size = _size(inputs[0] if len(inputs) == 1 else inputs)
            layer.out_size = _size(output)

    return record


def _size(data: Any) -> Any:
    if isinstance(data, Tensor):
        return list(data.shape)
    if isinstance(data, Mapping):
        return {key: _size(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_size(item) for item in data]
    return UNKNOWN_SIZE


def _like_parameters(example: Any, model: nn.Module) -> Any:
    """Return the example on the parameters' device and, where it is floating, in their type."""
    reference = next((item for item in model.parameters() if item.is_floating_point()), None)
    if reference is None:
        return example
    dtype = reference.dtype
    return map_tensors(
        lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor,
        move_to_device(example, reference.device),
    )


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Put the model in eval mode; on exit give every module its mode and its buffers back."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    values = {item: item.clone() for _, held in buffers for item in held.values() if item is not None}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, value in values.items():
                buffer.copy_(value)
        for current, held in buffers:
            current.clear()
            current.update(held)
