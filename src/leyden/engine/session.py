"""The frame of every run: attach, set up, restore; afterwards tear down, whatever happened."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import torch
from torch.optim import LBFGS
from torch.optim.lr_scheduler import LRScheduler

from leyden.core.callback import Callback, Checkpoint
from leyden.core.module import LightningModule
from leyden.core.optimizers import move_optimizer_state, parse_optimizers
from leyden.core.plain import AttributeDict
from leyden.core.supervised import default_optimizer, is_supervised
from leyden.engine import snapshot
from leyden.engine.prepare import prepare_data
from leyden.engine.run import Run
from leyden.engine.signals import SignalWatch, exit_code
from leyden.engine.states import TrainerFn, TrainerStatus
from leyden.engine.step import use_optimizers
from leyden.errors import MisconfigurationException, PossibleUserWarning, SIGTERMException, bad_value
from leyden.runtime.determinism import apply_determinism
from leyden.utils.overrides import is_overridden
from leyden.utils.rank import rank_zero_warn

INTERRUPTED = "interrupted.ckpt"
BATCHES_BETWEEN_AGREEMENTS = 16


@contextmanager
def session(run: Run, ckpt_path: str | None = None, weights_only: bool | None = None) -> Iterator[None]:
    """Set a run up for its block and tear it down after; every ``setup`` that ran gets its ``teardown``."""
    state, stage = run.state, run.fn.value
    state.status = TrainerStatus.RUNNING
    with ExitStack() as closing:
        try:
            closing.callback(apply_determinism(run.arguments.deterministic, run.arguments.benchmark))
            closing.callback(detach, run)
            attach(run)
            set_up(run, stage)
            restore(run, ckpt_path, weights_only)
            if run.fn is TrainerFn.FITTING:
                if run.arguments.detect_anomaly:
                    closing.enter_context(torch.autograd.set_detect_anomaly(True))
                run.signals = closing.enter_context(SignalWatch())
            yield
            if run.fn is TrainerFn.FITTING:
                run.hooks.call("on_fit_end")
            tear_down(run, stage)
            for logger in run.loggers:
                logger.finalize("success")
            state.status = TrainerStatus.FINISHED
        except BaseException as error:
            state.status = TrainerStatus.INTERRUPTED
            fail(run, stage, error)
            if isinstance(error, KeyboardInterrupt) and leaves_on_interrupt():
                raise SystemExit(exit_code(SIGINT)) from error
            if not isinstance(error, KeyboardInterrupt):
                raise
        finally:
            state.stage = None
    late = run.signals.received if run.signals is not None and state.finished else None
    if late is not None and (late != SIGINT or leaves_on_interrupt()):
        raise SystemExit(exit_code(late))  # it came when nothing was left to save


def leaves_on_interrupt() -> bool:
    """Whether Ctrl-C ends the program (a script) or only the run (a notebook, an interactive prompt)."""
    return not hasattr(sys, "ps1") and "ipykernel.kernelapp" not in sys.modules


def attach(run: Run) -> None:
    """Tie module, data module and callbacks to the run."""
    module, data = run.module, run.datamodule
    module.trainer = run.trainer
    module._device = run.strategy.root_device  # known before setup, so that it can create tensors there
    if data is not None:
        data.trainer = run.trainer
    run.callbacks[:] = merge_callbacks(run.callbacks, module.configure_callbacks())
    for callback in run.callbacks:
        callback.__dict__.update(log=module.log, log_dict=module.log_dict)  # a callback logs through the module
    check_state_keys(run.callbacks)
    run.hooks.bind()
    run.use_results(run.new_results())  # so that `self.log` where it is not possible says so


def detach(run: Run) -> None:
    """Leave nothing of the run in module and callbacks but the Trainer itself."""
    run.hooks.release()
    run.use_results(None)
    run.results.batch = None  # that of a step that failed
    evaluated = [stream for loaders in run.evaluations.values() for stream in loaders.streams]
    for stream in [run.train.stream, *evaluated] if run.train is not None else evaluated:
        stream.close()
    for callback in run.callbacks:
        for name in ("log", "log_dict"):
            callback.__dict__.pop(name, None)
    for optimizer in run.optimizers:
        move_optimizer_state(optimizer.optimizer, torch.device("cpu"))


def merge_callbacks(callbacks: list[Callback], own: Any) -> list[Callback]:
    """Add the module's callbacks; each replaces those of its type, or of a sub- or super-class, in the Trainer."""
    if not own:
        return callbacks
    own = list(own) if isinstance(own, (list, tuple)) else [own]
    for callback in own:
        if not isinstance(callback, Callback):
            raise TypeError(bad_value("configure_callbacks() result", callback, "Callback instances, not classes"))

    def replaced(callback: Callback) -> bool:
        return any(isinstance(callback, type(new)) or isinstance(new, type(callback)) for new in own)

    return order_callbacks([c for c in callbacks if not replaced(c)] + own)


def order_callbacks(callbacks: list[Callback]) -> list[Callback]:
    """Checkpoints last, the others as given."""
    return sorted(callbacks, key=lambda callback: isinstance(callback, Checkpoint))


def check_state_keys(callbacks: list[Callback]) -> None:
    """Two callbacks must not save their states under one key."""
    keys = [callback.state_key for callback in callbacks if is_overridden("state_dict", callback)]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        fix = "give them different arguments, or a `state_key` property of their own"
        raise RuntimeError(f"Two callbacks would save their state under the key {repeated[0]!r}. Fix: {fix}.")


def set_up(run: Run, stage: str) -> None:
    """Connect processes, prepare the data, call the setup hooks, create the model."""
    module, strategy = run.module, run.strategy
    run.runtime.accelerator.setup_device(strategy.root_device)
    strategy.setup_environment()
    for logger in sorted(run.loggers, key=lambda logger: not logger.opens_first):
        _ = logger.experiment  # now, since hooks may use the library by itself
    if (profiler := run.hooks.profiler) is not None:
        profiler.lightning_module = module
        profiler.setup(stage, strategy.local_rank if strategy.is_distributed else None, run.trainer.log_dir)
    prepare_data(run)
    strategy.barrier()
    run.teardowns = run.hooks.listeners("teardown")
    run.hooks.call("setup", stage)
    with strategy.root_device, run.precision.module_init_context(), run.hooks.inside("configure_model", module):
        module.configure_model()
    run.hooks.bind()
    run.teardowns = run.hooks.listeners("teardown")
    run.use_results(run.new_results())


def restore(run: Run, ckpt_path: str | None, weights_only: bool | None) -> None:
    """Load the checkpoint if there is one, move the model, make the optimizers; in fit, call its start hooks."""
    checkpoint = snapshot.load(run, ckpt_path, weights_only) if ckpt_path is not None else None
    module, strategy = run.module, run.strategy
    run.precision.convert_module(module)  # before the weights are there: float64 ones must not pass through float32
    if checkpoint is not None:
        snapshot.restore_model(run, checkpoint)
    strategy.model_to_device(module)
    run.bind_transfer()
    fitting = run.fn is TrainerFn.FITTING
    if fitting:
        strategy.wrap(module, manual=not module.automatic_optimization)
        configure_optimizers(run)
        run.hooks.call("on_fit_start")
        run.hooks.bind()
    log_hyperparameters(run)
    if checkpoint is not None and fitting:
        snapshot.restore_training(run, checkpoint, str(ckpt_path))
        if Path(str(ckpt_path)).name == INTERRUPTED:
            run.signal_checkpoint = str(ckpt_path)
    if fitting:
        module.zero_grad()


def configure_optimizers(run: Run) -> None:
    """Ask the module for its optimizers and schedulers, and check them."""
    module = run.module
    if is_supervised(module) and not is_overridden("configure_optimizers", module, LightningModule):
        returned: Any = default_optimizer(module)
    else:
        with run.hooks.inside("configure_optimizers", module):
            returned = ask_for_optimizers(module)
    optimizers, run.schedulers = parse_optimizers(returned)
    if module.automatic_optimization and len(optimizers) > 1:
        fix = "set `self.automatic_optimization = False` in `__init__` and step them in `training_step`"
        given = f"`configure_optimizers` returned {len(optimizers)} optimizers; automatic optimization takes one"
        raise RuntimeError(f"{given}. Fix: {fix}.")
    stepped_by_module = not module.automatic_optimization or is_overridden("lr_scheduler_step", module, LightningModule)
    for scheduler in (config.scheduler for config in run.schedulers):
        name = type(scheduler).__name__
        if not stepped_by_module and not isinstance(scheduler, LRScheduler):
            fix = "override `lr_scheduler_step(self, scheduler, metric)` and step it there"
            raise MisconfigurationException(f"{name} is not one of torch's schedulers. Fix: {fix}.")
        if not hasattr(scheduler, "state_dict"):
            fix = "add `state_dict` and `load_state_dict`"
            text = f"{name} has no `state_dict`: checkpoints leave it out, a resumed run starts it anew. Fix: {fix}."
            rank_zero_warn(text, category=PossibleUserWarning)
    if run.precision.scaler is not None and any(isinstance(optimizer, LBFGS) for optimizer in optimizers):
        text = "LBFGS evaluates the loss several times in a step, which a gradient scaler does not allow"
        raise MisconfigurationException(f"{text}. Fix: precision='bf16-mixed', or another optimizer.")
    use_optimizers(run, optimizers)


def ask_for_optimizers(module: LightningModule) -> Any:
    """What the module configures; torch's error about an optimizer of nothing gets the module's name."""
    try:
        return module.configure_optimizers()
    except ValueError as error:
        if "empty parameter list" not in str(error):
            raise
        fix = "assign the layers to attributes in `__init__` (a list of layers needs nn.ModuleList)"
        where = f"`configure_optimizers` of {type(module).__name__}"
        raise ValueError(f"{where} made an optimizer that got no parameters. Fix: {fix}.") from error


def log_hyperparameters(run: Run) -> None:
    """Send the hyper-parameters of module and data module, as they were given, to the loggers."""
    if run.fn is not TrainerFn.FITTING or not run.arguments.enable_autolog_hparams:
        return
    merged: dict[str, Any] = {}
    for owner in (run.module, run.datamodule):
        if owner is None or not getattr(owner, "_log_hyperparams", False):
            continue
        for key, value in owner.hparams_initial.items():
            # by their texts, since arrays cannot be compared otherwise
            if key in merged and key != "_class_path" and repr(merged[key]) != repr(value):
                text = f"Module and data module both have a hyper-parameter {key!r}, with the values"
                fix = f"rename one, or save_hyperparameters(ignore=[{key!r}])"
                raise RuntimeError(f"{text} {merged[key]!r} and {value!r}. Fix: {fix}.")
            merged[key] = value
    for logger in run.loggers:
        if merged:
            logger.log_hyperparams(AttributeDict(merged))
        logger.log_graph(run.module)
        logger.save()


def tear_down(run: Run, stage: str, call: Callable[..., Any] = lambda action, *given: action(*given)) -> None:
    """Call the teardown hooks, each once, and release the device."""
    if run.teardowns:
        with run.hooks.inside("teardown"):
            while run.teardowns:
                call(run.teardowns.pop(0), stage)
    call(run.strategy.teardown)
    call(run.runtime.accelerator.teardown)
    call(getattr(run.runtime.checkpoint_io, "teardown", lambda: None))
    if (profiler := run.hooks.profiler) is not None:
        call(profiler.describe)
        call(profiler.teardown, stage)
        profiler.lightning_module = None


def fail(run: Run, stage: str, error: BaseException) -> None:
    """Tell everybody about the error and tear down; errors on the way are added to the first one as notes."""
    run.busy = False
    run.settling.clear()

    def attempt(action: Callable[..., Any], *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as second:  # noqa: BLE001  # the first error is the one to raise
            error.add_note(f"While cleaning up: {type(second).__name__}: {second}")

    with run.hooks.inside("on_exception"):
        for listener in run.hooks.listeners("on_exception"):
            attempt(listener, error)
    tear_down(run, stage, attempt)
    for logger in run.loggers:
        attempt(logger.finalize, "failed")


def stop_on_signal(run: Run) -> None:
    """Save what a resumed run needs, and leave with the exit code of the signal.

    Several processes, of which a signal may reach only some, agree on it every few batches and at an epoch's end.
    """
    assert run.signals is not None
    number = run.signals.received
    if run.strategy.is_distributed:
        if run.progress.batch % BATCHES_BETWEEN_AGREEMENTS:
            return
        largest = int(run.strategy.reduce(torch.tensor(number or 0), reduce_op="max"))
        number = run.signals.received = Signals(largest) if largest else None
    if number is None:
        return
    checkpoint = next((c for c in run.callbacks if isinstance(c, Checkpoint)), None)
    if checkpoint is not None and not run.arguments.fast_dev_run:
        folder = getattr(checkpoint, "dirpath", None) or os.path.join(run.trainer.default_root_dir, "checkpoints")
        path = os.path.join(folder, INTERRUPTED)
        snapshot.save(run, path)
        run.trainer.print(f"{number.name} received: the run is saved in {path}; continue it with ckpt_path={path!r}.")
    if number == SIGINT:
        raise KeyboardInterrupt
    if number == SIGTERM:
        raise SIGTERMException
    raise SystemExit(exit_code(number))
