from __future__ import annotations

import enum
from argparse import Namespace
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from leyden.loggers.hparams import convert_hparams, flatten_hparams, plain_hparams


class Colour(enum.Enum):
    RED = 1


@dataclass
class Config:
    lr: float
    layers: tuple[int, ...]


@pytest.mark.parametrize(
    ("params", "expected"), [(None, {}), (Namespace(a=1), {"a": 1}), (OrderedDict(a={"b": 2}), {"a": {"b": 2}})]
)
def test_convert_hparams(params: Any, expected: dict[str, Any]) -> None:
    assert convert_hparams(params) == expected


def test_flatten_hparams() -> None:
    nested = {"a": 1, "b": {"c": Namespace(d=[1, 2]), "empty": {}}, "config": Config(0.1, (1,)), 3: "x"}
    assert flatten_hparams(nested) == {
        "a": 1,
        "b/c/d": [1, 2],
        "b/empty": {},
        "config/lr": 0.1,
        "config/layers": (1,),
        "3": "x",
    }
    assert flatten_hparams({"a": {"b": 1}}, separator=".") == {"a.b": 1}


def test_plain_hparams_survives_safe_yaml() -> None:
    hparams = {
        "plain": [None, True, 1, 0.5, "x"],
        "path": Path("data") / "set",
        "colour": Colour.RED,
        "config": Config(0.1, (1, 2)),
        "namespace": Namespace(a=1),
        "numpy": np.float32(0.5),
        "tensor": torch.tensor([1, 2]),
        "large": torch.zeros(100, 2),
        "dtype": torch.float16,
        "class": torch.nn.ReLU,
        "lambda": lambda x: x,
        (1, 2): {3},
    }
    plain = plain_hparams(hparams)
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    assert plain["path"] == str(Path("data") / "set")
    assert plain["colour"] == "RED"
    assert plain["config"] == {"lr": 0.1, "layers": [1, 2]}
    assert plain["namespace"] == {"a": 1}
    assert (plain["numpy"], plain["tensor"]) == (0.5, [1, 2])
    assert "(100, 2)" in plain["large"]
    assert plain["dtype"] == "torch.float16"
    assert plain["class"] == "torch.nn.modules.activation.ReLU"
    assert plain["[1, 2]"] == [3]
