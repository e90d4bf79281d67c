"""One training step: forward, zero_grad, backward, clip, step - in this order, on one screen."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from leyden.core.optimizers import Closure, LightningOptimizer, parameters_of, wrap_optimizer
from leyden.engine.nonfinite import LossGuard
from leyden.errors import MisconfigurationException
from leyden.utils.tree import sample_count

if TYPE_CHECKING:
    from leyden.engine.run import Run
    from leyden.runtime.resolve import Runtime

Step = Callable[[Any, int], Any]
NOT_RUN: Any = object()
NOT_TRAINED = "`optimizer_step` did not run the closure. Fix: `optimizer.step(closure=optimizer_closure)`, or call it."


def training_step(run: Run) -> Step:
    """The module's step; ``batch_idx`` is left out where it takes the batch alone."""
    call, count = run.step_caller("training_step")
    return call if count != 1 else lambda batch, batch_idx: call(batch)


def automatic_step(run: Run) -> Step:
    """Build the step of automatic optimization; all that can be decided is decided here."""
    module, hooks, results, progress, window = run.module, run.hooks, run.results, run.progress, run.window
    active, fire = hooks.active, hooks.call
    forward, size = training_step(run), window.size
    optimizer: Any = run.optimizers[0]
    bare = optimizer.optimizer
    guard = run.guard = LossGuard(run) if run.arguments.nonfinite != "ignore" else None
    backward = run.strategy_method("backward", module.backward if run.precision.scaler is None else run.backward)
    zero_grad, optimizer_step = hooks.method("optimizer_zero_grad"), hooks.method("optimizer_step")
    clip = hooks.method("configure_gradient_clipping")
    block_sync = run.strategy.block_backward_sync

    def step(batch: Any, batch_idx: int) -> Any:
        steps_now = (batch_idx + 1) % size == 0 or progress.is_last_batch
        output: Any = NOT_RUN
        loss: Tensor | None = None

        def closure() -> Tensor | None:
            nonlocal output, loss
            hooks.current = "training_step"
            output = forward(batch, batch_idx)
            loss = output if isinstance(output, Tensor) else loss_of(output, run)
            if loss is not None and guard is not None and not guard.passes(loss):
                output = loss = None
            share = loss
            if size > 1 and loss is not None:
                loss = loss / size
                share = window.weigh(loss, weight_of(output, batch, results.batch_size))
            if batch_idx % size == 0:
                if "on_before_zero_grad" in active:
                    fire("on_before_zero_grad", bare)
                zero_grad(progress.epoch, batch_idx, bare)
            if share is not None:
                if "on_before_backward" in active:
                    fire("on_before_backward", share)
                hooks.current = "backward"
                backward(share)
                if "on_after_backward" in active:
                    fire("on_after_backward")
            if steps_now:
                before_step(run, bare, clip, unscale=share is not None)
            return share

        if steps_now:
            hooks.current = "optimizer_step"
            optimizer_step(progress.epoch, batch_idx, optimizer, closure)
            if output is NOT_RUN:
                raise MisconfigurationException(NOT_TRAINED)
        else:
            with block_sync():
                closure()
        hooks.current = ""
        return outputs_of(output, loss) if "on_train_batch_end" in active else None

    return step


def before_step(run: Run, optimizer: Optimizer, clip: Callable[..., None], unscale: bool) -> None:
    """Between backward and the optimizer: correct the accumulated gradients, unscale, call the hook, clip."""
    hooks, arguments = run.hooks, run.arguments
    if run.window.size > 1:
        correct_gradients(optimizer, run.window.correction())
    if run.precision.scaler is not None and unscale:
        run.precision.unscale_gradients(optimizer)
    if "on_before_optimizer_step" in hooks.active:
        hooks.call("on_before_optimizer_step", optimizer)
    hooks.current = "configure_gradient_clipping"
    value, algorithm = arguments.gradient_clip_val, arguments.gradient_clip_algorithm
    clip(optimizer, gradient_clip_val=value, gradient_clip_algorithm=algorithm)
    hooks.current = "optimizer_step"


def finish_window(run: Run) -> bool:
    """Step with the gradients of a window that the end of the data cut short; return whether there were any."""
    if not run.window.weights:
        return False
    optimizer = run.optimizers[0]
    run.strategy.reduce_gradients()  # the last backward left out the exchange

    def closure() -> Tensor:
        before_step(run, optimizer.optimizer, run.module.configure_gradient_clipping, unscale=True)
        return torch.zeros(())

    run.hooks.current = "optimizer_step"
    run.module.optimizer_step(run.progress.epoch, run.progress.batch - 1, optimizer, closure)
    run.hooks.current = ""
    return True


def manual_step(run: Run) -> Step:
    """Build the step of manual optimization: the module does everything itself."""
    hooks, forward, precision = run.hooks, training_step(run), run.precision
    scaled = precision.scaler is not None
    run.guard = None

    def step(batch: Any, batch_idx: int) -> Any:
        hooks.current = "training_step"
        output = forward(batch, batch_idx)
        hooks.current = ""
        if scaled:
            precision.update_scale()
        if isinstance(output, Tensor):
            return {"loss": output.detach()}
        if output is None or isinstance(output, Mapping):
            return output or {}
        accepted = "in manual optimization a tensor, a dict, or None"
        raise MisconfigurationException(f"`training_step` returned {output!r}. Accepted: {accepted}.")

    return step


def prepare_manual(run: Run) -> Callable[[LightningOptimizer, Closure | None], Closure | None]:
    """What ``optimizer.step`` does first in manual optimization: the hook, after the user's closure."""

    def prepare(optimizer: LightningOptimizer, closure: Closure | None) -> Closure | None:
        def with_hook() -> Any:
            output = closure() if closure is not None else None
            run.precision.unscale_gradients(optimizer.optimizer)
            run.hooks.call("on_before_optimizer_step", optimizer.optimizer)
            return output

        if closure is not None and run.precision.scaler is None:
            return with_hook
        with_hook()  # a scaler decides about the step after the gradients are there
        return None

    return prepare


def use_optimizers(run: Run, optimizers: Iterable[Optimizer]) -> None:
    """Wrap the user's optimizers for a run: their steps count, call the hooks and obey a gradient scaler."""
    manual = None if run.module.automatic_optimization else prepare_manual(run)
    execute = scaled_step(run, at_once=manual is None)
    run.optimizers = [wrap_optimizer(o, run.module, run.progress, manual, execute) for o in optimizers]


def scaled_step(run: Run | Runtime, at_once: bool = True) -> Callable[[Any, Closure | None], Any] | None:
    """How an optimizer steps under a gradient scaler; None without one. The scale is adapted ``at_once`` or later."""
    precision = run.precision
    if precision.scaler is None:
        return None
    precision.unscaled.clear()

    def execute(optimizer: Any, closure: Closure | None) -> Any:
        output = None
        if closure is not None:
            with torch.enable_grad():
                output = closure()
        if closure is None or output is not None:
            precision.optimizer_step(optimizer)
        if at_once:
            precision.update_scale()
        return output

    return execute


def loss_of(output: Any, run: Run) -> Tensor | None:
    """The loss in what ``training_step`` returned other than a tensor."""
    if output is None:
        if run.strategy.is_distributed:
            text = "`training_step` returned None on one of several processes, which wait for each other's gradients"
            raise RuntimeError(f"{text}. Fix: return a loss of zero, for example `self(x).sum() * 0`.")
        run.left_out += 1
        return None
    loss = output.get("loss") if isinstance(output, Mapping) else None
    if isinstance(loss, Tensor):
        return loss
    given = f"a dict with the keys {sorted(map(str, output))}" if isinstance(output, Mapping) else reprlib.repr(output)
    accepted = "a loss tensor (not loss.item()), a dict whose key 'loss' is one, or None to skip the batch"
    raise MisconfigurationException(f"`training_step` returned {given}. Accepted: {accepted}.")


def weight_of(output: Any, batch: Any, size: int | None) -> Any:
    """The weight of a batch in its accumulation window."""
    if isinstance(output, Mapping) and "weight" in output:
        weight = output["weight"]
        return weight.detach().reshape(()) if isinstance(weight, Tensor) else weight
    return size or sample_count(batch)[0]


def outputs_of(output: Any, loss: Tensor | None) -> dict[str, Any]:
    """What ``on_train_batch_end`` gets: the detached loss over the accumulation factor, and the step's other keys."""
    if loss is None:
        return {}
    extra = {key: value for key, value in output.items() if key != "loss"} if isinstance(output, Mapping) else {}
    return {"loss": loss.detach(), **extra}


def correct_gradients(optimizer: Optimizer, factor: Any) -> None:
    """Multiply the gradients in place; nothing to do for a full window of equal batches."""
    if not isinstance(factor, Tensor) and factor == 1.0:
        return
    gradients = [p.grad for p in parameters_of(optimizer) if p.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, factor.to(gradients[0].device) if isinstance(factor, Tensor) else factor)
