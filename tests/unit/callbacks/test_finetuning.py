"""BaseFinetuning and BackboneFinetuning: what is frozen, trained and at which rate."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, CosineAnnealingLR, LambdaLR, StepLR

from helpers_fit import Regression, fit, loader, trainer, weights
from leyden.callbacks import BackboneFinetuning, BaseFinetuning
from leyden.errors import CheckpointError, MisconfigurationException, PossibleUserWarning


class Tuned(Regression):
    """A head on a backbone with BatchNorm; notes what an epoch begins with."""

    def __init__(self, scheduler: Any = None, filtered: bool = True) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
        self.scheduler, self.filtered = scheduler, filtered
        self.rates: list[list[float]] = []
        self.trained: list[list[str]] = []
        self.tracked: list[bool] = []

    def loss(self, batch: Any) -> torch.Tensor:
        return super().loss((self.backbone(batch[0]), batch[1]))

    def on_train_epoch_start(self) -> None:
        self.rates.append([group["lr"] for group in self.trainer.optimizers[0].param_groups])
        self.trained.append([name for name, p in self.backbone.named_parameters() if p.requires_grad])
        self.tracked.append(self.backbone[1].track_running_stats)

    def configure_optimizers(self) -> Any:
        chosen = [p for p in self.parameters() if p.requires_grad or not self.filtered]
        optimizer = torch.optim.SGD(chosen, lr=0.1, momentum=0.9)
        return [optimizer], [self.scheduler(optimizer)] if self.scheduler else []


class Unfreezing(BaseFinetuning):
    """The second layer of the backbone from epoch 1 on, the first from epoch 2 on."""

    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.backbone, train_bn=False)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        if epoch == 1:
            self.unfreeze_and_add_param_group(pl_module.backbone[2], optimizer)
        if epoch == 2:
            self.unfreeze_and_add_param_group(list(pl_module.backbone[:2]), optimizer, lr=0.05, train_bn=False)


NORM, LINEAR = ["1.weight", "1.bias"], ["0.weight", "0.bias"]
ALL = [*LINEAR, *NORM, "2.0.weight", "2.0.bias"]


# -- the base class ---------------------------------------------------------------------------------------------------


def test_what_is_frozen_does_not_change_and_is_trained_from_its_epoch_on():
    module = Tuned()
    begin, ends = weights(module.backbone), list[torch.Tensor]()
    module.on_train_epoch_end = lambda: ends.append(weights(module.backbone))  # type: ignore[method-assign]
    fit(module, callbacks=[Unfreezing()], max_epochs=3)
    assert torch.equal(begin, ends[0])
    assert not torch.equal(ends[0][-6:], ends[1][-6:])
    assert torch.equal(ends[0][:-6], ends[1][:-6])
    assert not torch.equal(ends[1][:6], ends[2][:6])
    assert module.trained == [[], ["2.0.weight", "2.0.bias"], ALL]
    assert module.rates == [[0.1], [0.1, pytest.approx(0.01)], [0.1, pytest.approx(0.01), 0.05]]


def test_frozen_batch_norm_keeps_its_statistics():
    module = Tuned()
    fit(module, callbacks=[Unfreezing()], max_epochs=2)
    assert torch.equal(module.backbone[1].running_mean, torch.zeros(2))
    assert module.tracked == [False, False]
    module = Tuned()
    fit(module, callbacks=[BackboneFinetuning(5)], max_epochs=2)
    assert not torch.equal(module.backbone[1].running_mean, torch.zeros(2))


def test_flatten_modules():
    module = Tuned()
    flat = BaseFinetuning.flatten_modules(module.backbone)
    assert flat == [module.backbone[0], module.backbone[1], module.backbone[2][0], module.backbone[2][1]]
    assert BaseFinetuning.flatten_modules([module.backbone[:1], [module.layer]]) == [module.backbone[0], module.layer]


def test_flatten_modules_keeps_parents_with_parameters_of_their_own():
    class Parent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))
            self.child = nn.Linear(1, 1)

    parent = Parent()
    assert BaseFinetuning.flatten_modules(parent) == [parent, parent.child]
    BaseFinetuning.freeze(parent)
    assert not any(p.requires_grad for p in parent.parameters())
    BaseFinetuning.make_trainable([parent])
    assert all(p.requires_grad for p in parent.parameters())


def test_freeze_module_leaves_the_children():
    block = nn.ModuleList([nn.Linear(1, 1)])
    BaseFinetuning.freeze_module(block)
    assert all(p.requires_grad for p in block.parameters())
    BaseFinetuning.freeze_module(block[0])
    assert not any(p.requires_grad for p in block.parameters())


def test_filter_params():
    module = Tuned()
    names = {id(p): name for name, p in module.backbone.named_parameters()}

    def filtered(**options: Any) -> list[str]:
        return [names[id(p)] for p in BaseFinetuning.filter_params(module.backbone, **options)]

    assert filtered() == ALL
    assert filtered(train_bn=False) == [name for name in ALL if name not in NORM]
    BaseFinetuning.freeze(module.backbone)
    assert filtered() == NORM
    assert filtered(requires_grad=False) == [name for name in ALL if name not in NORM]


def test_filter_on_optimizer_leaves_out_what_is_there_with_a_warning():
    one, two = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([one], lr=0.1)
    with pytest.warns(
        PossibleUserWarning, match="1 of the 2 parameters to add are in a group of the optimizer already"
    ):
        new = BaseFinetuning.filter_on_optimizer(optimizer, [one, two])
    assert [id(p) for p in new] == [id(two)]


@pytest.mark.parametrize(("arguments", "rate"), [({}, 0.01), ({"initial_denom_lr": 4.0}, 0.025), ({"lr": 0.3}, 0.3)])
def test_the_rate_of_an_added_group(arguments, rate):
    layer = nn.Linear(1, 1)
    BaseFinetuning.freeze(layer)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    BaseFinetuning.unfreeze_and_add_param_group(layer, optimizer, **arguments)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(rate)
    assert all(p.requires_grad for p in layer.parameters())


SCHEDULERS = {
    "StepLR": lambda o: StepLR(o, 1, 0.5),
    "LambdaLR": lambda o: LambdaLR(o, lambda epoch: 0.5**epoch),
    "CosineAnnealingLR": lambda o: CosineAnnealingLR(o, 4),
    "ChainedScheduler": lambda o: ChainedScheduler([LambdaLR(o, lambda epoch: 0.5**epoch)]),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_follow_the_new_groups(name):
    module = Tuned(SCHEDULERS[name])
    fit(module, callbacks=[Unfreezing()], max_epochs=4)
    assert [len(rates) for rates in module.rates] == [1, 2, 3, 3]


def test_a_resumed_run_has_the_groups_again(tmp_path):
    whole, first, second = Tuned(), Tuned(), Tuned()
    fit(whole, callbacks=[Unfreezing()], max_epochs=4)
    fit(first, callbacks=[Unfreezing()], max_epochs=3).save_checkpoint(tmp_path / "a.ckpt")
    made = trainer(callbacks=[Unfreezing()], max_epochs=4)
    made.fit(second, loader(), ckpt_path=tmp_path / "a.ckpt")
    assert torch.equal(weights(whole), weights(second))
    assert second.rates == whole.rates[3:]


def resumed_with(module: Tuned, path: Any) -> None:
    made = trainer(callbacks=[Unfreezing()], max_epochs=4)
    made.fit(module, loader(), ckpt_path=path)


def test_a_module_that_has_changed_is_an_error_at_resumption(tmp_path):
    fit(Tuned(), callbacks=[Unfreezing()], max_epochs=3).save_checkpoint(tmp_path / "a.ckpt")
    other = Tuned(filtered=False)
    with pytest.raises(CheckpointError, match="Parameter group 0 of SGD has other parameters.*8 instead of 2"):
        resumed_with(other, tmp_path / "a.ckpt")
    smaller = Tuned()
    smaller.strict_loading = False
    del smaller.backbone[2]
    with pytest.raises(CheckpointError, match=r"does not have: \['backbone.2.0.weight', 'backbone.2.0.bias'\]"):
        resumed_with(smaller, tmp_path / "a.ckpt")
    assert other.calls == smaller.calls == []


@pytest.mark.parametrize("missing", ["freeze_before_training", "finetune_function"])
def test_both_methods_have_to_be_written(missing):
    class Half(Unfreezing):
        pass

    setattr(Half, missing, getattr(BaseFinetuning, missing))
    with pytest.raises(NotImplementedError, match=f"`Half.{missing}` is not defined. Fix: `def {missing}"):
        fit(Tuned(), callbacks=[Half()])


def test_nothing_is_frozen_outside_fit():
    module = Tuned()
    module.validation_step = lambda batch, batch_idx: None  # type: ignore[assignment]
    trainer(callbacks=[Unfreezing()]).validate(module, loader(), verbose=False)
    assert all(p.requires_grad for p in module.parameters())


# -- the backbone -----------------------------------------------------------------------------------------------------


def backbone_rates(callback: BackboneFinetuning, module: Tuned | None = None, epochs: int = 6) -> list[list[float]]:
    module = module or Tuned()
    fit(module, callbacks=[callback], max_epochs=epochs)
    return [[round(rate, 6) for rate in rates] for rates in module.rates]


def test_the_backbone_is_frozen_but_for_its_batch_norm_and_then_trained():
    module = Tuned()
    backbone_rates(BackboneFinetuning(2), module, 3)
    assert module.trained == [NORM, NORM, ALL]


def test_its_rate_doubles_up_to_that_of_the_rest():
    found = backbone_rates(BackboneFinetuning(1))
    assert found == [[0.1], [0.1, 0.01], [0.1, 0.02], [0.1, 0.04], [0.1, 0.08], [0.1, 0.1]]


def test_its_rate_may_become_larger():
    assert backbone_rates(BackboneFinetuning(1, should_align=False))[-1] == [0.1, 0.16]


def test_its_first_rate_and_its_growth():
    assert backbone_rates(BackboneFinetuning(1, backbone_initial_ratio_lr=0.5), epochs=2)[-1] == [0.1, 0.05]
    epochs: list[int] = []

    def growth(epoch: int) -> float:
        epochs.append(epoch)
        return 1.5

    found = backbone_rates(BackboneFinetuning(1, growth, backbone_initial_lr=0.03), epochs=4)
    assert found[1:] == [[0.1, 0.03], [0.1, 0.045], [0.1, 0.0675]]
    assert epochs == [3, 4]


def test_a_scheduler_lowers_the_rate_that_it_is_aligned_with():
    found = backbone_rates(BackboneFinetuning(1), Tuned(SCHEDULERS["StepLR"]), 4)
    assert found == [[0.1], [0.05, 0.005], [0.025, 0.01], [0.0125, 0.0125]]


def test_batch_norm_that_is_not_trained():
    module = Tuned()
    backbone_rates(BackboneFinetuning(1, train_bn=False), module, 2)
    assert module.trained[0] == []
    groups = module.trainer.optimizers[0].param_groups
    assert [len(group["params"]) for group in groups] == [2, 4]


def test_an_optimizer_of_all_parameters_keeps_its_rate_and_gets_a_warning():
    module = Tuned(filtered=False)
    with pytest.warns(
        PossibleUserWarning, match=r"4 of the 4 parameters to add.*SGD\(filter\(lambda p: p.requires_grad"
    ):
        assert backbone_rates(BackboneFinetuning(1), module, 3) == [[0.1], [0.1], [0.1]]


def test_verbose_announces_both_rates(caplog):
    caplog.set_level("INFO", logger="leyden")
    backbone_rates(BackboneFinetuning(1, verbose=True, rounding=3), epochs=3)
    assert "Current lr: 0.1, Backbone lr: 0.01" in caplog.text
    assert "Current lr: 0.1, Backbone lr: 0.02" in caplog.text


def test_a_resumed_run_goes_on_at_its_rate(tmp_path):
    first, second = Tuned(), Tuned()
    fit(first, callbacks=[BackboneFinetuning(1)], max_epochs=3).save_checkpoint(tmp_path / "a.ckpt")
    made = trainer(callbacks=[BackboneFinetuning(1)], max_epochs=4)
    made.fit(second, loader(), ckpt_path=tmp_path / "a.ckpt")
    assert second.rates == [[0.1, pytest.approx(0.04)]]
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["callbacks"]["BackboneFinetuning"]
    names = [group["params"] for group in saved["internal_optimizer_metadata"][0]]
    assert names[0] == ["layer.weight", "layer.bias", "backbone.1.weight", "backbone.1.bias"]
    assert saved["previous_backbone_lr"] == pytest.approx(0.02)


@pytest.mark.parametrize("value", [None, 3])
def test_a_module_without_a_backbone(value):
    module = Regression()
    module.backbone = value
    with pytest.raises(MisconfigurationException, match=f"`Regression.backbone` got {value}.*create it in `__init__`"):
        fit(module, callbacks=[BackboneFinetuning(1)])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("unfreeze_backbone_at_epoch", -1), ("unfreeze_backbone_at_epoch", 1.5), ("lambda_func", 2),
        ("backbone_initial_ratio_lr", 0), ("backbone_initial_lr", "x"), ("should_align", 1), ("initial_denom_lr", 0),
        ("train_bn", "no"), ("verbose", 2), ("rounding", -1),
    ],
)  # fmt: skip
def test_wrong_arguments(argument, value):
    with pytest.raises(MisconfigurationException, match=f"`{argument}` got {value!r}"):
        BackboneFinetuning(**{argument: value})
