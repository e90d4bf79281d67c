"""Methods with the parameters that 1.x gave them, made callable with today's."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

import torch

from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.hooks import overridden
from leyden.core.module import LightningModule
from leyden.legacy import hooks as old
from leyden.legacy.mentions import returns_something

if TYPE_CHECKING:
    from leyden.engine.run import Run

Method = Callable[..., Any]

_INDEX = re.compile("opt(imizer)?_?(i|idx|index)")


def old_values(run: Run, outputs: Callable[[], Any]) -> dict[str, Callable[..., Any]]:
    """What the parameters of :data:`leyden.legacy.hooks.PARAMETERS` get, as functions of what the hook gets today."""

    def bare(*given: Any) -> Any:
        return run.optimizers[0].optimizer

    return {
        "optimizer_idx": lambda *given: 0,
        "dataloader_idx": lambda *given: 0,
        "on_tpu": lambda *given: False,
        "use_amp": lambda *given: run.precision.scaler is not None,
        "using_native_amp": lambda *given: run.precision.precision.endswith("mixed"),
        "using_lbfgs": lambda *given: isinstance(bare(), torch.optim.LBFGS),
        "second_order_closure": lambda *given: given[-1] if isinstance(bare(), torch.optim.LBFGS) else None,
        "optimizer": bare,
        "trainer": lambda *given: run.trainer,
        **dict.fromkeys(("outputs", "results"), lambda *given: outputs()),
    }


def old_name(parameter: str, names: tuple[str, ...]) -> str:
    """The name that an old parameter goes by in the table; an empty one for a parameter that is still there."""
    if parameter in names:
        return parameter
    return "optimizer_idx" if "optimizer_idx" in names and _INDEX.fullmatch(parameter) else ""


def adapt(
    method: Method, hook: str, leading: tuple[str, ...], values: Mapping[str, Callable[..., Any]]
) -> Method | None:
    """Return ``method`` callable with what ``hook`` gets today; None if it is so already.

    Args:
        method: The user's method.
        hook: Its name.
        leading: What a callback's methods get first.
        values: What old parameters get, by name.
    """
    names = old.PARAMETERS.get(hook, ())
    line = old.TODAY.get(hook, "")
    today = [*leading, *filter(None, line.split(", "))]
    parameters = list(signature(method).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keywords = {p.name: name for p in parameters if p.kind is p.KEYWORD_ONLY and (name := old_name(p.name, names))}
    takes_more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    is_old = [old_name(p.name, names) for p in positional]
    required = sum(p.default is Parameter.empty for p in positional)
    if not any(is_old) and required > len(today):  # under names of their own
        order = [*("" for _ in leading), *old.ORDER.get(hook, ())]
        is_old = order[: len(positional)] if len(positional) <= len(order) else is_old
    while is_old and is_old[-1] and positional[-1].default is not Parameter.empty and is_old.count("") >= len(today):
        is_old.pop()  # it keeps its default
        positional.pop()
    lacks = not names and not takes_more and len(positional) < len(today)  # `dataloader_idx`, once
    if not any(is_old) and not keywords and not lacks:
        return None
    left = iter(range(len(today)))
    plan = [name or next(left, None) for name in is_old]
    plan += list(left) if takes_more else []
    wanted = [item for item in plan if item is not None]
    runs_closure = hook == "optimizer_step" and len(today) - 1 not in wanted

    def call(*unnamed: Any, **named: Any) -> Any:
        given = (*unnamed, *named.values())
        if runs_closure and not values["using_lbfgs"]():  # 0.x had done the rest of the step before it called this
            given[-1]()
        arguments = [given[item] if isinstance(item, int) else values[item](*given) for item in wanted]
        return method(*arguments, **{key: values[name](*given) for key, name in keywords.items()})

    return call


def with_end(step: Method, end: Method) -> Method:
    """A step whose output goes through ``*_step_end``; what that returns counts, unless it is None."""

    @functools.wraps(step)
    def call(*given: Any) -> Any:
        output = step(*given)
        ended = end(output)
        return output if ended is None else ended

    return call


def adapt_state(callback: Callback, say: Callable[[], None]) -> dict[str, Method]:
    """What makes ``on_save_checkpoint`` keep a state that it returns, and ``on_load_checkpoint`` get that state back.

    Args:
        callback: The callback, whose ``on_save_checkpoint`` may return something else than a state, too.
        say: Called when a state was returned.
    """
    save = overridden(callback, "on_save_checkpoint", Callback)
    load = overridden(callback, "on_load_checkpoint", Callback)
    key, replaced = callback.state_key, {}
    if save is not None and returns_something(save):
        taken = len(signature(save).parameters)

        def store(trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
            state = save(*(trainer, module, checkpoint)[:taken])
            if isinstance(state, Mapping):
                say()
                checkpoint.setdefault("callbacks", {})[key] = state

        replaced["on_save_checkpoint"] = store
    names = list(signature(load).parameters) if load is not None else []
    if load is not None and (len(names) == 1 or "callback_state" in names):

        def restore(trainer: Any, module: Any, checkpoint: dict[str, Any]) -> None:
            state = (checkpoint.get("callbacks") or {}).get(key)
            if state is not None:
                load(*(trainer, module, state)[-len(names) :])

        replaced["on_load_checkpoint"] = restore
    return replaced


def _nothing(self: object, *args: Any, **kwargs: Any) -> None:
    """A hook that nobody overrides."""


def _base(kind: type, letter: str) -> dict[str, Any]:
    """The old hooks of a base class, which did nothing."""
    called = [hook.name for hook in old.CALLED if letter in hook.owners]
    return dict.fromkeys([*called, *(name for name, (owners, _) in old.INSTEAD.items() if letter in owners)], _nothing)


class OldModule(LightningModule):
    """What ``super()`` finds in a module written for 1.x, beside what it finds today."""

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """``(epoch, batch_idx, optimizer, optimizer_idx, optimizer_closure, on_tpu, ...)``."""
        given = [*args, *kwargs.values()]
        closure = next((value for value in given[3:] if callable(value)), None)
        super().optimizer_step(given[0], given[1], given[2], closure)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int = 0) -> None:
        """With the number of the optimizer."""
        super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def lr_scheduler_step(self, scheduler: Any, *args: Any, **kwargs: Any) -> None:
        """``(scheduler, optimizer_idx, metric)``."""
        super().lr_scheduler_step(scheduler, [*args, *kwargs.values()][-1])

    def configure_gradient_clipping(self, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """``(optimizer, optimizer_idx, gradient_clip_val, gradient_clip_algorithm)``."""
        kwargs.pop("optimizer_idx", None)
        super().configure_gradient_clipping(optimizer, *args[-2:] if len(args) == 3 else args, **kwargs)

    def backward(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        """``(loss, optimizer, optimizer_idx)``."""
        named = {key: value for key, value in kwargs.items() if key not in ("optimizer", "optimizer_idx")}
        super().backward(loss, *args[2:], **named)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int = 0) -> Any:
        """Without the number of the loader."""
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def get_progress_bar_dict(self) -> dict[str, Any]:
        """What the bar shows beside what was logged."""
        version = getattr(self.logger, "version", None)
        return {} if version is None else {"v_num": version}


class OldDataModule(LightningDataModule):
    """What ``super()`` finds in a data module written for 1.x."""


class OldCallback(Callback):
    """What ``super()`` finds in a callback written for 1.x."""


BASES: dict[str, type] = {"m": OldModule, "d": OldDataModule, "c": OldCallback}
for _letter, _kind in BASES.items():
    for _name, _method in _base(_kind, _letter).items():
        setattr(_kind, _name, _method)
OldModule.get_tqdm_dict = OldModule.get_progress_bar_dict  # type: ignore[attr-defined]  # its name in 0.x


def find_old_base(owner: Any, letter: str) -> None:
    """Let the class of ``owner`` find the old base class's methods with ``super()``."""
    cls = type(owner)
    owner.__class__ = type(
        cls.__name__, (cls, BASES[letter]), {"__module__": cls.__module__, "__qualname__": cls.__qualname__}
    )
