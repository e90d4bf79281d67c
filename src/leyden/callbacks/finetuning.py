"""Fine-tuning: freeze a part of the module, and train it from a later epoch on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from leyden.callbacks.requirements import is_count, is_number, require
from leyden.core.callback import Callback
from leyden.core.optimizers import parameters_of
from leyden.errors import CheckpointError, MisconfigurationException, PossibleUserWarning, bad_value
from leyden.utils.rank import rank_zero_info, rank_zero_warn

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

Modules = nn.Module | Iterable[Any]


def multiplicative(epoch: int) -> float:
    """Twice as fast in each epoch."""
    return 2.0


class BaseFinetuning(Callback):
    """Base class of fine-tuning: say what is frozen before training, and what is trained from which epoch on.

    Override :meth:`freeze_before_training` and :meth:`finetune_function`. Let ``configure_optimizers`` take the
    parameters that are trained: ``filter(lambda p: p.requires_grad, self.parameters())``. A run that is resumed after
    something was unfrozen has the same parameter groups again.

    Example:
        >>> import leyden as pl
        >>> class UnfreezeLate(pl.callbacks.BaseFinetuning):
        ...     def freeze_before_training(self, pl_module):
        ...         self.freeze(pl_module.features)
        ...     def finetune_function(self, pl_module, epoch, optimizer):
        ...         if epoch == 5:
        ...             self.unfreeze_and_add_param_group(pl_module.features, optimizer)
    """

    def __init__(self) -> None:
        self._groups: dict[int, list[dict[str, Any]]] = {}
        self._statistics: dict[str, bool] = {}
        self._restarting = False

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze what is not trained from the beginning; called before ``configure_optimizers``."""
        raise NotImplementedError(
            f"`{type(self).__name__}.freeze_before_training` is not defined. Fix: `def freeze_before_training(self, "
            "pl_module)`, for example with `self.freeze(pl_module.backbone)`."
        )

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze what is trained from this epoch on; called when an epoch begins, for each optimizer."""
        raise NotImplementedError(
            f"`{type(self).__name__}.finetune_function` is not defined. Fix: `def finetune_function(self, pl_module, "
            "epoch, optimizer)`, for example with `self.unfreeze_and_add_param_group(...)`."
        )

    # -- tools for subclasses ---------------------------------------------------------------------------------------

    @staticmethod
    def flatten_modules(modules: Modules) -> list[nn.Module]:
        """Return the modules inside, those alone that have no children or have parameters of their own.

        Args:
            modules: A module, or modules in lists of any depth.
        """
        if isinstance(modules, nn.Module):
            inside: list[nn.Module] = list(modules.modules())
        else:
            inside = [child for module in modules for child in BaseFinetuning.flatten_modules(module)]
        return [m for m in inside if not list(m.children()) or m._parameters]

    @staticmethod
    def filter_params(modules: Modules, train_bn: bool = True, requires_grad: bool = True) -> Iterator[nn.Parameter]:
        """Yield the parameters that are trained.

        Args:
            modules: A module, or modules in lists of any depth.
            train_bn: Whether those of BatchNorm count.
            requires_grad: False: the others, which are frozen.
        """
        for module in BaseFinetuning.flatten_modules(modules):
            if train_bn or not isinstance(module, _BatchNorm):
                yield from (p for p in module.parameters(recurse=False) if p.requires_grad == requires_grad)

    @staticmethod
    def make_trainable(modules: Modules) -> None:
        """Train the parameters of modules, and let their BatchNorm collect statistics."""
        for module in BaseFinetuning.flatten_modules(modules):
            _set_trained(module, trained=True)

    @staticmethod
    def freeze_module(module: nn.Module) -> None:
        """Freeze the parameters of one module, those of its children not; BatchNorm keeps its statistics."""
        _set_trained(module, trained=False)

    @staticmethod
    def freeze(modules: Modules, train_bn: bool = True) -> None:
        """Freeze the parameters of modules.

        Args:
            modules: A module, or modules in lists of any depth.
            train_bn: Whether BatchNorm is still trained.
        """
        for module in BaseFinetuning.flatten_modules(modules):
            _set_trained(module, trained=train_bn and isinstance(module, _BatchNorm))

    @staticmethod
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Return the parameters that an optimizer does not have yet, and warn about the others."""
        present = {id(parameter) for parameter in parameters_of(optimizer)}
        given = list(params)
        new = [parameter for parameter in given if id(parameter) not in present]
        if len(new) < len(given):
            rank_zero_warn(
                f"{len(given) - len(new)} of the {len(given)} parameters to add are in a group of the optimizer already; "
                f"they are left out. Fix, in `configure_optimizers`: {type(optimizer).__name__}(filter(lambda p: "
                "p.requires_grad, self.parameters()), ...).",
                category=PossibleUserWarning,
            )
        return new

    @staticmethod
    def unfreeze_and_add_param_group(
        modules: Modules,
        optimizer: Optimizer,
        lr: float | None = None,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
    ) -> None:
        """Train modules from now on, as a new parameter group.

        Args:
            modules: A module, or modules in lists of any depth.
            optimizer: The optimizer that gets the group.
            lr: Its learning rate; None: that of the first group, divided by ``initial_denom_lr``.
            initial_denom_lr: See ``lr``.
            train_bn: Whether the parameters of BatchNorm are in the group.
        """
        BaseFinetuning.make_trainable(modules)
        rate = optimizer.param_groups[0]["lr"] / initial_denom_lr if lr is None else float(lr)
        norms = [m for m in BaseFinetuning.flatten_modules(modules) if isinstance(m, _BatchNorm)]
        present = {id(parameter) for parameter in parameters_of(optimizer)}
        trained = {id(p) for m in norms for p in m.parameters() if id(p) in present}  # never frozen, as is usual
        wanted = [p for p in BaseFinetuning.filter_params(modules, train_bn=train_bn) if id(p) not in trained]
        if new := BaseFinetuning.filter_on_optimizer(optimizer, wanted):
            optimizer.add_param_group({"params": new, "lr": rate})

    # -- the run ----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Freeze."""
        if stage == "fit":
            self._groups, self._statistics, self._restarting = {}, {}, False
            self.freeze_before_training(pl_module)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """In a run that is resumed, add the groups that were added before."""
        if not self._restarting:
            return
        self._restarting = False
        before = _trained(pl_module)
        for index, optimizer in enumerate(trainer.optimizers):
            restore_groups(optimizer, self._groups.get(index, []), dict(pl_module.named_parameters()))
        for name, child in pl_module.named_modules():
            if name in self._statistics:
                child.track_running_stats = self._statistics[name]
        self._follow(trainer, pl_module, before)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Unfreeze what is due."""
        before = _trained(pl_module)
        for optimizer in trainer.optimizers:
            self.finetune_function(pl_module, trainer.current_epoch, optimizer)
        self._follow(trainer, pl_module, before)
        names = {id(parameter): name for name, parameter in pl_module.named_parameters()}
        self._groups = {
            index: [{**group, "params": [names.get(id(p), "") for p in group["params"]]} for group in o.param_groups]
            for index, o in enumerate(trainer.optimizers)
        }
        self._statistics = {
            name: child.track_running_stats
            for name, child in pl_module.named_modules()
            if isinstance(child, _BatchNorm)
        }

    def _follow(self, trainer: Trainer, pl_module: LightningModule, before: set[int]) -> None:
        """Let schedulers and strategy know what is trained now."""
        for config in trainer.lr_scheduler_configs:
            extend_scheduler(config.scheduler)
        if _trained(pl_module) != before:  # it decides at the beginning whose gradients it exchanges
            trainer.strategy.wrap(pl_module, manual=not pl_module.automatic_optimization)

    def state_dict(self) -> dict[str, Any]:
        """Return the parameter groups by the names of their parameters, and which BatchNorm collects statistics."""
        return {"internal_optimizer_metadata": self._groups, "track_running_stats": self._statistics}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back :meth:`state_dict`; the groups are added when fit begins."""
        self._groups = state_dict["internal_optimizer_metadata"]
        self._statistics = state_dict.get("track_running_stats", {})
        self._restarting = True


class BackboneFinetuning(BaseFinetuning):
    """Freeze ``pl_module.backbone`` at first; train it from an epoch on, at a rate that grows to that of the rest.

    Args:
        unfreeze_backbone_at_epoch: The epoch, from 0, in which its training begins.
        lambda_func: What the backbone's rate is multiplied by when an epoch begins; called with the number of the next
            epoch. Default: 2.
        backbone_initial_ratio_lr: The backbone's first rate as a part of the rate of the first parameter group.
        backbone_initial_lr: The backbone's first rate itself.
        should_align: Let it not become larger than the rate of the first group.
        initial_denom_lr: For :meth:`BaseFinetuning.unfreeze_and_add_param_group` without a rate; without effect here.
        train_bn: Whether the backbone's BatchNorm is trained from the beginning.
        verbose: Announce both rates in each epoch.
        rounding: Decimals of the announced rates.

    Raises:
        MisconfigurationException: An argument has another value; at the start of fit: the module has no ``backbone``
            that is a module.

    Example:
        >>> import leyden as pl
        >>> finetuning = pl.callbacks.BackboneFinetuning(unfreeze_backbone_at_epoch=3, lambda_func=lambda epoch: 1.5)
    """

    def __init__(
        self,
        unfreeze_backbone_at_epoch: int = 10,
        lambda_func: Callable[[int], float] = multiplicative,
        backbone_initial_ratio_lr: float = 10e-2,
        backbone_initial_lr: float | None = None,
        should_align: bool = True,
        initial_denom_lr: float = 10.0,
        train_bn: bool = True,
        verbose: bool = False,
        rounding: int = 12,
    ) -> None:
        super().__init__()
        epoch, initial = unfreeze_backbone_at_epoch, backbone_initial_lr
        require(is_count(epoch, 0), "unfreeze_backbone_at_epoch", epoch, "an int >= 0")
        require(callable(lambda_func), "lambda_func", lambda_func, "a function of the epoch that returns a factor")
        for name, value in (
            ("backbone_initial_ratio_lr", backbone_initial_ratio_lr),
            ("initial_denom_lr", initial_denom_lr),
        ):
            require(is_number(value) and value > 0, name, value, "a number > 0")
        require(
            initial is None or (is_number(initial) and initial > 0),
            "backbone_initial_lr",
            initial,
            "a number > 0 or None",
        )
        for name, flag in (("should_align", should_align), ("train_bn", train_bn), ("verbose", verbose)):
            require(isinstance(flag, bool), name, flag, "True or False")
        require(is_count(rounding, 0), "rounding", rounding, "an int >= 0")
        self.unfreeze_backbone_at_epoch = epoch
        self.lambda_func = lambda_func
        self.backbone_initial_ratio_lr = backbone_initial_ratio_lr
        self.backbone_initial_lr = initial
        self.should_align = should_align
        self.initial_denom_lr = initial_denom_lr
        self.train_bn = train_bn
        self.verbose = verbose
        self.rounding = rounding
        self.previous_backbone_lr: float | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that there is a backbone, and freeze it."""
        if stage != "fit":
            return
        backbone = getattr(pl_module, "backbone", None)
        if not isinstance(backbone, nn.Module):
            raise MisconfigurationException(
                bad_value(f"{type(pl_module).__name__}.backbone", backbone, "an nn.Module", "create it in `__init__`")
            )
        self.previous_backbone_lr = None
        super().setup(trainer, pl_module, stage)

    def freeze_before_training(self, pl_module: LightningModule) -> None:
        """Freeze the backbone."""
        self.freeze(pl_module.backbone, train_bn=self.train_bn)

    def finetune_function(self, pl_module: LightningModule, epoch: int, optimizer: Optimizer) -> None:
        """Unfreeze the backbone; afterwards let its rate grow."""
        groups = optimizer.param_groups
        rate, previous = groups[0]["lr"], self.previous_backbone_lr
        if epoch == self.unfreeze_backbone_at_epoch:
            number, initial = len(groups), self.backbone_initial_lr
            first = initial if initial is not None else rate * self.backbone_initial_ratio_lr
            self.unfreeze_and_add_param_group(
                pl_module.backbone, optimizer, first, self.initial_denom_lr, train_bn=self.train_bn
            )
            self.previous_backbone_lr = first if len(groups) > number else None  # else it has no group of its own
            self._announce(rate, self.previous_backbone_lr)
        elif epoch > self.unfreeze_backbone_at_epoch and previous is not None:
            grown = self.lambda_func(epoch + 1) * previous
            self.previous_backbone_lr = groups[-1]["lr"] = rate if self.should_align and grown > rate else grown
            self._announce(rate, self.previous_backbone_lr)

    def _announce(self, rate: float, backbone: float | None) -> None:
        if self.verbose and backbone is not None:
            rank_zero_info(f"Current lr: {round(rate, self.rounding)}, Backbone lr: {round(backbone, self.rounding)}")

    def state_dict(self) -> dict[str, Any]:
        """Return the parameter groups, and the backbone's rate."""
        return {**super().state_dict(), "previous_backbone_lr": self.previous_backbone_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back :meth:`state_dict`."""
        super().load_state_dict(state_dict)
        self.previous_backbone_lr = state_dict["previous_backbone_lr"]


def restore_groups(optimizer: Optimizer, saved: list[dict[str, Any]], parameters: dict[str, nn.Parameter]) -> None:
    """Give an optimizer the parameter groups that it had when they were saved; those it has must be the same.

    Raises:
        CheckpointError: A parameter is not there any more, or the first groups hold other parameters.
    """
    missing = [name for group in saved for name in group["params"] if name not in parameters]
    if missing:
        raise CheckpointError(
            f"The checkpoint's optimizer trains parameters that the module does not have: {missing[:5]}. "
            "Fix: build the module as it was, or load the weights only and start a new fit."
        )
    groups = optimizer.param_groups
    for number, group in enumerate(saved):
        wanted = [parameters[name] for name in group["params"]]
        if number >= len(groups):
            for parameter in wanted:
                parameter.requires_grad = True
            optimizer.add_param_group({**group, "params": wanted})
        elif [id(p) for p in groups[number]["params"]] != [id(p) for p in wanted]:
            raise CheckpointError(
                f"Parameter group {number} of {type(optimizer).__name__} has other parameters than in the checkpoint: "
                f"{len(groups[number]['params'])} instead of {len(wanted)}, beginning with {group['params'][:1]}. "
                "Fix: let `configure_optimizers` return what it did, or load the weights only and start a new fit."
            )


def extend_scheduler(scheduler: Any) -> None:
    """Let a scheduler that keeps a value per parameter group follow those that were added since it was made."""
    for inner in getattr(scheduler, "_schedulers", ()):
        extend_scheduler(inner)
    groups, rates = (
        getattr(getattr(scheduler, "optimizer", None), "param_groups", []),
        getattr(scheduler, "base_lrs", None),
    )
    if not isinstance(rates, list) or len(rates) >= len(groups):
        return
    functions = getattr(scheduler, "lr_lambdas", None)
    for group in groups[len(rates) :]:
        rates.append(group.setdefault("initial_lr", group["lr"]))
        if isinstance(functions, list):
            functions.append(functions[-1])


def _set_trained(module: nn.Module, trained: bool) -> None:
    if isinstance(module, _BatchNorm):
        module.track_running_stats = trained
    for parameter in module.parameters(recurse=False):
        parameter.requires_grad = trained


def _trained(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters() if parameter.requires_grad}
