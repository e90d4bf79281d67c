"""The Trainer's arguments: each declared, defaulted, documented and checked here, and nowhere else."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import wraps
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from leyden.core.callback import Callback
from leyden.errors import MisconfigurationException, bad_value, nearest, single_or_all
from leyden.utils.duration import ACCEPTED as DURATION
from leyden.utils.duration import parse_duration

if TYPE_CHECKING:
    from leyden.core.logger import Logger
    from leyden.core.profiler import Profiler
    from leyden.runtime.accelerators import Accelerator
    from leyden.runtime.strategies.base import Strategy

P = ParamSpec("P")
Check = Callable[[Any], str]
"""Returns an empty string, or what is accepted."""
Limit = int | float | None
ENVIRONMENT_PREFIX = "PL_TRAINER_"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def at_least(minimum: int, optional: bool = False, accepted: str = "") -> Check:
    """Accept an int from ``minimum`` on (and None)."""
    text = accepted or f"an int >= {minimum}" + (" or None" if optional else "")
    return lambda value: "" if (optional and value is None) or (_is_int(value) and value >= minimum) else text


def flag(optional: bool = False) -> Check:
    """Accept True and False (and None)."""
    text = "True, False or None" if optional else "True or False"
    return lambda value: "" if isinstance(value, bool) or (optional and value is None) else text


def _limit(value: Any) -> str:
    whole = isinstance(value, int) and value >= 0
    part = isinstance(value, float) and (0.0 <= value <= 1.0 or (value > 1.0 and value.is_integer()))
    return "" if value is None or whole or part else "a fraction 0.0-1.0, a number of batches (int >= 0), or None"


def _one_of(*names: Any) -> Check:
    text = ", ".join(repr(name) for name in names)
    return lambda value: "" if any(value is name or value == name for name in names) else text


def _duration(value: Any) -> bool:
    try:
        parse_duration("duration", value)
    except MisconfigurationException:
        return False
    return True


def _val_check_interval(value: Any) -> str:
    part = isinstance(value, float) and 0.0 <= value <= 1.0
    good = value is None or part or (_is_int(value) and value >= 1) or _duration(value)
    return "" if good else f"a fraction 0.0-1.0 of an epoch, a number of batches (int >= 1), {DURATION}"


def _fast_dev_run(value: Any) -> str:
    return "" if isinstance(value, bool) or (_is_int(value) and value >= 0) else "True, False or a number of batches"


def _number(value: Any) -> str:
    good = value is None or (isinstance(value, Real) and not isinstance(value, bool))
    return "" if good else "a number, or None (no clipping)"


def _clip_algorithm(value: Any) -> str:
    good = value is None or (isinstance(value, str) and value.lower() in ("norm", "value"))
    return "" if good else "'norm', 'value' or None"


def _callbacks(value: Any) -> str:
    if value is None or isinstance(value, Callback):
        return ""
    good = isinstance(value, (list, tuple)) and all(isinstance(item, Callback) for item in value)
    return "" if good else "a Callback instance, a list of Callback instances (not classes), or None"


def _logger(value: Any) -> str:
    from leyden.core.logger import Logger

    if value is None or isinstance(value, (bool, Logger)):
        return ""
    good = isinstance(value, Iterable) and not isinstance(value, str) and all(isinstance(v, Logger) for v in value)
    return "" if good else "True, False, a Logger instance, a list of them, or None"


def _profiler(value: Any) -> str:
    from leyden.core.profiler import Profiler

    good = value is None or isinstance(value, Profiler)
    return "" if good else "a Profiler instance or None (the names 'simple', 'advanced' and 'pytorch' come later)"


def _path(value: Any) -> str:
    return "" if value is None or isinstance(value, (str, os.PathLike)) else "a path, a URL, or None"


def _max_time(value: Any) -> str:
    return "" if value is None or _duration(value) else f"{DURATION}, or None"


def _anything(value: Any) -> str:
    return ""


def argument(
    default: Any, doc: str, check: Check = _anything, error: type[Exception] = MisconfigurationException
) -> Any:
    """Declare an argument: its default, what it does, what it accepts, and the type of the error."""
    return field(default=default, metadata={"doc": doc, "check": check, "error": error})


@dataclass(kw_only=True)
class TrainerArguments:
    """All arguments of the Trainer. Every default can also come from the environment, as ``PL_TRAINER_<ARGUMENT>``."""

    accelerator: str | Accelerator = argument("auto", "The kind of device: 'cpu', 'gpu', 'cuda', 'mps' or 'auto'.")
    strategy: str | Strategy = argument("auto", "How processes work together: 'auto', 'ddp', ... or a Strategy.")
    devices: list[int] | str | int = argument("auto", "How many devices, which (a list of ids), -1 for all, or 'auto'.")
    num_nodes: int = argument(1, "The number of hosts.")
    precision: Any = argument(None, "'32-true' (default), '64-true', 'bf16-mixed', 'bf16-true', '16-mixed', '16-true'.")
    logger: Logger | Iterable[Logger] | bool | None = argument(
        None, "True or None: the default logger; False: none; or loggers of your own.", _logger, TypeError
    )
    callbacks: list[Callback] | Callback | None = argument(None, "Callbacks, in order.", _callbacks, TypeError)
    fast_dev_run: int | bool = argument(False, "Run n batches of each loop and save nothing; True is 1.", _fast_dev_run)
    max_epochs: int | None = argument(
        None, "Stop after so many epochs; -1: never; None: 1000 unless steps or time are limited.",
        at_least(-1, optional=True),
    )  # fmt: skip
    min_epochs: int | None = argument(None, "Do not stop earlier than this.", at_least(0, optional=True))
    max_steps: int = argument(-1, "Stop after so many optimizer steps; -1: never.", at_least(-1))
    min_steps: int | None = argument(None, "Do not stop earlier than this.", at_least(0, optional=True))
    max_time: str | timedelta | dict[str, int] | None = argument(
        None, "Stop after this time: 'DD:HH:MM:SS', a timedelta, or a dict of its arguments.", _max_time
    )
    limit_train_batches: Limit = argument(None, "A fraction (float) or number (int) of batches an epoch.", _limit)
    limit_val_batches: Limit = argument(None, "The same for validation; 0 turns it off.", _limit)
    limit_test_batches: Limit = argument(None, "The same for testing.", _limit)
    limit_predict_batches: Limit = argument(None, "The same for prediction.", _limit)
    overfit_batches: int | float = argument(0.0, "Train and validate on the same few batches, unshuffled.", _limit)
    val_check_interval: int | float | str | timedelta | dict[str, int] | None = argument(
        None, "Validate every part of an epoch (float), every n batches (int), or every so often (time).",
        _val_check_interval,
    )  # fmt: skip
    check_val_every_n_epoch: int | None = argument(
        1, "Validate in every n-th epoch; None: val_check_interval counts batches across epochs.",
        at_least(1, optional=True),
    )  # fmt: skip
    num_sanity_val_steps: int | None = argument(
        None, "Validation batches before training, to find mistakes early; default 2; -1: all.",
        at_least(-1, optional=True),
    )  # fmt: skip
    log_every_n_steps: int | None = argument(
        None, "Send step values to the loggers every n steps; default 50; 0: never.", at_least(0, optional=True)
    )
    enable_checkpointing: bool | None = argument(None, "Add a ModelCheckpoint if there is none.", flag(optional=True))
    enable_progress_bar: bool | None = argument(None, "Show a progress bar.", flag(optional=True))
    enable_model_summary: bool | None = argument(None, "Print a table of the layers.", flag(optional=True))
    accumulate_grad_batches: int = argument(1, "Step the optimizer on every n-th batch.", at_least(1))
    gradient_clip_val: int | float | None = argument(
        None, "Clip gradients at this; None or <= 0: off.", _number, TypeError
    )
    gradient_clip_algorithm: str | None = argument(None, "'norm' (default) or 'value'.", _clip_algorithm)
    deterministic: Any = argument(None, "Use deterministic algorithms: True, False or 'warn'.")
    benchmark: bool | None = argument(None, "cudnn.benchmark; None keeps the session's value.", flag(optional=True))
    inference_mode: bool = argument(True, "Evaluate under torch.inference_mode, else torch.no_grad.", flag())
    use_distributed_sampler: bool = argument(True, "Shard the loaders' samples over processes.", flag())
    profiler: Profiler | str | None = argument(None, "A Profiler.", _profiler)
    detect_anomaly: bool = argument(False, "Autograd's anomaly mode during fit.", flag())
    barebones: bool = argument(False, "No checkpoint, logger, bar, summary or logging at all.", flag())
    plugins: Any = argument(None, "A Precision, ClusterEnvironment or CheckpointIO, or a list of them.")
    sync_batchnorm: bool = argument(False, "Synchronise BatchNorm over processes.", flag())
    reload_dataloaders_every_n_epochs: int = argument(0, "Ask for new loaders every n epochs; 0: never.", at_least(0))
    default_root_dir: str | Path | None = argument(
        None, "Where logs and checkpoints go; default: the current folder.", _path, TypeError
    )
    enable_autolog_hparams: bool = argument(True, "Log hyper-parameters when fit begins.", flag())
    model_registry: str | None = argument(None, "Accepted, without effect.")
    suggest_integrations: bool = argument(False, "Accepted, without effect.")
    nonfinite: str = argument(
        "raise", "What a NaN or infinite loss does: 'raise', 'stop', 'skip' or 'ignore'.",
        _one_of("raise", "stop", "skip", "ignore"), ValueError,
    )  # fmt: skip

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> tuple[TrainerArguments, list[Exception]]:
        """Fill in environment and defaults and check everything.

        Returns:
            The arguments, and all mistakes found in them.
        """
        declared = {item.name: item for item in fields(cls)}
        errors: list[Exception] = [
            TypeError(f"Trainer() got an unexpected keyword argument {name!r}.{nearest(name, declared)}")
            for name in given
            if name not in declared
        ]
        values = _environment(declared) | {name: value for name, value in given.items() if name in declared}
        for name, value in values.items():
            accepted = declared[name].metadata["check"](value)
            if accepted:
                close = nearest(value, _words(accepted)) if isinstance(value, str) else ""
                errors.append(declared[name].metadata["error"](bad_value(name, value, accepted) + close))
        arguments = cls(**values)
        if not errors:
            errors += arguments._contradictions()
        return arguments, errors

    def _contradictions(self) -> list[Exception]:
        found: list[Exception] = []
        if self.check_val_every_n_epoch is None and isinstance(self.val_check_interval, float):
            found.append(
                MisconfigurationException(
                    "`val_check_interval` must be a number of batches or a time when `check_val_every_n_epoch=None`, "
                    f"but it is {self.val_check_interval}. Fix: val_check_interval=<int>."
                )
            )
        if self.barebones:
            active = [
                name
                for name in _EXCLUDED_BY_BAREBONES
                if getattr(self, name) not in (None, False, 0) and not (name == "logger" and self.logger is False)
            ]
            found += [
                ValueError(f"`Trainer(barebones=True, {name}={getattr(self, name)!r})`: barebones turns {name} off. "
                           f"Fix: leave {name} out.")
                for name in active
            ]  # fmt: skip
        return found


_EXCLUDED_BY_BAREBONES = (
    "enable_checkpointing", "logger", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps",
    "fast_dev_run", "detect_anomaly", "profiler", "log_every_n_steps",
)  # fmt: skip


def _words(accepted: str) -> list[str]:
    return [part.strip("' ") for part in accepted.replace(" or ", ",").split(",") if "'" in part]


def _environment(declared: Iterable[str]) -> dict[str, Any]:
    found = {}
    for name in declared:
        text = os.environ.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            try:
                found[name] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                found[name] = text
    return found


def takes(arguments: Callable[P, Any]) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a constructor the signature of ``arguments``, for readers, editors and type checkers."""

    def decorate(function: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        @wraps(function)
        def construct(self: Any, *args: P.args, **kwargs: P.kwargs) -> None:
            function(self, *args, **kwargs)

        signature = inspect.signature(arguments)
        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        construct.__signature__ = signature.replace(  # type: ignore[attr-defined]  # read by inspect.signature
            parameters=[first, *signature.parameters.values()], return_annotation=None
        )
        return construct  # type: ignore[return-value]  # `self` may not be named in a ParamSpec

    return decorate


def describe_arguments() -> str:
    """The arguments as a docstring section."""
    return "\n".join(f"        {item.name}: {item.metadata['doc']}" for item in fields(TrainerArguments))


def raise_all(errors: list[Exception]) -> None:
    """Raise the mistakes, if any, as one error."""
    error = single_or_all(errors)
    if error is not None:
        raise error
