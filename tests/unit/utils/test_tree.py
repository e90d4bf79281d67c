from __future__ import annotations

import dataclasses
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from leyden.utils.tree import detach, map_tensors, move_to_device, sample_count

Pair = namedtuple("Pair", ["x", "y"])


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Tensor
    name: str = "n"
    derived: Tensor = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "derived", self.x + 1)


class TaggedList(list[Any]):
    tag = ""


class Movable:
    def __init__(self) -> None:
        self.device: Any = None

    def to(self, device: torch.device) -> Movable:
        moved = Movable()
        moved.device = device
        return moved


class MovableInPlace:
    device: Any = None

    def to(self, device: torch.device) -> None:
        self.device = device


def double(tensor: Tensor) -> Tensor:
    return tensor * 2


def test_map_tensors_reaches_every_container() -> None:
    t = torch.ones(2)
    tagged = TaggedList([t])
    tagged.tag = "kept"
    groups = defaultdict(list, a=t)
    data = [t, (t, 1), Pair(t, "s"), {"k": [t]}, OrderedDict(b=t, a=t), UserDict(u=t), groups, tagged, Frozen(t)]
    out = map_tensors(double, data)
    assert [type(item) for item in out] == [type(item) for item in data]
    leaves = [out[0], out[1][0], out[2].x, out[3]["k"][0], out[4]["a"], out[5]["u"], out[6]["a"], out[7][0], out[8].x]
    assert all(leaf.tolist() == [2.0, 2.0] for leaf in leaves)
    assert list(out[4]) == ["b", "a"]
    assert out[6].default_factory is list
    assert out[7].tag == "kept"
    assert out[8].derived.tolist() == [4.0, 4.0]
    assert t.tolist() == [1.0, 1.0]


def test_map_tensors_returns_results_that_are_no_tensors() -> None:
    assert map_tensors(lambda t: t.item(), (torch.tensor(3.0), None)) == (3.0, None)


def test_read_only_mapping_becomes_a_dict() -> None:
    out = map_tensors(double, MappingProxyType({"x": torch.ones(1)}))
    assert out["x"].item() == 2.0


@pytest.mark.parametrize("data", ["text", 3, None, {1, 2}, object, Frozen, torch.float32])
def test_other_objects_stay(data: object) -> None:
    assert map_tensors(double, data) is data
    assert move_to_device(data, "cpu") is data


@pytest.mark.parametrize(
    "data",
    [
        torch.ones(1),
        [torch.ones(1), {"x": (torch.ones(1), "s")}],
        Pair(torch.ones(1), 2),
        Frozen(torch.ones(1)),
        OrderedDict(a=torch.ones(1)),
    ],
)
def test_nothing_to_move_returns_the_same_object(data: object) -> None:
    assert move_to_device(data, torch.device("cpu")) is data


def test_move_reaches_tensors_and_objects_with_to() -> None:
    in_place, movable = MovableInPlace(), Movable()
    batch = {"x": torch.ones(2), "objects": [movable, in_place], "name": "a"}
    out = move_to_device(batch, "meta")
    assert out["x"].device.type == "meta"
    assert out["objects"][0].device == torch.device("meta")
    assert out["objects"][1] is in_place
    assert in_place.device == torch.device("meta")
    assert batch["x"].device.type == "cpu"
    assert movable.device is None


def test_move_uses_a_named_tuples_own_to() -> None:
    packed = pack_sequence([torch.ones(2), torch.ones(1)])
    out = move_to_device(packed, "meta")
    assert isinstance(out, PackedSequence)
    assert out.data.device.type == "meta"
    assert out.batch_sizes.device.type == "cpu"  # as PackedSequence defines it


def test_copies_to_an_accelerator_do_not_block() -> None:
    class Spy(Tensor):
        def to(self, *args: Any, **kwargs: Any) -> Any:
            seen.append(kwargs["non_blocking"])
            return self

    seen: list[bool] = []
    move_to_device(torch.ones(1).as_subclass(Spy), "meta")
    move_to_device(torch.ones(1, device="meta").as_subclass(Spy), "cpu")
    assert seen == [True, False]


def test_shared_structure_is_partly_kept() -> None:
    kept = [torch.ones(1)]
    out = move_to_device({"kept": kept, "moved": torch.ones(1, device="meta")}, "meta")
    assert out["kept"] is not kept
    out = map_tensors(lambda t: t if t.numel() == 1 else t * 2, {"kept": kept, "changed": torch.ones(2)})
    assert out["kept"] is kept


def test_detach_cuts_the_graph() -> None:
    loss = torch.ones(1, requires_grad=True) * 2
    out = detach({"loss": loss, "list": [loss]}, to_cpu=True)
    assert not out["loss"].requires_grad
    assert not out["list"][0].requires_grad
    assert loss.requires_grad


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (torch.ones(5, 2), (5, False)),
        (torch.tensor(1.0), (1, False)),
        ((torch.ones(4, 2), torch.ones(4)), (4, False)),
        ({"text": ["a", "b"], "x": torch.ones(2, 3)}, (2, False)),
        ([torch.ones(4), torch.ones(3)], (4, True)),
        ([torch.tensor(1.0), torch.ones(3)], (1, True)),
        (Frozen(torch.ones(6)), (6, False)),
        (["a", "b"], (1, False)),
        (None, (1, False)),
    ],
)
def test_sample_count(batch: object, expected: tuple[int, bool]) -> None:
    assert sample_count(batch) == expected
