"""From the Trainer's plain arguments to the objects a run works with: a table of rules, all mistakes at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import torch

from leyden.errors import MisconfigurationException, bad_value, nearest, single_or_all
from leyden.legacy.utilities.layer_sync import LayerSync, TorchSyncBatchNorm
from leyden.runtime.accelerators import ACCELERATORS, Accelerator
from leyden.runtime.environments import ClusterEnvironment, detect_environment
from leyden.runtime.precision import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from leyden.runtime.quantized import TransformerEnginePrecision
from leyden.runtime.strategies.base import Strategy
from leyden.runtime.strategies.ddp import DDPStrategy
from leyden.runtime.strategies.single import SingleDeviceStrategy
from leyden.utils.rank import rank_zero_warn


@runtime_checkable
class CheckpointIO(Protocol):
    """What a plugin must offer to read and write checkpoints instead of the built-in files."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path``."""

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the checkpoint at ``path``."""

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the checkpoint at ``path``."""


@dataclass(frozen=True)
class Runtime:
    """Where and how a run computes.

    Attributes:
        accelerator: The kind of device.
        strategy: Knows this process's device and ranks; not yet connected to other processes.
        precision: The number format.
        environment: Who started this process.
        device_ids: Indices of this node's devices.
        num_nodes: Number of machines.
        checkpoint_io: Replaces the built-in reading and writing of checkpoints, or None.
    """

    accelerator: Accelerator
    strategy: Strategy
    precision: Precision
    environment: ClusterEnvironment
    device_ids: tuple[int, ...]
    num_nodes: int
    checkpoint_io: CheckpointIO | None = None

    @property
    def num_devices(self) -> int:
        """Number of devices on this node."""
        return len(self.device_ids)


STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "single_device": SingleDeviceStrategy,
    "ddp": DDPStrategy,
    "ddp_find_unused_parameters_true": partial(DDPStrategy, find_unused_parameters=True),
    "ddp_find_unused_parameters_false": partial(DDPStrategy, find_unused_parameters=False),
}
PRECISIONS: dict[str, Callable[[str], Precision]] = {
    "32-true": lambda device: Precision(),
    "64-true": lambda device: DoublePrecision(),
    "16-true": lambda device: HalfPrecision("16-true"),
    "bf16-true": lambda device: HalfPrecision("bf16-true"),
    "16-mixed": partial(MixedPrecision, "16-mixed"),
    "bf16-mixed": partial(MixedPrecision, "bf16-mixed"),
    "transformer-engine": lambda device: TransformerEnginePrecision(weights_dtype=torch.bfloat16),
    "transformer-engine-float16": lambda device: TransformerEnginePrecision(weights_dtype=torch.float16),
}
_ALIASES = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
_PLUGINS = {"precision": Precision, "environment": ClusterEnvironment, "checkpoint_io": CheckpointIO}
_PLUGINS |= {"layer_sync": LayerSync}
_KINDS = {"auto": ("mps", "cuda", "cpu"), "gpu": ("mps", "cuda"), "cuda": ("cuda",), "mps": ("mps",), "cpu": ("cpu",)}

# Names of the Lightning interface for what this version does not have; the second list holds beginnings.
_KINDS |= {"tpu": (), "xla": (), "hpu": ()}
_LATER = ("ddp_spawn", "ddp_fork", "ddp_notebook", "fsdp", "deepspeed", "xla", "single_")


def resolve(
    *,
    accelerator: str | Accelerator = "auto",
    strategy: str | Strategy = "auto",
    devices: int | str | list[int] = "auto",
    num_nodes: int = 1,
    precision: str | int | None = None,
    plugins: Any = None,
    sync_batchnorm: bool = False,
) -> Runtime:
    """Turn the Trainer's arguments into a :class:`Runtime`; nothing is started and no state is changed.

    Raises:
        MisconfigurationException: What is asked for is not there or does not go together.
        ValueError: An unknown name or a number out of range.
        TypeError: ``devices`` of a kind that the accelerator does not take.
        ConfigurationErrors: Several of these; it is an instance of all three and lists them.

    Example:
        >>> resolve(accelerator="cpu", precision="64-true").precision.precision
        '64-true'
    """
    given = SimpleNamespace(**locals())
    made: dict[str, Any] = {}
    errors: list[Exception] = []
    for rule in RULES:
        try:
            rule(given, made)
        except (MisconfigurationException, ValueError, TypeError) as error:
            errors.append(error)
    if mistake := single_or_all(errors):
        raise mistake
    return Runtime(**made)


def _sort_plugins(given: SimpleNamespace, made: dict[str, Any]) -> None:
    plugins = given.plugins if isinstance(given.plugins, (list, tuple)) else [given.plugins]
    for plugin in (plugin for plugin in plugins if plugin is not None):
        slot = next((name for name, kind in _PLUGINS.items() if isinstance(plugin, kind)), None)
        if slot is None or slot in made:
            accepted = "at most one each of Precision, ClusterEnvironment, CheckpointIO and LayerSync objects"
            raise MisconfigurationException(bad_value("plugins", plugin, accepted))
        made[slot] = plugin


def _choose_accelerator(given: SimpleNamespace, made: dict[str, Any]) -> None:
    name = given.accelerator
    if not isinstance(name, Accelerator) and (not isinstance(name, str) or name not in _KINDS):
        raise _unknown("accelerator", name, [*_KINDS])
    kinds = [name] if isinstance(name, Accelerator) else [ACCELERATORS[kind]() for kind in _KINDS[name]]
    usable = [kind for kind in kinds if kind.is_available()]
    if not usable:
        here = ", ".join(repr(key) for key, kind in ACCELERATORS.items() if kind.is_available())
        accepted = f"a kind that this machine has: {here}, 'auto'"
        raise MisconfigurationException(bad_value("accelerator", name, accepted, "write accelerator='auto'"))
    made["accelerator"] = usable[0]


def _choose_devices(given: SimpleNamespace, made: dict[str, Any]) -> None:
    environment = made.setdefault("environment", detect_environment())
    devices, accelerator = given.devices, made.get("accelerator")
    if devices is None or isinstance(devices, (bool, float)):
        raise TypeError(bad_value("devices", devices, 'a count, ids, -1 or "auto"', "write devices=1"))
    if accelerator is not None:
        if devices == "auto":
            devices = environment.local_world_size() or accelerator.auto_device_count()
        made["device_ids"] = tuple(accelerator.parse_devices(devices))


def _check_num_nodes(given: SimpleNamespace, made: dict[str, Any]) -> None:
    if type(given.num_nodes) is not int or given.num_nodes < 1:
        raise ValueError(bad_value("num_nodes", given.num_nodes, "an int >= 1", "write num_nodes=1"))
    made["num_nodes"] = given.num_nodes


def _choose_strategy(given: SimpleNamespace, made: dict[str, Any]) -> None:
    name = given.strategy
    if not isinstance(name, Strategy) and name not in ("auto", *STRATEGIES):
        raise _unknown("strategy", name, ["auto", *STRATEGIES])
    if not {"accelerator", "device_ids", "num_nodes"} <= made.keys():
        return
    environment, ids, num_nodes = made["environment"], made["device_ids"], made["num_nodes"]
    if name == "auto":
        name = "single_device" if len(ids) * num_nodes == 1 == environment.world_size() else "ddp"
    strategy = name if isinstance(name, Strategy) else STRATEGIES[name]()
    strategy.layer_sync = made.pop("layer_sync", TorchSyncBatchNorm() if given.sync_batchnorm else None)
    strategy.configure(made["accelerator"].get_parallel_devices(list(ids)), environment, num_nodes)
    made["strategy"] = strategy


def _choose_precision(given: SimpleNamespace, made: dict[str, Any]) -> None:
    if "precision" in made:
        if given.precision is not None:
            accepted = f"None, since `plugins` holds {type(made['precision']).__name__}"
            raise ValueError(bad_value("precision", given.precision, accepted, "give one of the two"))
        return
    text = "32-true" if given.precision is None else str(given.precision)
    name = _ALIASES.get(text, text)
    if name not in PRECISIONS:
        raise _unknown("precision", given.precision, [*PRECISIONS, *_ALIASES])
    if text in ("16", "bf16"):
        rank_zero_warn(f"precision={text!r} means {name!r}: write that, or '{text}-true' for 16-bit weights.")
    device_type = made["strategy"].root_device.type if "strategy" in made else "cpu"
    if name == "16-mixed" and device_type == "cpu":
        rank_zero_warn("precision='16-mixed' is not for CPUs: 'bf16-mixed' is used. Fix: write precision='bf16-mixed'.")
        name = "bf16-mixed"
    made["precision"] = PRECISIONS[name](device_type)


def _unknown(argument: str, given: Any, names: list[str]) -> ValueError:
    text = bad_value(argument, given, ", ".join(map(repr, names)))
    if isinstance(given, str):
        text += " This version does not have that one." if given.startswith(_LATER) else nearest(given, names)
    return ValueError(text)


RULES = (_sort_plugins, _choose_accelerator, _choose_devices, _check_num_nodes, _choose_strategy, _choose_precision)
"""In order of precedence. A rule gets what was given and what is made so far; where an input is missing because an
earlier rule failed, it checks what it can."""
