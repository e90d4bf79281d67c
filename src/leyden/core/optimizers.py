"""Optimizers and schedulers as the module configures them, and the optimizer a step sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol
from warnings import warn

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau

from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value, nearest

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
        module = self._module
        assert module is not None, "the optimizer belongs to a run"
        module.toggle_optimizer(self._as_optimizer())
        try:
            if sync_grad:
                yield
            else:
                with module.trainer.strategy.block_backward_sync():
                    yield
        finally:
            module.untoggle_optimizer(self._as_optimizer())

    def _as_optimizer(self) -> Optimizer:
        assert isinstance(self, Optimizer)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        self._optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The wrapped optimizer's state."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the wrapped optimizer's state."""
        self._optimizer.load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters to the wrapped optimizer."""
        self._optimizer.add_param_group(param_group)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_optimizer"], name)

    def __repr__(self) -> str:
        return f"Lightning{self._optimizer!r}"


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
    shared = {name: _forwarded(name) for name in ("state", "param_groups", "defaults")}
    wrapper_class = type(f"Lightning{kind.__name__}", (LightningOptimizer, kind), shared)
    wrapper: LightningOptimizer = object.__new__(wrapper_class)
    wrapper.__dict__.update(_optimizer=optimizer, _module=module, _counter=counter, _manual=manual, _execute=execute)
    return wrapper


class NoOptimizer(Optimizer):
    """Stands in where ``configure_optimizers`` returned None: steps run and are counted, and no weight changes."""

    def __init__(self) -> None:
        super().__init__([torch.zeros(1)], {})

    def step(self, closure: Closure | None = None) -> Any:
        """Evaluate the closure."""
        if closure is None:
            return None
        with torch.enable_grad():
            return closure()

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing."""


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
    assumed_monitor: bool = False


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
    optimizers: list[Optimizer] = []
    schedulers: list[LRSchedulerConfig] = []
    if returned is None or (isinstance(returned, (list, tuple)) and not returned):
        warn(
            "`configure_optimizers` returned no optimizer: this fit changes no weights. "
            "Fix: return one, for example torch.optim.Adam(self.parameters(), lr=1e-3).",
            stacklevel=2,
        )
        return [NoOptimizer()], schedulers
    if isinstance(returned, Optimizer):
        return [returned], schedulers
    if isinstance(returned, Mapping):
        returned = [returned]
    if not isinstance(returned, (list, tuple)):
        raise MisconfigurationException(bad_value("configure_optimizers() return value", returned, _FORMS))
    if all(isinstance(item, Optimizer) for item in returned):
        optimizers = list(returned)
    elif all(isinstance(item, Mapping) for item in returned):
        for item in returned:
            optimizers.append(_optimizer_of(item))
            if item.get("lr_scheduler") is not None:
                schedulers.append(_scheduler_config(item["lr_scheduler"], monitor=item.get("monitor")))
    elif len(returned) == 2 and all(isinstance(item, (list, tuple)) for item in returned):
        optimizers = list(returned[0])
        schedulers = [_scheduler_config(item, bare_list=True) for item in returned[1]]
    else:
        raise MisconfigurationException(bad_value("configure_optimizers() return value", returned, _FORMS))
    _check_optimizers(optimizers, schedulers)
    return optimizers, schedulers


def _optimizer_of(item: Mapping[str, Any]) -> Optimizer:
    if "optimizer" not in item:
        hint = next(filter(None, (nearest(str(key), ["optimizer"]) for key in item)), "")
        raise MisconfigurationException(
            f"`configure_optimizers()` returned a dict without the key 'optimizer': it has {sorted(item)}.{hint} "
            "Fix: return {'optimizer': optimizer, 'lr_scheduler': scheduler}."
        )
    if extra := sorted(set(item) - {"optimizer", "lr_scheduler", "monitor"}):
        warn(
            f"`configure_optimizers()` returned a dict with keys that have no meaning: {extra}. "
            "Known: 'optimizer', 'lr_scheduler', 'monitor'.",
            stacklevel=2,
        )
    optimizer: Optimizer = item["optimizer"]
    return optimizer


def _check_optimizers(optimizers: list[Optimizer], schedulers: list[LRSchedulerConfig]) -> None:
    for optimizer in optimizers:
        if not isinstance(optimizer, Optimizer):
            raise MisconfigurationException(
                bad_value("configure_optimizers() return value", optimizer, "torch.optim.Optimizer instances")
            )
    for config in schedulers:
        owner = getattr(config.scheduler, "optimizer", None)
        if owner is not None and all(owner is not optimizer for optimizer in optimizers):
            raise MisconfigurationException(
                f"`configure_optimizers()` returned the scheduler {type(config.scheduler).__name__} of an optimizer "
                "that it did not return. Fix: return that optimizer too, or build the scheduler on a returned one."
            )


def _scheduler_config(given: Any, monitor: str | None = None, bare_list: bool = False) -> LRSchedulerConfig:
    if isinstance(given, Mapping):
        known = {field.name for field in fields(LRSchedulerConfig)} - {"assumed_monitor"}
        if "scheduler" not in given:
            raise MisconfigurationException(
                f"The `lr_scheduler` dict has no key 'scheduler': it has {sorted(given)}."
                f"{next(filter(None, (nearest(str(key), ['scheduler']) for key in given)), '')} "
                "Fix: {'scheduler': scheduler, 'interval': 'step'}."
            )
        if extra := sorted(set(given) - known):
            warn(f"The `lr_scheduler` dict has unknown keys {extra}. Known: {sorted(known)}.", stacklevel=2)
        config = LRSchedulerConfig(**{key: value for key, value in given.items() if key in known})
        if "reduce_on_plateau" not in given:
            config.reduce_on_plateau = isinstance(config.scheduler, ReduceLROnPlateau)
        if config.monitor is None:
            config.monitor = monitor
    else:
        config = LRSchedulerConfig(given, monitor=monitor, reduce_on_plateau=isinstance(given, ReduceLROnPlateau))
        if bare_list and config.reduce_on_plateau:
            config.monitor, config.assumed_monitor = "val_loss", True
    _check_scheduler(config)
    return config


def _check_scheduler(config: LRSchedulerConfig) -> None:
    kind = type(config.scheduler).__name__
    if config.interval not in ("step", "epoch"):
        raise MisconfigurationException(
            bad_value("interval", config.interval, "'step' or 'epoch'")
            + nearest(str(config.interval), ["step", "epoch"])
        )
    if not isinstance(config.frequency, int) or config.frequency < 1:
        raise MisconfigurationException(bad_value("frequency", config.frequency, "an int >= 1"))
    if config.reduce_on_plateau and config.monitor is None:
        raise MisconfigurationException(
            f"{kind} steps on a metric, and the `lr_scheduler` dict names none. "
            "Fix: {'optimizer': o, 'lr_scheduler': {'scheduler': s, 'monitor': 'val_loss'}}."
        )
    if isinstance(config.scheduler, OneCycleLR) and config.interval == "epoch":
        warn(
            "OneCycleLR plans a number of steps but steps once per epoch here, so the rate will hardly move. "
            "Fix: {'scheduler': scheduler, 'interval': 'step'}.",
            PossibleUserWarning,
            stacklevel=2,
        )


def steps_itself(scheduler: Any) -> bool:
    """Whether ``scheduler`` is one of torch's kind; another one needs ``lr_scheduler_step`` overridden."""
    return isinstance(scheduler, (LRScheduler, ReduceLROnPlateau))


def move_optimizer_state(optimizer: Optimizer, device: torch.device) -> None:
    """Move the state of an optimizer to a device, in place; only fused and capturable ones count steps there."""
    for group in optimizer.param_groups:
        moves_step = group.get("fused") or group.get("capturable")
        for parameter in group["params"]:
            for key, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor) and (key != "step" or moves_step):
                    optimizer.state[parameter][key] = value.to(device)


ClipAlgorithm = Literal["norm", "value"]
