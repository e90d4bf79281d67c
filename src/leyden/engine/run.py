"""The state of a run: one object, built by the Trainer, over which the loops are functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch
from torch import Tensor

from leyden.core.hooks import Hooks, Owner
from leyden.core.module import LightningModule
from leyden.core.optimizers import LightningOptimizer, LRSchedulerConfig
from leyden.core.supervised import steps_of
from leyden.engine.results import Metrics, Results
from leyden.engine.states import TrainerFn, TrainerState
from leyden.utils.overrides import positional_count

if TYPE_CHECKING:
    from leyden.core.callback import Callback
    from leyden.core.datamodule import LightningDataModule
    from leyden.core.logger import Logger
    from leyden.engine.config import TrainerArguments
    from leyden.engine.loading import EvaluationLoaders, Sources, TrainLoader
    from leyden.engine.nonfinite import LossGuard
    from leyden.engine.signals import SignalWatch
    from leyden.runtime.resolve import Runtime
    from leyden.trainer import Trainer


class Phase(StrEnum):
    """What is still to be done for the batches and epochs that progress counts as over."""

    READY = "ready"
    """Nothing."""
    TRAINED = "trained"
    """The last batch is trained; its validation, and what follows it, is due."""
    VALIDATED = "validated"
    """The last batch is trained and validated; schedulers that wait for the metric are due."""
    EPOCH_ENDED = "epoch_ended"
    """The epoch-end hooks ran; schedulers that wait for the metric and the epoch's row are due."""


@dataclass
class Progress:
    """How far fit has come; a checkpoint holds it, and a second ``fit`` continues from it.

    Attributes:
        epoch: Epochs that are over.
        batch: Batches of the running epoch whose training is over.
        global_step: Optimizer steps, over all optimizers.
        stepped: Batches on which an optimizer stepped: the loggers' x-axis.
        seen: Batches trained, over all epochs.
        phase: What is due.
        started: The running epoch's start hooks have run.
        is_last_batch: The running epoch's data is over, or the module has left the epoch.
        validations: Batches validated so far, per loader: the x-axis of values logged in each validation step.
    """

    epoch: int = 0
    batch: int = 0
    global_step: int = 0
    stepped: int = 0
    seen: int = 0
    phase: Phase = Phase.READY
    started: bool = False
    is_last_batch: bool = False
    validations: dict[str, list[int]] = field(default_factory=dict)

    def restart_epoch(self) -> None:
        """Stand at the beginning of :attr:`epoch`."""
        self.batch, self.started, self.is_last_batch, self.phase = 0, False, False, Phase.READY

    def state_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {**asdict(self), "phase": self.phase.value}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back :meth:`state_dict`."""
        for name, value in state.items():
            setattr(self, name, Phase(value) if name == "phase" else value)


@dataclass
class Window:
    """The accumulation window: ``size`` batches share an optimizer step, each with its weight.

    The gradients add up to those of one big batch: each batch's share of the loss, ``loss / size``, is scaled by its
    weight over the first one's, and once the window's whole weight is known the gradients are corrected. Equal weights
    in a full window are not scaled and need no correction.
    """

    size: int = 1
    weights: list[Any] = field(default_factory=list)

    def weigh(self, share: Tensor, weight: Any) -> Tensor:
        """Take in a batch's weight; return its share of the loss, scaled."""
        self.weights.append(weight)
        first = not_zero(self.weights[0])
        if not isinstance(weight, Tensor) and weight == first:
            return share
        return share.mul(weight / first)

    def correction(self) -> Any:
        """Close the window; return the factor that the gradients still need."""
        weights, self.weights = self.weights, []
        return self.size * not_zero(weights[0]) / not_zero(sum(weights)) if weights else 1.0


def not_zero(weight: Any) -> Any:
    """A weight to divide by: 1 in place of 0, decided where a tensor lies."""
    return torch.where(weight == 0, torch.ones_like(weight), weight) if isinstance(weight, Tensor) else weight or 1


class Muted:
    """Takes what ``self.log`` is given under ``barebones=True`` and drops it."""

    def __init__(self) -> None:
        self.warned = False

    def log(self, name: str, value: Any, arguments: tuple[Any, ...], batch_size: int | None) -> None:
        """Say once that nothing is logged."""
        if not self.warned:
            self.warned = True
            warn("Trainer(barebones=True) logs nothing: `self.log` has no effect.", stacklevel=3)


@dataclass
class Run:
    """Everything one call of fit, validate, test or predict works on."""

    trainer: Trainer
    fn: TrainerFn
    arguments: TrainerArguments
    runtime: Runtime
    module: LightningModule
    datamodule: LightningDataModule | None
    callbacks: list[Callback]
    loggers: list[Logger]
    state: TrainerState
    progress: Progress
    metrics: Metrics
    sources: Sources
    should_stop: bool = False
    optimizers: list[LightningOptimizer] = field(default_factory=list)
    schedulers: list[LRSchedulerConfig] = field(default_factory=list)
    window: Window = field(default_factory=Window)
    train: TrainLoader | None = None
    evaluations: dict[str, EvaluationLoaders] = field(default_factory=dict)
    predictions: Any = None
    resumed: Mapping[str, Any] | None = None
    """The part of a checkpoint that is restored once the first epoch has begun."""
    transfer: Callable[[Any, int], Any] | None = None
    hooks: Hooks = field(init=False)
    results: Results = field(init=False)
    train_results: Results = field(init=False)
    muted: Muted = field(default_factory=Muted)
    settling: list[Callable[[], None]] = field(default_factory=list)
    busy: bool = False
    """A batch's hooks are running: what :meth:`when_settled` was given has to wait."""
    last_validation: float = 0.0
    switches: dict[str, dict[str, bool]] | None = None
    """Training modes and the like when training began; None before."""
    signal_checkpoint: str | None = None
    guard: LossGuard | None = None
    signals: SignalWatch | None = None
    left_out: int = 0
    """Batches for which ``training_step`` returned None."""
    validates: bool = False
    """Fit has validation to do."""
    sanity_keys: set[str] | None = None
    """What the first validation logged; None before it."""

    @property
    def is_last_batch(self) -> bool:
        """The running epoch's data is over."""
        return self.progress.is_last_batch

    @property
    def strategy(self) -> Any:
        """The strategy."""
        return self.runtime.strategy

    @property
    def precision(self) -> Any:
        """The precision."""
        return self.runtime.precision

    def bind_hooks(self) -> None:
        """Collect who overrides which hook; done per stage, and per epoch if callbacks changed."""
        from leyden.core.datamodule import LightningDataModule

        profiler: Any = self.arguments.profiler
        wrap = None
        if profiler is not None:

            def wrap(name: str, listener: Callable[..., Any]) -> Callable[..., Any]:
                def timed(*arguments: Any) -> Any:
                    with profiler.profile(name):
                        return listener(*arguments)

                return timed

        module = Owner(self.module, LightningModule, (), f"[LightningModule]{type(self.module).__name__}")
        data = self.datamodule
        self.hooks = Hooks(
            trainer=self.trainer,
            callbacks=self.callbacks,
            module=module,
            datamodule=None
            if data is None
            else Owner(data, LightningDataModule, (), f"[DataModule]{type(data).__name__}"),
            wrap=wrap,
        )
        if "results" in self.__dict__:
            self.results.hooks = self.hooks

    def use_results(self, results: Results | None) -> None:
        """Let ``self.log`` write into ``results``."""
        if results is not None:
            self.results = results
        target = self.muted if self.arguments.barebones and results is not None else results
        for child in self.module.modules():
            if isinstance(child, LightningModule):  # a LightningModule inside another logs too
                child.__dict__["_results"] = target

    def new_results(self) -> Results:
        """An empty collection for a stage."""
        return Results(self.hooks, self.module, self.strategy)

    def step_caller(self, name: str) -> tuple[Callable[..., Any], int | None]:
        """The module's step as the loop calls it, and how many positional arguments it takes.

        Strategy and precision are put around it here, once, so that the loop knows neither.
        """
        own = steps_of(self.module).get(name)
        if own is None:
            count = positional_count(getattr(self.module, name))
            step = self.strategy.step(name)
        else:
            step, count = own, 2
        context = self.precision.forward_context
        if context is None:
            return step, count

        def in_context(*arguments: Any) -> Any:
            with context():
                return step(*arguments)

        return in_context, count

    def bind_transfer(self) -> None:
        """Decide how a batch reaches the device: not at all where it is there and nobody overrides the hooks."""
        module, data = self.module, self.datamodule
        from leyden.core.datamodule import DataHooks
        from leyden.core.hooks import overridden

        owners = [owner for owner in (data, module) if owner is not None]
        steps: list[Callable[[Any, int], Any]] = []

        def method(name: str) -> Callable[..., Any] | None:
            return next((m for owner in owners if (m := overridden(owner, name, DataHooks)) is not None), None)

        before, move, after = (
            method(name) for name in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
        )
        device: torch.device = self.strategy.root_device
        if before is not None:
            steps.append(before)
        if move is not None or device.type != "cpu":
            mover = move or module.transfer_batch_to_device
            steps.append(lambda batch, index: mover(batch, device, index))
        if after is not None:
            steps.append(after)
        if self.precision.convert_input is not None:
            convert = self.precision.convert_input
            steps.append(lambda batch, index: convert(batch))
        if not steps:
            self.transfer = None
            return

        def transfer(batch: Any, dataloader_idx: int) -> Any:
            previous, self.hooks.current = self.hooks.current, "transfer_batch_to_device"
            for step in steps:
                batch = step(batch, dataloader_idx)
            self.hooks.current = previous
            return batch

        self.transfer = transfer

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward with the precision's loss scaling."""
        if self.precision.scaler is not None:
            loss = self.precision.scaler.scale(loss)
        self.module.backward(loss, *args, **kwargs)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward in manual optimization: with the hooks, and the exchange of gradients between processes."""
        active = self.hooks.active
        if "on_before_backward" in active:
            self.hooks.call("on_before_backward", loss)
        self.backward(loss, *args, **kwargs)
        self.strategy.reduce_gradients()
        if "on_after_backward" in active:
            self.hooks.call("on_after_backward")

    def when_settled(self, action: Callable[[], None]) -> None:
        """Run ``action`` when no hook of the running batch or stage is pending; at once if none runs."""
        self.settling.append(action)
        if not self.busy:
            self.settle()

    def settle(self) -> None:
        """Run what waited."""
        while self.settling:
            self.settling.pop(0)()

    def log_row(self, row: Mapping[str, Any], step: int) -> None:
        """Send a row to the loggers."""
        if row and self.loggers and not self.arguments.fast_dev_run:
            step = int(row.get("step", step))
            for logger in self.loggers:
                logger.log_metrics({k: v for k, v in row.items() if k != "step"}, step=step)
