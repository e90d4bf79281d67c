"""Optimizers and schedulers as the module configures them, and the optimizer a step sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value, nearest
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.core.module import LightningModule

Closure = Callable[[], Any]


class StepCounter(Protocol):
    """Whoever counts optimizer steps."""

    global_step: int


class LightningOptimizer:
    """The user's optimizer during a run: ``step`` counts, and calls the hooks of manual optimization.

    Instances are made by :func:`wrap_optimizer`, whose classes also derive from the wrapped optimizer's class, so
    ``isinstance(optimizer, torch.optim.Adam)`` holds. State and parameter groups are the wrapped optimizer's own.
    """

    _optimizer: Optimizer
    _counter: StepCounter | None
    _manual: Callable[[LightningOptimizer, Closure | None], Closure | None] | None
    _execute: Callable[[Optimizer, Closure | None], Any] | None
    _module: LightningModule | None

    @property
    def optimizer(self) -> Optimizer:
        """The wrapped optimizer."""
        return self._optimizer

    def step(self, closure: Closure | None = None, **kwargs: Any) -> Any:
        """Step the wrapped optimizer and count the step.

        Args:
            closure: Evaluates the model and returns the loss; in automatic optimization it is the whole rest of the
                training step and must be passed on.
            kwargs: Passed to the wrapped optimizer's ``step``.
        """
        if self._manual is not None:
            closure = self._manual(self, closure)
        if self._execute is None:
            output = self._optimizer.step(closure, **kwargs) if kwargs else self._optimizer.step(closure)
        else:
            output = self._execute(self._optimizer, closure)
        if self._counter is not None:
            self._counter.global_step += 1
        return output

    @contextmanager
    def toggle_model(self, sync_grad: bool = True) -> Iterator[None]:
        """Train only this optimizer's parameters inside the context, as for the two sides of a GAN.

        Args:
            sync_grad: False leaves out the gradient exchange between processes, for accumulation.
        """
        assert self._module is not None, "the optimizer belongs to a run"
        strategy = self._module.trainer.strategy
        with self._module.toggled_optimizer(self), nullcontext() if sync_grad else strategy.block_backward_sync():
            yield

    def __getattr__(self, name: str) -> Any:
        if "_optimizer" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._optimizer, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return wrap_optimizer, (self._optimizer,)  # a copy belongs to no run

    def __repr__(self) -> str:
        return f"Lightning{self._optimizer!r}"


_FORWARDED = ("state", "param_groups", "defaults", "zero_grad", "state_dict", "load_state_dict", "add_param_group")


def _forwarded(name: str) -> property:
    def read(self: LightningOptimizer) -> Any:
        return getattr(self._optimizer, name)

    def write(self: LightningOptimizer, value: Any) -> None:
        setattr(self._optimizer, name, value)

    return property(read, write)


def wrap_optimizer(
    optimizer: Optimizer | LightningOptimizer,
    module: LightningModule | None = None,
    counter: StepCounter | None = None,
    manual: Callable[[LightningOptimizer, Closure | None], Closure | None] | None = None,
    execute: Callable[[Optimizer, Closure | None], Any] | None = None,
) -> LightningOptimizer:
    """Wrap an optimizer for a run.

    Args:
        optimizer: The user's optimizer.
        module: The module it belongs to.
        counter: Whose ``global_step`` grows by one per step.
        manual: In manual optimization: turns the user's closure into the one to run, calling the hooks.
        execute: Runs the step instead of ``optimizer.step(closure)``; a gradient scaler needs that.
    """
    if isinstance(optimizer, LightningOptimizer):
        return optimizer
    kind = type(optimizer)
    forwarded = {name: _forwarded(name) for name in _FORWARDED}
    wrapper_class = type(f"Lightning{kind.__name__}", (LightningOptimizer, kind), forwarded)
    wrapper: LightningOptimizer = object.__new__(wrapper_class)
    wrapper.__dict__.update(_optimizer=optimizer, _module=module, _counter=counter, _manual=manual, _execute=execute)
    return wrapper


class NoOptimizer(SGD):
    """Stands in where ``configure_optimizers`` returned None: steps run and are counted, and no weight changes."""

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], lr=0.0)


@dataclass
class LRSchedulerConfig:
    """A scheduler and when it steps.

    Attributes:
        scheduler: The scheduler.
        name: Its name for learning-rate monitors.
        interval: ``"epoch"`` or ``"step"`` (a step is a batch on which the optimizer stepped).
        frequency: Step every so many intervals.
        reduce_on_plateau: It steps on a metric.
        monitor: The metric's name.
        strict: A missing metric is an error (else a warning).
        assumed_monitor: ``monitor`` is our guess for a bare ReduceLROnPlateau.
    """

    scheduler: Any
    name: str | None = None
    interval: str = "epoch"
    frequency: int = 1
    reduce_on_plateau: bool = False
    monitor: str | None = None
    strict: bool = True
    assumed_monitor: bool = field(default=False, init=False)


OptimizerLRScheduler = (
    Optimizer | Sequence[Optimizer] | tuple[Sequence[Optimizer], Sequence[Any]] | Mapping[str, Any] | None
)

_FORMS = (
    "an optimizer; a list of optimizers; a pair of lists ([optimizers], [schedulers]); "
    "a dict {'optimizer': ..., 'lr_scheduler': ..., 'monitor': ...}; a list of such dicts; None"
)


def parse_optimizers(returned: Any) -> tuple[list[Optimizer], list[LRSchedulerConfig]]:
    """Read what ``configure_optimizers`` returned, in any of its six forms.

    Raises:
        MisconfigurationException: For anything else, with the accepted forms.
    """
    items = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    if returned is None or not items:
        fix = "return one, for example torch.optim.Adam(self.parameters(), lr=1e-3)"
        rank_zero_warn(f"`configure_optimizers` returned no optimizer: this fit changes no weights. Fix: {fix}.")
        return [NoOptimizer()], []
    optimizers, schedulers = items, []
    if all(isinstance(item, Mapping) for item in items):
        for item in items:
            _check_keys("`configure_optimizers` returned a dict that", item, "optimizer", "lr_scheduler", "monitor")
        optimizers = [item["optimizer"] for item in items]
        given = [item for item in items if item.get("lr_scheduler") is not None]
        schedulers = [_scheduler_config(item["lr_scheduler"], item.get("monitor")) for item in given]
    elif len(items) == 2 and all(isinstance(item, (list, tuple)) for item in items):
        optimizers = list(items[0])
        schedulers = [_scheduler_config(item, assumed="val_loss") for item in items[1]]
    if not all(isinstance(optimizer, Optimizer) for optimizer in optimizers):
        raise MisconfigurationException(bad_value("configure_optimizers() return value", returned, _FORMS))
    for config in schedulers:
        owner = getattr(config.scheduler, "optimizer", None)
        if owner is not None and all(owner is not optimizer for optimizer in optimizers):
            text = f"`configure_optimizers()` returned the scheduler {type(config.scheduler).__name__} of an optimizer"
            fix = "return that optimizer too, or build the scheduler on a returned one"
            raise MisconfigurationException(f"{text} that it did not return. Fix: {fix}.")
    return optimizers, schedulers


def _check_keys(what: str, given: Mapping[str, Any], needed: str, *others: str) -> None:
    known = [needed, *others]
    if needed not in given:
        hint = next(filter(None, (nearest(str(key), [needed]) for key in given)), "")
        text = f"{what} has no key {needed!r}: it has {sorted(map(str, given))}.{hint} Known: {known}."
        fix = "{'optimizer': optimizer, 'lr_scheduler': {'scheduler': scheduler}}"
        raise MisconfigurationException(f"{text} Fix: {fix}.")
    if unknown := sorted(set(given) - set(known)):
        rank_zero_warn(f"{what} has unknown keys {unknown}, which have no meaning. Known: {known}.")


def _scheduler_config(given: Any, monitor: str | None = None, assumed: str | None = None) -> LRSchedulerConfig:
    """Read one scheduler, bare or in a dict.

    Args:
        given: The scheduler or its dict.
        monitor: The metric's name where the dict has none.
        assumed: Our guess of it for a bare scheduler that steps on a metric.
    """
    options = given if isinstance(given, Mapping) else {"scheduler": given}
    known = [option.name for option in fields(LRSchedulerConfig) if option.init]
    _check_keys("The `lr_scheduler` dict", options, *known)
    config = LRSchedulerConfig(**{key: value for key, value in options.items() if key in known})
    config.reduce_on_plateau = options.get("reduce_on_plateau", isinstance(config.scheduler, ReduceLROnPlateau))
    config.monitor = monitor if config.monitor is None else config.monitor
    if assumed is not None and config.reduce_on_plateau and options is not given:
        config.monitor, config.assumed_monitor = assumed, True
    _check_scheduler(config)
    return config


def _check_scheduler(config: LRSchedulerConfig) -> None:
    intervals = ["step", "epoch"]
    if config.interval not in intervals:
        text = bad_value("interval", config.interval, "'step' or 'epoch'")
        raise MisconfigurationException(text + nearest(str(config.interval), intervals))
    if not isinstance(config.frequency, int) or config.frequency < 1:
        raise MisconfigurationException(bad_value("frequency", config.frequency, "an int >= 1"))
    if config.reduce_on_plateau and config.monitor is None:
        text = f"{type(config.scheduler).__name__} steps on a metric, and the `lr_scheduler` dict names none"
        fix = "{'optimizer': o, 'lr_scheduler': {'scheduler': s, 'monitor': 'val_loss'}}"
        raise MisconfigurationException(f"{text}. Fix: {fix}.")
    if isinstance(config.scheduler, OneCycleLR) and config.interval == "epoch":
        text = "OneCycleLR plans a number of steps but steps once per epoch here, so the rate will hardly move"
        rank_zero_warn(f"{text}. Fix: {{'scheduler': scheduler, 'interval': 'step'}}.", category=PossibleUserWarning)


def parameters_of(optimizer: Optimizer | LightningOptimizer) -> list[torch.nn.Parameter]:
    """The parameters of all groups."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def move_optimizer_state(optimizer: Optimizer, device: torch.device) -> None:
    """Move the state of an optimizer to a device, in place; only fused and capturable ones count steps there."""
    for group in optimizer.param_groups:
        moves_step = group.get("fused") or group.get("capturable")
        for parameter in group["params"]:
            for key, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor) and (key != "step" or moves_step):
                    optimizer.state[parameter][key] = value.to(device)
