"""The parser: jsonargparse's, limited in what it imports, with a word for each kind of object in a run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, NoReturn, ParamSpec, TypeVar, Union

import yaml
from torch.optim import Optimizer

import leyden.callbacks
import leyden.loggers
import leyden.profilers
from leyden.cli.allowed import COMPONENTS, declared_by, in_code, limited_imports, refused_in
from leyden.cli.schedulers import LRSchedulerTypeTuple
from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.module import LightningModule
from leyden.errors import MisconfigurationException, bad_value, nearest
from leyden.trainer import Trainer
from leyden.utils.files import filesystem, is_local
from leyden.utils.optional import require

require("jsonargparse", "cli")  # the base class is needed here; without it the message says how to install it

from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]  # noqa: E402
from jsonargparse import Namespace as Namespace  # noqa: E402
from jsonargparse.typing import class_from_function  # noqa: E402

P = ParamSpec("P")
R = TypeVar("R")

ArgsType = Union[list[str], dict[str, Any], Namespace, None]  # noqa: UP007  # evaluated where signatures are read
"""What ``LightningCLI(args=...)`` takes; None: the command line."""

AUTOMATIC = "AUTOMATIC"
NO_PLAIN_FORM = "Unable to serialize instance "
_OPTION = r"(?:arguments: |[oO]ption '|key \"|key ')-*([\w.]+)"
_CLASS = r"import path string: (\w+)"
_KINDS = (Trainer, LightningModule, LightningDataModule, Callback)


def limited(method: Callable[P, R]) -> Callable[P, R]:
    """Let a method of the parser import only what a configuration may name."""

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with limited_imports():
            return method(*args, **kwargs)

    return run


class ConfigFile(ActionConfigFile):
    """``--config``, which takes URLs too; within a file, addresses are not followed."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if isinstance(values, str) and not is_local(values):
            system, name = filesystem(values)
            values = system.cat_file(name).decode()
        super().__call__(parser, namespace, values, option_string)  # type: ignore[no-untyped-call]


def class_of(maker: Any) -> Any:
    """A class as it is; for a function, a class whose construction is a call of it and whose base is what it returns."""
    if isinstance(maker, type) or not callable(maker):
        return maker
    return class_from_function(maker, name=f"{getattr(maker, '__name__', 'made')}_{id(maker)}")


def load_public_classes() -> None:
    """Import what a short name such as ``EarlyStopping`` may mean: it is looked for among the classes that are loaded."""
    for package in (leyden.callbacks, leyden.loggers, leyden.profilers):
        for name in package.__all__:
            getattr(package, name)


class LightningArgumentParser(ArgumentParser):
    """A parser of ``jsonargparse`` that also takes trainers, modules, callbacks, optimizers and schedulers.

    A configuration can make it import only what :mod:`leyden.cli.allowed` allows.

    Args:
        args: Those of ``jsonargparse.ArgumentParser``.
        description: What ``--help`` says first.
        env_prefix: What names of environment variables begin with.
        default_env: Whether environment variables are read.
        kwargs: Those of ``jsonargparse.ArgumentParser``.

    Example:
        >>> import leyden as pl
        >>> parser = LightningArgumentParser()
        >>> names = parser.add_lightning_class_args(pl.Trainer, "trainer")
        >>> parser.parse_args(["--trainer.max_epochs=3"]).trainer.max_epochs
        3
    """

    def __init__(
        self,
        *args: Any,
        description: str = "Lightning Trainer command line tool",
        env_prefix: str = "PL",
        default_env: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, description=description, env_prefix=env_prefix, default_env=default_env, **kwargs)
        self.callback_keys: list[str] = []
        self.optimizers: dict[str, tuple[Any, str]] = {}
        self.schedulers: dict[str, tuple[Any, str]] = {}
        self.link_targets: list[str] = []

    parse_args = limited(ArgumentParser.parse_args)
    parse_object = limited(ArgumentParser.parse_object)
    parse_env = limited(ArgumentParser.parse_env)
    parse_path = limited(ArgumentParser.parse_path)
    parse_string = limited(ArgumentParser.parse_string)
    get_defaults = limited(ArgumentParser.get_defaults)
    validate = limited(ArgumentParser.validate)
    dump = limited(ArgumentParser.dump)
    save = limited(ArgumentParser.save)

    def instantiate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> Namespace:
        """Build what a parsed configuration describes, unless it names what a configuration may not name."""
        if refused := next(refused_in(namespace), None):
            self.error(refused)
        with limited_imports():
            built: Namespace = super().instantiate(namespace, *args, **kwargs)
        return built

    def as_plain(self, config: Namespace) -> dict[str, Any]:
        """Return a parsed configuration as plain values: objects as class paths with their arguments.

        What was an object before is text that begins with :data:`NO_PLAIN_FORM`.
        """
        with warnings.catch_warnings(action="ignore"):
            text = self.dump(config, format="yaml", skip_unset=False, skip_validation=True, skip_link_targets=False)
        plain: dict[str, Any] = yaml.safe_load(text) or {}
        return plain

    def add_class_arguments(self, class_type: Any, *args: Any, **kwargs: Any) -> list[str]:
        """Add the arguments of a class; see ``jsonargparse``."""
        declared_by(class_type)
        names: list[str] = super().add_class_arguments(class_type, *args, **kwargs)
        return names

    def add_subclass_arguments(self, baseclass: Any, *args: Any, **kwargs: Any) -> None:
        """Add the choice of a sub-class; see ``jsonargparse``."""
        declared_by(*(baseclass if isinstance(baseclass, tuple) else (baseclass,)))
        super().add_subclass_arguments(baseclass, *args, **kwargs)

    def set_defaults(self, *args: dict[str, Any], **kwargs: Any) -> None:
        """Change defaults; see ``jsonargparse``."""
        in_code(*args, kwargs)
        super().set_defaults(*args, **kwargs)

    def link_arguments(self, source: Any, target: str, *args: Any, **kwargs: Any) -> None:
        """Let the value of ``target`` follow from that of ``source``; see ``jsonargparse``."""
        super().link_arguments(source, target, *args, **kwargs)
        self.link_targets.append(target)

    def add_lightning_class_args(
        self, lightning_class: Any, nested_key: str, subclass_mode: bool = False, required: bool = True
    ) -> list[str]:
        """Add the arguments of a Trainer, module, data module or callback.

        Args:
            lightning_class: The class, or a function that returns an instance.
            nested_key: What their names begin with. A callback added here is always part of the run.
            subclass_mode: Whether a sub-class may be chosen.
            required: Whether one must be chosen.

        Raises:
            MisconfigurationException: It is none of these.
        """
        load_public_classes()
        lightning_class = class_of(lightning_class)
        if not isinstance(lightning_class, type) or not issubclass(lightning_class, _KINDS):
            kinds = "a Trainer, LightningModule, LightningDataModule or Callback class, or a function that returns one"
            raise MisconfigurationException(bad_value("lightning_class", lightning_class, kinds))
        if issubclass(lightning_class, Callback):
            self.callback_keys.append(nested_key)
        if subclass_mode:
            self.add_subclass_arguments(lightning_class, nested_key, fail_untyped=False, required=required)
            return []
        built = not issubclass(lightning_class, Trainer)  # which is built last, with callbacks of its own
        options: dict[str, Any] = {"fail_untyped": False, "instantiate": built, "sub_configs": True}
        return self.add_class_arguments(lightning_class, nested_key, **options)

    def add_optimizer_args(
        self, optimizer_class: Any = (Optimizer,), nested_key: str = "optimizer", link_to: str = AUTOMATIC
    ) -> None:
        """Add the arguments of an optimizer.

        Args:
            optimizer_class: The class, or a tuple of classes of which a sub-class may be chosen.
            nested_key: What their names begin with.
            link_to: The argument of the model that gets class path and arguments; AUTOMATIC: it is used as is.
        """
        self._add_late(optimizer_class, (Optimizer,), nested_key, "params")
        self.optimizers[nested_key] = (optimizer_class, link_to)

    def add_lr_scheduler_args(
        self, lr_scheduler_class: Any = LRSchedulerTypeTuple, nested_key: str = "lr_scheduler", link_to: str = AUTOMATIC
    ) -> None:
        """Add the arguments of a learning-rate scheduler; see :meth:`add_optimizer_args`."""
        self._add_late(lr_scheduler_class, LRSchedulerTypeTuple, nested_key, "optimizer")
        self.schedulers[nested_key] = (lr_scheduler_class, link_to)

    def _add_late(self, classes: Any, bases: tuple[type, ...], key: str, first: str) -> None:
        """Add what is built later, when its first argument is known."""
        several = isinstance(classes, tuple)
        if not all(isinstance(c, type) and issubclass(c, bases) for c in (classes if several else (classes,))):
            names = " or ".join(base.__name__ for base in bases)
            raise MisconfigurationException(bad_value(f"{key} class", classes, f"{names}, or sub-classes"))
        options: dict[str, Any] = {"skip": {first}, "instantiate": False, "fail_untyped": False}
        if several:
            self.add_subclass_arguments(classes, key, **options)
        else:
            self.add_class_arguments(classes, key, sub_configs=True, **options)

    def print_usage(self, file: Any = None) -> None:
        """Print how the program is called, unless that says only that there are options."""
        if self.usage is None:
            super().print_usage(file)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """End the program with a short message, code 2, which names the option or key that was probably meant."""
        parser = getattr(ex, "subcommand_parser", None) or self
        message = shortened(message)
        close = ""
        for pattern, known in ((_OPTION, set(_options(parser))), (_CLASS, set(_classes(COMPONENTS)))):
            given = re.search(pattern, message)
            close = close or (nearest(given[1], known) if given and given[1] not in known else "")
        super().error(message.rstrip(".") + "." + close if close else message, ex)


def shortened(message: str) -> str:
    """A message of jsonargparse without repetitions; of a class path that was refused only that."""
    refused = re.search("Nothing was imported: .*", message)
    if refused:
        key = re.match(r'Parser key "[^"]*": ?', message)
        return (key[0].rstrip() + " " if key else "") + refused[0]
    message = re.sub(r"^Group '([\w.]+)' does not accept option '", r"'\1' does not accept option '\1.", message)
    lines = dict.fromkeys(line for line in message.splitlines() if line.strip())
    tried = [line for line in lines if "Expected a path but" in line]  # the value as the name of a file
    return "\n".join(line for line in lines if line not in tried or len(lines) <= 2)


def _options(parser: Any) -> Iterator[str]:
    """The names of a parser's options, without dashes."""
    yield from (name.lstrip("-") for action in parser._actions for name in action.option_strings)


def _classes(bases: Iterable[type]) -> Iterator[str]:
    """The names of all classes that are imported and can be chosen."""
    for base in bases:
        yield base.__name__
        yield from _classes(base.__subclasses__())
