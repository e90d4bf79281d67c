"""Pruning weights while they are trained, with :mod:`torch.nn.utils.prune`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle

from leyden.callbacks.requirements import is_count, is_number, require
from leyden.core.callback import Callback
from leyden.errors import MisconfigurationException, bad_value, nearest
from leyden.utils.rank import rank_zero_info

if TYPE_CHECKING:
    from leyden.core.module import LightningModule
    from leyden.trainer import Trainer

Parameters = Sequence[tuple[nn.Module, str]]
Amount = int | float

# By name: the function for one parameter, and the method for all of them together (None: it prunes whole slices).
FUNCTIONS: dict[str, tuple[Callable[..., nn.Module], type[prune.BasePruningMethod] | None]] = {
    "l1_unstructured": (prune.l1_unstructured, prune.L1Unstructured),
    "random_unstructured": (prune.random_unstructured, prune.RandomUnstructured),
    "ln_structured": (prune.ln_structured, None),
    "random_structured": (prune.random_structured, None),
}


class ModelPruning(Callback):
    """Prune weights at the end of epochs.

    Pruned weights are masked: they stay zero while the others are trained. Checkpoints hold the weights with the masks
    multiplied in, under the usual names, and masks and weights apart beside them; a resumed run goes on with those, to
    the same bits.

    Args:
        pruning_fn: ``"l1_unstructured"``, ``"random_unstructured"``, ``"ln_structured"``, ``"random_structured"``, or a
            subclass of :class:`torch.nn.utils.prune.BasePruningMethod` of unstructured type.
        parameters_to_prune: Pairs ``(module, name of a parameter)``; default: all that ``parameter_names`` names.
        parameter_names: ``"weight"``, ``"bias"`` or both; None: both. Without effect beside ``parameters_to_prune``.
        use_global_unstructured: Compare the values of all parameters together, not of each one alone.
        amount: How much of what is left to prune each time: a part (float 0.0-1.0), a number (int), or a function of the
            epoch that returns one of these.
        apply_pruning: Whether to prune at all, or a function of the epoch that says so.
        make_pruning_permanent: Multiply the masks in when training ends and in checkpoints.
        use_lottery_ticket_hypothesis: Give the weights that are left their initial values again (Frankle and Carbin,
            "The Lottery Ticket Hypothesis", ICLR 2019): True: after the first pruning; or a function of the epoch, asked
            after each one.
        resample_parameters: With ``use_lottery_ticket_hypothesis``: draw new values, by the modules'
            ``reset_parameters``.
        pruning_dim: For structured pruning: the dimension whose slices are pruned.
        pruning_norm: For ``"ln_structured"``: the order of the norm.
        verbose: 1 announces how much is pruned, 2 also per parameter, 0 nothing.
        prune_on_train_epoch_end: False: prune when a validation inside fit ends.

    Raises:
        MisconfigurationException: An argument has another value, or ``parameters_to_prune`` are not in the module.

    Example:
        >>> import leyden as pl
        >>> pruning = pl.callbacks.ModelPruning("l1_unstructured", amount=lambda epoch: 0.5 if epoch == 10 else 0)
    """

    PARAMETER_NAMES = ("weight", "bias")
    replaces_weights = True

    def __init__(
        self,
        pruning_fn: str | type[prune.BasePruningMethod],
        parameters_to_prune: Parameters = (),
        parameter_names: Sequence[str] | None = None,
        use_global_unstructured: bool = True,
        amount: Amount | Callable[[int], Amount] = 0.5,
        apply_pruning: bool | Callable[[int], bool] = True,
        make_pruning_permanent: bool = True,
        use_lottery_ticket_hypothesis: bool | Callable[[int], bool] = True,
        resample_parameters: bool = False,
        pruning_dim: int | None = None,
        pruning_norm: int | None = None,
        verbose: int = 0,
        prune_on_train_epoch_end: bool = True,
    ) -> None:
        self._check_parameters(parameters_to_prune or (), parameter_names)
        for name, flag in (
            ("use_global_unstructured", use_global_unstructured),
            ("make_pruning_permanent", make_pruning_permanent),
            ("resample_parameters", resample_parameters),
            ("prune_on_train_epoch_end", prune_on_train_epoch_end),
        ):
            require(isinstance(flag, bool), name, flag, "True or False")
        for name, choice in (
            ("apply_pruning", apply_pruning),
            ("use_lottery_ticket_hypothesis", use_lottery_ticket_hypothesis),
        ):
            require(
                isinstance(choice, bool) or callable(choice), name, choice, "True, False or a function of the epoch"
            )
        enough = callable(amount) or is_amount(amount)
        require(enough, "amount", amount, "a float 0.0-1.0, an int >= 0, or a function of the epoch that returns one")
        require(is_count(verbose, 0) and verbose <= 2, "verbose", verbose, "0, 1 or 2")
        self._prune, self._label = pruning_function(pruning_fn, use_global_unstructured, pruning_dim, pruning_norm)
        self._given = parameters_to_prune or ()
        self._parameter_names = parameter_names or self.PARAMETER_NAMES
        self._amount = amount
        self._when = apply_pruning
        self._permanent = make_pruning_permanent
        self._rewind = use_lottery_ticket_hypothesis
        self._resample = resample_parameters
        self._verbose = verbose
        self._on_train_epoch_end = prune_on_train_epoch_end
        self._handle: RemovableHandle | None = None
        self._reset()

    def _reset(self) -> None:
        self._targets: dict[str, tuple[nn.Module, str]] = {}
        self._initial: dict[str, Tensor] = {}
        self._saved: dict[str, dict[str, Tensor]] = {}
        self._pruned = False

    def _check_parameters(self, parameters: Any, names: Any) -> None:
        pairs = isinstance(parameters, Sequence) and all(
            isinstance(p, tuple | list) and len(p) == 2 and isinstance(p[0], nn.Module) and isinstance(p[1], str)
            for p in parameters
        )
        accepted = "a list of pairs (module, name of a parameter), such as (model.layer, 'weight')"
        require(pairs, "parameters_to_prune", parameters, accepted)
        known = self.PARAMETER_NAMES
        several = names is None or (isinstance(names, Sequence) and not isinstance(names, str))
        right = several and all(name in known for name in names or ())
        require(right, "parameter_names", names, f"a list of names from {list(known)}, or None")

    # -- which parameters -------------------------------------------------------------------------------------------

    def filter_parameters_to_prune(self, parameters_to_prune: Parameters = ()) -> Parameters:
        """Choose among the parameters; override it."""
        return parameters_to_prune

    @staticmethod
    def sanitize_parameters_to_prune(
        pl_module: nn.Module, parameters_to_prune: Parameters = (), parameter_names: Sequence[str] = ()
    ) -> Parameters:
        """Return the parameters to prune: those that were given, or all of the names in the module.

        Raises:
            MisconfigurationException: A given one is not in the module, or there is none.
        """
        modules = list(pl_module.modules())
        names = parameter_names or ModelPruning.PARAMETER_NAMES
        found = parameters_to_prune or [(m, n) for n in names for m in modules if core(m, n) is not None]
        foreign = [m for m, _ in found if not any(m is module for module in modules)]
        absent = [(m, n) for m, n in found if core(m, n) is None]
        if foreign or absent or not found:
            raise MisconfigurationException(
                bad_value(
                    "parameters_to_prune",
                    foreign or absent or found,
                    f"pairs (module, name of its parameter) in {type(pl_module).__name__}",
                    "take the modules from the model that is given to `fit`",
                )
            )
        return found

    # -- the run ----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the last fit; let masks that a checkpoint holds be loaded."""
        self._handle = pl_module.register_load_state_dict_pre_hook(mask_like)  # type: ignore[no-untyped-call]
        if stage == "fit":
            self._reset()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put back what was changed for the run."""
        if self._handle is not None:
            self._handle.remove()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the parameters; in a run that is resumed, mask them as they were."""
        found = self.sanitize_parameters_to_prune(pl_module, self._given, self._parameter_names)
        paths = {module: name for name, module in pl_module.named_modules()}
        chosen = self.filter_parameters_to_prune(found)
        self._targets = {f"{paths[m]}.{n}".removeprefix("."): (m, n) for m, n in chosen}
        if self._saved:
            self._restore(self._saved)
        elif self._rewind and self._when:
            self._initial = {key: core(m, n).detach().clone() for key, (m, n) in self._targets.items()}
        self._saved = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune, if this is the place to."""
        if self._on_train_epoch_end:
            self._run(trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prune, if this is the place to."""
        if not self._on_train_epoch_end and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._run(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Multiply the masks in."""
        state = self._state()
        if self._permanent and state["masks"]:
            self._saved = state
            self.make_pruning_permanent(pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same when there was nothing left to train."""
        self.on_train_end(trainer, pl_module)

    def _run(self, trainer: Trainer) -> None:
        epoch = trainer.current_epoch
        amount = self._amount(epoch) if callable(self._amount) else self._amount
        if not (self._when(epoch) if callable(self._when) else self._when) or not amount:
            return
        self.apply_pruning(amount)
        again = self._rewind(epoch) if callable(self._rewind) else self._rewind and not self._pruned
        self._pruned = True
        if again:
            self.apply_lottery_ticket_hypothesis()
        if not callable(self._rewind):
            self._initial = {}
        if trainer.world_size > 1:  # what was drawn at random differs
            for module, name in self._targets.values():
                for tensor in (core(module, name).data, getattr(module, f"{name}_mask")):
                    tensor.copy_(trainer.strategy.broadcast(tensor))
                refresh(module, name)

    def apply_pruning(self, amount: Amount) -> None:
        """Prune once.

        Args:
            amount: The part or the number of what is left.
        """
        parameters = list(self._targets.values())
        before = [count_pruned(m, n) for m, n in parameters]
        self._prune(parameters, amount)
        after = [count_pruned(m, n) for m, n in parameters]
        if self._verbose:
            change = (
                f"{describe(*map(sum, zip(*before, strict=True)))} -> {describe(*map(sum, zip(*after, strict=True)))}"
            )
            rank_zero_info(f"Applied `{self._label}`. Pruned: {change}")
        for (module, name), old, new in zip(parameters, before, after, strict=True) if self._verbose > 1 else ():
            rank_zero_info(
                f"Applied `{self._label}` to `{module!r}.{name}` with amount={amount}. "
                f"Pruned: {describe(*old)} -> {describe(*new)}"
            )

    @torch.no_grad()
    def apply_lottery_ticket_hypothesis(self) -> None:
        """Give the weights that are left their initial values again, or new ones."""
        values = dict(self._initial)
        for module in dict.fromkeys(m for m, _ in self._targets.values()) if self._resample else ():
            names = {key: name for key, (m, name) in self._targets.items() if m is module}
            values |= drawn_anew(module, names) if hasattr(module, "reset_parameters") else {}
        for key, (module, name) in self._targets.items():
            core(module, name).copy_(values[key])
            refresh(module, name)

    def make_pruning_permanent(self, module: nn.Module) -> None:
        """Multiply the masks of a module into its weights, and leave no masks."""
        for child in module.modules():
            for name in [key.removesuffix("_mask") for key in child._buffers if key.endswith("_mask")]:
                if f"{name}_orig" in child._parameters:
                    prune.remove(child, name)  # type: ignore[no-untyped-call]

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the weights with the masks in them."""
        if self._permanent:
            checkpoint["state_dict"] = fold_masks(checkpoint["state_dict"])

    def _state(self) -> dict[str, dict[str, Tensor]]:
        masked = {key: (m, n) for key, (m, n) in self._targets.items() if f"{n}_mask" in m._buffers}
        return {
            "masks": {key: getattr(m, f"{n}_mask") for key, (m, n) in masked.items()},
            "weights": {key: core(m, n).detach().clone() for key, (m, n) in masked.items()},
            "initial": self._initial,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the masks, the weights under them, and the initial weights if they are still needed."""
        return {**(self._saved or self._state()), "pruned": self._pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back :meth:`state_dict`; it is used when fit begins."""
        self._saved = {key: state_dict[key] for key in ("masks", "weights", "initial")}
        self._pruned = state_dict["pruned"]

    @torch.no_grad()
    def _restore(self, saved: Mapping[str, Mapping[str, Tensor]]) -> None:
        unknown = sorted({*saved["masks"], *saved["initial"]} - self._targets.keys())
        if unknown:
            raise MisconfigurationException(
                f"The checkpoint holds masks of parameters that are not pruned here: {unknown[:5]}. "
                "Fix: the same `parameters_to_prune` and `parameter_names`, and the same module."
            )
        for key, mask in saved["masks"].items():
            module, name = self._targets[key]
            if f"{name}_mask" not in module._buffers:
                mask_parameter(module, name, mask)
            core(module, name).copy_(saved["weights"][key])
            refresh(module, name)
        self._initial = {key: value.to(core(*self._targets[key]).device) for key, value in saved["initial"].items()}


# -- pruning without a Trainer ----------------------------------------------------------------------------------------


def pruning_function(
    function: Any, together: bool, dim: int | None = None, norm: int | None = None
) -> tuple[Callable[[Parameters, Amount], None], str]:
    """Return a function that prunes parameters by an amount, and the name to announce.

    Args:
        function: A name or a method class, as :class:`ModelPruning` takes it.
        together: Compare the values of all parameters.
        dim: The dimension of structured pruning.
        norm: The norm's order for ``"ln_structured"``.

    Raises:
        MisconfigurationException: There is no such function, or it lacks an argument.
    """
    known = list(FUNCTIONS)
    if isinstance(function, type) and issubclass(function, prune.BasePruningMethod):
        require(together, "pruning_fn", function, f"one of {known} with use_global_unstructured=False")
        kind = getattr(function, "PRUNING_TYPE", None)
        require(kind == "unstructured", "pruning_fn", function, "a method with PRUNING_TYPE = 'unstructured'")
        return partial(prune_together, function), function.__name__
    if function not in known:
        accepted = f"one of {known}, or a subclass of torch's BasePruningMethod (the class itself)"
        hint = nearest(function, known) if isinstance(function, str) else ""
        raise MisconfigurationException(bad_value("pruning_fn", function, accepted) + hint)
    one, method = FUNCTIONS[function]
    if method is None:
        require(is_count(dim, -100), "pruning_dim", dim, f"an int, the dimension that {function!r} prunes")
        require(not together, "use_global_unstructured", together, f"False for {function!r}, which prunes slices")
        if function == "ln_structured":
            require(is_number(norm), "pruning_norm", norm, "a number, the order of the norm, for 'ln_structured'")
            return partial(prune_each, partial(one, n=norm, dim=dim)), function
        return partial(prune_each, partial(one, dim=dim)), function
    return (partial(prune_together, method), method.__name__) if together else (partial(prune_each, one), function)


def prune_together(method: type[prune.BasePruningMethod], parameters: Parameters, amount: Amount) -> None:
    """Prune parameters by comparing all their values."""
    prune.global_unstructured(parameters, pruning_method=method, amount=at_most_left(parameters, amount))


def prune_each(function: Callable[..., nn.Module], parameters: Parameters, amount: Amount) -> None:
    """Prune each parameter for itself."""
    for module, name in parameters:
        function(module, name, amount=at_most_left([(module, name)], amount))


def at_most_left(parameters: Parameters, amount: Amount) -> Amount:
    """An amount; where it is a number of values, no more than are left."""
    left = sum(total - pruned for pruned, total in (count_pruned(m, n) for m, n in parameters))
    return min(amount, left) if isinstance(amount, int) else amount


def is_amount(value: Any) -> bool:
    """Whether a value is a part from 0.0 to 1.0, or a number of values."""
    return is_count(value, 0) or (isinstance(value, float) and is_number(value, 0.0, 1.0))


def core(module: nn.Module, name: str) -> Any:
    """The parameter that is trained: the one under the mask, if there is one; None if there is no such parameter."""
    return module._parameters.get(f"{name}_orig", module._parameters.get(name))


def refresh(module: nn.Module, name: str) -> None:
    """Multiply parameter and mask anew, which otherwise waits for the next forward pass."""
    if f"{name}_mask" in module._buffers:
        setattr(module, name, core(module, name) * getattr(module, f"{name}_mask"))


def mask_parameter(module: nn.Module, name: str, mask: Tensor) -> None:
    """Mask a parameter that is not masked yet."""
    prune.custom_from_mask(module, name, mask.to(core(module, name).device))  # type: ignore[no-untyped-call]


def drawn_anew(module: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return new initial values of some parameters, drawn by ``module.reset_parameters``; nothing else changes."""
    kept = {name: p.detach().clone() for name, p in module._parameters.items() if p is not None}
    module.reset_parameters()  # type: ignore[operator]
    values = {key: getattr(module, name).detach().clone() for key, name in names.items()}
    for name, value in kept.items():
        module._parameters[name].copy_(value)  # type: ignore[union-attr]
    return values


def count_pruned(module: nn.Module, name: str) -> tuple[int, int]:
    """How many values of a parameter are masked, and how many there are."""
    mask = module._buffers.get(f"{name}_mask")
    total = core(module, name).numel()
    return (int((mask == 0).sum()) if mask is not None else 0), total


def describe(pruned: int, total: int) -> str:
    """Write a count with its percentage."""
    return f"{pruned}/{total} ({pruned / total:.2%})"


def fold_masks(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict in which each masked weight has its own name again, with the mask multiplied in.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> _ = prune.l1_unstructured(layer, "weight", amount=1)
        >>> sorted(layer.state_dict()), sorted(fold_masks(layer.state_dict()))
        (['bias', 'weight_mask', 'weight_orig'], ['bias', 'weight'])
    """
    masked = {key.removesuffix("_mask") for key in state_dict if key.endswith("_mask")}
    masked = {key for key in masked if f"{key}_orig" in state_dict}
    folded: dict[str, Any] = {}
    for key, value in state_dict.items():
        name = key.removesuffix("_orig")
        if name in masked and name != key:
            folded[name] = value * state_dict[f"{name}_mask"].to(value.dtype)
        elif key.removesuffix("_mask") not in masked:
            folded[key] = value
    return folded


def mask_like(module: nn.Module, state_dict: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Before a state dict is loaded: mask the parameters that it holds masks of."""
    for key in [key.removesuffix("_mask") for key in state_dict if key.endswith("_mask")]:
        path, _dot, name = key.removeprefix(prefix).rpartition(".")
        if f"{key}_orig" in state_dict and name in (owner := module.get_submodule(path))._parameters:
            mask_parameter(owner, name, torch.ones_like(core(owner, name)))
