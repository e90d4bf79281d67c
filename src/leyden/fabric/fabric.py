"""Fabric: the Trainer's runtime (devices, processes, number formats, checkpoints) under a loop of your own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import call
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from leyden.checkpoint import file
from leyden.core.module import LightningModule
from leyden.core.optimizers import LightningOptimizer, wrap_optimizer
from leyden.data.loaders import check_loader, distributed_loader
from leyden.engine.config import listed
from leyden.engine.step import scaled_step
from leyden.errors import PossibleUserWarning, bad_value, nearest
from leyden.fabric.wrappers import FabricLoader, FabricModule, FabricTrainer, is_wrapped, unwrap
from leyden.legacy.launcher import launched_with
from leyden.runtime.accelerators import Accelerator
from leyden.runtime.resolve import resolve
from leyden.runtime.strategies.base import Strategy
from leyden.utils.overrides import accepts_argument, is_overridden
from leyden.utils.rank import rank_zero_deprecation, rank_zero_warn
from leyden.utils.seed import seed_everything
from leyden.utils.tree import map_tensors, move_to_device

Path = str | os.PathLike[str]
_DEFAULTS = {"accelerator": "auto", "strategy": "auto", "devices": "auto", "num_nodes": 1, "precision": None}


class Fabric:
    """Runs a loop of your own on any device, number of processes and number format.

    Args:
        accelerator: The kind of device, as for the Trainer.
        strategy: How processes work together.
        devices: How many devices, or which.
        num_nodes: The number of hosts.
        precision: The number format; default "32-true".
        plugins: A Precision, ClusterEnvironment or CheckpointIO, or a list of them.
        callbacks: Objects whose methods :meth:`call` calls.
        loggers: One logger or several, for :meth:`log`.

    Attributes:
        accelerator: The kind of device.
        strategy: How processes work together.
        device: This process's device.
        world_size: The number of processes.
        global_rank: The number of this process among all.
        local_rank: The number of this process on its host.
        node_rank: The number of this host.
        is_global_zero: Whether this is the process that writes files and messages.
        loggers: All loggers.
        logger: The first of them, or None.

    Raises:
        MisconfigurationException: What is asked for is not there or does not go together.
        ValueError: An unknown name, or a value other than the one given to the launcher.

    Example:
        >>> import leyden as pl
        >>> fabric = pl.Fabric(accelerator="cpu", devices=1)
        >>> model = nn.Linear(2, 1)
        >>> model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
        >>> fabric.backward(model(torch.ones(4, 2)).mean())
        >>> optimizer.step()
    """

    def __init__(
        self, *, accelerator: str | Accelerator = "auto", strategy: str | Strategy = "auto",
        devices: list[int] | str | int = "auto", num_nodes: int = 1, precision: str | int | None = None,
        plugins: Any = None, callbacks: Any = None, loggers: Any = None,
    ) -> None:  # fmt: skip
        given = dict(zip(_DEFAULTS, (accelerator, strategy, devices, num_nodes, precision), strict=True))
        self._runtime = resolve(**launched_with(given, _DEFAULTS), plugins=plugins)
        self._precision, self._launched = self._runtime.precision, False
        self.accelerator, self.strategy = self._runtime.accelerator, self._runtime.strategy
        self.device, self.world_size = self.strategy.root_device, self.strategy.world_size
        self.global_rank, self.local_rank = self.strategy.global_rank, self.strategy.local_rank
        self.node_rank, self.is_global_zero = self.strategy.node_rank, self.strategy.is_global_zero
        self._callbacks, self.loggers = listed(callbacks), listed(loggers)
        self.logger = self.loggers[0] if self.loggers else None
        for logger in self.loggers:
            if not callable(getattr(logger, "log_metrics", None)):
                raise TypeError(bad_value("loggers", logger, "a Logger instance, or a list of them"))
        if is_overridden("run", self, Fabric):
            run = self.run
            vars(self)["run"] = lambda *args, **kwargs: self.launch(lambda _: run(*args, **kwargs))

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Override it with a whole program; calling it then launches first."""

    def launch(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Connect this process to the others; needed where there are several, harmless elsewhere.

        Args:
            function: Called with this Fabric as its first argument.
            args: More arguments for it.
            kwargs: More arguments for it.

        Returns:
            What ``function`` returned.
        """
        if not self._launched:
            self.accelerator.setup_device(self.device)
            self.strategy.setup_environment()
            self._launched = True
        return function(self, *args, **kwargs) if function is not None else None

    def _connect(self) -> None:
        if self.strategy.is_distributed and not self._launched:
            raise RuntimeError(f"With {self.world_size} processes call `fabric.launch()` first, after Fabric(...).")
        self.launch()

    def _stand_in_for_trainer(self) -> FabricTrainer:
        return FabricTrainer(self)

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process only."""
        if self.is_global_zero:
            print(*args, **kwargs)

    seed_everything = staticmethod(seed_everything)

    # -- setting up -------------------------------------------------------------------------------------------------

    def setup(
        self, module: nn.Module, *optimizers: Optimizer,
        scheduler: Any = None, move_to_device: bool = True, _reapply_compile: bool = True,
    ) -> Any:  # fmt: skip
        """Prepare a module and its optimizers.

        Args:
            module: A module, compiled or not; not one that was set up before.
            optimizers: The optimizers of its parameters.
            scheduler: Returned as it is; it goes on to change the rate.
            move_to_device: Move the module to :attr:`device`.
            _reapply_compile: Compile again around the strategy's wrapper; False keeps the compiled module inside it.

        Returns:
            The :class:`~leyden.fabric.wrappers.FabricModule`; with optimizers a tuple of it, the optimizers, and the
            scheduler if there is one.

        Raises:
            ValueError: One of them was set up before.
            RuntimeError: There are several processes, and :meth:`launch` was not called.
        """
        made = self._wrapped("setup", optimizers)
        wrapped = self.setup_module(module, move_to_device, _reapply_compile)
        if isinstance(wrapped.module, LightningModule):
            wrapped.module.trainer.optimizers[:] = made
        return (wrapped, *made, *listed(scheduler)) if made else wrapped

    def setup_module(
        self, module: nn.Module, move_to_device: bool = True, _reapply_compile: bool = True
    ) -> FabricModule:
        """Prepare a module alone; see :meth:`setup`."""
        self._connect()
        _check_new("setup", [module], nn.Module)
        original: Any = getattr(module, "_orig_mod", module)
        self._precision.convert_module(original)
        if move_to_device:
            if len({parameter.device for parameter in original.parameters()}) > 1:
                text = "The module lies on several devices and is moved to one. Fix: move_to_device=False leaves it"
                rank_zero_warn(text, category=PossibleUserWarning)
            original.to(self.device)
        carrier: Any = self.strategy.wrap(original)
        if carrier is original:
            carrier = call
        elif module is not original and _reapply_compile:
            carrier, module = type(module)(carrier, module.dynamo_ctx), original
        if isinstance(original, LightningModule):
            original.fabric = self
        return FabricModule(original, module, carrier, self._precision)

    def setup_optimizers(self, *optimizers: Optimizer) -> Any:
        """Prepare optimizers alone; returns the one, or a tuple of several."""
        made = self._wrapped("setup_optimizers", optimizers)
        return made[0] if len(made) == 1 else made

    def _wrapped(self, method: str, optimizers: tuple[Optimizer, ...]) -> tuple[Any, ...]:
        self._connect()
        _check_new(method, optimizers, Optimizer)
        execute = scaled_step(self._runtime, at_once=False)
        return tuple(wrap_optimizer(optimizer, execute=execute) for optimizer in optimizers)

    def setup_dataloaders(
        self, *dataloaders: Any, use_distributed_sampler: bool = True, move_to_device: bool = True
    ) -> Any:
        """Prepare loaders: each process gets its share of the samples, on its device.

        Args:
            dataloaders: DataLoaders or other iterables of batches.
            use_distributed_sampler: Share out the samples; False: the loaders do so themselves.
            move_to_device: Move the batches to :attr:`device`.

        Returns:
            The one, or a list of several.

        Raises:
            TypeError: One cannot be iterated for batches.
            ValueError: One was set up before, or none was given.
        """
        self._connect()
        _check_new("setup_dataloaders", dataloaders, object)
        for loader in dataloaders:
            check_loader(loader, "dataloaders")
        rank, size = (self.global_rank, self.world_size) if use_distributed_sampler else (0, 1)
        device = self.device if move_to_device else None
        made = [FabricLoader(distributed_loader(loader, rank, size, "train"), device) for loader in dataloaders]
        return made[0] if len(made) == 1 else made

    def to_device(self, obj: Any) -> Any:
        """Return a module, a tensor, or a collection of tensors, on :attr:`device`."""
        return move_to_device(obj, self.device)

    @contextmanager
    def init_tensor(self) -> Iterator[None]:
        """Make new tensors on :attr:`device` and in the number format."""
        with self.device, self._precision.module_init_context():
            yield

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Iterator[None]:
        """Make new modules on :attr:`device` and in the number format.

        Args:
            empty_init: True leaves the weights uninitialised, for a checkpoint that is loaded next.
        """
        with self.init_tensor(), _WithoutInit() if empty_init else nullcontext():
            yield

    def sharded_model(self) -> AbstractContextManager[Any]:
        """The old name of :meth:`init_module`; does nothing."""
        rank_zero_deprecation("`Fabric.sharded_model()` is old. Write `Fabric.init_module()`.", stacklevel=2)
        return nullcontext()

    # -- training ---------------------------------------------------------------------------------------------------

    def backward(self, tensor: Tensor, *args: Any, model: nn.Module | None = None, **kwargs: Any) -> None:
        """Compute gradients in place of ``tensor.backward(*args, **kwargs)``, scaled where the number format needs it.

        Args:
            tensor: The loss.
            args: For ``Tensor.backward``.
            model: For strategies that need to know whose loss it is; none of these does.
            kwargs: For ``Tensor.backward``.
        """
        self._precision.scale(tensor).backward(*args, **kwargs)  # type: ignore[no-untyped-call]

    def clip_gradients(
        self, module: nn.Module, optimizer: Optimizer | LightningOptimizer, clip_val: float | None = None,
        max_norm: float | None = None, norm_type: float = 2.0, error_if_nonfinite: bool = True,
    ) -> Tensor | None:  # fmt: skip
        """Clip the gradients of a module, unscaled first where the number format scales them.

        Args:
            module: Whose gradients.
            optimizer: The optimizer that steps next.
            clip_val: The largest absolute value of a gradient.
            max_norm: The largest norm of all gradients together.
            norm_type: Which norm; ``"inf"`` is the largest absolute value.
            error_if_nonfinite: Raise RuntimeError if the norm is NaN or infinite.

        Returns:
            The norm before clipping, with ``max_norm``.

        Raises:
            ValueError: Not exactly one of ``clip_val`` and ``max_norm``.
        """
        if (clip_val is None) is (max_norm is None):
            text = f"`clip_gradients` got clip_val={clip_val} and max_norm={max_norm}. Accepted: exactly one of the two"
            raise ValueError(f"{text}. Fix: max_norm=1.0 for the norm, or clip_val=1.0 for each value.")
        self._precision.unscale_gradients(unwrap(optimizer))
        if max_norm is not None:
            return nn.utils.clip_grad_norm_(module.parameters(), max_norm, norm_type, error_if_nonfinite)
        nn.utils.clip_grad_value_(module.parameters(), clip_val or 0.0)
        return None

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context that forward passes run in, for computations outside a module."""
        return (self._precision.forward_context or nullcontext)()

    def no_backward_sync(self, module: nn.Module, enabled: bool = True) -> AbstractContextManager[Any]:
        """Leave out the exchange of gradients in forward and backward passes that only accumulate.

        Args:
            module: What :meth:`setup` returned.
            enabled: False exchanges them, for the last batch of a window.
        """
        if not isinstance(module, FabricModule):
            raise TypeError(bad_value("module", module, "a module that was set up", "module = fabric.setup(module)"))
        blocked = getattr(module._carrier, "no_sync", nullcontext)
        return (blocked if enabled else nullcontext)()

    # -- between processes ------------------------------------------------------------------------------------------

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Return the processes' tensors and numbers, stacked along a new first dimension; with one process unchanged.

        Args:
            data: A tensor, a number, or a collection of them.
            group: The process group; all processes by default.
            sync_grads: Let gradients flow back to the process that a slice came from.
        """
        return map_tensors(lambda tensor: self.strategy.all_gather(tensor, group, sync_grads), self._tensors(data))

    def all_reduce(self, data: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Return tensors and numbers reduced over the processes.

        Args:
            data: A tensor, a number, or a collection of them.
            group: The process group; all processes by default.
            reduce_op: "mean", "sum", "min", "max", "product" or a ``torch.distributed.ReduceOp``.
        """
        return map_tensors(lambda tensor: self.strategy.reduce(tensor, group, reduce_op), self._tensors(data))

    def _tensors(self, data: Any) -> Any:
        self._connect()
        numbers = tree_map(lambda leaf: torch.tensor(leaf) if isinstance(leaf, (int, float)) else leaf, data)
        return move_to_device(numbers, self.device)

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the object that process ``src`` holds."""
        self._connect()
        return self.strategy.broadcast(obj, src)

    def barrier(self, name: str | None = None) -> None:
        """Wait until every process is here."""
        self._connect()
        self.strategy.barrier(name)

    @contextmanager
    def rank_zero_first(self, local: bool = False) -> Iterator[None]:
        """Let the first process run the block before the others do, to download data for example.

        Args:
            local: The first one of each host.
        """
        rank = self.local_rank if local else self.global_rank
        if rank > 0:
            self.barrier()
        try:
            yield
        finally:
            if rank == 0:
                self.barrier()

    # -- files ------------------------------------------------------------------------------------------------------

    def save(
        self, path: Path, state: dict[str, Any], filter: dict[str, Callable[[str, Any], bool]] | None = None
    ) -> None:
        """Write a checkpoint, on the first process; it is there whole or not at all.

        Args:
            path: A path or URL.
            state: By name: modules, optimizers and others that have a ``state_dict``, tensors, plain values.
            filter: By name: which entries of a state dict to keep, told by their key and value.

        Raises:
            TypeError: ``filter`` is no dict of functions.
            ValueError: A filter for a name that ``state`` does not have.
            CheckpointError: A value cannot be saved.
        """
        keep = filter or {}
        if not isinstance(keep, dict) or not all(map(callable, keep.values())):
            raise TypeError(bad_value("filter", filter, "a dict of functions of an entry's key and value, by name"))
        for name in keep.keys() - state.keys():
            raise ValueError(f"`filter` has {name!r}, which `state` has not.{nearest(name, state)}")
        self._connect()
        content = {name: _content(value, keep.get(name)) for name, value in state.items()}
        if self.is_global_zero:
            custom = self._runtime.checkpoint_io
            custom.save_checkpoint(content, path) if custom is not None else file.save(content, path)
        self.barrier()

    def load(
        self, path: Path, state: dict[str, Any] | None = None, strict: bool = True, *, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint into the objects of ``state``; tensors and plain values in it are replaced.

        Args:
            path: A path or URL.
            state: What to restore, by name; None: nothing.
            strict: Every name must be in the file, and weights must match exactly.
            weights_only: False runs arbitrary code from the file; only for files you trust.

        Returns:
            What the file holds beside that.

        Raises:
            KeyError: The file lacks a name, and ``strict`` is on; nothing is restored then.
            CheckpointError: The file is damaged, or asks for something that is not allowed.
        """
        loaded, state = self._read(path, weights_only), {} if state is None else state
        for name in state.keys() - loaded.keys() if strict else ():
            raise KeyError(f"{path} holds no {name!r}.{nearest(name, loaded)} Fix: strict=False leaves it as it is.")
        for name in state.keys() & loaded.keys():
            if not _restore(state[name], loaded[name], strict):
                state[name] = loaded[name]
        return {name: value for name, value in loaded.items() if name not in state}

    def load_raw(self, path: Path, obj: Any, strict: bool = True, *, weights_only: bool | None = None) -> None:
        """Read a file that holds one bare state dict, of any program, into a module or optimizer.

        Args:
            path: A path or URL.
            obj: The module, the optimizer, or another object that has ``load_state_dict``.
            strict: Weights must match exactly.
            weights_only: False runs arbitrary code from the file; only for files you trust.
        """
        if not _restore(obj, self._read(path, weights_only), strict):
            raise TypeError(bad_value("obj", obj, "an object that has `load_state_dict`"))

    def _read(self, path: Path, weights_only: bool | None) -> dict[str, Any]:
        self._connect()
        custom = self._runtime.checkpoint_io
        return file.load(path, "cpu", weights_only) if custom is None else custom.load_checkpoint(path)

    # -- callbacks and loggers --------------------------------------------------------------------------------------

    def call(self, hook_name: str, *args: Any, **kwargs: Any) -> None:
        """Call a method, of any name, on every callback that has it; keywords that it does not take are left out."""
        for callback in self._callbacks:
            method = getattr(callback, hook_name, None)
            if callable(method):
                method(*args, **{name: value for name, value in kwargs.items() if accepts_argument(method, name)})
            elif method is not None:
                rank_zero_warn(f"`{type(callback).__name__}.{hook_name}` is not called: it is no method.")

    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Send a value to all loggers; a tensor must have one element."""
        self.log_dict({name: value}, step)

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Send several values to all loggers, as one row."""
        row = {name: value.item() if isinstance(value, Tensor) else value for name, value in metrics.items()}
        for logger in self.loggers:
            logger.log_metrics(row, step=step)


class _WithoutInit(torch.overrides.TorchFunctionMode):
    """Leave out what ``torch.nn.init`` does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _check_new(method: str, given: Any, kind: type) -> None:
    if not given and method != "setup":
        raise ValueError(f"`Fabric.{method}` got nothing to set up. Fix: pass one or more.")
    for obj in given:
        if is_wrapped(obj):
            text = f"`Fabric.{method}` got a {type(obj).__name__} that was set up before"
            raise ValueError(f"{text}. Fix: pass your own object, once, and use what is returned.")
        if not isinstance(obj, kind):
            raise TypeError(bad_value(f"Fabric.{method}()", obj, f"{kind.__name__} instances"))


def _content(value: Any, keep: Callable[[str, Any], bool] | None) -> Any:
    value = unwrap(value)
    content = value.state_dict() if hasattr(value, "state_dict") else value
    return content if keep is None else {key: item for key, item in content.items() if keep(key, item)}


def _restore(target: Any, value: Any, strict: bool) -> bool:
    """Load ``value`` into ``target`` if it can load; return whether it can."""
    load = getattr(unwrap(target), "load_state_dict", None)
    if load is not None:
        load(value, **({"strict": strict} if isinstance(target, nn.Module) else {}))
    return load is not None
