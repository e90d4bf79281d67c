"""ModelPruning: what is masked when, rewinding, checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from helpers_fit import Regression, fit, loader, trainer, weights
from leyden.callbacks import LambdaCallback, ModelPruning
from leyden.callbacks.pruning import core, count_pruned, fold_masks
from leyden.errors import MisconfigurationException


class Net(Regression):
    """Two layers: 8 + 4 and 4 + 1 values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer = nn.Linear(2, 4), nn.Linear(4, 1)

    def loss(self, batch: Any) -> torch.Tensor:
        return super().loss((torch.relu(self.first(batch[0])), batch[1]))


class Validating(Net):
    def validation_step(self, batch: Any, batch_idx: int) -> None: ...


class Noting(LambdaCallback):
    """Notes, when an epoch begins, how many values of each parameter are masked, and the weights under the masks."""

    def __init__(self) -> None:
        self.counts: list[dict[str, int]] = []
        self.weights: list[dict[str, torch.Tensor]] = []
        super().__init__(on_train_epoch_start=self.note)

    def note(self, trainer: Any, module: Any) -> None:
        layers = {"first": module.first, "layer": module.layer}
        owned = [(f"{key}.{name}", layer, name) for key, layer in layers.items() for name in ("weight", "bias")]
        self.counts.append({key: count_pruned(layer, name)[0] for key, layer, name in owned})
        self.weights.append({key: core(layer, name).detach().clone() for key, layer, name in owned})

    @property
    def totals(self) -> list[int]:
        return [sum(counts.values()) for counts in self.counts]


def pruned(*arguments: Any, epochs: int = 3, **more: Any) -> tuple[Net, Noting]:
    module, noting = Net(), Noting()
    callback = ModelPruning(*(arguments or ("l1_unstructured",)), **more)
    fit(module, callbacks=[callback, noting], max_epochs=epochs)
    return module, noting


def zeros(module: Net) -> int:
    return int((weights(module) == 0).sum())


STAY = {"use_lottery_ticket_hypothesis": False}


# -- what is masked ---------------------------------------------------------------------------------------------------


def test_a_part_of_what_is_left_is_pruned_after_each_epoch():
    module, noting = pruned(amount=0.5, **STAY)
    assert noting.totals == [0, 8, 12]  # of 17: half, half of 9, half of 5
    assert zeros(module) == 14


def test_the_smallest_of_all_values_are_pruned():
    ends: list[torch.Tensor] = []
    note = LambdaCallback(on_train_epoch_end=lambda trainer, module: ends.append(weights(module)))
    module = Net()
    fit(module, callbacks=[note, ModelPruning("l1_unstructured", amount=5, **STAY)])
    smallest = ends[0].abs().argsort()[:5]
    assert torch.equal(torch.nonzero(weights(module) == 0).flatten(), smallest.sort().values)


def test_each_parameter_for_itself():
    _, noting = pruned(amount=0.5, use_global_unstructured=False, epochs=2, **STAY)
    assert noting.counts[1] == {"first.weight": 4, "first.bias": 2, "layer.weight": 2, "layer.bias": 0}


def test_whole_slices():
    module = Net()
    callback = ModelPruning(
        "ln_structured", [(module.first, "weight")], use_global_unstructured=False, amount=0.5, pruning_dim=0, pruning_norm=1,
        **STAY,
    )  # fmt: skip
    fit(module, callbacks=[callback])
    assert (module.first.weight == 0).all(dim=1).sum() == 2
    assert not (module.layer.weight == 0).any()
    more = {"use_global_unstructured": False, "pruning_dim": 1, "parameter_names": ["weight"]}
    module, _ = pruned("random_structured", amount=1, epochs=1, **more, **STAY)
    assert (module.first.weight == 0).all(dim=0).sum() == 1


@pytest.mark.parametrize("name", ["random_unstructured", prune.RandomUnstructured, prune.L1Unstructured])
def test_names_and_methods(name):
    module, _ = pruned(name, amount=6, epochs=1, **STAY)
    assert zeros(module) == 6


def test_parameter_names_and_parameters():
    _, noting = pruned(parameter_names=["weight"], amount=0.5, epochs=2, **STAY)
    assert noting.counts[1]["first.bias"] == noting.counts[1]["layer.bias"] == 0
    assert noting.totals[1] == 6
    module, noting = Net(), Noting()
    fit(module, callbacks=[ModelPruning("l1_unstructured", [(module.layer, "weight")], **STAY), noting], max_epochs=2)
    assert noting.counts[1] == {"first.weight": 0, "first.bias": 0, "layer.weight": 2, "layer.bias": 0}


def test_filter_parameters_to_prune_chooses():
    class Weights(ModelPruning):
        def filter_parameters_to_prune(self, parameters_to_prune: Any = ()) -> Any:
            return [(module, name) for module, name in parameters_to_prune if name == "weight"]

    module, noting = Net(), Noting()
    fit(module, callbacks=[Weights("l1_unstructured", **STAY), noting], max_epochs=2)
    assert noting.totals[1] == 6


def test_a_number_of_values_ends_with_what_is_left():
    module, noting = pruned(amount=7, epochs=4, **STAY)
    assert noting.totals == [0, 7, 14, 17]
    assert zeros(module) == 17


def test_functions_of_the_epoch():
    _, noting = pruned(amount=lambda epoch: epoch, epochs=4, **STAY)
    assert noting.totals == [0, 0, 1, 3]
    _, noting = pruned(amount=2, apply_pruning=lambda epoch: epoch != 1, epochs=4, **STAY)
    assert noting.totals == [0, 2, 2, 4]
    _, noting = pruned(amount=2, apply_pruning=False, epochs=2)
    assert noting.totals == [0, 0]


def test_at_the_end_of_validation():
    order: list[str] = []
    note = LambdaCallback(
        on_validation_end=lambda trainer, m: order.append(count_pruned(m.first, "weight")[1] and str(zeros_of(m)))
    )
    module = Validating()
    callback = ModelPruning("l1_unstructured", amount=4, prune_on_train_epoch_end=False, **STAY)
    fit(module, loader(), loader(), callbacks=[callback, note], max_epochs=2, num_sanity_val_steps=1)
    assert order == ["0", "4", "8"]


def zeros_of(module: Any) -> int:
    return sum(count_pruned(m, n)[0] for m in (module.first, module.layer) for n in ("weight", "bias"))


def test_masked_values_stay_zero_while_the_others_are_trained():
    module, noting = pruned(amount=8, apply_pruning=lambda epoch: epoch == 0, **STAY)
    assert zeros(module) == 8
    assert any(not torch.equal(tensor, noting.weights[2][key]) for key, tensor in noting.weights[1].items())


def test_verbose_tells_how_much_is_pruned(caplog):
    caplog.set_level("INFO", logger="leyden")
    pruned(amount=5, epochs=1, verbose=2, **STAY)
    said = caplog.text
    assert "Applied `L1Unstructured`. Pruned: 0/17 (0.00%) -> 5/17 (29.41%)" in said
    assert "Applied `L1Unstructured` to `Linear(in_features=4, out_features=1, bias=True).bias` with amount=5." in said
    caplog.clear()
    pruned(amount=0.5, epochs=1, verbose=1, use_global_unstructured=False, **STAY)
    said = caplog.text
    assert "Applied `l1_unstructured`. Pruned: 0/17 (0.00%) -> 8/17 (47.06%)" in said
    assert "with amount=0.5" not in said


# -- rewinding --------------------------------------------------------------------------------------------------------


def test_after_the_first_pruning_the_weights_have_their_initial_values_again():
    _, noting = pruned(amount=4)
    assert noting.totals == [0, 4, 8]
    assert all(torch.equal(noting.weights[0][key], tensor) for key, tensor in noting.weights[1].items())
    assert not torch.equal(noting.weights[1]["layer.weight"], noting.weights[2]["layer.weight"])


def test_whenever_a_function_says_so():
    _, noting = pruned(amount=2, use_lottery_ticket_hypothesis=lambda epoch: epoch in (1, 2), epochs=4)
    same = [torch.equal(noting.weights[0]["layer.weight"], weights["layer.weight"]) for weights in noting.weights]
    assert same == [True, False, True, True]


def test_values_drawn_anew():
    _, noting = pruned(amount=2, resample_parameters=True, parameter_names=["weight"], epochs=2)
    _, kept = pruned(amount=2, parameter_names=["weight"], epochs=2, **STAY)
    assert not torch.equal(noting.weights[0]["layer.weight"], noting.weights[1]["layer.weight"])
    assert not torch.equal(kept.weights[1]["layer.weight"], noting.weights[1]["layer.weight"])
    assert torch.equal(kept.weights[1]["layer.bias"], noting.weights[1]["layer.bias"])


# -- masks at the end and in checkpoints ------------------------------------------------------------------------------


def names(state: dict[str, Any]) -> set[str]:
    return {key.rpartition(".")[2] for key in state}


@pytest.mark.parametrize("weights_only", [False, True])
def test_checkpoints_hold_the_weights_with_the_masks_in_them(weights_only, tmp_path):
    module, path = Net(), tmp_path / "a.ckpt"
    save = LambdaCallback(on_train_batch_start=lambda trainer, *given: trainer.save_checkpoint(path, weights_only))
    fit(module, callbacks=[ModelPruning("l1_unstructured", amount=5, **STAY), save], max_epochs=2)
    state = torch.load(path, weights_only=True)["state_dict"]
    assert names(state) == {"weight", "bias"}
    assert sum(int((tensor == 0).sum()) for tensor in state.values()) == 5
    Net().load_state_dict(state)


def test_at_the_end_there_are_no_masks_left():
    module, _ = pruned(amount=5)
    assert names(module.state_dict()) == {"weight", "bias"}
    assert not module.first._forward_pre_hooks


def test_masks_may_stay(tmp_path):
    module, _ = pruned(amount=5, make_pruning_permanent=False, epochs=1, **STAY)
    assert names(module.state_dict()) == {"weight_orig", "weight_mask", "bias_orig", "bias_mask"}
    module.trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = Validating()
    made = trainer(callbacks=[ModelPruning("l1_unstructured", amount=5, make_pruning_permanent=False)])
    made.validate(again, loader(), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    assert torch.equal(again.first.weight_mask, module.first.weight_mask)
    assert not again._load_state_dict_pre_hooks


def test_a_run_that_had_ended_goes_on_with_its_masks(tmp_path):
    whole, _ = pruned(amount=3, epochs=4)
    first, _ = pruned(amount=3, epochs=2)
    first.trainer.save_checkpoint(tmp_path / "a.ckpt")
    second = Net()
    made = trainer(callbacks=[ModelPruning("l1_unstructured", amount=3)], max_epochs=4)
    made.fit(second, loader(), ckpt_path=tmp_path / "a.ckpt")
    assert zeros(second) == 12
    assert zeros(whole) == 12


def test_a_run_that_prunes_something_else_is_refused(tmp_path):
    pruned(amount=3, epochs=1)[0].trainer.save_checkpoint(tmp_path / "a.ckpt")
    made = trainer(callbacks=[ModelPruning("l1_unstructured", parameter_names=["weight"])], max_epochs=2)
    with pytest.raises(MisconfigurationException, match=r"not pruned here: \['first.bias', 'layer.bias'\]"):
        made.fit(Net(), loader(), ckpt_path=tmp_path / "a.ckpt")


def test_folding_leaves_other_names_that_look_alike():
    state = {"a.weight_mask": torch.ones(1), "attention_mask": torch.zeros(1), "b_orig": torch.ones(1)}
    assert fold_masks(state).keys() == state.keys()


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("pruning_fn", "l1"), ("pruning_fn", 3), ("pruning_fn", prune.l1_unstructured), ("pruning_fn", prune.LnStructured),
        ("parameters_to_prune", ["weight"]), ("parameters_to_prune", [1]), ("parameter_names", "weight"),
        ("parameter_names", ["gain"]), ("use_global_unstructured", 1), ("amount", "a"), ("amount", 2.0), ("amount", -1),
        ("amount", True), ("apply_pruning", 3), ("make_pruning_permanent", "no"), ("use_lottery_ticket_hypothesis", 1),
        ("resample_parameters", 0), ("verbose", 3), ("prune_on_train_epoch_end", 1),
    ],
)  # fmt: skip
def test_wrong_arguments(argument, value):
    with pytest.raises(MisconfigurationException, match=f"`{argument}` got") as caught:
        ModelPruning(**{"pruning_fn": "l1_unstructured", argument: value})
    assert repr(value) in str(caught.value)


def test_a_misspelt_name():
    with pytest.raises(MisconfigurationException, match="Did you mean 'l1_unstructured'"):
        ModelPruning("l1_unstructred")


def test_structured_pruning_needs_its_arguments():
    one_by_one = {"use_global_unstructured": False}
    with pytest.raises(MisconfigurationException, match="`pruning_dim` got None"):
        ModelPruning("random_structured", **one_by_one)
    with pytest.raises(MisconfigurationException, match="`pruning_norm` got None"):
        ModelPruning("ln_structured", pruning_dim=0, **one_by_one)
    with pytest.raises(
        MisconfigurationException, match="`use_global_unstructured` got True.*False for 'ln_structured'"
    ):
        ModelPruning("ln_structured", pruning_dim=0, pruning_norm=1)
    with pytest.raises(MisconfigurationException, match="with use_global_unstructured=False"):
        ModelPruning(prune.L1Unstructured, **one_by_one)


@pytest.mark.parametrize("other", [lambda module: (nn.Linear(1, 1), "weight"), lambda module: (module.first, "gain")])
def test_parameters_that_are_not_in_the_module(other):
    module = Net()
    with pytest.raises(MisconfigurationException, match="`parameters_to_prune` got.*that is given to `fit`"):
        fit(module, callbacks=[ModelPruning("l1_unstructured", [other(module)])])
    assert module.calls == []
