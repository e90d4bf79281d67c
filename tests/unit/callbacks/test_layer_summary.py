from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import nn

from leyden.callbacks.layer_summary import UNKNOWN_SIZE, readable_count, summarize


class Net(nn.Module):
    def __init__(self, example: Any = None) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
        self.head = nn.Linear(2, 1)
        self.scale = nn.Parameter(torch.zeros(5))
        self.loss = nn.CrossEntropyLoss()
        self.body[0].weight.requires_grad_(False)
        self.body[1].eval()
        self.example_input_array = example

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.body(x))
        return result


def test_numbers() -> None:
    summary = summarize(Net())
    assert summary.layer_names == ["body", "head", "loss"]
    assert summary.layer_types == ["Sequential", "Linear", "CrossEntropyLoss"]
    assert summary.param_nums == [54, 3, 0]
    assert summary.training_modes == [True, True, True]
    assert (summary.total_parameters, summary.trainable_parameters, summary.other_parameters) == (62, 30, 5)
    assert summary.total_training_modes == {"train": 6, "eval": 1}
    assert summary.model_size == pytest.approx(0.000248)
    assert summary.in_sizes == summary.out_sizes == [UNKNOWN_SIZE] * 3


@pytest.mark.parametrize(("max_depth", "count"), [(0, 0), (1, 3), (2, 7), (-1, 7)])
def test_depth(max_depth: int, count: int) -> None:
    summary = summarize(Net(), max_depth)
    assert len(summary.layer_names) == count
    assert summary.total_parameters == 62
    assert "62        Total params" in str(summary)


@pytest.mark.parametrize("max_depth", [-2, 1.5, "1", True, None])
def test_bad_depth(max_depth: Any) -> None:
    with pytest.raises(ValueError, match="max_depth"):
        summarize(Net(), max_depth)


def test_text() -> None:
    assert str(summarize(Net(torch.zeros(3, 8)))).splitlines() == [
        "  | Name         | Type             | Params | Mode  | FLOPs | In sizes | Out sizes",
        "-" * 85,
        "0 | body         | Sequential       | 54     | train | 240   | [3, 8]   | [3, 2]",
        "1 | head         | Linear           | 3      | train | 12    | [3, 2]   | [3, 1]",
        "2 | loss         | CrossEntropyLoss | 0      | train | 0     | ?        | ?",
        "  | other params | n/a              | 5      | n/a   | n/a   | n/a      | n/a",
        "-" * 85,
        "30        Trainable params",
        "32        Non-trainable params",
        "62        Total params",
        "0.000     Total estimated model params size (MB)",
        "6         Modules in train mode",
        "1         Modules in eval mode",
        "252       Total FLOPs",
    ]


def test_sizes_of_nested_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()
            self.example_input_array: Any = (torch.zeros(2, 3), torch.zeros(2))

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return self.inner(x, other=[y, "text"])

    class Inner(nn.Module):
        def forward(self, x: torch.Tensor, other: Any) -> Any:
            return {"x": x, "other": (x, x)}

    model = Two()
    for example in (model.example_input_array, {"x": torch.zeros(2, 3), "y": torch.zeros(2)}):
        model.example_input_array = example
        summary = summarize(model)
        assert summary.in_sizes == [[[2, 3], [[2], UNKNOWN_SIZE]]]
        assert summary.out_sizes == [{"x": [2, 3], "other": [[2, 3], [2, 3]]}]


def test_example_takes_the_type_of_the_parameters() -> None:
    summary = summarize(Net(torch.zeros(3, 8)).double())
    assert summary.out_sizes[:2] == [[3, 2], [3, 1]]


def test_example_forward_changes_nothing() -> None:
    class Changing(Net):
        def __init__(self) -> None:
            super().__init__(torch.zeros(3, 8))
            self.register_buffer("calls", torch.zeros(1))
            self.register_buffer("memory", None)
            self.was_training: list[bool] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.memory = x
            self.was_training.append(self.training)
            random.random()
            return super().forward(x) + torch.rand(1)

    torch.manual_seed(0)
    random.seed(0)
    model = Changing()
    calls = model.calls
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    generators = torch.get_rng_state(), random.getstate()
    summary = summarize(model)
    assert summary.out_sizes[0] == [3, 2]
    assert model.was_training == [False]
    assert [module.training for module in model.modules()] == modes
    assert model.calls is calls
    assert model.memory is None
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert not any(module._forward_hooks for module in model.modules())


def test_failing_example_warns() -> None:
    model = Net(torch.zeros(3, 9))
    with pytest.warns(UserWarning, match="example_input_array"):
        summary = summarize(model)
    assert "In sizes" not in str(summary)
    assert model.training


def test_lazy_parameters_warn_and_stay_lazy() -> None:
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 1))
    model.example_input_array = torch.zeros(2, 5)  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="lazy"):
        summary = summarize(model)
    assert summary.param_nums == [0, 4]
    assert summary.total_parameters == 4
    assert isinstance(model[0], nn.LazyLinear)


def test_shared_modules_and_parameters_count_once() -> None:
    model = nn.Module()
    model.wrapper = nn.Sequential(nn.Linear(3, 3))
    model.same = model.wrapper[0]
    model.again = model.wrapper[0]
    model.tied = nn.Linear(3, 3)
    model.tied.weight = model.same.weight
    assert summarize(model).layer_names == ["wrapper", "same", "tied"]
    assert summarize(model, -1).layer_names == ["wrapper", "same", "tied"]
    assert summarize(model).param_nums == [12, 12, 12]
    assert summarize(model).total_parameters == 15


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 K"),
        (12_345, "12.3 K"),
        (123_456, "123 K"),
        (999_999, "999 K"),
        (3_000_000_000, "3.0 B"),
        (4 * 10**14, "400 T"),
        (5 * 10**15, "5,000 T"),
    ],
)
def test_readable_count(number: int, text: str) -> None:
    assert readable_count(number) == text


def test_operations_are_counted_with_an_example() -> None:
    summary = summarize(Net(torch.zeros(3, 8)), max_depth=-1)
    assert summary.total_flops == sum(layer.flops for layer in summary.layers if "." not in layer.name) == 252
    without = summarize(Net())
    assert "FLOPs" not in str(without)
    assert without.total_flops == 0
