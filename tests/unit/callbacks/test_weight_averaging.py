"""WeightAveraging and EMAWeightAveraging: what is averaged when, and where the average is used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn

import leyden as pl
from helpers_fit import Regression, Validated, fit, loader, trainer, weights
from leyden.callbacks import Callback, EMAWeightAveraging, LambdaCallback, ModelCheckpoint, WeightAveraging
from leyden.errors import MisconfigurationException


class Normed(Validated):
    """With BatchNorm; notes the weights of each validation, and those after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.validated: list[torch.Tensor] = []
        self.trained: list[torch.Tensor] = []

    def loss(self, batch: Any) -> torch.Tensor:
        return super().loss((self.norm(batch[0]), batch[1]))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        if batch_idx == 0:
            self.validated.append(weights(self.layer))

    def on_train_batch_end(self, *given: Any) -> None:
        self.trained.append(weights(self.layer))


class Asked(WeightAveraging):
    """Notes the questions."""

    def __init__(self, answer: Any = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.answer, self.asked = answer, list[Any]()

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        self.asked.append((step_idx, epoch_idx))
        return super().should_update(step_idx, epoch_idx) if self.answer is None else self.answer(step_idx, epoch_idx)


def mean(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(tensors).mean(0)


# -- what is averaged -------------------------------------------------------------------------------------------------


def test_by_default_every_step_enters_the_mean_and_the_module_ends_with_it():
    callback, module = Asked(), Normed()
    fit(module, callbacks=[callback], max_epochs=2)
    steps = [(step, None) for step in range(8)]
    assert callback.asked == [*steps[:4], (None, 0), *steps[4:], (None, 1)]
    torch.testing.assert_close(weights(module.layer), mean(module.trained))


def test_should_update_decides():
    module = Normed()
    fit(module, callbacks=[Asked(lambda step, epoch: step is not None and step >= 5)], max_epochs=2)
    torch.testing.assert_close(weights(module.layer), mean(module.trained[5:]))
    module = Normed()
    fit(module, callbacks=[Asked(lambda step, epoch: epoch is not None)], max_epochs=2)
    torch.testing.assert_close(weights(module.layer), mean(module.trained[3::4]))


def test_only_steps_of_the_optimizer_count():
    callback = Asked()
    fit(Normed(), callbacks=[callback], accumulate_grad_batches=3)
    assert callback.asked == [(0, None), (1, None), (None, 0)]


def test_a_step_after_the_last_batch_of_data_without_a_length_counts():
    from helpers_fit import Endless

    callback = Asked()
    data = torch.utils.data.DataLoader(Endless(), batch_size=2)
    fit(Regression(), data, callbacks=[callback], accumulate_grad_batches=3)
    assert callback.asked == [(0, None), (1, None), (None, 0)]


@pytest.mark.parametrize(
    "functions",
    [{}, {"avg_fn": get_ema_avg_fn(0.5)}, {"multi_avg_fn": get_ema_multi_avg_fn(0.5)}],
    ids=["mean", "avg_fn", "multi_avg_fn"],
)
def test_the_numbers_are_those_of_torchs_averaged_model(functions):
    module, reference = Normed(), AveragedModel(Normed(), **functions)
    follow = LambdaCallback(
        on_train_batch_end=lambda trainer, pl_module, *given: reference.update_parameters(pl_module)
    )
    fit(module, callbacks=[follow, WeightAveraging(use_buffers=False, **functions)], max_epochs=2)
    expected = dict(reference.module.named_parameters())
    assert all(torch.equal(parameter, expected[name]) for name, parameter in module.named_parameters())


def test_the_moving_average():
    module = Normed()
    fit(module, callbacks=[EMAWeightAveraging(decay=0.5)], limit_train_batches=3)
    one, two, three = module.trained
    torch.testing.assert_close(weights(module.layer), 0.25 * one + 0.25 * two + 0.5 * three)


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        ({}, range(12)),
        ({"update_every_n_steps": 3}, (0, 3, 6, 9)),
        ({"update_starting_at_step": 5}, range(5, 12)),
        ({"update_every_n_steps": 4, "update_starting_at_step": 2}, (4, 8)),
        ({"update_starting_at_epoch": 1}, range(4, 12)),
        ({"update_starting_at_epoch": 1, "update_starting_at_step": 6}, range(6, 12)),
    ],
)
def test_when_the_moving_average_is_updated(arguments, steps):
    module = Normed()
    fit(module, callbacks=[EMAWeightAveraging(decay=0.5, **arguments)], max_epochs=3)
    chosen = [module.trained[step] for step in steps]
    expected = chosen[0]
    for tensor in chosen[1:]:
        expected = 0.5 * expected + 0.5 * tensor
    torch.testing.assert_close(weights(module.layer), expected)


def test_buffers_are_averaged_unless_they_are_not_or_are_counts():
    means: list[torch.Tensor] = []
    note = LambdaCallback(on_train_batch_end=lambda t, module, *given: means.append(module.norm.running_mean.clone()))
    module = Normed()
    fit(module, callbacks=[note, WeightAveraging()])
    torch.testing.assert_close(module.norm.running_mean, mean(means))
    assert module.norm.num_batches_tracked == 4
    module = Normed()
    fit(module, callbacks=[WeightAveraging(use_buffers=False)])
    assert torch.equal(module.norm.running_mean, means[-1])


def test_the_average_may_lie_elsewhere():
    module = Normed()
    fit(module, callbacks=[EMAWeightAveraging("cpu", decay=0.5)], limit_train_batches=2)
    torch.testing.assert_close(weights(module.layer), mean(module.trained))


def test_it_follows_a_module_that_is_made_late():
    class Late(Regression):
        def configure_model(self) -> None:
            self.calls.append("configure_model")
            self.extra = torch.nn.Linear(1, 1)

        def loss(self, batch: Any) -> torch.Tensor:
            return (self.extra(self.layer(batch[0])) - batch[1]).square().mean()

    ends: list[torch.Tensor] = []
    note = LambdaCallback(on_train_batch_end=lambda t, module, *given: ends.append(weights(module.extra)))
    module = Late()
    fit(module, callbacks=[note, WeightAveraging()])
    assert module.calls.count("configure_model") == 1
    torch.testing.assert_close(weights(module.extra), mean(ends))


# -- where it is used -------------------------------------------------------------------------------------------------


def test_validation_inside_fit_sees_the_average_and_training_does_not():
    module, plain = Normed(), Normed()
    fit(module, callbacks=[WeightAveraging()], max_epochs=2, val_check_interval=2)
    fit(plain, max_epochs=2, val_check_interval=2)
    assert all(map(torch.equal, module.trained, plain.trained))
    for number, seen in enumerate(module.validated):
        torch.testing.assert_close(seen, mean(module.trained[: 2 * number + 2]))


def test_the_sanity_check_and_validation_before_the_first_update_see_the_weights():
    module = Normed()
    first = weights(module.layer)
    averaging = EMAWeightAveraging(update_starting_at_epoch=1)
    fit(module, callbacks=[averaging], num_sanity_val_steps=1)
    assert torch.equal(module.validated[0], first)
    assert torch.equal(module.validated[1], module.trained[3])
    assert torch.equal(weights(module.layer), module.trained[3])


def test_validate_and_test_after_fit_use_the_average_that_the_module_holds():
    module = Normed()
    made = fit(module, callbacks=[WeightAveraging()])
    end = weights(module.layer)
    made.validate(module, loader(), verbose=False)
    assert torch.equal(module.validated[-1], end)
    assert torch.equal(weights(module.layer), end)


def test_an_error_in_validation_leaves_the_weights_that_were_trained():
    class Failing(Normed):
        def on_validation_epoch_end(self) -> None:
            raise RuntimeError("no")

    module = Failing()
    made = trainer(callbacks=[WeightAveraging()])
    with pytest.raises(RuntimeError, match="no"):
        made.fit(module, loader(), loader())
    assert torch.equal(weights(module.layer), module.trained[-1])


# -- checkpoints ------------------------------------------------------------------------------------------------------


class Saving(Callback):
    """Saves in a hook."""

    def __init__(self, folder: Any, hook: str) -> None:
        self.path = folder / "a.ckpt"
        self.light = folder / "light.ckpt"
        setattr(self, hook, self.save)

    def save(self, trainer: Any, *given: Any) -> None:
        trainer.save_checkpoint(self.path)
        trainer.save_checkpoint(self.light, weights_only=True)


def saved_in(hook: str, folder: Any) -> tuple[Normed, dict[str, Any], dict[str, Any]]:
    module, saving = Normed(), Saving(folder, hook)
    fit(module, callbacks=[WeightAveraging(), saving])
    return module, *(torch.load(path, weights_only=True) for path in (saving.path, saving.light))


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_batch_end", "on_train_epoch_end", "on_fit_end"])
def test_row_105_the_state_dict_of_a_checkpoint_is_the_average_and_the_weights_lie_beside_it(hook, tmp_path):
    module, full, light = saved_in(hook, tmp_path)
    for state in (full["state_dict"], light["state_dict"]):
        torch.testing.assert_close(state["layer.weight"].flatten(), mean(module.trained)[:2])
    assert torch.equal(full["current_model_state"]["layer.weight"].flatten(), module.trained[-1][:2])
    assert full["averaging_state"] == {"n_averaged": torch.tensor(4)}
    assert "current_model_state" not in light


def test_a_checkpoint_after_fit_has_both_too(tmp_path):
    module = Normed()
    made = fit(module, callbacks=[WeightAveraging()])
    made.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert torch.equal(state["state_dict"]["layer.weight"], module.layer.weight)
    assert torch.equal(state["current_model_state"]["layer.weight"].flatten(), module.trained[-1][:2])


def test_a_run_that_had_ended_goes_on_from_the_weights(tmp_path):
    whole, first, second = Normed(), Normed(), Normed()
    fit(whole, callbacks=[EMAWeightAveraging(decay=0.5)], max_epochs=2)
    fit(first, callbacks=[EMAWeightAveraging(decay=0.5)]).save_checkpoint(tmp_path / "a.ckpt")
    made = trainer(callbacks=[EMAWeightAveraging(decay=0.5)], max_epochs=2)
    made.fit(second, loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    assert torch.equal(weights(whole), weights(second))


def test_resuming_with_nothing_left_to_train_ends_with_the_average(tmp_path):
    module, again = Normed(), Normed()
    fit(module, callbacks=[WeightAveraging()]).save_checkpoint(tmp_path / "a.ckpt")
    made = trainer(callbacks=[WeightAveraging()])
    made.fit(again, loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    assert torch.equal(weights(module), weights(again))


def test_load_from_checkpoint_and_test_take_the_average(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_weights_only=True, filename="a")
    module = Normed()
    made = fit(module, callbacks=[WeightAveraging(), checkpoint], enable_checkpointing=True)
    assert torch.equal(weights(Normed.load_from_checkpoint(checkpoint.best_model_path)), weights(module))
    other = Normed()
    made.validate(other, loader(), ckpt_path=checkpoint.best_model_path, verbose=False)
    assert torch.equal(weights(other), weights(module))


def test_a_checkpoint_of_a_run_without_averaging_is_a_beginning(tmp_path):
    fit(Normed()).save_checkpoint(tmp_path / "a.ckpt")
    module = Normed()
    made = trainer(callbacks=[WeightAveraging()], max_epochs=2)
    made.fit(module, loader(), loader(), ckpt_path=tmp_path / "a.ckpt")
    torch.testing.assert_close(weights(module.layer), mean(module.trained))


def test_tied_weights_have_their_average_under_both_names(tmp_path):
    class Tied(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.other = torch.nn.Linear(2, 1)
            self.other.weight = self.layer.weight

        def loss(self, batch: Any) -> torch.Tensor:
            return (self.layer(batch[0]) + self.other(batch[0]) - batch[1]).square().mean()

    saving = Saving(tmp_path, "on_train_epoch_end")
    module = Tied()
    fit(module, callbacks=[WeightAveraging(), saving])
    state = torch.load(saving.path, weights_only=True)["state_dict"]
    assert torch.equal(state["layer.weight"], state["other.weight"])
    assert torch.equal(state["layer.weight"], module.layer.weight)


def test_a_second_fit_averages_anew():
    module = Normed()
    made = fit(module, callbacks=[WeightAveraging()])
    made.fit_loop.max_epochs = 2
    made.fit(module, loader(), loader())
    torch.testing.assert_close(weights(module.layer), mean(module.trained[4:]))


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("decay", 2.0), ("decay", -1), ("decay", "x"), ("update_every_n_steps", 0), ("update_every_n_steps", 1.5),
        ("update_starting_at_step", -1), ("update_starting_at_epoch", "1"), ("device", "nowhere"), ("use_buffers", 1),
    ],
)  # fmt: skip
def test_wrong_arguments(argument, value):
    with pytest.raises(MisconfigurationException, match=f"`{argument}` got {value!r}"):
        EMAWeightAveraging(**{argument: value})


def test_unknown_arguments():
    with pytest.raises(TypeError, match="'avg_func'. Did you mean 'avg_fn'"):
        WeightAveraging(avg_func=max)
    with pytest.raises(TypeError, match=r"\['avg_fn'\]. Fix: for an average of your own, `WeightAveraging"):
        EMAWeightAveraging(avg_fn=max)
    with pytest.raises(MisconfigurationException, match="`avg_fn` got 1"):
        WeightAveraging(avg_fn=1)
    with pytest.raises(MisconfigurationException, match="exclude each other"):
        WeightAveraging(avg_fn=max, multi_avg_fn=max)


def test_two_averages_in_one_trainer():
    with pytest.raises(MisconfigurationException, match="Two callbacks average the weights"):
        fit(Regression(), callbacks=[WeightAveraging(), EMAWeightAveraging()])


def test_the_names_are_where_programs_look_for_them():
    assert pl.callbacks.WeightAveraging is WeightAveraging
    assert issubclass(EMAWeightAveraging, WeightAveraging)
