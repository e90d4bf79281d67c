"""What programs ask about the arguments of ``__init__``, and attributes looked up in module, hparams and data module."""

from __future__ import annotations

import inspect
import pickle
from argparse import Namespace
from collections.abc import Mapping, MutableMapping
from types import FrameType
from typing import Any

from leyden.utils.rank import rank_zero_warn


def is_picklable(obj: object) -> bool:
    """Return whether ``pickle`` takes an object.

    Example:
        >>> is_picklable([1, 2]), is_picklable(lambda: 0)
        (True, False)
    """
    try:
        pickle.dumps(obj)
    except (pickle.PickleError, AttributeError, RuntimeError, TypeError):
        return False
    return True


def clean_namespace(hparams: MutableMapping[str, Any] | Namespace) -> None:
    """Remove what cannot be pickled, in place, with a warning for each.

    Example:
        >>> hparams = {"lr": 0.1}
        >>> clean_namespace(hparams)
        >>> hparams
        {'lr': 0.1}
    """
    entries = vars(hparams) if isinstance(hparams, Namespace) else hparams
    for name in [name for name, value in entries.items() if not is_picklable(value)]:
        del entries[name]
        rank_zero_warn(f"The hyper-parameter {name!r} cannot be pickled and was removed.", 2)


def parse_class_init_keys(cls: type) -> tuple[str, str | None, str | None]:
    """Return what ``cls.__init__`` calls ``self``, ``*args`` and ``**kwargs``; None for one that it does not take.

    Example:
        >>> class Model:
        ...     def __init__(self, width, **options): ...
        >>> parse_class_init_keys(Model)
        ('self', None, 'options')
    """
    signature = inspect.getfullargspec(cls.__init__)  # type: ignore[misc]  # asked of the class itself
    return signature.args[0], signature.varargs, signature.varkw


def get_init_args(frame: FrameType) -> dict[str, Any]:
    """Return the arguments of the ``__init__`` that runs in ``frame``; of any other function none.

    Example:
        >>> class Model:
        ...     def __init__(self, width, *rest, **options):
        ...         self.arguments = get_init_args(inspect.currentframe())
        >>> Model(8, 9, bias=True).arguments
        {'width': 8, 'bias': True}
    """
    if frame.f_code.co_name != "__init__":
        return {}
    names, _, options, values = inspect.getargvalues(frame)
    given: dict[str, Any] = {name: values[name] for name in names[1:] if name in values}
    given.update(values.get(options or "", {}))
    return given


def collect_init_args(
    frame: FrameType, path_args: list[dict[str, Any]], inside: bool = False, classes: tuple[type, ...] = ()
) -> list[dict[str, Any]]:
    """Collect the arguments of the ``__init__`` methods that run, from ``frame`` outwards, until one is left.

    Args:
        frame: The innermost frame.
        path_args: The list to extend, innermost first.
        inside: An ``__init__`` was found already: the first other function ends the search.
        classes: Only ``__init__`` of these classes and their sub-classes.
    """
    current: FrameType | None = frame
    while current is not None:
        names = inspect.getargvalues(current)
        owner = type(names.locals[names.args[0]]) if names.args and names.args[0] in names.locals else object
        if current.f_code.co_name == "__init__" and (not classes or issubclass(owner, classes)):
            path_args.append(get_init_args(current))
            inside = True
        elif inside:
            break
        current = current.f_back
    return path_args


def lightning_hasattr(model: Any, attribute: str) -> bool:
    """Return whether the module, its hparams or its Trainer's data module has an attribute."""
    return bool(_holders(model, attribute))


def lightning_getattr(model: Any, attribute: str) -> Any:
    """Return an attribute of the data module, else of the hparams, else of the module.

    Raises:
        AttributeError: None of them has it.
    """
    holder = _holder(model, attribute)
    return holder[attribute] if isinstance(holder, Mapping) else getattr(holder, attribute)


def lightning_setattr(model: Any, attribute: str, value: Any) -> None:
    """Set an attribute wherever :func:`lightning_hasattr` finds it.

    Raises:
        AttributeError: It is nowhere.
    """
    _holder(model, attribute)
    for holder in _holders(model, attribute):
        if isinstance(holder, MutableMapping):
            holder[attribute] = value
        else:
            setattr(holder, attribute, value)


def _holder(model: Any, attribute: str) -> Any:
    holders = _holders(model, attribute)
    if not holders:
        raise AttributeError(f"Neither {type(model).__name__}, nor its hparams, nor its data module has {attribute!r}.")
    return holders[-1]


def _holders(model: Any, attribute: str) -> list[Any]:
    """Who has the attribute; the one that counts last."""
    hparams, data = getattr(model, "hparams", None), getattr(getattr(model, "_trainer", None), "datamodule", None)
    found = [model] if hasattr(model, attribute) else []
    if hparams is not None and (attribute in hparams if isinstance(hparams, Mapping) else hasattr(hparams, attribute)):
        found.append(hparams)
    return [*found, data] if data is not None and hasattr(data, attribute) else found
