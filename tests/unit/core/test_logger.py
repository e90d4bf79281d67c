from __future__ import annotations

import copy
import enum
import pickle
from argparse import Namespace
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from leyden.core.logger import (
    DummyExperiment,
    DummyLogger,
    Logger,
    convert_hparams,
    flatten_hparams,
    plain_hparams,
    rank_zero_experiment,
)
from leyden.utils.rank import rank_zero_only


class Recording(Logger):
    def __init__(self) -> None:
        self.saves = 0

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        return "the experiment"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None: ...

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def save(self) -> None:
        self.saves += 1


class Colour(enum.Enum):
    RED = 1


@dataclass
class Config:
    lr: float
    layers: tuple[int, ...]


def test_logger_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Logger()  # type: ignore[abstract]


def test_defaults_of_a_logger() -> None:
    logger = Recording()
    assert (logger.save_dir, logger.root_dir, logger.log_dir, logger.group_separator) == (None, None, None, "/")
    logger.log_graph(torch.nn.Linear(1, 1))
    logger.after_save_checkpoint(None)  # type: ignore[arg-type]
    logger.finalize("success")
    assert logger.saves == 1


def test_experiment_is_a_dummy_on_other_ranks() -> None:
    assert Recording().experiment == "the experiment"
    try:
        rank_zero_only.rank = 1
        assert isinstance(Recording().experiment, DummyExperiment)
    finally:
        rank_zero_only.rank = None


@pytest.mark.parametrize("dummy", [DummyLogger(), DummyExperiment()])
def test_dummies_take_every_call(dummy: Any) -> None:
    assert dummy.anything_at_all(1, two=3) is None
    assert type(dummy[0]) is type(dummy)
    assert list(dummy) == []
    assert type(copy.deepcopy(dummy)) is type(dummy)
    assert type(pickle.loads(pickle.dumps(dummy))) is type(dummy)


def test_dummy_logger_is_a_logger() -> None:
    logger = DummyLogger()
    logger.log_metrics({"a": 1.0}, step=3)
    logger.log_hyperparams({"a": 1})
    logger.finalize("success")
    assert (logger.name, logger.version, logger.log_dir) == ("", "", None)
    assert logger.experiment.add_scalar("a", 1) is None  # type: ignore[func-returns-value]


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
