"""What the functions of a class mention, read from their bytecode without running them.

It tells a removed hook, which nobody but the Trainer calls, from a helper of the same name that the class calls itself.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

_FRAMEWORK = ("leyden", "torch")
_READ: WeakKeyDictionary[type, Mentions] = WeakKeyDictionary()


@dataclass(frozen=True)
class Mentions:
    """What the functions that a class and its own bases define mention.

    Attributes:
        methods: The names of these functions, properties and the like.
        of_self: Attributes of ``self`` that they read or call, each with the names of the functions that do.
        sets: Attributes of ``self`` that they set.
        of_super: Attributes of ``super()`` that they use.
        strings: The words among the constants of each: keys of dicts and names of keyword arguments.
    """

    methods: frozenset[str] = frozenset()
    of_self: dict[str, frozenset[str]] = field(default_factory=dict)
    sets: frozenset[str] = frozenset()
    of_super: frozenset[str] = frozenset()
    strings: dict[str, frozenset[str]] = field(default_factory=dict)

    def calls_itself(self, name: str) -> bool:
        """Whether another of the functions uses ``self.<name>``, so that it is a helper of the class."""
        return bool(self.of_self.get(name, frozenset()) - {name})

    def words(self, name: str) -> frozenset[str]:
        """The words in a function, and in those that it calls on ``self``."""
        called = {other for other, users in self.of_self.items() if name in users}
        return frozenset().union(*(self.strings.get(function, frozenset()) for function in {name, *called}))

    @property
    def all_words(self) -> frozenset[str]:
        """The words in all functions."""
        return frozenset().union(*self.strings.values())


def mentions(cls: type) -> Mentions:
    """Read the functions of a class and of its bases, up to those of the framework.

    Example:
        >>> class Model:
        ...     __module__ = "program"  # classes of the framework are not read
        ...     def on_epoch_end(self): ...
        ...     def on_train_epoch_end(self): self.on_epoch_end()
        >>> mentions(Model).calls_itself("on_epoch_end")
        True
    """
    if cls not in _READ:
        _READ[cls] = _read(cls)
    return _READ[cls]


def returns_something(function: Any) -> bool:
    """Whether a function has a ``return`` of anything but None.

    Example:
        >>> returns_something(lambda: 1), returns_something(lambda: None)
        (True, False)
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    previous = None
    for instruction in dis.get_instructions(code) if code is not None else ():
        if instruction.opname == "RETURN_CONST" and instruction.argval is not None:
            return True
        if instruction.opname == "RETURN_VALUE" and not (
            previous is not None and previous.opname == "LOAD_CONST" and previous.argval is None
        ):
            return True
        previous = instruction
    return False


def _read(cls: type) -> Mentions:
    of_self: dict[str, set[str]] = {}
    strings: dict[str, set[str]] = {}
    sets: set[str] = set()
    of_super: set[str] = set()
    for kind in cls.__mro__:
        if kind.__module__.partition(".")[0] in _FRAMEWORK or kind is object:
            continue
        for name, function in (
            (name, function) for name, value in vars(kind).items() for function in _functions(value)
        ):
            first = next(iter(inspect.signature(function).parameters), "")
            words = strings.setdefault(name, set())
            for code in _codes(function.__code__):
                words.update(_strings(code.co_consts))
                for relation, attribute in _attributes(code, first):
                    if relation == "self":
                        of_self.setdefault(attribute, set()).add(name)
                    else:
                        (of_super if relation == "super" else sets).add(attribute)
    return Mentions(
        methods=frozenset(strings),
        of_self={attribute: frozenset(users) for attribute, users in of_self.items()},
        sets=frozenset(sets),
        of_super=frozenset(of_super),
        strings={name: frozenset(words) for name, words in strings.items()},
    )


def _functions(value: Any) -> Iterator[FunctionType]:
    """The Python functions behind a class attribute."""
    inner = [getattr(value, name, None) for name in ("__func__", "fget", "fset")]
    for candidate in (value, *inner):
        if isinstance(candidate, FunctionType):
            yield candidate
            wrapped = inspect.unwrap(candidate)
            if wrapped is not candidate and isinstance(wrapped, FunctionType):
                yield wrapped


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _strings(constants: Any) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, (tuple, frozenset)):
            yield from _strings(constant)


def _attributes(code: CodeType, first: str) -> Iterator[tuple[str, str]]:
    """What of ``self`` (the parameter ``first``) and of ``super()`` is read, and what of ``self`` is set."""
    on_self = in_super = False
    for instruction in dis.get_instructions(code):
        op, value = instruction.opname, instruction.argval
        if op == "STORE_ATTR" and on_self:
            yield "set", str(value)
        elif op in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            if in_super or op == "LOAD_SUPER_ATTR":
                yield "super", str(value)
            elif on_self:
                yield "self", str(value)
            in_super = False
        in_super |= op == "LOAD_GLOBAL" and value == "super"
        last = value[-1] if isinstance(value, tuple) and value else value  # two loads in one instruction
        on_self = op.startswith(("LOAD_FAST", "LOAD_DEREF")) and last == first
