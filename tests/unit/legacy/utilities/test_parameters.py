from __future__ import annotations

import copy

from torch import nn

from leyden.legacy.utilities.parameters import find_shared_parameters, set_shared_parameters


def test_shared_parameters_are_found_in_groups_and_tied_again() -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    model["c"] = model["a"]
    shared = find_shared_parameters(model)
    assert shared == [["a.weight", "b.weight", "c.weight"], ["a.bias", "c.bias"]]
    model["b"].weight = nn.Parameter(copy.deepcopy(model["b"].weight.data))
    assert find_shared_parameters(model)[0] == ["a.weight", "c.weight"]
    assert set_shared_parameters(model, shared) is model
    assert find_shared_parameters(model) == shared
