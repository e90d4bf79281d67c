"""Hooks and steps that cannot be what their author meant: misspelt names, and signatures that cannot be called."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.hooks import HOOKS, Hook, overridden
from leyden.core.module import LightningModule
from leyden.errors import MisconfigurationException

if TYPE_CHECKING:
    from leyden.engine.run import Run

# What steps get; their base methods take anything.
STEPS = dict.fromkeys(("validation_step", "test_step", "predict_step"), "batch, batch_idx, dataloader_idx=0")
STEPS["training_step"] = "batch, batch_idx"
# Their names are close to those that helper methods have, and a misspelt one is seen at once where it is called.
PLAIN_WORDS = {"backward", "state_dict", "load_state_dict"}


def owners_of_hooks(run: Run) -> Iterator[tuple[Any, type, list[Hook]]]:
    """The module, the data module and the callbacks, each with its base class and the hooks it may define."""
    owners: list[Any] = [(run.module, LightningModule, "m"), (run.datamodule, LightningDataModule, "d")]
    owners += [(callback, Callback, "c") for callback in run.callbacks]
    for owner, base, letter in owners:
        yield owner, base, [hook for hook in HOOKS.values() if letter in hook.owners]


def uncallable_hooks(run: Run) -> Iterator[Exception]:
    """Every hook and step that cannot be called."""
    for owner, base, hooks in owners_of_hooks(run):
        for hook in hooks:
            if hook.dispatched or hook.name in STEPS:
                yield from uncallable(owner, base, hook.name)


def misspelt_hooks(run: Run) -> Iterator[Exception]:
    """Every method whose name is almost a hook's."""
    for owner, base, hooks in owners_of_hooks(run):
        yield from misspelt(owner, base, [hook.name for hook in hooks if hook.name not in PLAIN_WORDS])


def misspelt(owner: Any, base: type, names: list[str]) -> Iterator[Exception]:
    """Methods of the user's classes, one edit away from a hook that is not defined."""
    for kind in (kind for kind in type(owner).__mro__ if kind not in base.__mro__):
        for name, value in vars(kind).items():
            if hasattr(base, name) or name.startswith("_") or not inspect.isfunction(value):
                continue
            hook = next((h for h in names if one_edit_apart(name, h) and overridden(owner, h, base) is None), None)
            if hook is not None:
                fix = f"rename it `{hook}`; a method of your own needs a name less like a hook's"
                text = f"`{kind.__name__}.{name}` is never called: the hook's name is `{hook}`. Fix: {fix}."
                yield MisconfigurationException(text)


def one_edit_apart(name: str, other: str) -> bool:
    """Whether one letter is missing, too much, wrong, or swapped with the next one.

    Example:
        >>> one_edit_apart("trainin_step", "training_step"), one_edit_apart("setup", "setup")
        (True, False)
    """
    at = next((i for i, (a, b) in enumerate(zip(name, other, strict=False)) if a != b), min(len(name), len(other)))
    a, b = name[at:], other[at:]
    return a != b and (a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1] == b[:2] and a[2:] == b[2:]))


def uncallable(owner: Any, base: type, name: str) -> Iterator[Exception]:
    """A method that cannot be called with what its hook gets."""
    method = overridden(owner, name, base)
    parameters = parameters_of(method)
    kinds = [p.kind for p in parameters]
    if method is None or Parameter.VAR_POSITIONAL in kinds:
        return
    line, least, most = expected(base, name)
    positional = kinds.count(Parameter.POSITIONAL_ONLY) + kinds.count(Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    keywords = [p for p in required if p.kind is p.KEYWORD_ONLY]
    if name in STEPS and "dataloader_iter" in [p.name for p in parameters]:
        line, most = "dataloader_iter", 1
    if positional < least or len(required) > most or keywords:
        given = ", ".join(["self", *map(str, parameters)])
        fix = f"`def {name}({', '.join(filter(None, ['self', line]))})`"
        text = f"`{type(owner).__name__}.{name}({given})` cannot be called: it gets ({line}). Fix: {fix}."
        yield MisconfigurationException(text)


def parameters_of(method: Any) -> list[Parameter]:
    """A method's parameters; any number of them if it does not tell."""
    try:
        return list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # a built-in without a signature
        return [Parameter("args", Parameter.VAR_POSITIONAL)]


def expected(base: type, name: str) -> tuple[str, int, int]:
    """What a hook gets: as it is written, how many a method has to take, and how many there are."""
    line = STEPS.get(name)
    if line is not None:
        return line, 1, line.count(",") + 1
    parameters = parameters_of(getattr(base, name))[1:]
    written = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    return ", ".join(written), sum(p.default is p.empty for p in parameters), len(parameters)
