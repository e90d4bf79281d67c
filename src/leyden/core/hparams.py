"""Hyper-parameters: collected from ``__init__``, held in checkpoints as plain data, given back when one is loaded."""

from __future__ import annotations

import copy
import csv
import functools
import inspect
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from leyden.core.plain import AttributeDict, UnsavableError, decode, encode, entries
from leyden.errors import PossibleUserWarning, bad_value, nearest
from leyden.utils.rank import rank_zero_warn

__all__ = [
    "AttributeDict",
    "HyperparametersMixin",
    "build_from_checkpoint",
    "class_only",
    "clean_hparams",
    "load_from_checkpoint",
    "read_checkpoint",
    "restore_hparams",
]

T = TypeVar("T")


if TYPE_CHECKING:
    class_only = classmethod
else:

    class class_only(classmethod):  # noqa: N801  # a decorator, written as one
        """A class method that refuses to be called on an instance, where its result would be lost."""

        def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
            method = super().__get__(None, owner if owner is not None else type(instance))
            if instance is None:
                return method

            @functools.wraps(method)
            def refuse(*args: Any, **kwargs: Any) -> None:
                call = f"{type(instance).__qualname__}.{method.__name__}"
                raise TypeError(f"`{call}` was called on an instance. Call it on the class: model = {call}(...).")

            return refuse


class HyperparametersMixin:
    """Gives a class ``save_hyperparameters``, ``hparams`` and ``hparams_initial``."""

    CHECKPOINT_HYPER_PARAMS_KEY = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "hparams_type"

    _log_hyperparams: bool = False
    _hparams_name: str | None = None
    """``"kwargs"``: they are arguments of ``__init__``; another name: the argument that holds them all."""

    @property
    def hparams(self) -> AttributeDict:
        """The hyper-parameters, free to change; a checkpoint holds what they are when it is written."""
        if "_hparams" not in self.__dict__:
            self._hparams = AttributeDict()
        return self._hparams

    @property
    def hparams_initial(self) -> AttributeDict:
        """A copy of the hyper-parameters as the last ``save_hyperparameters`` left them; loggers get these."""
        return _deep_copy(self.__dict__.get("_hparams_initial", {}))

    def save_hyperparameters(
        self,
        *args: Any,
        ignore: str | Sequence[str] | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Store arguments of ``__init__`` as :attr:`hparams`, and through them in every checkpoint.

        Call it in ``__init__``. The arguments of sub-classes' ``__init__`` are found too; ``*args`` are not stored.

        Args:
            args: Nothing: all arguments. Names: these. One dict, Namespace or dataclass: its entries.
            ignore: Names to leave out, and to remove if they were stored before.
            frame: The frame from which to look outwards for ``__init__``; default: the caller's.
            logger: Whether loggers get them at the start of a run.

        Raises:
            ValueError: ``args`` are of another form, or a name is no argument of ``__init__``.

        Example:
            >>> class Model(HyperparametersMixin):
            ...     def __init__(self, width: int, depth: int = 2, **options):
            ...         self.save_hyperparameters(ignore="depth")
            >>> Model(8, bias=True).hparams
            "width": 8
            "bias":  True
        """
        ignored = {ignore} if isinstance(ignore, str) else set(ignore or ())
        frame = frame if frame is not None else inspect.currentframe().f_back  # type: ignore[union-attr]
        arguments = _init_arguments(self, frame)
        if arguments is None and not args:
            text = (
                f"`{type(self).__qualname__}.save_hyperparameters()` found no `__init__` that runs: call it in there."
            )
            rank_zero_warn(text, 2, PossibleUserWarning)
        chosen, name = _choose(args, arguments or {})
        chosen = {key: value for key, value in chosen.items() if key not in ignored}
        if modules := [key for key, value in chosen.items() if isinstance(value, nn.Module)]:
            text = f"Hyper-parameters {modules} are instances of `nn.Module`, which checkpoints hold already. Leave them out: "
            rank_zero_warn(f"{text}save_hyperparameters(ignore={modules}).", 2)
        self.hparams.update(chosen)
        for key in ignored & self.hparams.keys():
            del self.hparams[key]
        if self._hparams_name in (None, "kwargs"):
            self._hparams_name = name if name is not None else self._hparams_name
        self._hparams_initial = _deep_copy(self.hparams)
        self._log_hyperparams = logger


def _init_arguments(owner: object, frame: FrameType | None) -> dict[str, Any] | None:
    """Return the arguments of every ``owner.__init__`` that runs, those of sub-classes last; None if none runs."""
    found = None
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__init__" and code.co_argcount:
            local = frame.f_locals
            names = list(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
            if local.get(names[0]) is owner:
                found = found if found is not None else {}
                found.update({name: local[name] for name in names[1:] if name in local})
                if code.co_flags & inspect.CO_VARKEYWORDS:
                    has_args = bool(code.co_flags & inspect.CO_VARARGS)
                    found.update(local.get(code.co_varnames[len(names) + has_args], {}))
        frame = frame.f_back
    return found


def _choose(args: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return what ``save_hyperparameters(*args)`` is to store, and the name of the argument that holds it."""
    if not args:
        return arguments, "kwargs"
    if all(isinstance(name, str) for name in args):
        for name in args:
            if name not in arguments:
                accepted = f"arguments of `__init__`: {', '.join(arguments) or 'none'}"
                raise ValueError(bad_value("save_hyperparameters", name, accepted) + nearest(name, arguments))
        return {name: arguments[name] for name in args}, "kwargs"
    chosen = entries(args[0]) if len(args) == 1 else None
    if chosen is None:
        given = args[0] if len(args) == 1 else args
        accepted = "names of arguments of `__init__`, or one dict, Namespace or dataclass"
        raise ValueError(
            bad_value("save_hyperparameters", given, accepted, "save_hyperparameters() stores all arguments")
        )
    return chosen, next((name for name in reversed(arguments) if arguments[name] is args[0]), None)  # sub-classes first


def _deep_copy(hparams: Mapping[str, Any]) -> AttributeDict:
    copied = AttributeDict(hparams)
    for key, value in hparams.items():
        with suppress(Exception):  # what cannot be copied is shared
            copied[key] = copy.deepcopy(value)
    return copied


def clean_hparams(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters as a checkpoint can hold them: plain types and tensors only.

    Paths, enums, Namespaces, time spans, arrays, dataclass instances, sets and the names of classes and functions
    become tagged dicts, which :func:`restore_hparams` reads; numpy scalars become Python numbers. What has no such
    form (a lambda, a module) is left out, with one warning that names it.

    Example:
        >>> clean_hparams({"lr": 0.1, "root": Path("data")})
        {'lr': 0.1, 'root': {'__leyden__': 'path', 'value': 'data'}}
    """
    cleaned, dropped = {}, []
    for key, value in hparams.items():
        try:
            cleaned[str(key)] = encode(value)
        except (UnsavableError, RecursionError) as error:
            dropped.append(f"`{key}` ({error if isinstance(error, UnsavableError) else 'nested too deeply'})")
    if dropped:
        text = f"Hyper-parameters that a checkpoint cannot hold are left out of it: {', '.join(dropped)}. Name them in "
        rank_zero_warn(f"{text}save_hyperparameters(ignore=...) and pass them to load_from_checkpoint.", 2)
    return cleaned


def restore_hparams(saved: Mapping[str, Any]) -> AttributeDict:
    """Turn what :func:`clean_hparams` returned into hyper-parameters again.

    Nothing is imported and no code of a stored class runs: enums and dataclasses are rebuilt from their fields if the
    program has loaded their class, and stay plain values otherwise. Classes come back if they are modules, optimizers
    or schedulers, functions if they are torch's operations; any other name stays a string.

    Example:
        >>> restore_hparams(clean_hparams({"activation": nn.ReLU, "betas": (0.9, 0.99)}))
        "activation": <class 'torch.nn.modules.activation.ReLU'>
        "betas":      (0.9, 0.99)
    """
    return AttributeDict({str(key): decode(value) for key, value in saved.items()})


def load_from_checkpoint(
    cls: type[T],
    checkpoint: Any,
    /,
    map_location: Any = None,
    hparams_file: str | PathLike[str] | None = None,
    strict: bool | None = None,
    *,
    weights_only: bool | None = None,
    **kwargs: Any,
) -> T:
    """Build a module from a checkpoint: its hyper-parameters, then its weights.

    Args:
        cls: The LightningModule's class.
        checkpoint: A path, URL or binary stream; or the dict that was read from it.
        map_location: As in ``torch.load``; default: where the weights were, or the CPU if that device is not here.
        hparams_file: A ``.yaml`` or ``.csv`` file whose entries replace the saved hyper-parameters.
        strict: Whether the weights must match exactly; default: the module's ``strict_loading``.
        weights_only: False runs arbitrary code from the file.
        kwargs: Arguments of ``__init__``; they win over saved ones.

    Raises:
        TypeError: ``__init__`` needs arguments that neither the checkpoint nor ``kwargs`` hold.
    """
    checkpoint = read_checkpoint(checkpoint, map_location, weights_only)
    module: Any = build_from_checkpoint(cls, checkpoint, hparams_file, kwargs)
    module.configure_model()
    module.on_load_checkpoint(checkpoint)
    weights = checkpoint["state_dict"]
    load_weights(module, weights, module.strict_loading if strict is None else strict)
    first = next((value for value in weights.values() if isinstance(value, Tensor)), torch.empty(0))
    return module.to(first.device)  # type: ignore[no-any-return]


def load_weights(module: Any, weights: Mapping[str, Any], strict: bool) -> None:
    """``module.load_state_dict``, with an error of few lines that says what to do.

    Raises:
        RuntimeError: The weights are not those of this module.
    """
    try:
        module.load_state_dict(weights, strict=strict)
    except RuntimeError as error:
        lines = [line if len(line) < 200 else f"{line[:200]}..." for line in str(error).splitlines()]
        more = [f"\t... and {len(lines) - 6} more"] if len(lines) > 6 else []
        fix = (
            "Fix: build the module with the arguments it was saved with, or set strict_loading=False to load what fits."
        )
        raise RuntimeError("\n".join([*lines[:6], *more, fix])) from error


def read_checkpoint(checkpoint: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
    """Read a checkpoint unless it has been read; tensors of devices that are not here go to the CPU."""
    if isinstance(checkpoint, dict):
        return checkpoint
    from leyden.checkpoint.file import load

    return load(checkpoint, _device_here if map_location is None else map_location, weights_only)


def _device_here(storage: Any, location: str) -> Any:
    device, here = torch.device(location), torch.accelerator.current_accelerator(check_available=True)
    usable = here is not None and device.type == here.type and (device.index or 0) < torch.accelerator.device_count()
    return None if usable else storage  # None: torch's own rule; the storage itself lies on the CPU


def build_from_checkpoint(
    cls: type[T], checkpoint: Mapping[str, Any], hparams_file: str | PathLike[str] | None, kwargs: Mapping[str, Any]
) -> T:
    """Call ``cls`` with the checkpoint's hyper-parameters, or those of ``hparams_file``; ``kwargs`` win.

    Entries that ``__init__`` does not take are left out unless it has ``**kwargs``. An argument that held them all
    (``hparams_name``) gets them as an :class:`AttributeDict`.
    """
    names: Any = cls
    hparams = restore_hparams(checkpoint.get(names.CHECKPOINT_HYPER_PARAMS_KEY) or {})
    if hparams_file is not None:
        hparams = AttributeDict(_read_hparams(Path(hparams_file)))
    container = checkpoint.get(names.CHECKPOINT_HYPER_PARAMS_NAME)
    parameters = dict(list(inspect.signature(cls.__init__).parameters.items())[1:])
    open_ended = [key for key, p in parameters.items() if p.kind is p.VAR_KEYWORD]
    named = {key: p for key, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    given: dict[str, Any] = {**hparams, **kwargs}
    if container in named and container not in given:
        given[container] = AttributeDict(
            {key: value for key, value in given.items() if key not in named or key in hparams}
        )
        open_ended = []
    if not open_ended or cls.__init__.__module__.partition(".")[0] in ("leyden", "torch"):
        if container not in named and (unknown := [key for key in kwargs if key not in named]):
            hints = "".join(nearest(key, named) for key in unknown)
            rank_zero_warn(f"`{cls.__qualname__}.__init__` takes no {', '.join(unknown)}: left out.{hints}", 3)
        given = {key: value for key, value in given.items() if key in named}
    if missing := [key for key, p in named.items() if p.default is p.empty and key not in given]:
        fix = ", ".join(f"{key}=..." for key in missing)
        raise TypeError(
            f"`{cls.__qualname__}.__init__` needs {', '.join(f'`{key}`' for key in missing)}, which the checkpoint does "
            f"not hold (it holds: {', '.join(hparams) or 'none'}). Fix: {cls.__qualname__}.load_from_checkpoint(path, "
            f"{fix}), or call self.save_hyperparameters() in __init__ before training."
        )
    return cls(**given)


def _read_hparams(path: Path) -> dict[str, Any]:
    """Read a ``.yaml`` file, or a ``.csv`` file with the columns key and value."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return {row["key"]: _literal(row["value"]) for row in csv.DictReader(file)}
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(bad_value("hparams_file", str(path), "a .yaml, .yml or .csv file"))
    import yaml

    class Loader(yaml.SafeLoader):  # refuses everything but plain data
        """Reads plain data, and tuples as YAML writers for Python mark them."""

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", _yaml_tuple)
    try:
        content = yaml.load(path.read_text(), Loader)  # noqa: S506  # Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"`hparams_file` {str(path)!r} is no YAML file of plain data: {error}") from error
    if not isinstance(content, dict | None):
        raise TypeError(bad_value("hparams_file", content, "a file with one mapping of names to values"))
    return content or {}


def _yaml_tuple(loader: Any, node: Any) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _literal(text: str) -> Any:
    try:
        return literal_eval(text)
    except (ValueError, SyntaxError):
        return text
