import pytest
import torch
from torch import nn

from helpers_fit import Regression, fit
from leyden.legacy.utilities.norms import grad_norm


def with_gradients() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 1), nn.Linear(1, 1))
    module[0].weight.grad, module[0].bias.grad = torch.tensor([[3.0, 0.0, -4.0, 0.0]]), torch.tensor([12.0])
    return module


def test_norms_of_each_gradient_and_of_all() -> None:
    norms = {name: norm.item() for name, norm in grad_norm(with_gradients(), 2).items()}
    assert norms == {"grad_2.0_norm/0.weight": 5.0, "grad_2.0_norm/0.bias": 12.0, "grad_2.0_norm_total": 13.0}


def test_largest_absolute_value_and_separator() -> None:
    norms = grad_norm(with_gradients(), "inf", group_separator=".")
    assert {name: norm.item() for name, norm in norms.items()} == {
        "grad_inf_norm.0.weight": 4.0,
        "grad_inf_norm.0.bias": 12.0,
        "grad_inf_norm_total": 12.0,
    }


def test_no_gradients_have_no_norms() -> None:
    assert grad_norm(nn.Linear(1, 1), 2) == {}


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), "big"])
def test_norm_type_is_positive(bad: object) -> None:
    with pytest.raises(ValueError, match="norm_type|could not convert"):
        grad_norm(with_gradients(), bad)  # type: ignore[arg-type]


def test_logged_in_a_run_before_clipping() -> None:
    class Watched(Regression):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            self.log_dict(grad_norm(self.layer, norm_type=2))

    made = fit(Watched(), limit_train_batches=1, gradient_clip_val=1e-6)
    assert set(made.callback_metrics) == {"grad_2.0_norm/weight", "grad_2.0_norm/bias", "grad_2.0_norm_total"}
    assert made.callback_metrics["grad_2.0_norm_total"] > 1e-3
