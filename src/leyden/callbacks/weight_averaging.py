"""Averaging the weights while they are trained: running means and exponential moving averages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import swa_utils

from leyden.callbacks.requirements import is_count, is_number, require
from leyden.core.callback import Callback
from leyden.core.hparams import load_weights
from leyden.errors import MisconfigurationException, nearest

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

RAW = "current_model_state"
STATE = "averaging_state"
AverageFn = Callable[[Tensor, Tensor, Tensor], Tensor]
MultiAverageFn = Callable[[list[Tensor], list[Tensor], Tensor], None]


class Averages:
    """Averages of a module's parameters and, if wanted, of its floating-point buffers.

    The rule is that of :class:`torch.optim.swa_utils.AveragedModel`, of which this is the part without a copy of the
    module: the first update copies, each later one averages.

    Args:
        module: Whose tensors.
        multi_avg_fn: Changes the first list in place, given the second and the number of updates so far; the tensors of
            a call share a device and a type.
        device: Where the averages lie; None: beside the tensors.
        use_buffers: Also average buffers of a floating-point type.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> averages = Averages(layer, running_mean())
        >>> for value in (1.0, 3.0):
        ...     _ = nn.init.constant_(layer.weight, value)
        ...     averages.update(layer)
        >>> averages.values["weight"]
        tensor([[2., 2.]])
    """

    def __init__(
        self,
        module: nn.Module,
        multi_avg_fn: MultiAverageFn,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
    ) -> None:
        self.count = torch.tensor(0)
        self.use_buffers = use_buffers
        self._average = multi_avg_fn
        self._device = device
        self.values = {name: tensor.detach().to(device, copy=True) for name, tensor in self._tensors(module)}

    def _tensors(self, module: nn.Module) -> Iterator[tuple[str, Tensor]]:
        yield from module.named_parameters()
        for name, buffer in module.named_buffers() if self.use_buffers else ():
            if buffer.is_floating_point() or buffer.is_complex():
                yield name, buffer

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the module's tensors as they are now."""
        groups: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for name, tensor in self._tensors(module):
            if not self.count or name not in self.values:
                self.values[name] = tensor.detach().to(self._device, copy=True)
                continue
            average = self.values[name]
            averages, tensors = groups.setdefault((average.device, average.dtype), ([], []))
            averages.append(average)
            tensors.append(tensor.detach().to(average.device))
        for averages, tensors in groups.values():
            self._average(averages, tensors, self.count)
        self.count += 1

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the module's tensors and the averages, in place."""
        for name, tensor in ((name, tensor) for name, tensor in self._tensors(module) if name in self.values):
            kept = tensor.detach().clone()
            tensor.copy_(self.values[name])
            self.values[name].copy_(kept)

    @torch.no_grad()
    def load(self, values: Mapping[str, Tensor], count: int) -> None:
        """Take back what was saved; a tensor that was not saved keeps its present value."""
        for name, average in self.values.items():
            if name in values:
                average.copy_(values[name])
        self.count.fill_(count)

    def replace(self, module: nn.Module, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return a state dict of the module with the averages in it; tensors that are shared have several names."""
        first: dict[int, str] = {}
        same = {
            name: first.setdefault(id(tensor), name)
            for name, tensor in chain(
                module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
            )
        }
        return {key: self.values.get(same.get(key, key), value) for key, value in state_dict.items()}


class WeightAveraging(Callback):
    """Average the weights over the steps of a fit; validate, save and finish with the average.

    After each optimizer step the weights enter the average. Validation inside fit, and what a checkpoint's
    ``state_dict`` holds, is the average; when training ends, the module holds it too. The weights that are being trained
    lie beside it in the checkpoint, and a resumed run goes on from those, to the same bits. Until the first update there
    is no average, and the weights are used as they are.

    Override :meth:`should_update` to average at other times.

    Args:
        device: Where the average lies; None: beside the weights. ``"cpu"`` saves memory of the device.
        use_buffers: Also average floating-point buffers such as BatchNorm's statistics. The others, and all of them
            with False, are those of the module.
        kwargs: As for :class:`torch.optim.swa_utils.AveragedModel`: ``avg_fn`` computes one average from
            ``(average, weight, number of updates)``, ``multi_avg_fn`` changes lists of them in place; without either
            one, it is the mean.

    Raises:
        MisconfigurationException: A function is none, or both are given; two such callbacks are in one Trainer.
        TypeError: There is no such argument.

    Example:
        >>> import leyden as pl
        >>> class LateAveraging(pl.callbacks.WeightAveraging):
        ...     def should_update(self, step_idx=None, epoch_idx=None):
        ...         return epoch_idx is not None and epoch_idx >= 50
    """

    replaces_weights = True

    def __init__(self, device: torch.device | str | int | None = None, use_buffers: bool = True, **kwargs: Any) -> None:
        known = ("avg_fn", "multi_avg_fn")
        for name, function in kwargs.items():
            if name not in known:
                raise TypeError(
                    f"`{type(self).__name__}` got an unexpected argument {name!r}.{nearest(name, known)} "
                    f"Accepted: device, use_buffers, {', '.join(known)}."
                )
            require(function is None or callable(function), name, function, "a function or None")
        avg_fn, multi_avg_fn = (kwargs.get(name) for name in known)
        if avg_fn is not None and multi_avg_fn is not None:
            raise MisconfigurationException(
                "`avg_fn` and `multi_avg_fn` exclude each other. Fix: leave out one of them."
            )
        require(isinstance(use_buffers, bool), "use_buffers", use_buffers, "True or False")
        self._device = device_of(device)
        self._use_buffers = use_buffers
        self._multi_avg_fn = multi_avg_fn or (one_by_one(avg_fn) if avg_fn is not None else running_mean())
        self._averages: Averages | None = None
        self._loaded: tuple[Mapping[str, Tensor], int] | None = None
        self._swapped = False
        self._over = False
        self._latest_update_step = 0
        self._epoch = 0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Whether to average now; asked after each optimizer step and after each epoch.

        Args:
            step_idx: The number of the step that was just taken, from 0; None after an epoch.
            epoch_idx: The number of the epoch that just ended, from 0; None after a step.

        Returns:
            By default True after each step.
        """
        return step_idx is not None

    # -- averaging --------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the last fit."""
        if stage != "fit":
            return
        if sum(isinstance(callback, WeightAveraging) for callback in trainer.callbacks) > 1:
            raise MisconfigurationException(
                "Two callbacks average the weights, and a checkpoint holds one average. Fix: leave out one of them."
            )
        self._averages, self._loaded, self._swapped, self._over = None, None, False, False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the weights as they are, or with the average of the checkpoint that is resumed."""
        self._averages = Averages(pl_module, self._multi_avg_fn, self._device, self._use_buffers)
        if self._loaded is not None:
            self._averages.load(*self._loaded)
            self._loaded = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count from the steps of an earlier fit or of the run that is resumed."""
        self._latest_update_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Average after an optimizer step."""
        self._follow(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average after an epoch, if that is asked for."""
        self._follow(trainer, pl_module)
        if self._averages is not None and self.should_update(epoch_idx=trainer.current_epoch):
            self._averages.update(pl_module)

    def _follow(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average if the optimizer has stepped since the last time."""
        step = trainer.global_step
        if step <= self._latest_update_step or self._averages is None:
            return
        self._latest_update_step, self._epoch = step, trainer.current_epoch
        if self.should_update(step_idx=step - 1):
            self._averages.update(pl_module)

    # -- using the average ------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Inside fit: validate the average."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._follow(trainer, pl_module)
            self._exchange(trainer, pl_module, averaged=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on training the weights."""
        if trainer.state.fn == "fit":
            self._exchange(trainer, pl_module, averaged=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the average in the module."""
        self._over = True
        self._exchange(trainer, pl_module, averaged=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same when there was nothing left to train."""
        self.on_train_end(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """After a validation that an error ended, leave the weights that were being trained."""
        if stage != "fit" or self._averages is None:
            return
        if not self._over:
            self._exchange(trainer, pl_module, averaged=False)
        self._averages.values = {name: value.cpu() for name, value in self._averages.values.items()}

    def _exchange(self, trainer: Trainer, pl_module: LightningModule, averaged: bool) -> None:
        """Put the average, or the weights that are being trained, into the module, if they are not there."""
        if self._averages is None or not self._averages.count or self._swapped is averaged:
            return
        self._averages.swap(pl_module)
        self._swapped = averaged
        if averaged:
            trainer.strategy.sync_buffers()  # each process has averaged its own

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the average as the weights and, where a run can be resumed, the weights beside it."""
        if self._averages is None:
            return
        own: dict[str, Any] = checkpoint["state_dict"]
        other = self._averages.replace(pl_module, own) if self._averages.count else own
        raw, checkpoint["state_dict"] = (other, own) if self._swapped else (own, other)
        if "optimizer_states" in checkpoint:
            checkpoint[RAW] = raw
            checkpoint[STATE] = {"n_averaged": self._averages.count.clone()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """In fit, load the weights to train; the average waits until it has its place."""
        if trainer.state.fn == "fit" and RAW in checkpoint:
            self._loaded = checkpoint["state_dict"], int(checkpoint[STATE]["n_averaged"])
            load_weights(pl_module, checkpoint[RAW], pl_module.strict_loading)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of steps that were looked at."""
        return {"latest_update_step": self._latest_update_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back :meth:`state_dict`."""
        self._latest_update_step = state_dict["latest_update_step"]


class EMAWeightAveraging(WeightAveraging):
    """Keep an exponential moving average of the weights: ``average = decay * average + (1 - decay) * weight``.

    What is done with it is told at :class:`WeightAveraging`.

    Args:
        device: Where the average lies; None: beside the weights.
        use_buffers: Also average floating-point buffers.
        decay: How much of the average each update keeps, from 0 to 1.
        update_every_n_steps: Average after the steps whose number, from 0, is a multiple of this.
        update_starting_at_step: Not before this step, counted from 0.
        update_starting_at_epoch: Not before this epoch, counted from 0.
        kwargs: None are accepted; an average of another kind is a :class:`WeightAveraging`.

    Raises:
        MisconfigurationException: A number is out of its range.

    Example:
        >>> import leyden as pl
        >>> ema = pl.callbacks.EMAWeightAveraging(decay=0.99, update_every_n_steps=10, update_starting_at_step=100)
        >>> [ema.should_update(step_idx=step) for step in (90, 100, 105, 110)]
        [False, True, False, True]
    """

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        use_buffers: bool = True,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
        **kwargs: Any,
    ) -> None:
        require(is_number(decay, 0.0, 1.0), "decay", decay, "a number from 0 to 1")
        require(is_count(update_every_n_steps, 1), "update_every_n_steps", update_every_n_steps, "an int >= 1")
        starts = {
            "update_starting_at_step": update_starting_at_step,
            "update_starting_at_epoch": update_starting_at_epoch,
        }
        for name, start in starts.items():
            require(start is None or is_count(start, 0), name, start, "an int >= 0 or None")
        if kwargs:
            raise TypeError(
                f"`EMAWeightAveraging` got unexpected arguments {sorted(kwargs)}. Fix: for an average of your own, "
                "`WeightAveraging(avg_fn=...)`."
            )
        super().__init__(device, use_buffers, multi_avg_fn=moving_mean(decay))
        self.decay = decay
        self.update_every_n_steps = update_every_n_steps
        self.update_starting_at_step = update_starting_at_step
        self.update_starting_at_epoch = update_starting_at_epoch

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every n-th step, once both beginnings are reached."""
        return (
            step_idx is not None
            and step_idx % self.update_every_n_steps == 0
            and step_idx >= (self.update_starting_at_step or 0)
            and self._epoch >= (self.update_starting_at_epoch or 0)
        )


def running_mean() -> MultiAverageFn:
    """Every update counts the same."""
    average: MultiAverageFn = swa_utils.get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
    return average


def moving_mean(decay: float) -> MultiAverageFn:
    """Each update counts ``1 - decay``, the average before it ``decay``."""
    average: MultiAverageFn = swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return average


def one_by_one(avg_fn: AverageFn) -> MultiAverageFn:
    """Let a function of single tensors average lists."""

    def average(averages: list[Tensor], tensors: list[Tensor], count: Tensor) -> None:
        for old, tensor in zip(averages, tensors, strict=True):
            old.copy_(avg_fn(old, tensor, count))

    return average


def device_of(device: Any) -> torch.device | None:
    """The device that an argument names.

    Raises:
        MisconfigurationException: It names none.
    """
    try:
        return None if device is None else torch.device(device)
    except (RuntimeError, TypeError) as error:
        text = "None, a torch.device, or its name such as 'cpu' or 'cuda:0'"
        require(False, "device", device, text)
        raise AssertionError from error
