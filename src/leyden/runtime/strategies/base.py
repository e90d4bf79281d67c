"""What every strategy offers: where the module lives, how its steps are called, and how ranks talk to each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leyden.legacy.alias import private
from leyden.legacy.utilities.layer_sync import LayerSync
from leyden.runtime.environments import ClusterEnvironment


class Strategy(ABC):
    """Places a module on its device and carries what its ranks say to each other; the base answers for one process.

    The order of calls: :meth:`configure` once; for each run :meth:`setup_environment`, :meth:`model_to_device`,
    :meth:`wrap` when it trains, then :meth:`step` for each step method it will call, and :meth:`teardown`.

    Attributes:
        root_device: The device of this process.
        global_rank: Number of this process among all.
        local_rank: Number of this process on its node.
        node_rank: Number of this node.
        world_size: Number of processes.
        layer_sync: Replaces layers by ones that compute their statistics over all ranks, while training.
        module: The user's module, from :meth:`model_to_device` to :meth:`teardown`.
    """

    root_device: torch.device = torch.device("cpu")
    global_rank: int = 0
    local_rank: int = 0
    node_rank: int = 0
    world_size: int = 1
    layer_sync: LayerSync | None = None
    module: nn.Module | None = None

    @property
    def is_global_zero(self) -> bool:
        """Whether this process is the one that writes files and messages."""
        return self.global_rank == 0

    @property
    def is_distributed(self) -> bool:
        """Whether there are other processes."""
        return self.world_size > 1

    @property
    def distributed_sampler_kwargs(self) -> dict[str, int]:
        """The arguments that a ``DistributedSampler`` of this process takes."""
        return {"num_replicas": self.world_size, "rank": self.global_rank}

    if not TYPE_CHECKING:
        __getattr__ = private  # what programs ask a strategy that belongs to the run here

    @abstractmethod
    def configure(self, devices: Sequence[torch.device], environment: ClusterEnvironment, num_nodes: int) -> None:
        """Take over the chosen devices of this node and this process's ranks; nothing is started yet.

        Raises:
            MisconfigurationException: The devices do not fit this strategy or the launcher's environment.
        """

    def setup_environment(self) -> None:
        """Connect to the other processes; calling it again is harmless."""

    def model_to_device(self, module: nn.Module) -> nn.Module:
        """Move ``module`` to :attr:`root_device` and make it the one that :meth:`step` reaches."""
        self.module = module
        return module.to(self.root_device)

    def wrap(self, module: nn.Module, manual: bool = False) -> nn.Module:
        """Prepare ``module`` for training and return what its training step is called through.

        Args:
            module: The user's module, already on its device, with its optimizers not yet made.
            manual: The module calls ``backward`` itself; :meth:`reduce_gradients` then follows each of its backwards.
        """
        return module

    def step(self, name: str, own: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Return the module's method ``name``, or ``own`` in its place, as the loop calls it; asked once per stage."""
        method: Callable[..., Any] = own or getattr(self.module, name)
        return method

    def block_backward_sync(self) -> AbstractContextManager[Any]:
        """Return a context for forward and backward of a step whose gradients are only accumulated."""
        return nullcontext()

    def reduce_gradients(self) -> None:
        """Average the gradients over the ranks after a backward of manual optimization."""

    def sync_buffers(self) -> None:
        """Give every rank the buffers of rank 0 (BatchNorm's statistics), before evaluation."""

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        """Return ``tensor`` reduced over the ranks; the argument is left as it was.

        Args:
            tensor: The tensor of this rank; anything else is returned unchanged.
            group: The process group; all ranks by default.
            reduce_op: "mean" (or "avg"), "sum", "min", "max", "product" or a ``torch.distributed.ReduceOp``.
        """
        return tensor

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        """Return the ranks' tensors stacked along a new first dimension; with one process ``tensor`` itself.

        Args:
            tensor: The tensor of this rank, of the same shape on all.
            group: The process group; all ranks by default.
            sync_grads: Let gradients flow back to the rank that a slice came from.
        """
        return tensor

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the object that rank ``src`` holds; it is pickled on its way."""
        return obj

    def barrier(self, name: str | None = None) -> None:
        """Wait until every rank is here."""

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        """Return whether all ranks (``all=True``) or any rank decided yes."""
        return decision

    def teardown(self) -> None:
        """End a run: release the module and bring it back to the CPU."""
        if self.module is not None and self.root_device.type != "cpu":
            self.module.cpu()
        self.module = None
