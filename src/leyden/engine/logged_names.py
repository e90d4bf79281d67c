"""Which names a program can log, as far as its source says so: read once, when a monitored name is missing.

The answer is only given when it is certain. A name that is put together at run time, a call of ``log`` from somewhere
else, or code whose source is not there, and nothing is said.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from leyden.core.callback import Callback
from leyden.core.hooks import HOOKS

LOGGING = {"log", "log_dict"}
CARRIERS = {"pl_module", "trainer", "lightning_module"}
"""Whoever gets one of these can log."""
FOUNDATIONS = {"abc", "typing", "torch", "torchmetrics"}


class Unknown(Exception):
    """The source does not tell all names."""


def logged_names(module: nn.Module, callbacks: Iterable[Callback], stages: set[str]) -> set[str] | None:
    """The names that a module and callbacks can log in a run; None if their source does not tell all of them.

    Args:
        module: The module.
        callbacks: The callbacks.
        stages: What the run does, of ``training``, ``validation``, ``test`` and ``predict``.
    """
    callbacks = list(callbacks)
    never = tuple(f"{on}{stage}_" for stage in {"validation", "test", "predict"} - stages for on in ("", "on_"))
    owners: list[Any] = [module, *(callback for callback in callbacks if not is_ours(type(callback)))]
    parts = {type(child) for child in module.modules() if child is not module}
    ours = {type(callback) for callback in callbacks if is_ours(type(callback)) and not callback.monitors}
    if any(hook.log and hook.name in vars(owner) for owner in [module, *callbacks] for hook in HOOKS.values()):
        return None
    if mention(parts, {*LOGGING, "callback_metrics"}) or mention(ours, {"log_dict", "callback_metrics"}):
        return None
    own = [method for owner in owners for method in methods(type(owner)) if not is_ours(method[1])]
    called = {name for _, function, _ in own for name in words(function)}
    try:
        reached = (method for method in own if method[0] in called or not method[0].startswith(never))
        return {name for _, function, bound in reached for name in names_in(function, bound)}
    except (Unknown, OSError, TypeError, SyntaxError):
        return None


def is_ours(source: Any) -> bool:
    """Whether a class or function comes with this package."""
    return str(source.__module__).split(".")[0] == "leyden"


def methods(kind: type) -> Iterator[tuple[str, FunctionType, bool]]:
    """The functions in a class and its bases: name, function, and whether its first argument is the instance."""
    for base in kind.__mro__:
        if base.__module__.split(".")[0] in FOUNDATIONS:
            continue
        for name, value in vars(base).items():
            for part in (value, *(getattr(value, inner, None) for inner in ("__func__", "fget", "fset", "func"))):
                found = inspect.unwrap(part) if callable(part) else None
                if isinstance(found, FunctionType):
                    yield name, found, not isinstance(value, staticmethod)


def mention(kinds: Iterable[type], names: set[str]) -> bool:
    """Whether classes have code, of their own and not of the core's base classes, that mentions one of the names."""
    functions = (function for kind in kinds for _, function, _ in methods(kind))
    return any(words(f) & names for f in functions if not f.__module__.startswith("leyden.core."))


def words(function: FunctionType) -> set[str]:
    """The global names and attributes that a function mentions, with the functions inside it."""

    def codes(code: CodeType) -> Iterator[CodeType]:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield from codes(constant)

    return {name for code in codes(function.__code__) for name in code.co_names}


def names_in(function: FunctionType, bound: bool) -> set[str]:
    """The names that a function logs.

    Raises:
        Unknown: It may log others: a name is no literal, or the instance is handed on to code that is not looked at.
    """
    if "callback_metrics" in words(function):
        raise Unknown  # it may write there
    first = set(function.__code__.co_varnames[:1]) if bound else set()
    names: set[str] = set()
    harmless: set[int] = set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            harmless.add(id(node.value))
        if not isinstance(node, ast.Call):
            continue
        if stays_inside(node.func, first):
            harmless |= {id(node.func), *map(id, node.args), *(id(keyword.value) for keyword in node.keywords)}
        if isinstance(node.func, ast.Attribute) and node.func.attr in LOGGING:
            harmless.add(id(node.func))
            of_module = isinstance(node.func.value, ast.Name) and isinstance(
                function.__globals__.get(node.func.value.id), ModuleType
            )  # torch.log
            if not of_module and (node.args or node.keywords):
                names |= literal_names(node)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Name)) and isinstance(node.ctx, ast.Load) and id(node) not in harmless:
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            if name in CARRIERS | first or (isinstance(node, ast.Attribute) and name in LOGGING):
                raise Unknown
    return names


def stays_inside(called: ast.expr, first: set[str]) -> bool:
    """Whether a call stays in the class: ``self(...)``, ``self.method(...)``, ``super(...)``, ``super().method(...)``."""
    while isinstance(called, (ast.Attribute, ast.Call)):
        called = called.value if isinstance(called, ast.Attribute) else called.func
        if isinstance(called, ast.Attribute):
            return False  # self.part.method(...)
    return isinstance(called, ast.Name) and called.id in {"super", "pl_module", *first}


def literal_names(call: ast.Call) -> set[str]:
    """The names in a call of ``log`` or ``log_dict``, which must be written out."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    given = call.args[0] if call.args else keywords.get("name", keywords.get("dictionary"))
    names = given.keys if isinstance(given, ast.Dict) else [given]
    literal = [name.value for name in names if isinstance(name, ast.Constant) and isinstance(name.value, str)]
    if len(literal) != len(names):
        raise Unknown
    return set(literal)
