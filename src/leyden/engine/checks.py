"""What must hold before a run begins; all that is wrong is reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from warnings import warn

from leyden.core.module import LightningModule
from leyden.core.supervised import is_supervised, name_of
from leyden.data.combined import CombinedLoader
from leyden.engine.config import raise_all
from leyden.engine.loading import check_leaves, several_loaders, takes_loader
from leyden.engine.signatures import check_hooks
from leyden.engine.states import TrainerFn
from leyden.errors import MisconfigurationException, PossibleUserWarning
from leyden.utils.overrides import is_overridden

if TYPE_CHECKING:
    from leyden.engine.run import Run


def check_run(run: Run) -> None:
    """Raise one error with everything about module, data and arguments that cannot work."""
    checks: dict[TrainerFn, Callable[[Run], Iterator[Exception]]] = {
        TrainerFn.FITTING: check_fit,
        TrainerFn.VALIDATING: lambda run: check_evaluation(run, "validation", "val"),
        TrainerFn.TESTING: lambda run: check_evaluation(run, "test", "test"),
        TrainerFn.PREDICTING: check_predict,
    }
    raise_all([*checks[run.fn](run), *check_hooks(run)])


def check_constructed(kind: str, model: Any) -> None:
    """Refuse a module whose ``__init__`` left out the base class's.

    Raises:
        MisconfigurationException: It did.
    """
    if "_parameters" not in vars(model) or (isinstance(model, LightningModule) and "_trainer" not in vars(model)):
        raise MisconfigurationException(
            f"`{kind}` got {type(model).__name__}, whose `__init__` does not call the base class's. "
            "Fix: make `super().__init__()` the first line of it."
        )


def overrides(run: Run, name: str) -> bool:
    """Whether the module defines a method itself."""
    return is_overridden(name, run.module, LightningModule)


def check_fit(run: Run) -> Iterator[Exception]:
    """What fit needs."""
    module, kind = run.module, name_of(run.module)
    supervised = is_supervised(module)
    if not supervised and not overrides(run, "training_step"):
        yield MisconfigurationException(
            f"{kind} has no `training_step`. Fix: `def training_step(self, batch, batch_idx)` that returns the loss"
            + (" (a `validation_step` alone is not enough to train)." if overrides(run, "validation_step") else ".")
        )
    if not supervised and not overrides(run, "configure_optimizers"):
        yield MisconfigurationException(
            f"{kind} has no `configure_optimizers`. Fix: `def configure_optimizers(self)` that returns, for example, "
            "torch.optim.Adam(self.parameters(), lr=1e-3)."
        )
    if not run.sources.is_defined("train", module, run.datamodule):
        yield MisconfigurationException(
            "There is no training data: neither `train_dataloaders` nor a data module was passed, and "
            f"{kind} has no `train_dataloader`. Fix: trainer.fit(model, DataLoader(dataset, batch_size=32))."
        )
    for prefix in ("train", "val"):
        yield from check_given(run, prefix)
    yield from check_several(run, "validation", "val")
    if not module.automatic_optimization:
        yield from check_manual(run)
    warn_about_validation(run)


def check_manual(run: Run) -> Iterator[Exception]:
    """What manual optimization excludes."""
    arguments = run.arguments
    if arguments.gradient_clip_val is not None and arguments.gradient_clip_val > 0:
        yield MisconfigurationException(
            f"`gradient_clip_val={arguments.gradient_clip_val}` has no effect in manual optimization. "
            "Fix: call `self.clip_gradients(optimizer, ...)` in `training_step`."
        )
    if arguments.accumulate_grad_batches != 1:
        yield MisconfigurationException(
            f"`accumulate_grad_batches={arguments.accumulate_grad_batches}` has no effect in manual optimization. "
            "Fix: step the optimizer on every n-th batch in `training_step`."
        )


def check_given(run: Run, prefix: str) -> Iterator[Exception]:
    """Loaders that were passed and are none."""
    given = run.sources.given.get(prefix)
    if given is not None:
        try:
            check_leaves(given, run.sources.argument(prefix, run.fn))
        except TypeError as error:
            yield error


def check_several(run: Run, name: str, prefix: str) -> Iterator[Exception]:
    """Several loaders that were passed, and a step that cannot tell them apart."""
    given, method = run.sources.given.get(prefix), getattr(run.module, f"{name}_step")
    several = isinstance(given, (list, tuple, dict)) and len(CombinedLoader(given, "sequential").flattened) > 1
    if several and overrides(run, f"{name}_step") and not takes_loader(method):
        yield several_loaders(name)


def warn_about_validation(run: Run) -> None:
    """Legal, but probably not meant: a validation step without data, or data without a step."""
    has_step = overrides(run, "validation_step") or is_supervised(run.module)
    has_data = run.sources.is_defined("val", run.module, run.datamodule)
    if has_data and not has_step:
        warn(
            f"There is validation data, but {type(run.module).__name__} has no `validation_step`: nothing is "
            "validated. Fix: `def validation_step(self, batch, batch_idx)`.",
            PossibleUserWarning,
            stacklevel=2,
        )
    if has_step and not has_data and not is_supervised(run.module):
        warn(
            f"{type(run.module).__name__} has a `validation_step`, but there is no validation data: nothing is "
            "validated. Fix: trainer.fit(model, train, val_dataloaders=...).",
            PossibleUserWarning,
            stacklevel=2,
        )


def check_evaluation(run: Run, name: str, prefix: str) -> Iterator[Exception]:
    """What validate and test need."""
    method, kind = f"{name}_step", type(run.module).__name__
    if not overrides(run, method) and not is_supervised(run.module):
        yield MisconfigurationException(
            f"{kind} has no `{method}`, which `trainer.{run.fn.value}` runs. "
            f"Fix: `def {method}(self, batch, batch_idx)`."
        )
    yield from check_data(run, prefix)
    yield from check_several(run, name, prefix)


def check_predict(run: Run) -> Iterator[Exception]:
    """What predict needs."""
    if not overrides(run, "predict_step") and not overrides(run, "forward"):
        yield MisconfigurationException(
            f"{type(run.module).__name__} has neither `predict_step` nor `forward`, so it cannot predict. "
            "Fix: `def forward(self, batch)`."
        )
    yield from check_data(run, "predict")
    yield from check_several(run, "predict", "predict")


def check_data(run: Run, prefix: str) -> Iterator[Exception]:
    """Data to evaluate on."""
    if not run.sources.is_defined(prefix, run.module, run.datamodule):
        yield MisconfigurationException(
            f"There is no data for `trainer.{run.fn.value}`: no `dataloaders` and no data module with "
            f"`{prefix}_dataloader` was passed. Fix: trainer.{run.fn.value}(model, dataloaders=...)."
        )
    yield from check_given(run, prefix)
