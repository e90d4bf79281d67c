"""``trainer._accelerator_connector``, ``_callback_connector`` and ``_checkpoint_connector``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

from leyden.legacy.views.view import View


class AcceleratorConnector(View):
    """Where and how a run computes.

    Args:
        owner: The Trainer; None: what the arguments of one would lead to.
        arguments: Arguments of a Trainer about devices, strategy, precision and plugins.

    Raises:
        MisconfigurationException: What the arguments ask for is not there.

    Example:
        >>> AcceleratorConnector(accelerator="cpu", devices=1)._accelerator_flag
        'cpu'
    """

    _runtime: Any
    _called = "trainer._accelerator_connector"

    def __init__(self, owner: Any = None, **arguments: Any) -> None:
        super().__init__(owner)
        self.__dict__["_use_sampler"] = arguments.pop("use_distributed_sampler", True)
        if owner is None:
            resolve = importlib.import_module("leyden.runtime.resolve").resolve
            known = inspect.signature(resolve).parameters
            given = {name: value for name, value in arguments.items() if name in known}
        self.__dict__["_runtime"] = resolve(**given) if owner is None else owner._runtime

    @property
    def is_distributed(self) -> bool:
        """Whether there are other processes."""
        return bool(self._runtime.strategy.is_distributed)

    @property
    def accelerator(self) -> Any:
        """The kind of device."""
        return self._runtime.accelerator

    @property
    def strategy(self) -> Any:
        """How processes work together."""
        return self._runtime.strategy

    @property
    def precision_plugin(self) -> Any:
        """The number format."""
        return self._runtime.precision

    @property
    def cluster_environment(self) -> Any:
        """Who started this process."""
        return self._runtime.environment

    @property
    def checkpoint_io(self) -> Any:
        """The plugin that reads and writes checkpoints; None: Leyden does."""
        return self._runtime.checkpoint_io

    @property
    def use_distributed_sampler(self) -> bool:
        """Whether loaders are shared out over processes."""
        return bool(self._use_sampler if self._owner is None else self._owner._arguments.use_distributed_sampler)

    @property
    def _accelerator_flag(self) -> str:
        """The kind of device by its name."""
        return str(self.accelerator.name)

    @property
    def _devices_flag(self) -> int | list[int]:
        """The number of processes on the CPU, the devices' ids elsewhere."""
        ids = list(self._runtime.device_ids)
        return len(ids) if self._accelerator_flag == "cpu" else ids

    def _check_and_init_precision(self) -> Any:
        """Return the number format."""
        return self.precision_plugin

    @property
    def _parallel_devices(self) -> list[Any]:
        """The devices of this host."""
        devices: list[Any] = self.accelerator.get_parallel_devices(list(self._runtime.device_ids))
        return devices

    @property
    def _precision_flag(self) -> str:
        """The number format by its name."""
        return str(self._runtime.precision.precision)


class CallbackConnector(View):
    """The callbacks."""

    _called = "trainer._callback_connector"

    @staticmethod
    def _reorder_callbacks(callbacks: Sequence[Any]) -> list[Any]:
        """Return callbacks in the order in which they are called."""
        ordered: list[Any] = importlib.import_module("leyden.engine.session").order_callbacks(list(callbacks))
        return ordered


class CheckpointConnector(View):
    """Checkpoints put together, and restored in parts."""

    _loaded_checkpoint: dict[str, Any]
    _called = "trainer._checkpoint_connector"

    def __init__(self, owner: Any) -> None:
        super().__init__(owner)
        self.__dict__["_loaded_checkpoint"] = {}
        vars(owner)["_checkpoint_connector"] = self  # the same one next time: it holds what was loaded

    @property
    def trainer(self) -> Any:
        """The Trainer."""
        return self._owner

    def dump_checkpoint(self, weights_only: bool | None = None) -> dict[str, Any]:
        """Return what a checkpoint saved now would hold."""
        if self._owner._run is None:
            raise AttributeError("`dump_checkpoint` needs a model. Fix: call it in a hook, or after `fit`.")
        captured: dict[str, Any] = importlib.import_module("leyden.engine.snapshot").capture(
            self._owner._run, bool(weights_only)
        )
        return captured

    def resume_start(self, checkpoint_path: Any = None, weights_only: bool | None = None) -> None:
        """Read a checkpoint, for the methods that restore parts of it."""
        if checkpoint_path is not None:
            self.__dict__["_loaded_checkpoint"] = self._owner.strategy.load_checkpoint(checkpoint_path, weights_only)

    def restore_model(self) -> None:
        """Give the module its weights."""
        module, checkpoint = (
            self._owner.strategy.lightning_module or self._owner.lightning_module,
            self._loaded_checkpoint,
        )
        if checkpoint and module is not None:
            module.on_load_checkpoint(checkpoint)
            load = importlib.import_module("leyden.core.hparams").load_weights
            load(module, checkpoint["state_dict"], module.strict_loading)

    def restore_datamodule(self) -> None:
        """Give the data module its state."""
        data = self._owner.datamodule
        if data is not None and type(data).__qualname__ in self._loaded_checkpoint:
            data.load_state_dict(self._loaded_checkpoint[type(data).__qualname__])

    def restore_callbacks(self) -> None:
        """Give the callbacks their states."""
        states = self._loaded_checkpoint.get("callbacks", {})
        for callback in self._owner.callbacks:
            if self._loaded_checkpoint:
                callback.on_load_checkpoint(self._owner, self._owner.lightning_module, self._loaded_checkpoint)
            if callback.state_key in states:
                callback.load_state_dict(states[callback.state_key])

    def resume_end(self) -> None:
        """Let go of the checkpoint."""
        self.__dict__["_loaded_checkpoint"] = {}
        self._owner.strategy.barrier()

    def restore(self, checkpoint_path: Any = None, weights_only: bool | None = None) -> None:
        """Restore module, data module and callbacks."""
        self.resume_start(checkpoint_path, weights_only)
        self.restore_model()
        self.restore_datamodule()
        self.restore_callbacks()
        self.resume_end()
