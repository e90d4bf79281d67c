"""Parameters that several layers share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def find_shared_parameters(module: nn.Module) -> list[list[str]]:
    """Return, for each parameter that several names lead to, these names.

    Example:
        >>> model = nn.ModuleDict({"encoder": nn.Linear(2, 2), "decoder": nn.Linear(2, 2)})
        >>> model["decoder"].weight = model["encoder"].weight
        >>> find_shared_parameters(model)
        [['encoder.weight', 'decoder.weight']]
    """
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return [group for group in names.values() if len(group) > 1]


def set_shared_parameters(module: nn.Module, shared_params: Sequence[Sequence[str]]) -> nn.Module:
    """Let the first name of each group and the others lead to one parameter again; return the module.

    Args:
        module: Changed in place.
        shared_params: What :func:`find_shared_parameters` returned, before a device move that copies parameters, say.
    """
    for first, *others in shared_params:
        shared = module.get_parameter(first)
        for name in others:
            owner, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(owner), attribute, shared)
    return module
