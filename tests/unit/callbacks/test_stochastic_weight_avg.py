"""StochasticWeightAveraging: rates, average, BatchNorm's epoch, checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import StepLR

from helpers_fit import Regression, Validated, fit, loader, trainer, weights
from leyden.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint, StochasticWeightAveraging
from leyden.errors import MisconfigurationException, PossibleUserWarning


class Noting(Validated):
    """Notes weights and rate when each epoch begins, and the losses of the last one."""

    def __init__(self, norm: bool = False, scheduler: str = "") -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2) if norm else torch.nn.Identity()
        self.scheduler = scheduler
        self.began: list[torch.Tensor] = []
        self.rates: list[float] = []
        self.validated: list[torch.Tensor] = []

    def loss(self, batch: Any) -> torch.Tensor:
        return super().loss((self.norm(batch[0]), batch[1]))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if batch_idx == 0:
            self.validated.append(weights(self.layer))

    def on_train_epoch_start(self) -> None:
        self.began.append(weights(self.layer))
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        if not self.scheduler:
            return optimizer
        return [optimizer], [{"scheduler": StepLR(optimizer, 1, 0.5), "interval": self.scheduler}]


def averaged(module: Noting, *arguments: Any, **more: Any) -> tuple[Any, StochasticWeightAveraging]:
    callback = StochasticWeightAveraging(*(arguments or (0.05, 2)), annealing_epochs=more.pop("annealing_epochs", 2))
    return fit(module, callbacks=[callback, *more.pop("callbacks", ())], **{"max_epochs": 5} | more), callback


def test_the_module_ends_with_the_mean_of_the_weights_with_which_the_epochs_began():
    module = Noting()
    made, callback = averaged(module)
    torch.testing.assert_close(weights(module.layer), torch.stack(module.began[1:5]).mean(0))
    assert (made.current_epoch, callback.n_averaged, callback.swa_start, callback.swa_end) == (5, 4, 1, 4)


@pytest.mark.parametrize(("start", "first"), [(1, 0), (3, 2), (0.5, 1), (0.0, 0), (1.0, 4)])
def test_where_it_begins(start, first):
    _, callback = averaged(Noting(), 0.05, start)
    assert (callback.swa_start, callback.n_averaged) == (first, 5 - first)


@pytest.mark.parametrize(
    ("strategy", "expected"), [("cos", [0.1, 0.1, 0.075, 0.05, 0.05]), ("linear", [0.1, 0.1, 0.075, 0.05, 0.05])]
)
def test_the_rate_moves_to_swa_lrs(strategy, expected):
    module = Noting()
    callback = StochasticWeightAveraging(0.05, 2, annealing_epochs=2, annealing_strategy=strategy)
    fit(module, callbacks=[callback], max_epochs=5)
    assert module.rates == pytest.approx(expected)


def test_the_two_strategies_differ():
    rates = {}
    for strategy in ("cos", "linear"):
        module = Noting()
        fit(module, callbacks=[StochasticWeightAveraging(0.05, 2, 4, strategy)], max_epochs=5)
        rates[strategy] = module.rates
    assert rates["linear"] == pytest.approx([0.1, 0.1, 0.0875, 0.075, 0.0625])
    assert rates["cos"][2] > rates["linear"][2]


def test_its_scheduler_takes_the_place_of_the_modules():
    module = Noting(scheduler="epoch")
    made, _ = averaged(module)
    assert module.rates == pytest.approx([0.1, 0.05, 0.05, 0.05, 0.05])
    assert [type(config.scheduler).__name__ for config in made.lr_scheduler_configs] == ["SWALR"]


def test_a_scheduler_per_step_is_replaced_with_a_warning():
    with pytest.warns(PossibleUserWarning, match="takes the place of StepLR, which stepped with interval='step'"):
        averaged(Noting(scheduler="step"))


def test_a_rate_per_group():
    class Groups(Noting):
        def configure_optimizers(self) -> Any:
            groups = [{"params": [self.layer.weight]}, {"params": [self.layer.bias], "lr": 0.01}]
            return torch.optim.SGD(groups, lr=0.1)

    made, _ = averaged(Groups(), [0.05, 0.02], 1, annealing_epochs=1)
    assert [group["lr"] for group in made.optimizers[0].param_groups] == pytest.approx([0.05, 0.02])


def test_an_average_of_ones_own():
    module = Noting()
    callback = StochasticWeightAveraging(0.05, 2, avg_fn=lambda average, weight, count: torch.maximum(average, weight))
    fit(module, callbacks=[callback], max_epochs=4)
    assert torch.equal(weights(module.layer), torch.stack(module.began[1:4]).amax(0))


def test_row_106_with_batch_norm_an_epoch_is_appended_that_changes_its_statistics_alone():
    module = Noting(norm=True)
    grads: list[bool] = []
    steps: list[int] = []
    note = LambdaCallback(
        on_after_backward=lambda trainer, pl_module: grads.append(trainer.current_epoch == 5),
        on_train_epoch_end=lambda trainer, pl_module: steps.append(trainer.global_step),
    )
    made, _ = averaged(module, callbacks=[note])
    mean = torch.stack(module.began[1:5]).mean(0)
    torch.testing.assert_close(weights(module.layer), mean)
    assert made.current_epoch == 6
    assert made.max_epochs == 5
    assert not any(grads)
    assert steps == [4, 8, 12, 16, 20, 21]
    torch.testing.assert_close(module.validated[-1], mean)
    inputs = torch.stack([batch[0] for batch in loader()])
    torch.testing.assert_close(module.norm.running_mean, inputs.mean((0, 1)))
    torch.testing.assert_close(module.norm.running_var, inputs.var(1).mean(0))
    assert module.norm.momentum == 0.1


def test_without_validation_the_average_stays_as_it_is_too():
    class Plain(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(2)
            self.began: list[torch.Tensor] = []

        def loss(self, batch: Any) -> torch.Tensor:
            return super().loss((self.norm(batch[0]), batch[1]))

        def on_train_epoch_start(self) -> None:
            self.began.append(weights(self.layer))

    module = Plain()
    fit(module, callbacks=[StochasticWeightAveraging(0.05, 2)], max_epochs=3)
    torch.testing.assert_close(weights(module.layer), torch.stack(module.began[1:3]).mean(0))


def test_a_checkpoint_callback_saves_what_the_appended_epoch_leaves(tmp_path):
    module = Noting(norm=True)
    averaged(module, callbacks=[ModelCheckpoint(tmp_path)], enable_checkpointing=True)
    state = torch.load(next(tmp_path.glob("*.ckpt")), weights_only=True)["state_dict"]
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


def test_a_run_that_is_stopped_early_ends_with_the_average_so_far():
    module = Noting(norm=True)
    with pytest.warns(PossibleUserWarning, match="Training stopped early, in epoch 3.*swa_utils.update_bn"):
        averaged(module, 0.05, 2, max_steps=12)
    torch.testing.assert_close(weights(module.layer), torch.stack(module.began[1:3]).mean(0))


def test_early_stopping_before_it_begins_changes_nothing():
    module = Noting()
    stopping = EarlyStopping("val_loss", patience=1, min_delta=100.0)
    averaged(module, 0.05, 4, callbacks=[stopping])
    assert len(module.began) == 2


def test_the_weights_are_trained_on_from_a_checkpoint_not_the_average(tmp_path):
    module = Noting()
    keep = LambdaCallback(
        on_train_epoch_end=lambda trainer, pl_module: trainer.save_checkpoint(
            tmp_path / f"{trainer.current_epoch}.ckpt"
        )
    )
    averaged(module, callbacks=[keep])
    saved = torch.load(tmp_path / "2.ckpt", weights_only=True)
    own = saved["callbacks"]["StochasticWeightAveraging"]
    assert torch.equal(saved["state_dict"]["layer.weight"].flatten(), module.began[3][:2])
    torch.testing.assert_close(
        own["average_model_state"]["layer.weight"].flatten(), torch.stack(module.began[1:3]).mean(0)[:2]
    )
    assert (own["n_averaged"], own["latest_update_epoch"], own["scheduler_state"]["anneal_epochs"]) == (2, 2, 2)


@pytest.mark.parametrize(("norm", "epochs", "steps"), [(False, 4, 16), (True, 5, 14)])
def test_a_run_that_had_ended_goes_on_and_ends_with_the_average_again(norm, epochs, steps, tmp_path):
    averaged(first := Noting(norm), max_epochs=2)[0].save_checkpoint(tmp_path / "a.ckpt")
    module = Noting(norm)
    made = trainer(callbacks=[StochasticWeightAveraging(0.05, 2, annealing_epochs=2)], max_epochs=4)
    made.fit(module, loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    assert (made.current_epoch, made.global_step) == (epochs, steps)
    begun = torch.stack([weights(first.layer), *module.began[: 4 - epochs or None]])
    torch.testing.assert_close(weights(module.layer), begun.mean(0))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("swa_lrs", 0.0), ("swa_lrs", -1), ("swa_lrs", "x"), ("swa_lrs", []), ("swa_lrs", [0.1, "a"]), ("swa_lrs", None),
        ("swa_epoch_start", 0), ("swa_epoch_start", -1), ("swa_epoch_start", 1.5), ("swa_epoch_start", "a"),
        ("swa_epoch_start", True), ("annealing_epochs", -1), ("annealing_epochs", 1.5), ("annealing_strategy", "cosine"),
        ("avg_fn", 1), ("device", "nowhere"), ("device", 1.5),
    ],
)  # fmt: skip
def test_wrong_arguments(argument, value):
    with pytest.raises(MisconfigurationException, match=f"`{argument}` got") as caught:
        StochasticWeightAveraging(**{"swa_lrs": 0.05, argument: value})
    assert repr(value) in str(caught.value)


def refused(module: Regression, text: str, start: Any = 0.5, **arguments: Any) -> None:
    with pytest.raises(MisconfigurationException, match=text):
        fit(module, loader(), callbacks=[StochasticWeightAveraging(0.05, start)], **{"max_epochs": 2} | arguments)
    assert module.calls == []


def test_modules_for_which_it_cannot_work():
    class TwoSchedulers(Regression):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [StepLR(optimizer, 1), StepLR(optimizer, 2)]

    manual = Regression()
    manual.automatic_optimization = False
    refused(manual, "needs automatic optimization")
    refused(TwoSchedulers(), "one scheduler at most, and `configure_optimizers` returned 2")
    refused(Regression(), "a part of `max_epochs`, which is -1; write it as an int", max_epochs=-1, max_steps=3)


def test_too_many_rates():
    module = Regression()
    with pytest.raises(
        MisconfigurationException, match=r"`swa_lrs` got \[0.1, 0.1\].*1 rates, one per parameter group"
    ):
        fit(module, callbacks=[StochasticWeightAveraging([0.1, 0.1])], max_epochs=2)
    assert module.calls == []


def test_a_beginning_after_the_end_is_warned_about():
    with pytest.warns(PossibleUserWarning, match="begins in epoch 9, and `max_epochs` is 2: nothing will be averaged"):
        fit(Regression(), callbacks=[StochasticWeightAveraging(0.05, 9)], max_epochs=2)
