"""From a configuration to objects, and from a checkpoint's hyper-parameters that a configuration left there."""

from __future__ import annotations

import importlib
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from leyden.cli.allowed import ClassPathRefused, is_allowed, own_packages_of
from leyden.cli.parser import NO_PLAIN_FORM, LightningArgumentParser
from leyden.core.hparams import CONFIGURED
from leyden.errors import bad_value

T = TypeVar("T")

INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
"""What hyper-parameters say under ``_instantiator`` if a configuration made them; Lightning reads it too."""

_INSTANTIATORS = (INSTANTIATOR, "pytorch_lightning.cli.instantiate_module", "leyden.cli.instantiate_module")


def instantiate_class(args: Any, init: Mapping[str, Any]) -> Any:
    """Build what ``{"class_path": ..., "init_args": {...}}`` describes.

    Args:
        args: The positional argument, or a tuple of them, that comes before ``init_args``.
        init: The class by its full path, and its keyword arguments.

    Raises:
        ImportError: The path leads outside what a configuration may name; see :func:`leyden.cli.allow_imports`.

    Example:
        >>> instantiate_class(4, {"class_path": "torch.nn.Linear", "init_args": {"out_features": 2}})
        Linear(in_features=4, out_features=2, bias=True)
    """
    path = init.get("class_path")
    if not isinstance(path, str) or "." not in path:
        raise ValueError(bad_value("class_path", path, "a full path, such as 'torch.optim.Adam'"))
    if not is_allowed(path):
        raise ClassPathRefused(path)
    module, _, name = path.rpartition(".")
    made = getattr(importlib.import_module(module), name)
    defined = f"{getattr(made, '__module__', module)}.{getattr(made, '__qualname__', name)}"
    if not is_allowed(defined):  # the module only passes it on
        raise ClassPathRefused(defined)
    return made(*(args if isinstance(args, tuple) else (args,)), **init.get("init_args", {}))


@contextmanager
def configured(cls: type, hparams: Mapping[str, Any]) -> Iterator[None]:
    """Let an instance of ``cls`` that is made here store its configuration as hyper-parameters."""
    token = CONFIGURED.set((cls, {**hparams, "_instantiator": INSTANTIATOR}))
    try:
        yield
    finally:
        CONFIGURED.reset(token)


def instantiate_module(class_type: type[T], config: Mapping[str, Any]) -> T:
    """Build a module or data module from hyper-parameters that a configuration left in a checkpoint.

    Args:
        class_type: Its class, or a base class if the configuration names the class.
        config: The arguments of ``__init__``, objects as class paths with their arguments.

    Raises:
        ValueError: ``_instantiator`` names something else, the configuration does not fit the class, or names a class
            outside what a configuration may name.

    Example:
        >>> import torch
        >>> instantiate_module(torch.nn.Linear, {"in_features": 2, "out_features": 1})
        Linear(in_features=2, out_features=1, bias=True)
    """
    given = dict(config)
    if (maker := given.pop("_instantiator", INSTANTIATOR)) not in _INSTANTIATORS:
        raise ValueError(bad_value("_instantiator", maker, " or ".join(_INSTANTIATORS)))
    parser = LightningArgumentParser(exit_on_error=False)
    path = given.pop("_class_path", None)
    own_packages_of(class_type)
    if path is None:
        parser.add_class_arguments(class_type, "module", fail_untyped=False)
    else:
        parser.add_subclass_arguments(class_type, "module", fail_untyped=False)
        given = {"class_path": path, "init_args": given}
    try:
        parsed = parser.parse_object({"module": given})
        recorder = Recorder(parser.as_plain(parsed)["module"] or {})
        made = parser.instantiate(parsed, instantiators=[(recorder, cast(type, class_type), True)])
    except ArgumentError as error:
        raise ValueError(f"The hyper-parameters do not fit {class_type.__qualname__}: {error}") from error
    return cast(T, made.module)


class Recorder:
    """Builds an object of a configuration, and lets it keep its part of it as hyper-parameters.

    Args:
        config: That part: arguments, or a class path with arguments.
        key: Where it stands in the whole, for arguments that are known when other objects are built.
    """

    def __init__(self, config: Mapping[str, Any], key: str = "module") -> None:
        self.config, self.key = config, key

    def __call__(
        self, class_type: type[T], *args: Any, applied_instantiation_links: Mapping[str, Any], **kwargs: Any
    ) -> T:
        hparams = dict(self.config)
        path = hparams.get("class_path")
        if path is not None:
            hparams = {"_class_path": path, **hparams.get("init_args", {}), **hparams.get("dict_kwargs", {})}
        linked = {
            target.removeprefix(f"{self.key}.").removeprefix("init_args."): value
            for target, value in applied_instantiation_links.items()
            if target.startswith(f"{self.key}.")
        }
        if set(kwargs) - hparams.keys() - linked.keys():  # a module that is an argument of the one meant
            return class_type(*args, **kwargs)
        objects = {key: kwargs[key] for key, value in hparams.items() if key in kwargs and _was_object(value)}
        with configured(class_type, {**hparams, **objects, **linked}):
            return class_type(*args, **kwargs)


def _was_object(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(NO_PLAIN_FORM)
