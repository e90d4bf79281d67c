"""Stochastic weight averaging: the mean of the weights of the last epochs, trained at a constant rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import SWALR

from leyden.callbacks.requirements import is_count, is_number, require
from leyden.callbacks.weight_averaging import AverageFn, device_of
from leyden.core.callback import Callback
from leyden.core.optimizers import LRSchedulerConfig
from leyden.errors import MisconfigurationException, PossibleUserWarning, bad_value
from leyden.utils.rank import rank_zero_warn

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer


class StochasticWeightAveraging(Callback):
    """Average the weights over the last epochs of a fit, and finish with the average.

    From ``swa_epoch_start`` on the learning rate moves to ``swa_lrs`` and stays there, and the weights with which an
    epoch begins enter their mean. At the end the module gets the mean. If it has BatchNorm, a further epoch, without
    gradients, computes its statistics anew: ``max_epochs`` is one more while fit runs.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", UAI 2018.

    Args:
        swa_lrs: The learning rate, or one per parameter group.
        swa_epoch_start: The first epoch of it, counted from 1: an int >= 1, or a part of ``max_epochs`` from 0.0 to 1.0.
        annealing_epochs: Over how many epochs the rate moves to ``swa_lrs``.
        annealing_strategy: How it moves: ``"cos"`` or ``"linear"``.
        avg_fn: Computes the new average from ``(average, weight, number of weights in it)``; None: the mean.
        device: Where the average lies; None: beside the weights.

    Raises:
        MisconfigurationException: An argument has another value; at the start of fit: several optimizers or schedulers,
            manual optimization, or a part of ``max_epochs=-1``.

    Attributes:
        n_averaged: How many epochs' weights are in the average.

    Example:
        >>> import leyden as pl
        >>> swa = pl.callbacks.StochasticWeightAveraging(swa_lrs=1e-2, swa_epoch_start=0.75)
    """

    def __init__(
        self,
        swa_lrs: float | list[float],
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: str = "cos",
        avg_fn: AverageFn | None = None,
        device: torch.device | str | None = torch.device("cpu"),  # noqa: B008  # immutable
    ) -> None:
        rates = swa_lrs if isinstance(swa_lrs, Sequence) and not isinstance(swa_lrs, str) else [swa_lrs]
        positive = bool(rates) and all(is_number(rate) and rate > 0 for rate in rates)
        require(positive, "swa_lrs", swa_lrs, "a number > 0, or a list of them, one per parameter group")
        part = isinstance(swa_epoch_start, float) and is_number(swa_epoch_start, 0.0, 1.0)
        accepted = "an epoch (int >= 1), or a part of max_epochs (float 0.0-1.0)"
        require(part or is_count(swa_epoch_start, 1), "swa_epoch_start", swa_epoch_start, accepted)
        require(is_count(annealing_epochs, 0), "annealing_epochs", annealing_epochs, "an int >= 0")
        strategies = ("cos", "linear")
        require(annealing_strategy in strategies, "annealing_strategy", annealing_strategy, "'cos' or 'linear'")
        require(avg_fn is None or callable(avg_fn), "avg_fn", avg_fn, "a function or None")
        self._rates = [float(rate) for rate in rates]
        self._one_rate = rates is not swa_lrs
        self._start = swa_epoch_start
        self._annealing_epochs = annealing_epochs
        self._annealing_strategy = annealing_strategy
        self._avg_fn = avg_fn or self.avg_fn
        self._device = device_of(device)
        self._reset()

    def _reset(self) -> None:
        self.n_averaged = 0
        self._max_epochs: int | None = None
        self._scheduler: SWALR | None = None
        self._average: dict[str, Tensor] = {}
        self._latest_update_epoch = -1
        self._recomputing = self._counted = self._transferred = False
        self._momenta: dict[_BatchNorm, float | None] = {}

    @property
    def swa_start(self) -> int:
        """The epoch, from 0, at whose beginning averaging begins."""
        whole = int((self._max_epochs or 0) * self._start) if isinstance(self._start, float) else self._start
        return max(whole - 1, 0)

    @property
    def swa_end(self) -> float:
        """The last epoch that trains; infinite without an end."""
        return float("inf") if self._max_epochs in (None, -1) else self._max_epochs - 1

    @staticmethod
    def avg_fn(averaged_model_parameter: Tensor, model_parameter: Tensor, num_averaged: Tensor) -> Tensor:
        """The mean, with one more."""
        return averaged_model_parameter + (model_parameter - averaged_model_parameter) / (num_averaged + 1)

    @staticmethod
    def pl_module_contains_batch_norm(pl_module: nn.Module) -> bool:
        """Whether a module has BatchNorm."""
        return any(isinstance(child, _BatchNorm) for child in pl_module.modules())

    # -- before training --------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the last fit."""
        if stage == "fit":
            self._reset()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check that averaging is possible; in a run that is resumed after its beginning, put the scheduler back."""
        self._check(trainer, pl_module)
        self._max_epochs = trainer.max_epochs
        if self.swa_start > self.swa_end:
            rank_zero_warn(
                f"`StochasticWeightAveraging` begins in epoch {self.swa_start + 1}, and `max_epochs` is {self._max_epochs}: "
                "nothing will be averaged. Fix: a smaller `swa_epoch_start`.",
                category=PossibleUserWarning,
            )
        elif self.pl_module_contains_batch_norm(pl_module) and self.swa_end < float("inf"):
            trainer.fit_loop.max_epochs = int(self.swa_end) + 2
        if self._average:
            self._average = {
                name: tensor.to(self._device or pl_module.device) for name, tensor in self._average.items()
            }
            self._replace_scheduler(trainer)

    def _check(self, trainer: Trainer, pl_module: LightningModule) -> None:
        optimizers, schedulers = trainer.optimizers, trainer.lr_scheduler_configs
        problem = ""
        if not pl_module.automatic_optimization:
            problem = "it needs automatic optimization"
        elif len(optimizers) != 1:
            problem = f"it takes one optimizer, and `configure_optimizers` returned {len(optimizers)}"
        elif len(schedulers) > 1:
            problem = f"it takes one scheduler at most, and `configure_optimizers` returned {len(schedulers)}"
        elif isinstance(self._start, float) and trainer.max_epochs == -1:
            problem = "`swa_epoch_start` is a part of `max_epochs`, which is -1; write it as an int"
        if problem:
            raise MisconfigurationException(f"`StochasticWeightAveraging` cannot work here: {problem}.")
        groups = len(optimizers[0].param_groups)
        if not self._one_rate and len(self._rates) != groups:
            raise MisconfigurationException(
                bad_value("swa_lrs", self._rates, f"{groups} rates, one per parameter group")
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on in the epoch for BatchNorm, if a run was interrupted in it."""
        if self._recomputing:
            self._recompute(trainer, pl_module)

    # -- while training ---------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average the weights; in the epoch after the last one, begin with the average."""
        epoch = trainer.current_epoch
        if self.swa_start <= epoch <= self.swa_end and epoch > self._latest_update_epoch:
            if not self._average:
                self._begin(trainer, pl_module)
            self._update(pl_module)
            self._latest_update_epoch = epoch
        elif epoch == self.swa_end + 1 and self._average:
            self._transfer(pl_module)
            for norm in batch_norms(pl_module):
                norm.reset_running_stats()
            self._recomputing, self._counted = True, False
            self._recompute(trainer, pl_module)

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        device = self._device or pl_module.device
        states = nn.Module.state_dict(pl_module)
        self._average = {name: tensor.detach().to(device, copy=True) for name, tensor in states.items()}
        self._replace_scheduler(trainer)

    def _replace_scheduler(self, trainer: Trainer) -> None:
        configs, optimizer = trainer.lr_scheduler_configs, trainer.optimizers[0]
        rates = self._rates * len(optimizer.param_groups) if self._one_rate else self._rates
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["initial_lr"] = rate
        self._scheduler = SWALR(optimizer, rates, self._annealing_epochs, self._annealing_strategy)  # type: ignore[arg-type]
        for old in configs:
            if old.interval != "epoch" or old.frequency != 1:
                rank_zero_warn(
                    f"`StochasticWeightAveraging` steps its scheduler once per epoch; it takes the place of "
                    f"{type(old.scheduler).__name__}, which stepped with interval={old.interval!r} and "
                    f"frequency={old.frequency}.",
                    category=PossibleUserWarning,
                )
        configs[:] = [LRSchedulerConfig(self._scheduler)]

    @torch.no_grad()
    def _update(self, pl_module: LightningModule) -> None:
        count = torch.tensor(self.n_averaged)
        for name, parameter in pl_module.named_parameters(remove_duplicate=False):
            average = self._average[name]
            weight = parameter.detach().to(average.device)
            average.copy_(weight if self.n_averaged == 0 else self._avg_fn(average, weight, count))
        self.n_averaged += 1
        self._transferred = False

    @torch.no_grad()
    def _transfer(self, pl_module: LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            parameter.copy_(self._average[name])
        self._transferred = True

    def _recompute(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the epoch change BatchNorm's statistics alone: each batch counts the same."""
        self._momenta = {norm: norm.momentum for norm in batch_norms(pl_module)}
        for norm in self._momenta:
            norm.momentum = None
        trainer._run_now.forward_only = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the epoch for BatchNorm when it is over."""
        if trainer.is_last_batch:
            self._count(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the epoch for BatchNorm."""
        self._count(trainer)
        if self._recomputing:
            self._recomputing = trainer._run_now.forward_only = False
            self._restore_momenta()

    def _count(self, trainer: Trainer) -> None:
        """Count that epoch as one step: what it leaves is a new state of the module, which checkpoints have to hold."""
        if self._recomputing and not self._counted:
            trainer._progress.global_step += 1
            self._counted = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the module the average, if it does not have it yet."""
        if not self.n_averaged or self._transferred:
            return
        if self.pl_module_contains_batch_norm(pl_module):
            rank_zero_warn(
                f"Training stopped early, in epoch {trainer.current_epoch}. The module has the averaged weights, but "
                "BatchNorm's statistics are those of the weights before averaging. "
                "Fix: torch.optim.swa_utils.update_bn(loader, model).",
                category=PossibleUserWarning,
            )
        self._transfer(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put back what was changed for the run."""
        if stage == "fit" and self._max_epochs is not None:
            trainer.fit_loop.max_epochs = self._max_epochs
            self._restore_momenta()

    def _restore_momenta(self) -> None:
        for norm, momentum in self._momenta.items():
            norm.momentum = momentum
        self._momenta = {}

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the average and how far it has come."""
        return {
            "n_averaged": self.n_averaged,
            "latest_update_epoch": self._latest_update_epoch,
            "scheduler_state": None if self._scheduler is None else self._scheduler.state_dict(),
            "average_model_state": dict(self._average) or None,
            "recomputing": self._recomputing,
            "counted": self._counted,
            "transferred": self._transferred,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back :meth:`state_dict`; the scheduler's state is among those of the schedulers."""
        self.n_averaged = int(state_dict["n_averaged"])
        self._latest_update_epoch = state_dict["latest_update_epoch"]
        self._average = dict(state_dict["average_model_state"] or {})
        self._recomputing = state_dict.get("recomputing", False)
        self._counted = state_dict.get("counted", False)
        self._transferred = state_dict.get("transferred", False)


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers that keep statistics."""
    norms: list[_BatchNorm] = [child for child in module.modules() if isinstance(child, _BatchNorm)]
    return [norm for norm in norms if norm.track_running_stats and norm.running_mean is not None]
