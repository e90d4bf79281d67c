"""The state of a run: one object, built by the Trainer, over which the loops are functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from leyden.core.datamodule import DataHooks, LightningDataModule
from leyden.core.hooks import Hooks, label, overridden
from leyden.core.module import LightningModule
from leyden.core.optimizers import LightningOptimizer, LRSchedulerConfig
from leyden.core.profiler import PassThroughProfiler
from leyden.core.supervised import steps_of
from leyden.engine.results import Metrics, Results
from leyden.engine.states import TrainerFn, TrainerState
from leyden.errors import MisconfigurationException
from leyden.utils.overrides import positional_count
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.core.callback import Callback
    from leyden.core.logger import Logger
    from leyden.engine.config import TrainerArguments
    from leyden.engine.loading import EvaluationLoaders, Sources, TrainLoader
    from leyden.engine.nonfinite import LossGuard
    from leyden.engine.signals import SignalWatch
    from leyden.runtime.precision import Precision
    from leyden.runtime.resolve import Runtime
    from leyden.runtime.strategies.base import Strategy
    from leyden.trainer import Trainer


class Phase(StrEnum):
    """What is still to be done for the batches and epochs that progress counts as over."""

    READY = "ready"
    """Nothing."""
    TRAINED = "trained"
    """The last batch is trained; its validation, and what follows it, is due."""
    VALIDATING = "validating"
    """The last batch is trained, its validation has begun and has to be done from its start."""
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


def from_iterator(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step that asks for ``dataloader_iter``, to be called as any other: its iterator holds the one batch."""

    def one_batch(batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Iterator[tuple[Any, int, int]]:
        yield batch, batch_idx, dataloader_idx
        fix = "one `next(dataloader_iter)` per step; for several batches per update Trainer(accumulate_grad_batches=n)"
        raise MisconfigurationException(f"A step took a second batch from `dataloader_iter`. Fix: {fix}.")

    return lambda *given: step(one_batch(*given))


class Muted:
    """Takes what ``self.log`` is given under ``barebones=True`` and drops it."""

    warned = False

    def log(self, name: str, value: Any, arguments: tuple[Any, ...], batch_size: int | None) -> None:
        """Say once that nothing is logged."""
        if not self.warned:
            self.warned = True
            rank_zero_warn("Trainer(barebones=True) logs nothing: `self.log` has no effect.")


@dataclass
class Run:
    """Everything one call of fit, validate, test or predict works on."""

    trainer: Trainer
    fn: TrainerFn
    module: LightningModule
    datamodule: LightningDataModule | None
    sources: Sources
    arguments: TrainerArguments = field(init=False)
    runtime: Runtime = field(init=False)
    callbacks: list[Callback] = field(init=False)
    loggers: list[Logger] = field(init=False)
    state: TrainerState = field(init=False)
    progress: Progress = field(init=False)
    metrics: Metrics = field(init=False)
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
    strategy: Strategy = field(init=False)
    precision: Precision = field(init=False)
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
    """The file of an interrupted run that this one continues; the next regular save takes its place."""
    teardowns: list[Callable[..., Any]] = field(default_factory=list)
    """The teardown hooks that are due: none before setup has begun."""
    guard: LossGuard | None = None
    signals: SignalWatch | None = None
    left_out: int = 0
    """Batches for which ``training_step`` returned None."""
    validates: bool = False
    """Fit has validation to do."""
    forward_only: bool = False
    """The next epochs run ``training_step`` without gradients and change no weight."""
    sanity_keys: set[str] | None = None
    """What the first validation logged; None before it."""

    def __post_init__(self) -> None:
        trainer = self.trainer  # it keeps these from run to run
        self.arguments, self.runtime, self.state = trainer._arguments, trainer._runtime, trainer.state
        self.callbacks, self.loggers = trainer.callbacks, trainer.loggers
        self.progress, self.metrics = trainer._progress, trainer._metrics
        self.strategy, self.precision = self.runtime.strategy, self.runtime.precision
        profiler: Any = self.arguments.profiler
        profiler = None if type(profiler) is PassThroughProfiler else profiler
        self.hooks = Hooks(self.trainer, self.callbacks, self.module, self.datamodule, profiler)
        self.results, self.train_results = self.new_results(), self.new_results()

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
        method = own or getattr(self.module, name)
        count = positional_count(method)
        step, context = self.strategy_method(name, self.strategy.step(name, own)), self.precision.forward_context
        if "dataloader_iter" in signature(method).parameters:
            step, count = from_iterator(step), None
        if context is None:
            return step, count

        def in_context(*arguments: Any) -> Any:
            with context():
                return step(*arguments)

        return in_context, count

    def strategy_method(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """What the strategy does under ``name``; measured if there is a profiler."""
        return self.hooks.measured(f"[Strategy]{type(self.strategy).__name__}.{name}", method)

    def bind_transfer(self) -> None:
        """Decide how a batch reaches the device: not at all where it is there and nobody overrides the hooks."""
        owners = [owner for owner in (self.datamodule, self.module) if owner is not None]

        def method(name: str) -> Callable[..., Any] | None:
            found = [(label(o), m) for o in owners if (m := overridden(o, name, DataHooks)) is not None]
            if len(found) > 1:
                rank_zero_warn(f"Data module and module both define `{name}`. The data module's is used: delete one.")
            return next((self.hooks.measured(f"{owner}.{name}", m) for owner, m in found), None)

        before, move = method("on_before_batch_transfer"), method("transfer_batch_to_device")
        after = method("on_after_batch_transfer")
        device, convert = self.strategy.root_device, self.precision.convert_input
        if move is None and device.type != "cpu":
            move = self.hooks.method("transfer_batch_to_device")

        def transfer(batch: Any, dataloader_idx: int) -> Any:
            with self.hooks.inside("transfer_batch_to_device"):
                if before is not None:
                    batch = before(batch, dataloader_idx)
                if move is not None:
                    batch = move(batch, device, dataloader_idx)
                if after is not None:
                    batch = after(batch, dataloader_idx)
                return batch if convert is None else convert(batch)

        needed = before or move or after or convert
        self.transfer = self.strategy_method("batch_to_device", transfer) if needed else None

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward with the precision's loss scaling."""
        self.module.backward(self.precision.scale(loss, self.module.automatic_optimization), *args, **kwargs)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backward in manual optimization: with the hooks, and the exchange of gradients between processes."""
        self.hooks.call("on_before_backward", loss)
        self.backward(loss, *args, **kwargs)
        self.strategy.reduce_gradients()
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
