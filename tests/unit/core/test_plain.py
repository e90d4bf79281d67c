from __future__ import annotations

import enum
import io
import sys
from argparse import Namespace
from collections import OrderedDict, UserList, namedtuple
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from leyden.checkpoint import scan
from leyden.core.plain import AttributeDict, decode, encode, entries


class Color(enum.Enum):
    RED = "r"
    SHADES = (1, 2)


class Level(enum.IntEnum):
    LOW = 1


class Name(str, enum.Enum):
    A = "a"


Point = namedtuple("Point", ["x", "y"])


@dataclass(frozen=True, slots=True)
class Config:
    root: Path
    lr: float = 0.1
    doubled: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", self.lr * 2)


class Plain(str):
    __slots__ = ()


def through_a_file(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(encode(value), file)
    assert scan.refusal(file) is None
    file.seek(0)
    return decode(torch.load(file, weights_only=True))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2**70,
        0.1,
        1 + 2j,
        "text",
        b"bytes",
        (1, (2, [3])),
        {"a": {1: None, None: 2.5}},
        {(1, 2): "x", Color.RED: "y"},
        {"__leyden__": "path", "value": "x"},
        {1, 2},
        frozenset({1}),
        range(1, 9, 2),
        torch.float16,
        torch.device("cuda:1"),
        torch.Size([2, 3]),
        Path("a/b"),
        timedelta(days=1, seconds=2, microseconds=3),
        Namespace(a=1, b=Namespace(c=Path("x"))),
        Color.RED,
        Color.SHADES,
        Level.LOW,
        Name.A,
        Config(Path("r"), 0.5),
        AttributeDict(a=AttributeDict(b=1)),
        nn.ReLU,
        torch.optim.Adam,
        torch.optim.lr_scheduler.StepLR,
        np.float32,
        F.relu,
        F.gelu,
        torch.tanh,
    ],
    ids=repr,
)
def test_round_trip(value: Any) -> None:
    restored = through_a_file(value)
    assert restored == value
    assert type(restored) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::-1],
        np.array(1.5),
        np.array([True, False]),
        np.zeros((0, 3), np.float16),
        np.array([1 + 1j]),
    ],
    ids=repr,
)
def test_arrays(array: np.ndarray[Any, Any]) -> None:
    restored = through_a_file(array)
    assert isinstance(restored, np.ndarray)
    assert restored.dtype == array.dtype
    assert np.array_equal(restored, array)


def test_arrays_of_foreign_byte_order_become_native() -> None:
    assert through_a_file(np.array([1, 2], dtype=">i4")).tolist() == [1, 2]


def test_numpy_scalars_become_python_numbers() -> None:
    values = through_a_file([np.float32(0.5), np.int64(3), np.bool_(True), np.str_("s")])
    assert values == [0.5, 3, True, "s"]
    assert [type(value) for value in values] == [float, int, bool, str]


def test_subclasses_of_plain_types_become_plain() -> None:
    value = through_a_file({"s": Plain("x"), "d": OrderedDict(b=1, a=2), "p": Point(1, Path("x"))})
    assert type(value["s"]) is str
    assert type(value["p"]) is tuple
    assert type(value["d"]) is dict
    assert list(value["d"]) == ["b", "a"]


def test_tensors_stay_and_leave_the_graph() -> None:
    weight = torch.ones(2, requires_grad=True)
    restored = through_a_file([weight * 2])
    assert restored[0].tolist() == [2.0, 2.0]
    assert not restored[0].requires_grad


@pytest.mark.parametrize(
    "value",
    [
        lambda: 0,
        object(),
        nn.Linear(1, 1),
        [{"x": object()}],
        np.array([object()]),
        np.array(["a"]),
        np.datetime64("2020-01-01"),
        io,
        through_a_file,
        Path.home,
        Config,
    ],
    ids=lambda value: type(value).__name__,
)
def test_unsavable(value: Any) -> None:
    with pytest.raises(TypeError):
        encode(value)


def test_unsavable_local_function_and_class() -> None:
    def local() -> None: ...

    class Local: ...

    for value in (local, Local):
        with pytest.raises(TypeError):
            encode(value)


def test_unknown_classes_leave_plain_values() -> None:
    elsewhere = "a_module_that_is_not_there:Thing"
    assert decode({"__leyden__": "enum", "value": (elsewhere, "RED", "r")}) == "r"
    config = decode({"__leyden__": "dataclass", "value": (elsewhere, encode({"root": Path("r"), "lr": 0.1}))})
    assert config == {"root": Path("r"), "lr": 0.1}
    assert config.root == Path("r")


def test_renamed_enum_member_leaves_its_value() -> None:
    (cls, _, value) = encode(Color.RED)["value"]
    assert decode({"__leyden__": "enum", "value": (cls, "CRIMSON", value)}) == "r"


@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "subprocess:Popen", "torch:load", "torch.hub:load"])
def test_dangerous_names_stay_strings(name: str) -> None:
    assert decode({"__leyden__": "name", "value": name}) == name


KINDS = ["enum", "dataclass", "namespace", "path", "timedelta", "array", "set", "dict", "name", "range"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cls", [None, 5, "x", [[1]], {"a": 1}, "os:system", "builtins:object", "subprocess:Popen", ""])
def test_hostile_tags_do_not_crash(kind: str, cls: Any) -> None:
    for content in (cls, [cls], [cls, {}], [cls, {"a": 1}], [cls, "a", 1], [cls, [], {}]):
        decode({"__leyden__": kind, "value": content})


def test_unknown_tags_leave_the_value() -> None:
    assert decode({"__leyden__": "of the future", "value": [1]}) == [1]
    assert decode({"__leyden__": ["unhashable"]}) is None


def test_reading_runs_no_code_of_a_class_and_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    @dataclass
    class Trap:
        x: int = 0

        def __post_init__(self) -> None:
            ran.append("post_init")

    module = ModuleType("leyden_trap")
    module.Trap = Trap  # type: ignore[attr-defined]
    module.__getattr__ = ran.append  # type: ignore[method-assign, assignment]
    monkeypatch.setitem(sys.modules, "leyden_trap", module)
    restored = decode({"__leyden__": "dataclass", "value": ("leyden_trap:Trap", {"x": 3, "y": 4})})
    assert isinstance(restored, Trap)
    assert restored.x == 3
    assert not hasattr(restored, "y")
    decode({"__leyden__": "enum", "value": ("leyden_trap:Lazy", "A", 1)})
    decode({"__leyden__": "enum", "value": ("antigravity:Lazy", "A", 1)})
    assert ran == []
    assert "antigravity" not in sys.modules


def test_entries() -> None:
    assert entries(Namespace(a=1)) == {"a": 1}
    assert entries({1: 2}) == {"1": 2}
    assert entries(Config(Path("r"))) == {"root": Path("r"), "lr": 0.1, "doubled": 0.2}
    assert entries(5) is None
    assert entries(Config) is None


def test_sequences_of_other_kinds_become_lists() -> None:
    assert encode({"sizes": UserList([1, UserList([2])])}) == {"sizes": [1, [2]]}
