from typing import Any

import pytest
import torch

from helpers_fit import Regression, fit, loader, weights
from leyden.engine.nonfinite import NonFiniteLossError


class Breaking(Regression):
    """Its second loss is not finite."""

    value = float("nan")

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = super().training_step(batch, batch_idx)
        return loss * self.value if batch_idx == 1 else loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.calls.append("loss" in outputs)


def without_second() -> torch.Tensor:
    module = Regression()
    fit(module, Without())
    return weights(module)


class Without:
    def __iter__(self) -> Any:
        return (batch for index, batch in enumerate(loader()) if index != 1)

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_raise_is_the_default_and_comes_before_any_change(value: float) -> None:
    module, reference = Breaking(), Regression()
    module.value = value
    with pytest.raises(NonFiniteLossError, match="epoch 0, batch 1, step 1"):
        fit(module)
    fit(reference, limit_train_batches=1)
    assert torch.equal(weights(module), weights(reference))


def test_skip_leaves_the_batch_out(capsys: pytest.CaptureFixture[str]) -> None:
    module = Breaking()
    fit(module, nonfinite="skip")
    assert module.calls == [0, True, 1, False, 2, True, 3, True]
    assert torch.equal(weights(module), without_second())
    assert "epoch 0, batch 1" in capsys.readouterr().out


def test_stop_ends_training(capsys: pytest.CaptureFixture[str]) -> None:
    module = Breaking()
    made = fit(module, nonfinite="stop", max_epochs=3)
    assert module.calls == [0, True, 1, False]
    assert made.current_epoch == 1
    assert bool(torch.isfinite(weights(module)).all())
    assert "left out" in capsys.readouterr().out


def test_ignore_goes_on() -> None:
    module = Breaking()
    fit(module, nonfinite="ignore")
    assert bool(torch.isnan(weights(module)).all())


def test_skip_within_an_accumulation_window() -> None:
    module = Breaking()
    fit(module, nonfinite="skip", accumulate_grad_batches=4)
    reference = Regression()
    fit(reference, Without(), accumulate_grad_batches=4)
    assert torch.allclose(weights(module), weights(reference), atol=1e-6)


def test_a_loss_of_several_elements_is_for_a_backward_of_ones_own() -> None:
    class Several(Regression):
        bad = False

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.layer(batch[0])
            return loss * float("nan") if self.bad else loss

        def backward(self, loss: Any, *args: Any, **kwargs: Any) -> None:
            loss.sum().backward()

    module = Several()
    assert fit(module).global_step == 4
    module.bad = True
    with pytest.raises(NonFiniteLossError):
        fit(module)


def test_validation_is_not_guarded() -> None:
    class Validating(Regression):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", torch.tensor(float("nan")))

    made = fit(Validating(), val=loader())
    assert made.callback_metrics["val_loss"].isnan()
