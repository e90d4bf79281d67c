import pickle
from typing import Any

import pytest
import torch
from torch import nn

import leyden as pl
from helpers_fit import Regression, fit
from leyden.errors import MisconfigurationException


class Pair(pl.LightningModule):
    """Two parts that share a third, each with its own optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.first, self.second, self.shared = nn.Linear(2, 1), nn.Linear(2, 1), nn.Linear(2, 2)
        self.second.bias.requires_grad = False
        self.seen: list[Any] = []

    def configure_optimizers(self) -> Any:
        return [
            torch.optim.SGD([*self.first.parameters(), *self.shared.parameters()], lr=0.1),
            torch.optim.Adam([*self.second.parameters(), *self.shared.parameters()], lr=0.1),
        ]

    def flags(self) -> list[bool]:
        return [p.requires_grad for part in (self.first, self.second, self.shared) for p in part.parameters()]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        one, two = self.optimizers()
        self.toggle_optimizer(one)
        self.seen.append(self.flags())
        self.untoggle_optimizer(one)
        with self.toggled_optimizer(two):
            self.seen.append(self.flags())
        with two.toggle_model():
            self.seen.append(self.flags())
        with two.toggle_model(sync_grad=False):
            self.manual_backward(self.second(self.shared(batch[0])).sum())
        self.toggle_optimizer(one)
        self.toggle_optimizer(two)  # without untoggling the first
        self.seen.append(self.flags())
        self.untoggle_optimizer(two)
        self.seen.append(self.flags())
        two.step()


def test_row_34_toggling_keeps_shared_parameters() -> None:
    module = Pair()
    before = [True, True, True, False, True, True]
    second = [False, False, True, False, True, True]
    fit(module, limit_train_batches=1)
    assert module.seen == [[True, True, False, False, True, True], second, second, second, before]
    assert module.flags() == before
    assert module.first.weight.grad is None


def test_toggling_ends_with_an_exception_too() -> None:
    class Failing(Pair):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            with pytest.raises(LookupError), self.toggled_optimizer(self.optimizers()[0]):
                raise LookupError
            self.seen.append(self.flags())
            self.optimizers()[0].step()

    module = Failing()
    fit(module, limit_train_batches=1)
    assert module.seen == [[True, True, True, False, True, True]]


def test_optimizers_and_schedulers_of_a_run() -> None:
    class Asking(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append((self.optimizers(), self.optimizers(use_pl_optimizer=False), self.lr_schedulers()))
            return self.loss(batch)

    module = Asking()
    made = fit(module, limit_train_batches=1)
    wrapped, bare, schedulers = module.calls[0]
    assert isinstance(wrapped, torch.optim.SGD)
    assert type(wrapped).__name__ == "LightningSGD"
    assert wrapped.optimizer is bare is made.optimizers[0]
    assert schedulers is None


def test_manual_backward_belongs_to_manual_optimization() -> None:
    class Confused(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.manual_backward(self.loss(batch))

    with pytest.raises(MisconfigurationException, match="automatic_optimization = False"):
        fit(Confused())


def test_clip_gradients_by_hand() -> None:
    class Clipping(Pair):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            one = self.optimizers()[0]
            self.manual_backward(100 * self.first(self.shared(batch[0])).sum())
            self.clip_gradients(one, gradient_clip_val=0.5, gradient_clip_algorithm="value")
            self.seen.append(max(p.grad.abs().max().item() for p in self.first.parameters() if p.grad is not None))
            with pytest.raises(MisconfigurationException, match="'norm' or 'value'"):
                self.clip_gradients(one, gradient_clip_val=0.5, gradient_clip_algorithm="values")
            one.step()

    module = Clipping()
    fit(module, limit_train_batches=1)
    assert module.seen == [0.5]


def test_without_a_trainer() -> None:
    module = Regression()
    with pytest.raises(RuntimeError, match="not attached"):
        _ = module.trainer
    assert (module.current_epoch, module.global_step, module.global_rank, module.local_rank) == (0, 0, 0, 0)
    assert (module.logger, module.loggers, module.on_gpu) == (None, [], False)


def test_with_a_trainer() -> None:
    module = Regression()
    made = fit(module)
    assert module.trainer is made
    assert (module.current_epoch, module.global_step) == (1, 4)


def test_inner_modules_know_the_trainer_too() -> None:
    class Outer(Regression):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.ModuleList([Regression()])

    module = Outer()
    made = fit(module)
    assert [inner.trainer for inner in module.inner] == [made]


def test_device_and_dtype_are_followed() -> None:
    module = Regression()
    assert (module.device.type, module.dtype) == ("cpu", torch.float32)
    assert module.double().dtype == torch.float64
    assert module.to(torch.bfloat16).dtype == torch.bfloat16
    assert module.to("meta").device.type == "meta"
    assert module.dtype == torch.bfloat16


def test_freeze_and_unfreeze() -> None:
    module = Regression()
    assert module.freeze() is module
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())
    assert module.unfreeze().training
    assert all(p.requires_grad for p in module.parameters())


def test_settable_properties() -> None:
    module = Regression()
    assert module.automatic_optimization
    assert module.strict_loading
    assert module.example_input_array is None
    module.automatic_optimization, module.strict_loading, module.example_input_array = False, False, torch.ones(1)
    assert not module.automatic_optimization
    assert not module.strict_loading
    assert torch.equal(module.example_input_array, torch.ones(1))


def test_it_pickles_without_its_trainer() -> None:
    module = Regression()
    fit(module)
    copy = pickle.loads(pickle.dumps(module))
    assert copy._trainer is None
    assert torch.equal(copy.layer.weight, module.layer.weight)


def test_log_dict_takes_the_arguments_of_log() -> None:
    class Logging(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log_dict({"a": 1.0, "b": 2.0}, True, on_epoch=True)
            with pytest.raises(TypeError, match="prog_bra"):
                self.log_dict({"c": 1.0}, prog_bra=True)
            return self.loss(batch)

    made = fit(Logging())
    assert {"a_epoch", "b_step"} <= set(made.progress_bar_metrics)


def test_print_and_all_gather_with_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    module = Regression()
    module.print("alone")
    fit(module)
    module.print("with a trainer")
    assert capsys.readouterr().out == "alone\nwith a trainer\n"
    assert module.all_gather({"a": torch.ones(2), "b": 1})["a"].tolist() == [1, 1]


def test_predict_step_defaults_to_forward() -> None:
    class Doubling(pl.LightningModule):
        def forward(self, batch: Any) -> Any:
            return 2 * batch

    assert Doubling().predict_step(torch.ones(1), 0) == 2


def test_it_works_under_plain_torch() -> None:
    module = Regression()
    optimizer = module.configure_optimizers()
    module.training_step((torch.ones(1, 2), torch.ones(1, 1)), 0).backward()
    module.optimizer_zero_grad(0, 0, optimizer)
    assert module.layer.weight.grad is None
