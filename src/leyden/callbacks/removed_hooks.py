"""Calls the hooks of 0.x and 1.x that are gone, where today's hooks leave a faithful place for it.

A run's module, data module and callbacks are searched for old names before its checks. If there are any, the run gets a
dispatcher that calls them too; a run without them has today's dispatcher, and nothing of this file. The tables are in
:mod:`leyden.legacy.hooks`. A method that the class calls itself is a helper of its own and is left alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from torch import Tensor

from leyden.callbacks.layer_summary import summarize
from leyden.callbacks.removed_signatures import adapt, adapt_state, find_old_base, old_values, with_end
from leyden.core.callback import Callback
from leyden.core.datamodule import LightningDataModule
from leyden.core.hooks import Hooks, overridden
from leyden.core.module import LightningModule
from leyden.engine.config import raise_all
from leyden.engine.states import TrainerFn
from leyden.errors import MisconfigurationException
from leyden.legacy import hooks as old
from leyden.legacy.mentions import Mentions, mentions
from leyden.utils.overrides import positional_count
from leyden.utils.rank import rank_zero_deprecation
from leyden.utils.tree import detach

if TYPE_CHECKING:
    from leyden.engine.run import Run
    from leyden.trainer import Trainer

Method = Callable[..., Any]

_SAID: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()
_LOG_ARGUMENTS = frozenset(("sync_dist_op", "tbptt_reduce_fx", "tbptt_pad_token"))
_BAR = ("get_progress_bar_dict", "get_tqdm_dict")
_STEPS = ("training_step", "validation_step", "test_step")


@contextmanager
def removed_hooks(run: Run) -> Iterator[None]:
    """Let a run call the removed hooks that its module, data module and callbacks define.

    The block is the check of the run; what is wrong with old names is reported together with what it finds.
    """
    hooks = OldHooks(run)
    if not hooks.found:
        yield
        return
    hooks.say(5)
    run.hooks = hooks
    try:
        try:
            yield
        except Exception as error:
            if hooks.errors:
                raise_all([*hooks.errors, *getattr(error, "errors", [error])])
            raise
        raise_all(hooks.errors)
    except BaseException:
        hooks.release()
        raise


def call_init_hooks(trainer: Trainer) -> None:
    """Call ``on_init_start`` and ``on_init_end`` of the callbacks; both at the end of the Trainer's construction."""
    for name in ("on_init_start", "on_init_end"):
        for callback in trainer.callbacks:
            if name in mentions(type(callback)).methods and not mentions(type(callback)).calls_itself(name):
                text = (
                    f"`{type(callback).__name__}.{name}` is of an old release, and is called when the Trainer is made."
                )
                rank_zero_deprecation(f"{text} Write instead: `def setup(self, trainer, pl_module, stage)`.", 3)
                getattr(callback, name)(trainer)


class OldHooks(Hooks):
    """The dispatcher of a run in which old names were found.

    Attributes:
        found: Whether there are any, or a callback that the module makes later might have some.
        messages: What to say about them.
        errors: Those that have no counterpart.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.messages: list[str] = []
        self.errors: list[Exception] = []
        self.found = overridden(run.module, "configure_callbacks", LightningModule) is not None
        self._values = old_values(run, lambda: self._collected(stage_of(self.current)))
        self._known: dict[int, tuple[Any, Mentions]] = {}
        self._undo: list[Callable[[], None]] = []
        self._outputs: dict[str, list[list[Any]]] = {}
        self._extra: list[tuple[str, Method, bool]] = []
        self._stages: set[str] = set()
        super().__init__(run.hooks.trainer, run.callbacks, run.module, run.datamodule, run.hooks.profiler)

    # -- the dispatcher ---------------------------------------------------------------------------------------------

    def bind(self) -> None:
        """Adapt callbacks that are new, and collect who overrides which hook, old ones too."""
        owners: list[tuple[Any, str, type]] = [(callback, "c", Callback) for callback in self.callbacks]
        owners += [] if self.datamodule is None else [(self.datamodule, "d", LightningDataModule)]
        owners += [(self.module, "m", LightningModule)]
        for owner, letter, base in owners:
            if id(owner) not in self._known:
                self._known[id(owner)] = owner, mentions(type(owner))
                self._adapt(owner, letter, base)
        if self.run.hooks is self:  # a callback that the module made
            raise_all(self.errors)
            self.say(2)
        elif not self.found:  # today's dispatcher serves this run
            return
        super().bind()
        self._add_listeners(owners)

    def release(self) -> None:
        """Leave module, data module and callbacks as they were."""
        while self._undo:
            self._undo.pop()()
        self._outputs.clear()

    def say(self, stacklevel: int) -> None:
        """Warn of every old name that was found since the last time."""
        for message in self.messages:
            rank_zero_deprecation(message, stacklevel + 1)
        self.messages.clear()

    def _add_listeners(self, owners: list[tuple[Any, str, type]]) -> None:
        """Put the old hooks before or after today's."""
        before: dict[str, list[Method]] = {}
        after: dict[str, list[Method]] = {}
        extra, stages, skips = list(self._extra), set(self._stages), []
        for row in old.CALLED:
            for owner, letter, base in owners:
                if letter in row.owners and self._defines(owner, base, row.name):
                    stages |= {stage_of(hook) for hook in row.today if row.outputs}
                    method = self._caller(row, owner, letter)
                    if (row.name, letter) == ("on_batch_start", "m"):
                        skips.append(method)
                        continue
                    extra += [(hook, method, row.after) for hook in row.today]
        for hook, method, late in extra:
            (after if late else before).setdefault(hook, []).append(method)
        for stage in stages:
            forget = functools.partial(self._outputs.pop, stage, None)
            before.setdefault(f"on_{stage}_epoch_start", []).insert(0, forget)
            before.setdefault(f"on_{stage}_batch_end", []).insert(0, functools.partial(self._collect, stage))
            if stage != "train":  # its next epoch is far away
                after.setdefault(f"on_{stage}_epoch_end", []).append(forget)
        for hook, methods in before.items():
            self._first[hook] = (*methods, *self._first.get(hook, ()))
        for hook, methods in after.items():
            self._own[hook] = (*self._own.get(hook, ()), *methods)
        if skips:
            self._own["on_train_batch_start"] = (until_skipped(*skips, *self._own.get("on_train_batch_start", ())),)
        self.active = frozenset({*self._first, *self._own, *self._monitors})

    def _caller(self, row: old.OldHook, owner: Any, letter: str) -> Method:
        """An old hook, as a listener of today's."""
        method, leading = getattr(owner, row.name), (self.trainer, self.module) if letter == "c" else ()
        count = positional_count(method)
        count = len(leading) if count is None else count

        def call(*given: Any) -> Any:
            if row.name == "on_keyboard_interrupt" and not isinstance(given[0], KeyboardInterrupt):
                return None
            if row.outputs:
                return self._log_returned(owner, row.name, method(self._collected(stage_of(row.today[0]))))
            return method(*(*leading, *given)[:count])

        return call

    # -- what the steps returned ------------------------------------------------------------------------------------

    def _collect(self, stage: str, output: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep what a step returned, without its graph; nothing for a batch that was left out."""
        lists = self._outputs.setdefault(stage, [])
        lists += ([] for _ in range(dataloader_idx + 1 - len(lists)))
        if output is not None and not (stage == "train" and output == {}):
            lists[dataloader_idx].append(detach(output))

    def _collected(self, stage: str) -> list[Any]:
        """What the steps of the running epoch returned; a list per loader where there are several."""
        lists = self._outputs.get(stage, [])
        prefix = "val" if stage == "validation" else stage
        loaders = 1 if stage == "train" else len(getattr(self.trainer, f"num_{prefix}_batches"))
        lists += ([] for _ in range(loaders - len(lists)))
        return lists if loaders > 1 or stage == "predict" else lists[0]

    def _log_returned(self, owner: Any, name: str, returned: Any) -> Any:
        """Log what 0.x logged of a returned dict: the entries under ``log`` and ``progress_bar``, at an epoch's end all."""
        if not isinstance(returned, Mapping):
            return returned
        logged, shown = (returned.get(key) for key in ("log", "progress_bar"))
        logged, shown = ({**values} if isinstance(values, Mapping) else {} for values in (logged, shown))
        others = {} if name in _STEPS else {key: value for key, value in returned.items() if is_number(value)}
        if logged or shown or others:
            line = "`self.log(name, value, prog_bar=True)` for each value"
            self._note(owner, name, line, ", which returns values to log in a dict,")
            self.say(3)
        for key, value in (others | shown | logged).items():
            owner.log(key, value, prog_bar=key in shown, logger=key in logged)
        return returned

    # -- what is found ----------------------------------------------------------------------------------------------

    def _defines(self, owner: Any, base: type, name: str) -> bool:
        """Whether a class, or the object itself, has a method for the Trainer to call that the base class lacks."""
        found = self._known[id(owner)][1]
        own = name in found.methods or callable(vars(owner).get(name))
        return own and not hasattr(base, name) and not found.calls_itself(name)

    def _note(self, owner: Any, name: str, line: str, about: str = "", verb: str = "is still called") -> None:
        """Note an old name that works; each is said once for a class."""
        self.found = True
        said = _SAID.setdefault(type(owner), set())
        if name + about not in said:
            said.add(name + about)
            text = f"`{type(owner).__name__}.{name}`{about} is of an old release, and {verb}."
            self.messages.append(f"{text} Write instead: {line}.")

    def _refuse(self, owner: Any, what: str, line: str) -> None:
        self.found = True
        self.errors.append(
            MisconfigurationException(
                f"`{type(owner).__name__}.{what}` is of an old release and has no counterpart. Fix: {line}."
            )
        )

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        """Give an object an attribute until :meth:`release`."""
        attributes = vars(owner)
        missing = name not in attributes
        previous = attributes.get(name)
        self._undo.append(lambda: attributes.pop(name, None) if missing else attributes.update({name: previous}))
        attributes[name] = value

    def _adapt(self, owner: Any, letter: str, base: type) -> None:
        """Find the old names of one object, and put today's in their place."""
        found = self._known[id(owner)][1]
        if letter == "m":
            self._refuse_methods(owner, found)
        self._missing_attributes(owner, letter, found)
        for row in old.CALLED:
            if letter in row.owners and self._defines(owner, base, row.name):
                self._note(owner, row.name, row.line)
        changed = self._parameters(owner, letter, base)
        self._methods(owner, letter, base)
        if letter == "c":
            self._callback_state(owner)
        if letter == "d":
            self._datamodule_state(owner)
        if letter == "m":
            self._logging(owner, found)
        gone = {row.name for row in old.CALLED} | set(old.INSTEAD) | set(_BAR) | changed
        if found.of_super & {name for name in gone if name in changed or not hasattr(base, name)}:
            cls = type(owner)
            find_old_base(owner, letter)
            self._undo.append(lambda: setattr(owner, "__class__", cls))

    def _refuse_methods(self, module: LightningModule, found: Mentions) -> None:
        """Methods, parameters and settings of a module that nothing can be done for."""
        step = overridden(module, "training_step", LightningModule)
        required = [name for name in ("optimizer_idx", "hiddens") if step is not None and is_required(step, name)]
        for name in required:
            self._refuse(module, f"training_step(..., {name})", old.REFUSED[name])
        if required:
            self._replace(module, "training_step", lambda batch, batch_idx: None)  # no second complaint about it
        by_trainer = module.automatic_optimization and "truncated_bptt_steps" not in found.of_self
        if by_trainer and getattr(module, "truncated_bptt_steps", None):
            self._refuse(module, "truncated_bptt_steps", old.REFUSED["truncated_bptt_steps"])
        for name, line in old.REFUSED.items():
            if name in found.methods and self._defines(module, LightningModule, name):
                self._refuse(module, name, line)

    def _missing_attributes(self, owner: Any, letter: str, found: Mentions) -> None:
        """Attributes that the class uses and that its base class had."""
        missing = found.of_self.keys() - found.sets - found.methods - found.all_words  # a word: it asks for it first
        for name, line in old.MISSING.get(letter, {}).items():
            if name in missing and not hasattr(owner, name):
                self._refuse(owner, name, f"write {line}")
        for name in sorted(missing & old.ATTRIBUTES.keys()) if letter == "m" else ():
            if not hasattr(owner, name):
                self._note(owner, name, f"`{old.ATTRIBUTES[name]}`", verb="is still there")
                self._replace(owner, name, self._attribute(name))

    def _attribute(self, name: str) -> Any:
        run = self.run
        if name == "datamodule":
            return run.datamodule
        if name == "summarize":
            return lambda mode="top", max_depth=None: summarize(run.module, max_depth or {"full": -1}.get(mode, 1))
        if name == "model_size":
            return summarize(run.module).model_size
        precision = run.precision.precision
        if name == "use_amp":
            return precision.endswith("mixed")
        bits = precision.partition("-")[0]
        return int(bits) if bits.isdecimal() else bits

    def _parameters(self, owner: Any, letter: str, base: type) -> set[str]:
        """Adapt methods with old parameters; return their names."""
        leading = ("trainer", "pl_module") if letter == "c" else ()
        changed = set()
        for hook in {**old.TODAY, **old.PARAMETERS}:
            method = overridden(owner, hook, base) if hasattr(base, hook) else None
            call = adapt(method, hook, leading, self._values) if method is not None else None
            if method is None or call is None:
                continue
            changed.add(hook)
            parameters = ", ".join(filter(None, ["self", *leading, old.TODAY.get(hook, "")]))
            given = ", ".join(["self", *signature(method).parameters])
            self._note(owner, hook, f"`def {hook}({parameters})`", f" with the parameters ({given})")
            self._replace(owner, hook, call)
            if {"outputs", "results"} & set(old.PARAMETERS.get(hook, ())):
                self._stages.add(stage_of(hook))
        return changed

    def _methods(self, owner: Any, letter: str, base: type) -> None:
        """Let old methods run together with today's, or in their place."""
        for name, (owners, hook) in old.INSTEAD.items():
            if letter not in owners or not self._defines(owner, base, name):
                continue
            self._note(owner, name, old.line_for(name))
            method, today = getattr(owner, name), overridden(owner, hook, base)
            if name.startswith("tng_"):
                if today is None:
                    self._replace(owner, hook, method)
            elif hook in _STEPS:
                if today is not None:
                    self._replace(owner, hook, with_end(today, method))
            elif hook.endswith("_dataloader") and today is None:  # the loaders were given to the Trainer
                self._extra.append(("setup", lambda *given, method=method: method(), True))
            elif hook == "configure_optimizers" and self.run.fn is not TrainerFn.FITTING:
                stage = "validation" if self.run.fn is TrainerFn.VALIDATING else self.run.fn.value
                self._extra.append((f"on_{stage}_start", method, False))
            else:
                self._replace(owner, hook, both(method, today or getattr(owner, hook)))

    def _callback_state(self, callback: Callback) -> None:
        """Let a callback give its state to the checkpoint, and get it back, as in 1.x."""

        def say() -> None:
            self._note(
                callback, "on_save_checkpoint", "`def state_dict(self)`", ", which returns the callback's state,"
            )
            self.say(3)

        replaced = adapt_state(callback, say)
        if "on_load_checkpoint" in replaced:
            line = "`def load_state_dict(self, state_dict)`"
            self._note(callback, "on_load_checkpoint", line, ", which gets the callback's state,")
        for name, method in replaced.items():
            self.found = True
            self._replace(callback, name, method)

    def _datamodule_state(self, data: LightningDataModule) -> None:
        """Call the data module's ``on_save_checkpoint`` and ``on_load_checkpoint``."""
        if self._defines(data, LightningDataModule, "on_save_checkpoint"):
            self._note(data, "on_save_checkpoint", "`def state_dict(self)`")
            self._extra.append(("on_save_checkpoint", getattr(data, "on_save_checkpoint"), True))  # noqa: B009
        if self._defines(data, LightningDataModule, "on_load_checkpoint"):
            self._note(data, "on_load_checkpoint", "`def load_state_dict(self, state_dict)`")
            restore = getattr(data, "on_load_checkpoint")  # noqa: B009
            self._replace(self.module, "on_load_checkpoint", both(restore, self.module.on_load_checkpoint))

    def _logging(self, module: LightningModule, found: Mentions) -> None:
        """Values in returned dicts, arguments of ``self.log`` that are gone, and the bar's own values."""
        for name in _STEPS:
            step = overridden(module, name, LightningModule)
            if step is not None and {"log", "progress_bar"} & found.words(name):
                log = functools.partial(self._log_returned, module, name)
                self._replace(module, name, with_end(step, log))
        gone = _LOG_ARGUMENTS & found.all_words
        if gone and {"log", "log_dict"} & found.of_self.keys():
            line = "`self.log(..., sync_dist=True, reduce_fx=...)`"
            self._note(module, "log", line, f" with the arguments {', '.join(sorted(gone))}")
            for name in ("log", "log_dict"):
                self._replace(module, name, without_old_arguments(getattr(module, name)))
        bar = self.trainer.progress_bar_callback
        for name in _BAR:
            if bar is not None and name in found.methods and self._defines(module, LightningModule, name):
                self._note(module, name, "`def get_metrics(self, trainer, pl_module)` in a progress bar of your own")
                self._replace(bar, "get_metrics", self._bar_metrics(name))

    def _bar_metrics(self, name: str) -> Method:
        return lambda trainer, module: {**getattr(module, name)(), **trainer.progress_bar_metrics}


def stage_of(hook: str) -> str:
    """The stage in a hook's name."""
    return hook.split("_")[1]


def is_number(value: Any) -> bool:
    """Whether a value is one that ``self.log`` takes."""
    return isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)


def is_required(method: Method, name: str) -> bool:
    """Whether a method has a parameter without a default."""
    parameter = signature(method).parameters.get(name)
    return parameter is not None and parameter.default is parameter.empty


def both(first: Method, second: Method) -> Method:
    """Two methods as one, with the result of the second."""

    def call(*given: Any) -> Any:
        first(*given)
        return second(*given)

    return call


def until_skipped(*methods: Method) -> Method:
    """Methods as one, which ends where one of them returns -1."""

    def call(*given: Any) -> Any:
        return next((result for method in methods if (result := method(*given)) == -1), None)

    return call


def without_old_arguments(log: Method) -> Method:
    """``self.log`` without the arguments of 1.0; the operation over processes is the one over the epoch today."""

    def call(*args: Any, **arguments: Any) -> None:
        operation = arguments.pop("sync_dist_op", None)
        kept = {name: value for name, value in arguments.items() if name not in _LOG_ARGUMENTS}
        log(*args, **({"reduce_fx": str(operation)} if operation else {}), **kept)

    return call
