"""One process per device, each with the whole module; gradients are averaged while backward runs."""

from __future__ import annotations

import atexit
import functools
import gc
import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from leyden.errors import MisconfigurationException, bad_value, nearest
from leyden.legacy.utilities.layer_sync import TorchSyncBatchNorm
from leyden.runtime.environments import ClusterEnvironment
from leyden.runtime.strategies.base import Strategy

_OURS = {"module", "device_ids", "output_device", "process_group", "device_mesh"}  # DDP arguments that are set here


class DDPStrategy(Strategy):
    """Data parallel training under a launcher such as ``torchrun``.

    Args:
        process_group_backend: "nccl", "gloo", ...; by default nccl on CUDA and gloo on the CPU.
        timeout: How long a collective waits for the other ranks.
        **kwargs: Arguments of ``DistributedDataParallel``, such as ``find_unused_parameters=True``.

    Raises:
        TypeError: ``DistributedDataParallel`` has no such argument.
    """

    def __init__(
        self, *, process_group_backend: str | None = None, timeout: timedelta = timedelta(minutes=30), **kwargs: Any
    ) -> None:
        accepted = inspect.signature(DistributedDataParallel).parameters.keys() - _OURS
        for name in kwargs.keys() - accepted:
            raise TypeError(f"DDPStrategy() has no argument {name!r}.{nearest(name, accepted)}")
        self.process_group_backend = process_group_backend
        self.timeout = timeout
        self._kwargs = kwargs
        self._wrapped: DistributedDataParallel | None = None

    def configure(self, devices: Sequence[torch.device], environment: ClusterEnvironment, num_nodes: int) -> None:
        if devices[0].type == "mps":
            raise ValueError(bad_value("strategy", "ddp", "'single_device' on MPS", "write strategy='auto'"))
        environment.validate_settings(len(devices), num_nodes)
        synced = isinstance(self.layer_sync, TorchSyncBatchNorm)
        if synced and devices[0].type == "cpu" and environment.world_size() > 1:
            raise MisconfigurationException(bad_value("sync_batchnorm", True, "False on CPUs", "leave it out"))
        self._environment = environment
        self.world_size, self.global_rank = environment.world_size(), environment.global_rank()
        self.local_rank, self.node_rank = environment.local_rank(), environment.node_rank()
        self.root_device = devices[self.local_rank]

    def setup_environment(self) -> None:
        """Make the process group, unless there is one; it stays for later runs and ends with the program."""
        if dist.is_initialized():
            return
        host = self._environment.main_address
        dist.init_process_group(
            self.process_group_backend or dist.get_default_backend_for_device(self.root_device),
            init_method=f"tcp://{f'[{host}]' if ':' in host else host}:{self._environment.main_port}",
            timeout=self.timeout,
            rank=self.global_rank,
            world_size=self.world_size,
            device_id=self.root_device if self.root_device.type == "cuda" else None,
        )
        atexit.register(destroy_process_group)

    def wrap(self, module: nn.Module, manual: bool = False) -> nn.Module:
        if self.layer_sync is not None:
            module = self.layer_sync.apply(module)
        self.module = module
        if manual or not any(parameter.requires_grad for parameter in module.parameters()):
            _broadcast_tensors([*module.parameters(), *module.buffers()])
            return module
        self._wrapped = DistributedDataParallel(_Steps(module), **self._kwargs)
        return self._wrapped

    def step(self, name: str, own: Callable[..., Any] | None = None) -> Callable[..., Any]:
        # Only training reduces gradients. Evaluation through DDP would wait for ranks that have no batch left.
        method = super().step(name, own)
        wrapped = self._wrapped if name == "training_step" else None
        return method if wrapped is None else functools.partial(wrapped, method)

    def block_backward_sync(self) -> AbstractContextManager[Any]:
        return super().block_backward_sync() if self._wrapped is None else self._wrapped.no_sync()

    @torch.no_grad()
    def reduce_gradients(self) -> None:
        # Averaging is linear, so what an earlier backward left averaged stays as it is. Ranks may differ in which
        # parameters a backward reached: all take part for each one that any rank reached, and for no other.
        parameters = list(self.module.parameters()) if self.module is not None else []
        reached = torch.tensor([parameter.grad is not None for parameter in parameters], device=self.root_device).int()
        for parameter, used in zip(parameters, self.reduce(reached, reduce_op="max").tolist(), strict=True):
            if used:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad.copy_(self.reduce(parameter.grad.contiguous()))

    def sync_buffers(self) -> None:
        if self.module is not None:
            _broadcast_tensors(list(self.module.buffers()))

    def reduce(self, tensor: Any, group: Any = None, reduce_op: Any = "mean") -> Any:
        if not isinstance(tensor, Tensor):
            return tensor
        result = tensor.detach().to(self.root_device, copy=True)
        mean = reduce_op in ("mean", "avg", dist.ReduceOp.AVG)  # gloo has no average
        dist.all_reduce(result, dist.ReduceOp.SUM if mean else _operation(reduce_op), group)
        return result / dist.get_world_size(group) if mean else result

    def all_gather(self, tensor: Tensor, group: Any = None, sync_grads: bool = False) -> Tensor:
        if not self.is_distributed:
            return tensor
        tensor = (tensor if sync_grads else tensor.detach()).to(self.root_device).contiguous()
        return _AllGather.apply(tensor, group)  # type: ignore[no-untyped-call, no-any-return]

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        box = [obj]
        dist.broadcast_object_list(box, src, device=self.root_device)
        return box[0]

    def barrier(self, name: str | None = None) -> None:
        dist.barrier()

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:
        vote = torch.tensor(int(decision), device=self.root_device)
        return bool(self.reduce(vote, reduce_op="min" if all else "max"))

    def teardown(self) -> None:
        self._wrapped = None
        if self.layer_sync is not None and self.module is not None:
            self.layer_sync.revert(self.module)
        super().teardown()


class _Steps(nn.Module):
    """What DDP wraps: forward runs a step of the user's module, so every step passes DDP's own forward."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return step(*args, **kwargs)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, tensor, group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total, group=ctx.group)
        return total[dist.get_rank(ctx.group)], None


@torch.no_grad()
def _broadcast_tensors(tensors: list[Tensor]) -> None:
    for tensor in tensors:
        packed = tensor.contiguous()
        dist.broadcast(packed, src=0)
        tensor.copy_(packed)


def _operation(reduce_op: Any) -> Any:
    names = ("mean", "avg", "sum", "min", "max", "product")
    if isinstance(reduce_op, str) and reduce_op not in names:
        raise ValueError(bad_value("reduce_op", reduce_op, " or ".join(map(repr, names))) + nearest(reduce_op, names))
    return getattr(dist.ReduceOp, reduce_op.upper()) if isinstance(reduce_op, str) else reduce_op


def destroy_process_group() -> None:
    """End the connection to the other processes, if there is one; the first, which holds the store, leaves last.

    The group's threads release tensors, for which they need a living interpreter: they must be gone before it ends.
    """
    gc.collect()  # wrappers of past runs hold on to the group, also to one that the program has destroyed itself
    if not dist.is_initialized():
        return
    if dist.get_backend() == "gloo" and not hasattr(sys, "last_type"):  # the others are at their end too
        with suppress(RuntimeError):
            dist.monitored_barrier(timeout=timedelta(seconds=5))
    dist.destroy_process_group()
