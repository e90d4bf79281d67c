"""What must hold before a run begins; all that is wrong is reported at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from leyden.core.module import LightningModule
from leyden.core.supervised import is_supervised, name_of
from leyden.data.combined import CombinedLoader
from leyden.engine.config import raise_all
from leyden.engine.loading import check_leaves, several_loaders, takes_loader
from leyden.engine.signatures import misspelt_hooks, uncallable_hooks
from leyden.engine.states import RunningStage, TrainerFn
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.utils.overrides import is_overridden
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.engine.run import Run

NEEDED_BY_FIT = {
    "training_step": "`def training_step(self, batch, batch_idx)` (a `validation_step` alone does not train)",
    "configure_optimizers": "`def configure_optimizers(self)`, with `return torch.optim.Adam(self.parameters(), lr=1e-3)`",
}
WITHOUT_EFFECT_IN_MANUAL = {
    "gradient_clip_val": (0, "call `self.clip_gradients(optimizer, ...)` in `training_step`"),
    "accumulate_grad_batches": (1, "step the optimizer on every n-th batch in `training_step`"),
}


def check_run(run: Run) -> None:
    """Raise one error with everything about module, data and arguments that cannot work.

    A method whose name is almost a hook's may be meant: alone it is a warning, beside an error it explains that.
    """
    check = check_fit if run.fn is TrainerFn.FITTING else check_evaluation
    errors, hints = [*check(run), *uncallable_hooks(run)], [*misspelt_hooks(run)]
    raise_all(errors and errors + hints)
    for hint in hints:
        rank_zero_warn(str(hint), category=PossibleUserWarning)


def check_constructed(kind: str, model: Any) -> None:
    """Refuse a module whose ``__init__`` left out the base class's.

    Raises:
        MisconfigurationException: It did.
    """
    if "_parameters" not in vars(model) or (isinstance(model, LightningModule) and "_toggled" not in vars(model)):
        text = f"`{kind}` got {type(model).__name__}, whose `__init__` does not call the base class's"
        raise MisconfigurationException(f"{text}. Fix: make `super().__init__()` the first line of it.")


def overrides(run: Run, name: str) -> bool:
    """Whether the module defines a method itself."""
    return is_overridden(name, run.module, LightningModule)


def check_fit(run: Run) -> Iterator[Exception]:
    """What fit needs."""
    for name, fix in NEEDED_BY_FIT.items():
        if not overrides(run, name) and not is_supervised(run.module):
            yield MisconfigurationException(f"{name_of(run.module)} has no `{name}`. Fix: {fix}.")
    yield from check_loaders(run, "train", "training")
    yield from check_loaders(run, "val", "validation")
    for name, (off, fix) in WITHOUT_EFFECT_IN_MANUAL.items():
        value = getattr(run.arguments, name)
        if not run.module.automatic_optimization and value is not None and value > off:
            yield MisconfigurationException(f"`{name}={value}` has no effect in manual optimization. Fix: {fix}.")
    warn_about_validation(run)


def check_evaluation(run: Run) -> Iterator[Exception]:
    """What validate, test and predict need."""
    prefix, fn = RunningStage(run.fn.value).dataloader_prefix, run.fn.value
    name = "validation" if prefix == "val" else prefix
    enough = overrides(run, "forward") if prefix == "predict" else is_supervised(run.module)
    if not overrides(run, f"{name}_step") and not enough:
        fix = f"`def {name}_step(self, batch, batch_idx)`"
        fix += " or `def forward(self, batch)`" if prefix == "predict" else ""
        text = f"{name_of(run.module)} has no `{name}_step` for `trainer.{fn}` to run"
        yield MisconfigurationException(f"{text}. Fix: {fix}.")
    yield from check_loaders(run, prefix, name)


def check_loaders(run: Run, prefix: str, name: str) -> Iterator[Exception]:
    """Loaders that are missing, that are none, or that a step cannot tell apart."""
    given, argument = run.sources.given.get(prefix), run.sources.argument(prefix, run.fn)
    needed = prefix != "val" or run.fn is not TrainerFn.FITTING
    if needed and not run.sources.is_defined(prefix, run.module, run.datamodule):
        nobody = f"neither a data module nor {name_of(run.module)} has `{prefix}_dataloader`"
        fix = f"trainer.{run.fn}(model, {argument}=DataLoader(dataset, batch_size=32))"
        text = f"There is no data for `trainer.{run.fn}`: `{argument}` was not passed, and {nobody}. Fix: {fix}."
        yield MisconfigurationException(text)
    if given is None:
        return
    try:
        check_leaves(given, argument)
    except TypeError as error:
        yield error
    several = prefix != "train" and len(CombinedLoader(given, "sequential").flattened) > 1
    if several and overrides(run, f"{name}_step") and not takes_loader(getattr(run.module, f"{name}_step")):
        yield several_loaders(name)


def warn_about_validation(run: Run) -> None:
    """Legal, but probably not meant: a validation step without data, or data without a step."""
    has_step, has_data = overrides(run, "validation_step"), run.sources.is_defined("val", run.module, run.datamodule)
    missing = f"{name_of(run.module)} has no `validation_step`. Fix: `def validation_step(self, batch, batch_idx)`"
    if has_step:
        missing = "there is no validation data. Fix: `trainer.fit(model, train, val_dataloaders=...)`"
    if has_step != has_data and not is_supervised(run.module):
        rank_zero_warn(f"Nothing is validated: {missing}.", category=PossibleUserWarning)
