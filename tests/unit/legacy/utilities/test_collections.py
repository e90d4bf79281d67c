from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from leyden.legacy.utilities.collections import (
    apply_to_collection,
    convert_tensors_to_scalars,
    convert_to_tensors,
    leaves,
)

Pair = namedtuple("Pair", "a b")


@dataclass
class Batch:
    x: Any
    y: Any


def double(value: int) -> int:
    return value * 2


def test_every_container_keeps_its_kind() -> None:
    data = {"l": [1, "s"], "t": (2,), "p": Pair(3, None), "d": Batch(4, [5]), "o": OrderedDict(a=6)}
    assert apply_to_collection(data, int, double) == {
        "l": [2, "s"],
        "t": (4,),
        "p": Pair(6, None),
        "d": Batch(8, [10]),
        "o": OrderedDict(a=12),
    }
    made = apply_to_collection(defaultdict(list, a=1), int, double)
    assert made == {"a": 2} and made.default_factory is list


def test_exceptions_arguments_and_results_that_are_none() -> None:
    assert apply_to_collection([1, True], int, double, wrong_dtype=bool) == [2, True]
    assert apply_to_collection([1], int, lambda value, more, by: (value + more) * by, 2, by=10) == [30]
    assert apply_to_collection({"a": 1, "b": [2]}, int, lambda value: None, include_none=False) == {"b": []}


def test_leaves_in_order() -> None:
    assert list(leaves({"a": 1, "b": [2, "x", (3,)]}, int)) == [1, 2, 3]


def test_tensors_become_numbers() -> None:
    assert convert_tensors_to_scalars({"a": torch.tensor(0.5), "b": [torch.ones(1)], "c": "x"}) == {
        "a": 0.5,
        "b": [1.0],
        "c": "x",
    }
    with pytest.raises(ValueError, match="has 2 elements"):
        convert_tensors_to_scalars(torch.ones(2))


def test_numbers_become_tensors() -> None:
    made = convert_to_tensors({"i": 1, "f": 2.0, "b": True, "n": np.ones(2), "t": torch.ones(1)}, "cpu")
    kinds = {name: tensor.dtype for name, tensor in made.items()}
    assert kinds == {
        "i": torch.int32, "f": torch.float32, "b": torch.uint8, "n": torch.float64, "t": torch.float32,
    }  # fmt: skip
