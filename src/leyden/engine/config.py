"""The Trainer's arguments: each declared, defaulted, documented and checked here, and nowhere else."""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import wraps
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec
from warnings import warn

from leyden.core.callback import Callback
from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value, nearest, single_or_all
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


def at_least(minimum: int, optional: bool = False) -> Check:
    """Accept an int from ``minimum`` on (and None)."""
    text = f"an int >= {minimum}" + (" or None" if optional else "")
    return lambda value: "" if (optional and value is None) or (_is_int(value) and value >= minimum) else text


def flag(optional: bool = False) -> Check:
    """Accept True and False (and None)."""
    text = "True, False or None" if optional else "True or False"
    return lambda value: "" if isinstance(value, bool) or (optional and value is None) else text


def limit(optional: bool = True) -> Check:
    """Accept a fraction or a number of batches (and None); True is one batch."""
    text = "a fraction 0.0-1.0, or a number of batches (int >= 0)" + (", or None" if optional else "")

    def check(value: Any) -> str:
        whole = isinstance(value, int) and value >= 0
        part = isinstance(value, float) and (0.0 <= value <= 1.0 or (value > 1.0 and value.is_integer()))
        return "" if whole or part or (optional and value is None) else text

    return check


def _one_of(*names: Any) -> Check:
    text = ", ".join(repr(name) for name in names)
    return lambda value: (
        "" if any(value is name or (isinstance(value, str) and value == name) for name in names) else text
    )


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
    good = isinstance(value, bool) or (_is_int(value) and value >= 0)
    return "" if good else "True, False or a number of batches (int >= 0)"


def _number(value: Any) -> str:
    good = value is None or (isinstance(value, Real) and not isinstance(value, bool) and value == value)  # no NaN
    return "" if good else "a number, or None (no clipping)"


def _clip_algorithm(value: Any) -> str:
    good = value is None or (isinstance(value, str) and value.lower() in ("norm", "value"))
    return "" if good else "'norm', 'value' or None"


def _callbacks(value: Any) -> str:
    items = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    good = all(isinstance(item, Callback) for item in items)
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
    default: Any,
    doc: str,
    check: Check = _anything,
    error: type[Exception] = MisconfigurationException,
    no_number: type[Exception] | None = None,
) -> Any:
    """Declare an argument: its default, what it does, what it accepts, and the type of the error.

    Args:
        default: The default.
        doc: One line for the docstring.
        check: What is accepted; arguments that :mod:`leyden.runtime.resolve` checks have none here.
        error: The type of the error.
        no_number: The type of the error for what is no number at all; default: ``error``.
    """
    return field(default=default, metadata={"doc": doc, "check": check, "errors": (error, no_number or error)})


@dataclass(kw_only=True)
class TrainerArguments:
    """All arguments of the Trainer. Every default can also come from the environment, as ``PL_TRAINER_<ARGUMENT>``."""

    accelerator: str | Accelerator = argument("auto", "The kind of device: 'cpu', 'gpu', 'cuda', 'mps' or 'auto'.")
    strategy: str | Strategy = argument("auto", "How processes work together: 'auto', 'ddp', ... or a Strategy.")
    devices: list[int] | str | int = argument("auto", "How many devices, which (a list of ids), -1 for all, or 'auto'.")
    num_nodes: int = argument(1, "The number of hosts.")
    precision: str | int | None = argument(
        None, "'32-true' (default), '64-true', 'bf16-mixed', 'bf16-true', '16-mixed', '16-true'."
    )
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
    max_steps: int = argument(-1, "Stop after so many optimizer steps; -1: never.", at_least(-1), no_number=TypeError)
    min_steps: int | None = argument(None, "Do not stop earlier than this.", at_least(0, optional=True))
    max_time: str | timedelta | dict[str, int] | None = argument(
        None, "Stop after this time: 'DD:HH:MM:SS', a timedelta, or a dict of its arguments.", _max_time
    )
    limit_train_batches: Limit = argument(
        None, "A fraction (float) or number (int) of batches an epoch.", limit(), no_number=TypeError
    )
    limit_val_batches: Limit = argument(None, "The same for validation; 0 turns it off.", limit(), no_number=TypeError)
    limit_test_batches: Limit = argument(None, "The same for testing.", limit(), no_number=TypeError)
    limit_predict_batches: Limit = argument(None, "The same for prediction.", limit(), no_number=TypeError)
    overfit_batches: int | float = argument(
        0.0, "Train and validate on the same few batches, unshuffled.", limit(optional=False), no_number=TypeError
    )
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
    deterministic: bool | Literal["warn"] | None = argument(
        None, "Use deterministic algorithms: True, False or 'warn'."
    )
    benchmark: bool | None = argument(None, "cudnn.benchmark; None keeps the session's value.")
    inference_mode: bool = argument(True, "Evaluate under torch.inference_mode, else torch.no_grad.", flag())
    use_distributed_sampler: bool = argument(True, "Shard the loaders' samples over processes.")
    profiler: Profiler | str | None = argument(None, "A Profiler.", _profiler)
    detect_anomaly: bool = argument(False, "Autograd's anomaly mode during fit.", flag())
    barebones: bool = argument(False, "No checkpoint, logger, bar, summary or logging at all.", flag())
    plugins: Any = argument(None, "A Precision, ClusterEnvironment or CheckpointIO, or a list of them.")
    sync_batchnorm: bool = argument(False, "Synchronise BatchNorm over processes.")
    reload_dataloaders_every_n_epochs: int = argument(0, "Ask for new loaders every n epochs; 0: never.", at_least(0))
    default_root_dir: str | Path | None = argument(
        None, "Where logs and checkpoints go; default: the current folder.", _path, TypeError
    )
    enable_autolog_hparams: bool = argument(True, "Log hyper-parameters when fit begins.", flag())
    model_registry: str | None = argument(None, "Accepted, without effect.")
    suggest_integrations: bool = argument(True, "Accepted, without effect.")
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
            TypeError(
                f"Trainer() got an unexpected keyword argument {name!r}.{nearest(name, declared)} "
                "Accepted: the arguments that `help(leyden.Trainer)` lists."
            )
            for name in given
            if name not in declared
        ]
        values = _environment(declared) | {name: value for name, value in given.items() if name in declared}
        wrong: set[str] = set()
        for name, value in values.items():
            item = declared[name]
            values[name] = value = _plain(value, str(item.type))
            if accepted := item.metadata["check"](value):
                wrong.add(name)
                label = name if name in given else f"{name} (from {ENVIRONMENT_PREFIX}{name.upper()})"
                close = nearest(value, _words(accepted)) if isinstance(value, str) else ""
                kind = item.metadata["errors"][0 if isinstance(value, Real) else 1]
                errors.append(kind(bad_value(label, value, accepted) + close))
        arguments = cls(**values)
        if not isinstance(arguments.logger, (str, bool)) and isinstance(arguments.logger, Iterable):
            arguments.logger = list(arguments.logger)
        errors += arguments._contradictions(wrong)
        return arguments, errors

    def _contradictions(self, wrong: set[str]) -> list[Exception]:
        """What is wrong about arguments that are right each by itself."""
        found: list[Exception] = []
        if self.check_val_every_n_epoch is None and isinstance(self.val_check_interval, float):
            found.append(
                MisconfigurationException(
                    f"`val_check_interval={self.val_check_interval}` is a fraction of an epoch, but with "
                    "`check_val_every_n_epoch=None` batches are counted across epochs. Accepted: a number of batches or "
                    "a time. Fix: val_check_interval=<int>."
                )
            )
        for name in _EXCLUDED_BY_BAREBONES if self.barebones is True else ():
            value = getattr(self, name)
            if name not in wrong and value is not None and value is not False and value != 0:
                found.append(
                    ValueError(
                        f"`Trainer(barebones=True, {name}={value!r})`: barebones turns {name} off. "
                        f"Fix: leave {name} out, or barebones."
                    )
                )
        return found

    def complete(self, timed: bool) -> None:
        """Fill in the defaults that depend on other arguments.

        Args:
            timed: A Timer limits the run.
        """
        if self.fast_dev_run:
            self._apply_fast_dev_run()
        if self.max_epochs is None:
            unlimited = self.max_steps == -1 and not timed
            self.max_epochs = 1000 if unlimited else -1
            if unlimited and not self.barebones:
                warn(
                    "`max_epochs` was not set: training stops after 1000 epochs. Fix: max_epochs=<int>, or -1 for "
                    "training without a limit.",
                    PossibleUserWarning,
                    stacklevel=5,
                )
        if self.min_epochs is None:
            self.min_epochs = 1 if self.min_steps else 0
        if self.num_sanity_val_steps is None:
            self.num_sanity_val_steps = 0 if self.barebones else 2
        if self.log_every_n_steps is None:
            self.log_every_n_steps = 0 if self.barebones else 50
        if self.gradient_clip_algorithm is not None:
            self.gradient_clip_algorithm = self.gradient_clip_algorithm.lower()
        for name in _PARTS:
            if getattr(self, name) is None:
                setattr(self, name, 1.0)

    def _apply_fast_dev_run(self) -> None:
        """A few batches of everything."""
        count = int(self.fast_dev_run)
        for name in ("train", "val", "test", "predict"):
            if not (self.overfit_batches and name in ("train", "val")):
                setattr(self, f"limit_{name}_batches", count)
        self.max_steps, self.max_epochs = count, 1
        self.num_sanity_val_steps = 0
        self.val_check_interval, self.check_val_every_n_epoch = 1.0, 1


_EXCLUDED_BY_BAREBONES = (
    "enable_checkpointing", "logger", "enable_progress_bar", "enable_model_summary", "num_sanity_val_steps",
    "fast_dev_run", "detect_anomaly", "profiler", "log_every_n_steps",
)  # fmt: skip
_PARTS = (
    "limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches", "val_check_interval",
)  # fmt: skip


def _plain(value: Any, declared: str) -> Any:
    """An iterator as a list, NumPy's numbers as Python's, and 0 and 1 as False and True where a flag is declared."""
    if isinstance(value, Iterator):
        return list(value)
    if isinstance(value, Real) and not isinstance(value, (int, float)):
        value = int(value) if isinstance(value, Integral) else float(value)
    if type(value).__name__ in ("bool", "bool_") and not isinstance(value, bool):
        value = bool(value)
    is_flag = "bool" in declared and "int" not in declared
    return bool(value) if is_flag and type(value) is int and value in (0, 1) else value


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
