"""Hyper-parameters: collected from ``__init__``, held in checkpoints as plain data, given back when one is loaded."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from leyden.core.plain import AttributeDict, decode, encode, entries
from leyden.errors import bad_value, nearest
from leyden.utils.rank import rank_zero_deprecation, rank_zero_warn

T = TypeVar("T", bound="HyperparametersMixin")
PICKLED = "__leyden_pickled__"
CONFIGURED: ContextVar[tuple[type | None, dict[str, Any]]] = ContextVar("CONFIGURED", default=(None, {}))
"""The class that a configuration is building, and its arguments there: stored instead of the objects made from them."""


if TYPE_CHECKING:
    class_only = classmethod
else:

    class class_only(classmethod):  # noqa: N801  # a decorator, written as one
        """A class method that refuses to be called on an instance, where its result would be lost."""

        def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
            if instance is None:
                return super().__get__(None, owner)

            def refuse(*args: Any, **kwargs: Any) -> None:
                call = f"{type(instance).__qualname__}.{self.__func__.__name__}"
                raise TypeError(f"`{call}` was called on an instance. Call it on the class: model = {call}(...).")

            return refuse


class HyperparametersMixin:
    """Gives a class ``save_hyperparameters``, ``hparams`` and ``hparams_initial``."""

    CHECKPOINT_HYPER_PARAMS_KEY = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE = "hparams_type"

    _log_hyperparams: bool = False
    _hparams_name: str | None = None
    """The argument of ``__init__`` that holds them all; None: they are its arguments."""

    @property
    def hparams(self) -> AttributeDict:
        """The hyper-parameters, free to change; a checkpoint holds what they are when it is written."""
        return self.__dict__.setdefault("_hparams", AttributeDict())  # type: ignore[no-any-return]

    @hparams.setter
    def hparams(self, hparams: Any) -> None:
        rank_zero_deprecation("`self.hparams = hparams` is an old form. Write `self.save_hyperparameters(hparams)`.", 3)
        self.save_hyperparameters(hparams, frame=inspect.currentframe())

    @property
    def hparams_initial(self) -> AttributeDict:
        """A copy of the hyper-parameters as the last ``save_hyperparameters`` left them; loggers get these."""
        return _deep_copy(self.__dict__.get("_hparams_initial", {}))

    def save_hyperparameters(
        self, *args: Any, ignore: str | Sequence[str] | None = None, frame: FrameType | None = None, logger: bool = True
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
        cls, chosen = CONFIGURED.get()
        holder = None
        if type(self) is not cls or (args and entries(args[0]) is not None):
            arguments = _init_arguments(self, frame or inspect.currentframe().f_back)  # type: ignore[union-attr]
            chosen, holder = _choose(args, arguments)
        kept = {key: value for key, value in {**self.hparams, **chosen}.items() if key not in ignored}
        if modules := [key for key in chosen if isinstance(kept.get(key), nn.Module)]:
            text = f"Hyper-parameters {modules} are modules, which checkpoints hold already. Leave them out: "
            rank_zero_warn(f"{text}save_hyperparameters(ignore={modules}).", 2)
        self._hparams = AttributeDict(kept)
        self._hparams_initial = _deep_copy(kept)
        self._hparams_name = holder or self._hparams_name
        self._log_hyperparams = logger


def _init_arguments(owner: object, frame: FrameType | None) -> dict[str, Any]:
    """Return the arguments of every ``owner.__init__`` that runs, those of sub-classes last."""
    found: dict[str, Any] = {}
    while frame is not None:
        if frame.f_code.co_name == "__init__":
            names, _, options, local = inspect.getargvalues(frame)
            if names and local.get(names[0]) is owner:
                found.update({name: local[name] for name in names[1:] if name in local})
                found.update(local.get(options or "", {}))
        frame = frame.f_back
    return found


def _choose(args: tuple[Any, ...], arguments: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return what ``save_hyperparameters(*args)`` is to store, and the name of the argument that holds it all."""
    if not args:
        return arguments, None
    if len(args) == 1 and (chosen := entries(args[0])) is not None:
        holders = (name for name in reversed(arguments) if arguments[name] is args[0])  # those of sub-classes first
        return chosen, next(holders, None)
    for name in args:
        if not isinstance(name, str) or name not in arguments:
            accepted = f"arguments of `__init__` ({', '.join(arguments)}), or one dict, Namespace or dataclass"
            raise ValueError(bad_value("save_hyperparameters", name, accepted) + nearest(str(name), arguments))
    return {name: arguments[name] for name in args}, None


def _deep_copy(hparams: Mapping[str, Any]) -> AttributeDict:
    copied = AttributeDict(hparams)
    for key, value in hparams.items():
        with suppress(Exception):  # what cannot be copied is shared
            copied[key] = copy.deepcopy(value)
    return copied


def clean_hparams(hparams: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyper-parameters as a checkpoint can hold them: plain types and tensors only.

    Paths, enums, Namespaces, time spans, arrays, dataclass instances, sets and the names of classes and functions
    become tagged dicts, which :func:`restore_hparams` reads; numpy scalars become Python numbers. Other objects (a loss,
    a tokenizer) are held pickled: every read takes the file, and only one with ``weights_only=False`` gives them back.
    What cannot be pickled (a lambda) is left out. A warning names both.

    Example:
        >>> clean_hparams({"lr": 0.1, "sizes": {1}})
        {'lr': 0.1, 'sizes': {'__leyden__': 'set', 'value': [1]}}
    """
    cleaned: dict[str, Any] = {}
    objects, dropped = [], []
    for key, value in hparams.items():
        try:
            cleaned[str(key)] = encode(value)
        except (TypeError, RecursionError) as error:
            try:
                cleaned[str(key)] = {PICKLED: pickle.dumps(value)}
                objects.append(f"`{key}` ({error})")
            except Exception:  # noqa: BLE001  # from any object's own pickling code
                dropped.append(f"`{key}` ({error})")
    fix = "Name them in save_hyperparameters(ignore=...) and pass them to load_from_checkpoint."
    if objects:
        rank_zero_warn(f"Only `weights_only=False` loads the hyper-parameters {', '.join(objects)}. {fix}", 2)
    if dropped:
        rank_zero_warn(f"A checkpoint cannot hold the hyper-parameters {', '.join(dropped)}: left out. {fix}", 2)
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
    read = {str(key): decode(value) for key, value in saved.items()}
    return AttributeDict({key: value for key, value in read.items() if not is_pickled(value)})


def is_pickled(value: Any) -> bool:
    """Whether a saved hyper-parameter is an object that only a free read gives back."""
    return isinstance(value, dict) and PICKLED in value


def load_from_checkpoint(
    cls: type[T], path: Any, map_location: Any, hparams_file: Any, strict: Any, weights_only: Any, kwargs: Any
) -> T:
    """Build a module from a checkpoint: its hyper-parameters, then its weights.

    The arguments are those of ``LightningModule.load_from_checkpoint``.

    Raises:
        TypeError: ``__init__`` needs arguments that neither the checkpoint nor ``kwargs`` hold.
    """
    checkpoint = read_checkpoint(path, map_location, weights_only)
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
        first = "\n".join(line[:200] for line in str(error).splitlines()[:6])
        fix = "build the module with the arguments it was saved with, or set strict_loading=False to load what fits"
        raise RuntimeError(f"{first}\nFix: {fix}.") from error


def read_checkpoint(path: Any, map_location: Any, weights_only: bool | None) -> dict[str, Any]:
    """Read a checkpoint; without ``map_location``, tensors of devices that are not here go to the CPU."""
    from leyden.checkpoint import file, schema

    checkpoint = schema.check(file.load(path, map_location or _device_here, weights_only), str(path))
    for name in ("hyper_parameters", "datamodule_hyper_parameters") if weights_only is False else ():
        saved = checkpoint.get(name) or {}
        for key in [key for key, value in saved.items() if is_pickled(value)]:
            saved[key] = pickle.loads(saved[key][PICKLED])  # noqa: S301  # the call says that the file is trusted
    return checkpoint


def _device_here(storage: Any, location: str) -> Any:
    device, here = torch.device(location), torch.accelerator.current_accelerator(check_available=True)
    usable = here is not None and device.type == here.type and (device.index or 0) < torch.accelerator.device_count()
    return None if usable else storage  # None: torch's own rule; the storage itself lies on the CPU


def build_from_checkpoint(cls: type[T], checkpoint: Mapping[str, Any], hparams_file: Any, kwargs: dict[str, Any]) -> T:
    """Call ``cls`` with the checkpoint's hyper-parameters, or those of ``hparams_file``; ``kwargs`` win.

    Entries that ``__init__`` does not take are left out unless it has ``**kwargs``. An argument that held them all
    (``hparams_name``) gets them as an :class:`AttributeDict`.
    """
    name, container = cls.__qualname__, checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_NAME)
    stored = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_KEY) or {}
    if hparams_file is None:
        saved: dict[str, Any] = restore_hparams(stored)
    else:
        saved = import_module("leyden.legacy.utilities.saving").read_hparams(hparams_file)
    parameters = inspect.signature(cls).parameters.values()
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    own_init = cls.__init__.__module__.partition(".")[0] not in ("leyden", "torch")
    given = {**saved, **kwargs}
    if "_instantiator" in given:  # a command line's configuration; its layer is above this one
        return import_module("leyden.cli").instantiate_module(cls, given)  # type: ignore[no-any-return]
    if container in named:
        held = AttributeDict({key: value for key, value in given.items() if key not in named or key in saved})
        given = {container: held, **{key: value for key, value in given.items() if key in named}}
    elif not (own_init and any(p.kind is p.VAR_KEYWORD for p in parameters)):
        for key in [key for key in kwargs if key not in named]:
            rank_zero_warn(f"`{name}.__init__` takes no `{key}`: left out.{nearest(key, named)}", 3)
        given = {key: value for key, value in given.items() if key in named}
    if missing := [key for key, p in named.items() if p.default is p.empty and key not in given]:
        text = f"`{name}.__init__` needs {missing}, which the checkpoint does not hold (it holds {list(saved)})"
        fix = f"{name}.load_from_checkpoint(path, {missing[0]}=...), or save_hyperparameters() in __init__ before training"
        if is_pickled(stored.get(missing[0])):
            fix = f"pass {missing[0]}=..., or weights_only=False if you trust the file: its object can run any code"
        raise TypeError(f"{text}. Fix: {fix}.")
    return cls(**given)
