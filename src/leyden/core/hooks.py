"""Every hook, declared once, and the dispatcher that calls it.

``HOOKS`` says for each name who may implement it and what ``self.log`` may do inside. :class:`Hooks` keeps, per hook,
only the methods that are really overridden, so a hook nobody uses costs a look-up and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.module import LightningModule
from leyden.core.profiler import Profiler
from leyden.utils.overrides import is_overridden, positional_count


class LogRule(NamedTuple):
    """The defaults of ``self.log`` inside a hook, and whether a value per step makes sense there."""

    on_step: bool
    on_epoch: bool
    step_allowed: bool


PER_STEP = LogRule(on_step=True, on_epoch=False, step_allowed=True)
PER_BATCH = LogRule(on_step=False, on_epoch=True, step_allowed=True)
PER_EPOCH = LogRule(on_step=False, on_epoch=True, step_allowed=False)


@dataclass(frozen=True)
class Hook:
    """One row of the table."""

    name: str
    owners: str
    """Who may implement it, in the order of calling: ``c`` callbacks, ``m`` module, ``d`` data module."""
    log: LogRule | None = None
    """None: ``self.log`` is refused here."""
    arguments: int = 0
    """How many arguments the module's method gets; trailing optional ones are dropped for methods that lack them."""
    monitors_last: bool = False
    """Callbacks with ``monitors = True`` run after the module."""

    @property
    def dispatched(self) -> bool:
        """Whether :class:`Hooks` calls it; steps, loaders and configuration are asked by those who need them."""
        return self.name.startswith("on_") or self.name in ("setup", "teardown")


def _rows() -> Iterator[Hook]:
    for stage, rule in (("train", PER_STEP), ("validation", PER_BATCH), ("test", PER_BATCH), ("predict", None)):
        epoch, loader = (PER_EPOCH if rule else None), (0 if stage == "train" else 1)
        yield Hook(f"on_{stage}_start", "cm", epoch)
        yield Hook(f"on_{stage}_end", "cm")
        yield Hook(f"on_{stage}_epoch_start", "cm", epoch)
        yield Hook(f"on_{stage}_epoch_end", "cm", epoch, monitors_last=stage == "train")
        yield Hook(f"on_{stage}_batch_start", "cm", rule, 2 + loader)
        yield Hook(f"on_{stage}_batch_end", "cm", rule, 3 + loader)
    for names, owners, log, arguments in (
        ("training_step backward optimizer_step optimizer_zero_grad configure_gradient_clipping", "m", PER_STEP, 0),
        ("validation_step test_step", "m", PER_BATCH, 0),
        ("predict_step configure_callbacks configure_model configure_optimizers lr_scheduler_step", "m", None, 0),
        ("on_before_zero_grad on_before_backward on_before_optimizer_step", "cm", PER_STEP, 1),
        ("on_after_backward", "cm", PER_STEP, 0),
        ("on_fit_start on_fit_end", "cm", None, 0),
        ("on_sanity_check_start on_sanity_check_end", "c", None, 0),
        ("on_validation_model_eval on_validation_model_train on_validation_model_zero_grad", "m", None, 0),
        ("on_test_model_eval on_test_model_train on_predict_model_eval", "m", None, 0),
        ("on_save_checkpoint on_load_checkpoint", "cm", None, 1),
        ("setup teardown", "dcm", None, 1),
        ("on_exception", "cd", None, 1),
        ("prepare_data train_dataloader val_dataloader test_dataloader predict_dataloader", "dm", None, 0),
        ("on_before_batch_transfer transfer_batch_to_device on_after_batch_transfer", "dm", None, 0),
        ("state_dict load_state_dict", "cmd", None, 0),
    ):
        for name in names.split():
            yield Hook(name, owners, log, arguments)


HOOKS: dict[str, Hook] = {hook.name: hook for hook in _rows()}

Listener = Callable[..., Any]


def overridden(owner: object, name: str, base: type) -> Listener | None:
    """Return ``owner``'s method ``name`` if it is not the one of ``base``; an instance attribute counts."""
    return getattr(owner, name) if is_overridden(name, owner, base) else None


@dataclass(frozen=True)
class Owner:
    """An object that may override hooks, the class that holds the defaults, and what goes before the arguments."""

    instance: Any
    base: type
    name: str
    leading: tuple[Any, ...] = ()

    def find(self, hook: Hook) -> Listener | None:
        """The method that overrides a hook, to be called with the hook's arguments; None if there is none."""
        method = overridden(self.instance, hook.name, self.base)
        if method is None:
            return None
        count = positional_count(method) if hook.arguments else None
        if count is not None and count < hook.arguments + len(self.leading):  # `dataloader_idx` is optional
            return lambda *given: method(*(*self.leading, *given)[:count])
        return partial(method, *self.leading) if self.leading else method


def timed(profiler: Profiler, name: str, listener: Listener) -> Listener:
    """``listener``, measured at each call."""

    def call(*arguments: Any, **options: Any) -> Any:
        with profiler.profile(name):
            return listener(*arguments, **options)

    return call


def label(owner: LightningModule | LightningDataModule) -> str:
    """What a profiler's report puts before the name of an owner's hook."""
    kind = LightningDataModule if isinstance(owner, LightningDataModule) else LightningModule
    return f"[{kind.__name__}]{type(owner).__name__}"


class Hooks:
    """Calls each hook on those who override it: callbacks in list order, then the module.

    Attributes:
        active: The names of the hooks that somebody overrides; the step asks ``name in active`` before a call.
        current: The hook that runs now; ``self.log`` takes its defaults from it.

    Args:
        trainer: The Trainer, which callbacks get.
        callbacks: The callbacks, in the order of calling; the list may change between two :meth:`bind`.
        module: The module.
        datamodule: The data module.
        profiler: Measures each call.
    """

    def __init__(
        self,
        trainer: Any,
        callbacks: Sequence[Callback],
        module: LightningModule,
        datamodule: LightningDataModule | None = None,
        profiler: Profiler | None = None,
    ) -> None:
        self.trainer, self.callbacks, self.module, self.datamodule = trainer, callbacks, module, datamodule
        self.profiler = profiler
        self.current = ""
        self.bind()

    def bind(self) -> None:
        """Collect who overrides which hook: when a run begins, and whenever callbacks or methods may have changed."""
        data, given = self.datamodule, (self.trainer, self.module)
        module = Owner(self.module, LightningModule, label(self.module))
        datamodules = [] if data is None else [Owner(data, LightningDataModule, label(data))]
        callbacks = [Owner(c, Callback, f"[Callback]{c.state_key}", given) for c in self.callbacks]
        self._first: dict[str, tuple[Listener, ...]] = {}
        self._own: dict[str, tuple[Listener, ...]] = {}
        self._monitors: dict[str, tuple[Listener, ...]] = {}
        for hook in (hook for hook in HOOKS.values() if hook.dispatched):
            late = [owner for owner in callbacks if hook.monitors_last and owner.instance.monitors]
            groups = {"c": [owner for owner in callbacks if owner not in late], "d": datamodules}
            self._put(self._first, hook, [owner for letter in hook.owners for owner in groups.get(letter, ())])
            self._put(self._own, hook, [module] if "m" in hook.owners else [])
            self._put(self._monitors, hook, late)
        self.active = frozenset({*self._first, *self._own, *self._monitors})

    def _put(self, listeners: dict[str, tuple[Listener, ...]], hook: Hook, owners: Sequence[Owner]) -> None:
        found = [(owner.name, method) for owner in owners if (method := owner.find(hook)) is not None]
        if found:
            listeners[hook.name] = tuple(self.measured(f"{name}.{hook.name}", method) for name, method in found)

    def measured(self, name: str, listener: Listener) -> Listener:
        """``listener`` under a name in the profiler's report; without a profiler ``listener`` itself."""
        return listener if self.profiler is None else timed(self.profiler, name, listener)

    def measured_batches(self, name: str, batches: Iterator[Any]) -> Iterator[Any]:
        """``batches`` with each wait for one under a name in the profiler's report; without a profiler themselves."""
        return batches if self.profiler is None else iter(timed(self.profiler, name, batches.__next__), None)

    def method(self, name: str) -> Listener:
        """The module's own method, for a caller that keeps it; measured if there is a profiler."""
        return self.measured(f"{label(self.module)}.{name}", getattr(self.module, name))

    def call(self, name: str, *arguments: Any) -> Any:
        """Call ``name`` on callbacks (and data module), then on the module; return what the module returned."""
        previous, self.current = self.current, name
        result = None
        for listener in self._first.get(name, ()):
            listener(*arguments)
        for listener in self._own.get(name, ()):
            result = listener(*arguments)
        self.current = previous
        return result

    def call_monitors(self, name: str, *arguments: Any) -> None:
        """Call ``name`` on the callbacks that decide by logged values."""
        with self.inside(name):
            for listener in self._monitors.get(name, ()):
                listener(*arguments)

    def listeners(self, name: str) -> list[Listener]:
        """Who overrides ``name``, for a caller that has to reach each of them even if one raises."""
        return [method for group in (self._first, self._own, self._monitors) for method in group.get(name, ())]

    def release(self) -> None:
        """The run is over: leave nothing in the owners."""

    @contextmanager
    def inside(self, name: str, owner: Any = None) -> Iterator[None]:
        """Mark ``name`` as the hook that runs, around a call that is not dispatched; measure that of an ``owner``."""
        previous, self.current = self.current, name
        try:
            if owner is None or self.profiler is None:
                yield
            else:
                with self.profiler.profile(f"{label(owner)}.{name}"):
                    yield
        finally:
            self.current = previous
