"""LightningModule: a model together with what one step of its training, validation, test and prediction is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, Self
from warnings import warn

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from leyden.core.datamodule import DataHooks
from leyden.core.hparams import HyperparametersMixin, class_only, load_from_checkpoint
from leyden.core.logger import Logger
from leyden.core.loss import explain
from leyden.core.model_hooks import STEP_OUTPUT, ModelHooks
from leyden.core.optimizers import Closure, LightningOptimizer, OptimizerLRScheduler, parameters_of
from leyden.core.view import View
from leyden.errors import MisconfigurationException, bad_value
from leyden.legacy.attributes import MODULE, with_old_names
from leyden.utils.tree import map_tensors

if TYPE_CHECKING:
    from leyden.core.callback import Callback
    from leyden.trainer import Trainer


CLIPPERS: dict[str, Callable[..., Any]] = {"norm": nn.utils.clip_grad_norm_, "value": nn.utils.clip_grad_value_}


class LogTarget(Protocol):
    """Who takes in what ``self.log`` is given, while a Trainer runs."""

    def log(self, name: str, value: Any, arguments: tuple[Any, ...], batch_size: int | None) -> None:
        """Take in one value with the other arguments of the call."""


@with_old_names(MODULE)
class LightningModule(DataHooks, HyperparametersMixin, ModelHooks):
    """A model, its optimizers, and its steps.

    Define ``training_step`` and ``configure_optimizers``; ``validation_step``, ``test_step`` and ``predict_step`` as
    needed. It is an ordinary :class:`torch.nn.Module` everywhere else.

    Example:
        >>> import torch, leyden as pl
        >>> class Regression(pl.LightningModule):
        ...     def __init__(self, lr: float = 0.1):
        ...         super().__init__()
        ...         self.save_hyperparameters()
        ...         self.layer = torch.nn.Linear(1, 1)
        ...     def training_step(self, batch, batch_idx):
        ...         x, y = batch
        ...         loss = torch.nn.functional.mse_loss(self.layer(x), y)
        ...         self.log("train_loss", loss)
        ...         return loss
        ...     def configure_optimizers(self):
        ...         return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)
        >>> Regression(lr=0.5).hparams
        "lr": 0.5
    """

    automatic_optimization: bool = True
    """True: the Trainer does backward and step. False: ``training_step`` does, with ``self.optimizers()``."""
    example_input_array: Any = None
    """An example input: a tensor, a tuple of positional or a dict of keyword arguments of ``forward``."""
    strict_loading: bool = True
    """Whether loaded weights must match the module's exactly."""
    _compiler_ctx: Any = None
    device_mesh: Any = None
    """The mesh of devices over which a strategy spreads the module, if it does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trainer: Trainer | None = None
        self._results: LogTarget | None = None
        self._device = torch.device("cpu")
        self._dtype: torch.dtype = torch.get_default_dtype()
        self._toggled: dict[nn.Parameter, bool] = {}

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def trainer(self) -> Trainer:
        """The Trainer that runs this module.

        Raises:
            RuntimeError: No Trainer has run it yet.
        """
        if self._trainer is None:
            fix = "use `self.trainer` in hooks and steps, while `trainer.fit(model)` or another entry point runs"
            raise RuntimeError(f"{type(self).__qualname__} is not attached to a `Trainer`. Fix: {fix}.")
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Trainer | None) -> None:
        for module in self.modules():
            if isinstance(module, LightningModule):  # those inside it, too
                module._trainer = trainer

    @property
    def fabric(self) -> Any:
        """The Fabric that set this module up; None without one."""
        return getattr(self._trainer, "fabric", None)

    @fabric.setter
    def fabric(self, fabric: Any) -> None:
        self.trainer = None if fabric is None else fabric._stand_in_for_trainer()

    @property
    def device(self) -> torch.device:
        """The device the module was last moved to."""
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type the module was last converted to."""
        return self._dtype

    @property
    def on_gpu(self) -> bool:
        """Whether the module lies on a CUDA device."""
        return self._device.type == "cuda"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not annotate it
        # The function that moves parameters also tells where to and into what: ask it with an empty tensor.
        probe = fn(torch.empty(0, device=self._device, dtype=self._dtype))
        self._device, self._dtype = probe.device, probe.dtype
        return self

    current_epoch = View[int]("_trainer.current_epoch", "The running epoch, from 0; 0 without a Trainer.", 0)
    global_step = View[int]("_trainer.global_step", "Optimizer steps so far, over all optimizers and epochs.", 0)
    global_rank = View[int]("_trainer.global_rank", "This process's number among all; 0 without a Trainer.", 0)
    local_rank = View[int]("_trainer.local_rank", "This process's number on its host; 0 without a Trainer.", 0)
    logger = View[Logger | None]("_trainer.logger", "The Trainer's first logger.")
    loggers = View[list[Logger]]("_trainer.loggers", "The Trainer's loggers.", [])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None, "_results": None}

    # -- steps ------------------------------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Compute the loss of one batch.

        Args:
            args: ``(batch, batch_idx)``; ``batch_idx`` may be left out.
            kwargs: None are passed.

        Returns:
            The loss; or a dict with the key ``loss`` and, if batches of an accumulation window have unequal weight,
            ``weight`` (for example the number of tokens; default the number of samples); or None to skip the batch.
        """
        raise MisconfigurationException("`training_step()` is not defined.")

    def validation_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Score one validation batch; arguments ``(batch, batch_idx[, dataloader_idx])``."""
        return None

    def test_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:
        """Score one test batch; arguments ``(batch, batch_idx[, dataloader_idx])``."""
        return None

    def predict_step(self, *args: Any, **kwargs: Any) -> Any:
        """Predict for one batch; default: ``self(batch)``."""
        return self(kwargs.get("batch", args[0] if args else None))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizers and schedulers, in one of six forms (see the guide on optimization)."""
        raise MisconfigurationException("`configure_optimizers()` is not defined.")

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """Return callbacks that belong to this module; one of the same type in the Trainer is replaced."""
        return []

    def configure_model(self) -> None:
        """Create layers late, on the right device and type; called in every stage, so let it do nothing twice."""

    # -- optimization -----------------------------------------------------------------------------------------------

    def optimizers(self, use_pl_optimizer: bool = True) -> Any:
        """Return the optimizer, or the list of them.

        Args:
            use_pl_optimizer: False returns the ones you made: their ``step`` calls no hook and counts no step.
        """
        wrapped = self.trainer._run_now.optimizers
        chosen: list[Any] = [*wrapped] if use_pl_optimizer else [w.optimizer for w in wrapped]
        return chosen[0] if len(chosen) == 1 else chosen

    def lr_schedulers(self) -> Any:
        """Return the scheduler, the list of them, or None."""
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        return schedulers if len(schedulers) > 1 else next(iter(schedulers), None)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients; override to do it differently."""
        try:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]  # torch does not annotate it
        except RuntimeError as error:
            if (mistake := None if args or kwargs else explain(loss, self)) is not None:
                raise mistake from error
            raise

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute the gradients in manual optimization, with the backward hooks and the precision's scaling."""
        if self.automatic_optimization and self.fabric is None:
            fix = "set `self.automatic_optimization = False` in `__init__`, or return the loss from `training_step`"
            raise MisconfigurationException(f"`manual_backward()` needs manual optimization. Fix: {fix}.")
        self.trainer._run_now.manual_backward(loss, *args, **kwargs)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Closure | None = None,
    ) -> None:
        """Step the optimizer (automatic optimization).

        Args:
            epoch: The running epoch.
            batch_idx: The running batch.
            optimizer: The optimizer.
            optimizer_closure: The rest of the step (forward, zero_grad, backward, clipping): pass it on to
                ``optimizer.step(closure=optimizer_closure)``, or call it.
        """
        optimizer.step(closure=optimizer_closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear the gradients (automatic optimization)."""
        optimizer.zero_grad()

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Step a scheduler; ``metric`` is None unless it monitors one."""
        if metric is None:
            scheduler.step()
        else:
            scheduler.step(metric)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients before the optimizer's step; override to clip in your own way."""
        if gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def clip_gradients(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients of an optimizer's parameters.

        Args:
            optimizer: Whose parameters.
            gradient_clip_val: The largest norm, or absolute value; default: the Trainer's.
            gradient_clip_algorithm: ``"norm"`` (default) or ``"value"``.
        """
        value = self.trainer.gradient_clip_val if gradient_clip_val is None else gradient_clip_val
        algorithm = gradient_clip_algorithm or self.trainer.gradient_clip_algorithm or "norm"
        if algorithm not in CLIPPERS:
            raise MisconfigurationException(bad_value("gradient_clip_algorithm", algorithm, "'norm' or 'value'"))
        if value and value > 0:
            bare = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
            self.trainer.precision_plugin.unscale_gradients(bare)
            CLIPPERS[algorithm](parameters_of(optimizer), value)

    def toggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Stop the gradients of the parameters of all other optimizers, until :meth:`untoggle_optimizer`."""
        kept = set(parameters_of(optimizer))
        for parameter in chain.from_iterable(map(parameters_of, self.trainer.optimizers)):
            required = self._toggled.setdefault(parameter, parameter.requires_grad)
            parameter.requires_grad = required and parameter in kept

    def untoggle_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> None:
        """Restore what :meth:`toggle_optimizer` changed."""
        for parameter, required in self._toggled.items():
            parameter.requires_grad = required
        self._toggled = {}

    @contextmanager
    def toggled_optimizer(self, optimizer: Optimizer | LightningOptimizer) -> Iterator[None]:
        """:meth:`toggle_optimizer` for the length of a ``with`` block."""
        self.toggle_optimizer(optimizer)
        try:
            yield
        finally:
            self.untoggle_optimizer(optimizer)

    # -- logging ----------------------------------------------------------------------------------------------------

    def log(
        self,
        name: str,
        value: Any,
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        metric_attribute: str | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log a value.

        Args:
            name: Its key. With both ``on_step`` and ``on_epoch``, loggers get ``name_step`` and ``name_epoch``.
            value: A number, a tensor of one element, or a torchmetrics Metric.
            prog_bar: Show it in the progress bar.
            logger: Send it to the loggers (default True).
            on_step: Log this step's value; the default depends on the hook (True in ``training_step``).
            on_epoch: Log the epoch's reduced value; the default depends on the hook (True in evaluation).
            reduce_fx: Over the epoch: ``"mean"`` (weighted by the batch size), ``"sum"``, ``"min"``, ``"max"``.
            enable_graph: Keep the autograd graph of the value.
            sync_dist: Reduce over processes (epoch values of evaluation always are).
            sync_dist_group: The process group to reduce over.
            add_dataloader_idx: With several loaders, append ``/dataloader_idx_N`` to the key.
            batch_size: The weight of this batch in a mean; default: what the loader says, else the batch's first
                dimension.
            metric_attribute: The attribute that holds the torchmetrics Metric, if it cannot be found.
            rank_zero_only: Log on the first process only.

        Raises:
            MisconfigurationException: The hook does not allow it, or the key was logged with other arguments.
            ValueError: The value is none of the above.
        """
        results = self._results
        if results is None:
            if self.fabric is None:
                text = f"`self.log({name!r}, ...)` was called, but no Trainer runs this module: nothing was logged."
                warn(text, stacklevel=2)
            elif logger is not False:
                self.fabric.log(name, value)
            return
        arguments = (
            prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
            add_dataloader_idx, metric_attribute, rank_zero_only,
        )  # fmt: skip
        results.log(name, value, arguments, batch_size)

    def log_dict(
        self,
        dictionary: Mapping[str, Any],
        prog_bar: bool = False,
        logger: bool | None = None,
        on_step: bool | None = None,
        on_epoch: bool | None = None,
        reduce_fx: str | Callable[..., Any] = "mean",
        enable_graph: bool = False,
        sync_dist: bool = False,
        sync_dist_group: Any = None,
        add_dataloader_idx: bool = True,
        batch_size: int | None = None,
        rank_zero_only: bool = False,
    ) -> None:
        """Log several values, by name; a torchmetrics MetricCollection is one too. The arguments are those of :meth:`log`."""
        if self._results is None and self.fabric is not None and logger is not False:
            self.fabric.log_dict(dictionary)  # as one row
            return
        grouped = hasattr(dictionary, "compute_groups")  # a MetricCollection: its metrics themselves, not copies
        for name, value in dictionary.items(copy_state=False) if grouped else dictionary.items():  # type: ignore[call-arg]  # its own
            self.log(
                name, value, prog_bar, logger, on_step, on_epoch, reduce_fx, enable_graph, sync_dist, sync_dist_group,
                add_dataloader_idx, batch_size, None, rank_zero_only,
            )  # fmt: skip

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process only, above the progress bar."""
        (print if self._trainer is None else self._trainer.print)(*args, **kwargs)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Gather tensors (in any collection) from all processes, with a new leading dimension of their number."""
        return map_tensors(partial(self.trainer.strategy.all_gather, group=group, sync_grads=sync_grads), data)

    # -- weights ----------------------------------------------------------------------------------------------------

    def freeze(self) -> Self:
        """Stop the gradients of all parameters and switch to evaluation mode."""
        return self.requires_grad_(False).eval()

    def unfreeze(self) -> Self:
        """Let all parameters have gradients and switch to training mode."""
        return self.requires_grad_(True).train()

    @class_only
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build the module from a checkpoint: its hyper-parameters, then its weights.

        Args:
            checkpoint_path: A path, URL or binary stream.
            map_location: The device to load onto; default: where the weights were, else the CPU.
            hparams_file: A ``.yaml`` or ``.csv`` file that replaces the saved hyper-parameters.
            strict: Whether the weights must match exactly; default: the module's ``strict_loading``.
            weights_only: False runs arbitrary code from the file; only for files you trust.
            kwargs: Arguments of ``__init__`` that override the saved ones.
        """
        return load_from_checkpoint(cls, checkpoint_path, map_location, hparams_file, strict, weights_only, kwargs)
