"""Every hook, declared once, and the dispatcher that calls it.

``HOOKS`` says for each name who may implement it and what ``self.log`` may do inside. :class:`Hooks` is built at the
start of a stage: it keeps, per hook, only the methods that are really overridden, so a hook nobody uses costs a
look-up and no call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from leyden.core.callback import Callback
from leyden.utils.overrides import positional_count


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
    for stage in ("fit", "train", "validation", "test", "predict"):
        log = PER_EPOCH if stage in ("train", "validation", "test") else None
        yield Hook(f"on_{stage}_start", "cm", log)
        yield Hook(f"on_{stage}_end", "cm")
    for stage, rule in (("train", PER_STEP), ("validation", PER_BATCH), ("test", PER_BATCH), ("predict", None)):
        loaders = 0 if stage == "train" else 1
        yield Hook(f"on_{stage}_epoch_start", "cm", PER_EPOCH if rule else None)
        yield Hook(f"on_{stage}_epoch_end", "cm", PER_EPOCH if rule else None, monitors_last=stage == "train")
        yield Hook(f"on_{stage}_batch_start", "cm", rule, arguments=2 + loaders)
        yield Hook(f"on_{stage}_batch_end", "cm", rule, arguments=3 + loaders)
    for name in ("training_step", "optimizer_step", "optimizer_zero_grad", "backward", "configure_gradient_clipping"):
        yield Hook(name, "m", PER_STEP)
    for name in ("validation_step", "test_step"):
        yield Hook(name, "m", PER_BATCH)
    yield Hook("predict_step", "m")
    for name, arguments in (
        ("on_before_zero_grad", 1),
        ("on_before_backward", 1),
        ("on_after_backward", 0),
        ("on_before_optimizer_step", 1),
    ):
        yield Hook(name, "cm", PER_STEP, arguments=arguments)
    for stage in ("validation", "test", "predict"):
        yield Hook(f"on_{stage}_model_eval", "m")
        if stage != "predict":
            yield Hook(f"on_{stage}_model_train", "m")
    yield Hook("on_validation_model_zero_grad", "m")
    for name in ("on_sanity_check_start", "on_sanity_check_end"):
        yield Hook(name, "c")
    for name in ("setup", "teardown"):
        yield Hook(name, "dcm", arguments=1)
    yield Hook("prepare_data", "dm")
    yield Hook("on_exception", "cd", arguments=1)
    for name in ("on_save_checkpoint", "on_load_checkpoint"):
        yield Hook(name, "cm", arguments=1)
    for name in ("configure_callbacks", "configure_model", "configure_optimizers", "lr_scheduler_step"):
        yield Hook(name, "m")
    for name in ("transfer_batch_to_device", "on_before_batch_transfer", "on_after_batch_transfer"):
        yield Hook(name, "dm")
    for stage in ("train", "val", "test", "predict"):
        yield Hook(f"{stage}_dataloader", "dm")
    yield Hook("state_dict", "cmd")
    yield Hook("load_state_dict", "cmd")


HOOKS: dict[str, Hook] = {hook.name: hook for hook in _rows()}

Listener = Callable[..., Any]
Wrapper = Callable[[str, Listener], Listener]


def overridden(owner: object, name: str, base: type) -> Listener | None:
    """Return ``owner``'s method ``name`` if it is not the one of ``base``; an instance attribute counts."""
    method = getattr(owner, name, None)
    if method is None or getattr(method, "__func__", method) is getattr(base, name, None):
        return None
    return method  # type: ignore[no-any-return]  # getattr is untyped


def _trimmed(method: Listener, arguments: int) -> Listener:
    """Drop the trailing arguments that ``method`` does not take (``dataloader_idx`` is optional in batch hooks)."""
    count = positional_count(method)
    if count is None or count >= arguments:
        return method
    return lambda *given: method(*given[:count])


@dataclass(frozen=True)
class Owner:
    """An object that may override hooks, the class that holds the defaults, and what goes before the arguments."""

    instance: object
    base: type
    leading: tuple[Any, ...] = ()
    name: str = ""


class Hooks:
    """Calls each hook on those who override it: callbacks in list order, then the module.

    Attributes:
        active: The names of the hooks that somebody overrides; the step asks ``name in active`` before a call.
        current: The hook that runs now; ``self.log`` takes its defaults from it.
    """

    def __init__(
        self,
        *,
        trainer: Any,
        callbacks: Sequence[Callback],
        module: Owner,
        datamodule: Owner | None = None,
        wrap: Wrapper | None = None,
    ) -> None:
        self.current = ""
        self._first: dict[str, tuple[Listener, ...]] = {}
        self._own: dict[str, Listener] = {}
        self._monitors: dict[str, tuple[Listener, ...]] = {}
        for hook in HOOKS.values():
            if hook.dispatched:
                self._collect(hook, trainer, callbacks, module, datamodule, wrap)
        self.active = frozenset(self._first) | frozenset(self._own) | frozenset(self._monitors)

    def _collect(
        self,
        hook: Hook,
        trainer: Any,
        callbacks: Sequence[Callback],
        module: Owner,
        datamodule: Owner | None,
        wrap: Wrapper | None,
    ) -> None:
        def find(owner: Owner) -> Listener | None:
            method = overridden(owner.instance, hook.name, owner.base)
            if method is None:
                return None
            method = _trimmed(method, hook.arguments + len(owner.leading))
            bound = partial(method, *owner.leading) if owner.leading else method
            return wrap(f"{owner.name}.{hook.name}", bound) if wrap else bound

        def found(owners: Iterable[Owner]) -> tuple[Listener, ...]:
            return tuple(method for owner in owners if (method := find(owner)) is not None)

        def owners_of(chosen: Iterable[Callback]) -> list[Owner]:
            return [Owner(c, Callback, (trainer, module.instance), f"[Callback]{c.state_key}") for c in chosen]

        late = [c for c in callbacks if hook.monitors_last and c.monitors]
        first = owners_of(c for c in callbacks if c not in late)
        if datamodule is not None and "d" in hook.owners:
            first = [datamodule, *first] if hook.owners[0] == "d" else [*first, datamodule]
        own = find(module) if "m" in hook.owners else None
        if listeners := found(first):
            self._first[hook.name] = listeners
        if own is not None:
            self._own[hook.name] = own
        if listeners := found(owners_of(late)):
            self._monitors[hook.name] = listeners

    def call(self, name: str, *arguments: Any) -> Any:
        """Call ``name`` on callbacks (and data module), then on the module; return what the module returned."""
        previous, self.current = self.current, name
        for listener in self._first.get(name, ()):
            listener(*arguments)
        own = self._own.get(name)
        result = None if own is None else own(*arguments)
        self.current = previous
        return result

    def call_monitors(self, name: str, *arguments: Any) -> None:
        """Call ``name`` on the callbacks that decide by logged values."""
        previous, self.current = self.current, name
        for listener in self._monitors.get(name, ()):
            listener(*arguments)
        self.current = previous

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Mark ``name`` as the hook that runs, around a call that is not dispatched."""
        previous, self.current = self.current, name
        try:
            yield
        finally:
            self.current = previous
