"""The Trainer's arguments: each declared, defaulted, documented and checked here, and nowhere else."""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import timedelta
from math import isnan
from pathlib import Path
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec

import numpy as np

from leyden.core.callback import Callback
from leyden.core.logger import Logger
from leyden.core.profiler import Profiler
from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value, nearest, single_or_all
from leyden.runtime.accelerators import Accelerator
from leyden.runtime.environments import ClusterEnvironment
from leyden.runtime.precision import Precision
from leyden.runtime.resolve import CheckpointIO
from leyden.runtime.strategies.base import Strategy
from leyden.utils.duration import ACCEPTED as DURATION
from leyden.utils.duration import parse_duration
from leyden.utils.rank import rank_zero_warn

P = ParamSpec("P")
Number = int | float
Plugin = Precision | ClusterEnvironment | CheckpointIO
ENVIRONMENT_PREFIX = "PL_TRAINER_"


class Rule(NamedTuple):
    """What an argument accepts beside the None of its annotation, and the types of the errors about all else."""

    accepted: str
    holds: Callable[[Any], bool]
    error: type[Exception] = MisconfigurationException
    no_number: type[Exception] | None = None
    """For what is no number at all; None: as for numbers."""


def is_int(value: Any) -> bool:
    """Whether a value is an int and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_fraction(value: Any) -> bool:
    """Whether a value is a float from 0.0 to 1.0."""
    return isinstance(value, float) and 0.0 <= value <= 1.0


def is_limit(value: Any) -> bool:
    """Whether a value is a fraction or a number of batches; 2.0 is 2 batches, and True is one."""
    return is_fraction(value) or (isinstance(value, (int, float)) and value >= 0 and value == value // 1)


def is_duration(value: Any) -> bool:
    """Whether a value is a length of time."""
    try:
        return parse_duration("duration", value) is not None
    except MisconfigurationException:
        return False


def listed(value: Any) -> list[Any]:
    """One object, several or None, as a list of our own."""
    if value is None:
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def are(kind: type) -> Callable[[Any], bool]:
    """Whether one object, or each of several, is an instance of ``kind``."""
    return lambda value: all(isinstance(item, kind) for item in listed(value))


def at_least(minimum: int, no_number: type[Exception] | None = None) -> Rule:
    """Accept an int from ``minimum`` on."""
    return Rule(f"an int >= {minimum}", lambda value: is_int(value) and value >= minimum, no_number=no_number)


def one_of(*choices: Any) -> Rule:
    """Accept one of these names or constants."""
    names = [repr(choice) for choice in choices]
    return Rule(" or ".join(names), lambda value: repr(value) in names, ValueError)


ANYTHING = Rule("", lambda value: True)  # resolve checks it
FLAG = Rule("True or False", lambda value: isinstance(value, bool))
LIMIT = Rule("a fraction 0.0-1.0, or a number of batches (int >= 0)", is_limit, no_number=TypeError)
TIME = Rule(DURATION, is_duration)
INTERVAL = Rule(
    f"a fraction 0.0-1.0 of an epoch, a number of batches (int >= 1), {DURATION}",
    lambda value: is_fraction(value) or (is_int(value) and value >= 1) or is_duration(value),
)
FAST = Rule("True, False or a number of batches (int >= 0)", lambda value: isinstance(value, int) and value >= 0)
NUMBER = Rule("a number", lambda value: is_int(value) or (isinstance(value, float) and not isnan(value)), TypeError)
CLIP_ALGORITHM = Rule("'norm' or 'value'", lambda value: str(value).lower() in ("norm", "value"))
CALLBACKS = Rule("a Callback instance, or a list of Callback instances (not classes)", are(Callback), TypeError)
LOGGER = Rule("True, False or Logger instances", lambda value: isinstance(value, bool) or are(Logger)(value), TypeError)
PROFILER = Rule(
    "a Profiler, 'simple', 'advanced' or 'pytorch'",
    lambda value: isinstance(value, Profiler) or str(value).lower() in ("simple", "advanced", "pytorch", "xla"),
)
POLICY = one_of("raise", "stop", "skip", "ignore")
PATH = Rule("a path or a URL", lambda value: isinstance(value, (str, os.PathLike)), TypeError)


def argument(default: Any, doc: str, rule: Rule = ANYTHING) -> Any:
    """Declare an argument: its default, what it does, what it accepts."""
    return field(default=default, metadata={"doc": doc, "rule": rule})


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
        None, "True or None: the default logger; False: none; or loggers of your own.", LOGGER
    )
    callbacks: list[Callback] | Callback | None = argument(None, "Callbacks, in order.", CALLBACKS)
    fast_dev_run: int | bool = argument(False, "Run n batches of each loop and save nothing; True is 1.", FAST)
    max_epochs: int | None = argument(
        None, "Stop after so many epochs; -1: never; None: 1000 unless steps or time are limited.", at_least(-1)
    )
    min_epochs: int | None = argument(None, "Do not stop earlier than this.", at_least(0))
    max_steps: int = argument(-1, "Stop after so many optimizer steps; -1: never.", at_least(-1, no_number=TypeError))
    min_steps: int | None = argument(None, "Do not stop earlier than this.", at_least(0))
    max_time: str | timedelta | dict[str, int] | None = argument(
        None, "Stop after this time: 'DD:HH:MM:SS', a timedelta, or a dict of its arguments.", TIME
    )
    limit_train_batches: Number | None = argument(None, "A fraction (float) or number (int) of the batches.", LIMIT)
    limit_val_batches: Number | None = argument(None, "The same for validation; 0 turns it off.", LIMIT)
    limit_test_batches: Number | None = argument(None, "The same for testing.", LIMIT)
    limit_predict_batches: Number | None = argument(None, "The same for prediction.", LIMIT)
    overfit_batches: Number = argument(0.0, "Train and validate on the same few batches, unshuffled.", LIMIT)
    val_check_interval: Number | str | timedelta | dict[str, int] | None = argument(
        None, "Validate every part of an epoch (float), every n batches (int), or every so often (time).", INTERVAL
    )
    check_val_every_n_epoch: int | None = argument(
        1, "Validate in every n-th epoch; None: val_check_interval counts batches across epochs.", at_least(1)
    )
    num_sanity_val_steps: int | None = argument(
        None, "Validation batches before training, to find mistakes early; default 2; -1: all.", at_least(-1)
    )
    log_every_n_steps: int | None = argument(None, "Log step values every n steps; default 50; 0: never.", at_least(0))
    enable_checkpointing: bool | None = argument(None, "Add a ModelCheckpoint if there is none.", FLAG)
    enable_progress_bar: bool | None = argument(None, "Show a progress bar.", FLAG)
    enable_model_summary: bool | None = argument(None, "Print a table of the layers.", FLAG)
    accumulate_grad_batches: int = argument(1, "Step the optimizer on every n-th batch.", at_least(1))
    gradient_clip_val: Number | None = argument(None, "Clip gradients at this; None or <= 0: off.", NUMBER)
    gradient_clip_algorithm: str | None = argument(None, "'norm' (default) or 'value'.", CLIP_ALGORITHM)
    deterministic: bool | Literal["warn"] | None = argument(
        None, "Use deterministic algorithms: True, False or 'warn'.", one_of(True, False, "warn")
    )
    benchmark: bool | None = argument(None, "cudnn.benchmark; None keeps the session's value.", one_of(True, False))
    inference_mode: bool = argument(True, "Evaluate under torch.inference_mode, else torch.no_grad.", FLAG)
    use_distributed_sampler: bool = argument(True, "Shard the loaders' samples over processes.", FLAG)
    profiler: Profiler | str | None = argument(None, "'simple', 'advanced', 'pytorch', or a Profiler.", PROFILER)
    detect_anomaly: bool = argument(False, "Autograd's anomaly mode during fit.", FLAG)
    barebones: bool = argument(False, "No checkpoint, logger, bar, summary or logging at all.", FLAG)
    plugins: Plugin | list[Plugin] | None = argument(None, "A Precision, ClusterEnvironment, CheckpointIO, or several.")
    sync_batchnorm: bool = argument(False, "Synchronise BatchNorm over processes.", FLAG)
    reload_dataloaders_every_n_epochs: int = argument(0, "Ask for new loaders every n epochs; 0: never.", at_least(0))
    default_root_dir: str | Path | None = argument(None, "For logs and checkpoints; default: the current folder.", PATH)
    enable_autolog_hparams: bool = argument(True, "Log hyper-parameters when fit begins.", FLAG)
    model_registry: str | None = argument(None, "Accepted, without effect.")
    suggest_integrations: bool = argument(True, "Accepted, without effect.")
    nonfinite: str = argument("raise", "What a NaN or infinite loss does: 'raise', 'stop', 'skip' or 'ignore'.", POLICY)

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> tuple[TrainerArguments, list[Exception]]:
        """Fill in environment and defaults and check everything.

        Returns:
            The arguments, and all mistakes found in them.
        """
        declared = {item.name: item for item in fields(cls)}
        errors: list[Exception] = []
        for name in [name for name in given if name not in declared]:
            text = f"Trainer() got an unexpected keyword argument {name!r}.{nearest(name, declared)}"
            errors.append(TypeError(f"{text} Accepted: the arguments that `help(leyden.Trainer)` lists."))
        values = from_environment(declared) | {name: value for name, value in given.items() if name in declared}
        for name, value in values.items():
            annotation, rule = str(declared[name].type), declared[name].metadata["rule"]
            values[name] = value = plain(value, annotation)
            optional = "None" in annotation
            if (optional and value is None) or rule.holds(value):
                continue
            label = name if name in given else f"{name} (from {ENVIRONMENT_PREFIX}{name.upper()})"
            close = nearest(value, re.findall("'(.*?)'", rule.accepted)) if isinstance(value, str) else ""
            kind = rule.error if isinstance(value, (int, float)) else rule.no_number or rule.error
            errors.append(kind(bad_value(label, value, rule.accepted + ", or None" * optional) + close))
        arguments = cls(**values)
        errors += arguments._contradictions()
        for name, default in _DEFAULTS.items():
            if getattr(arguments, name) is None:
                setattr(arguments, name, default)
        return arguments, errors

    def _contradictions(self) -> Iterator[Exception]:
        """What is wrong about arguments that are right each by itself; turn off what barebones excludes."""
        if self.check_val_every_n_epoch is None and isinstance(self.val_check_interval, float):
            text = f"`val_check_interval={self.val_check_interval}` is a fraction of an epoch, but batches are counted"
            fix = "val_check_interval=<int>"
            yield MisconfigurationException(f"{text} across epochs by `check_val_every_n_epoch=None`. Fix: {fix}.")
        for name, off in _BAREBONES.items() if self.barebones else ():
            if value := getattr(self, name):
                text = f"`Trainer(barebones=True, {name}={value!r})`: barebones turns {name} off"
                yield ValueError(f"{text}. Fix: leave {name} out, or barebones.")
            setattr(self, name, off)

    def complete(self, timed: bool) -> None:
        """Fill in the defaults that depend on other arguments, and on whether a Timer limits the run."""
        if self.fast_dev_run:
            self.max_steps = int(self.fast_dev_run)
            limits = _LIMITS[2:] if self.overfit_batches else _LIMITS
            vars(self).update(_FAST_DEV_RUN, **dict.fromkeys(limits, self.max_steps))
        if self.max_epochs is None:
            unlimited = self.max_steps == -1 and not timed
            self.max_epochs = 1000 if unlimited else -1
            if unlimited and not self.barebones:
                text = "`max_epochs` was not set: training stops after 1000 epochs. Fix: max_epochs=<int>, or -1."
                rank_zero_warn(text, category=PossibleUserWarning)
        if self.min_epochs is None:
            self.min_epochs = 1 if self.min_steps else 0
        if self.gradient_clip_algorithm is not None:
            self.gradient_clip_algorithm = self.gradient_clip_algorithm.lower()


_LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches")
_FAST_DEV_RUN = {"max_epochs": 1, "num_sanity_val_steps": 0, "val_check_interval": 1.0, "check_val_every_n_epoch": 1}
_DEFAULTS = {
    "enable_progress_bar": True, "enable_model_summary": True, "enable_checkpointing": True, "val_check_interval": 1.0,
    "num_sanity_val_steps": 2, "log_every_n_steps": 50, **dict.fromkeys(_LIMITS, 1.0),
}  # fmt: skip
_BAREBONES = {
    "enable_checkpointing": False, "logger": False, "enable_progress_bar": False, "enable_model_summary": False,
    "num_sanity_val_steps": 0, "fast_dev_run": False, "detect_anomaly": False, "profiler": None, "log_every_n_steps": 0,
}  # fmt: skip


def plain(value: Any, annotation: str) -> Any:
    """An iterator as a list, NumPy's numbers as Python's, and 0 and 1 as False and True where a flag is declared."""
    if isinstance(value, Iterator):
        return list(value)
    if isinstance(value, np.generic):
        value = value.item()
    is_flag = "bool" in annotation and "int" not in annotation
    return bool(value) if is_flag and type(value) is int and value in (0, 1) else value


def from_environment(names: Iterable[str]) -> dict[str, Any]:
    """The arguments that the environment gives, as Python's constants where they read as such."""
    found: dict[str, Any] = {}
    for name in names:
        text = os.environ.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            found[name] = text
            with suppress(ValueError, SyntaxError):
                found[name] = ast.literal_eval(text)
    return found


def takes(arguments: Callable[P, Any]) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a constructor the signature of ``arguments``, for readers, editors and type checkers."""

    def decorate(function: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        signature, own = inspect.signature(arguments, eval_str=True), inspect.signature(function)
        parameters = [own.parameters["self"], *signature.parameters.values()]
        function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # for inspect.signature
        return function

    return decorate


def describe_arguments() -> str:
    """The arguments as a docstring section."""
    return "\n".join(f"        {item.name}: {item.metadata['doc']}" for item in fields(TrainerArguments))


def raise_all(errors: list[Exception]) -> None:
    """Raise the mistakes, if any, as one error."""
    if error := single_or_all(errors):
        raise error
