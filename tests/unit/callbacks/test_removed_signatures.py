"""Methods with the parameters of 0.x and 1.x."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import leyden as pl
from helpers_fit import Regression, loader, samples, trainer, weights
from leyden.callbacks.removed_signatures import adapt, adapt_state, old_name

pytestmark = pytest.mark.filterwarnings("ignore::leyden.errors.LightningDeprecationWarning")


def trained(kind: type[Regression], **arguments: Any) -> Regression:
    module = kind()
    trainer(**arguments).fit(module, loader())
    return module


class Step1x(Regression):
    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, optimizer_closure: Any,
        on_tpu: bool, using_native_amp: bool, using_lbfgs: bool,
    ) -> None:  # fmt: skip
        self.calls.append((epoch, batch_idx, optimizer_idx, on_tpu, using_native_amp, using_lbfgs))
        optimizer.step(closure=optimizer_closure)


class StepOwnNames(Regression):
    def optimizer_step(self, e: int, b: int, o: Any, i: int, c: Any, *rest: Any) -> None:
        assert i == 0
        o.step(closure=c)


class StepSuper(Regression):
    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int, closure: Any, **kw: Any
    ) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_idx, closure, **kw)


class Step0x(Regression):
    """Before 1.1 the closure had run when it was called."""

    def optimizer_step(
        self, current_epoch: int, batch_nb: int, optimizer: Any, optimizer_i: int, second_order_closure: Any = None
    ) -> None:
        assert second_order_closure is None
        optimizer.step()
        optimizer.zero_grad()


class StepKeywords(Regression):
    def optimizer_step(
        self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any, *, using_lbfgs: bool
    ) -> None:
        self.calls.append(using_lbfgs)
        optimizer.step(closure=optimizer_closure)


@pytest.mark.parametrize("kind", [Step1x, StepOwnNames, StepSuper, Step0x, StepKeywords])
def test_optimizer_step_of_old_trains_as_todays(kind: type[Regression]) -> None:
    module = kind()
    runner = trainer(max_epochs=2)
    runner.fit(module, loader())
    assert torch.equal(weights(module), weights(trained(Regression, max_epochs=2)))
    assert runner.global_step == 8


def test_optimizer_step_gets_what_1_x_gave() -> None:
    assert trained(Step1x, limit_train_batches=1).calls == [(0, 0, 0, False, False, False), 0]


def test_lbfgs_gets_its_closure_in_0_x() -> None:
    class Old(Regression):
        def optimizer_step(
            self, epoch: int, batch_nb: int, optimizer: Any, optimizer_i: int, second_order_closure: Any = None
        ) -> None:
            optimizer.step(second_order_closure)

        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)

    assert trained(Old, limit_train_batches=1).calls == [0, 0, 0]


def test_the_other_hooks_of_optimization() -> None:
    class Old(Regression):
        def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_idx: int) -> None:
            self.calls.append("zero")
            super().optimizer_zero_grad(epoch, batch_idx, optimizer, optimizer_idx)

        def backward(self, loss: Tensor, optimizer: Any, optimizer_idx: int) -> None:
            assert isinstance(optimizer, torch.optim.SGD)
            super().backward(loss, optimizer, optimizer_idx)

        def on_before_optimizer_step(self, optimizer: Any, opt_idx: int) -> None:
            self.calls.append(opt_idx)

        def configure_gradient_clipping(self, optimizer: Any, optimizer_idx: int, value: Any, algorithm: Any) -> None:
            self.calls.append(value)
            super().configure_gradient_clipping(optimizer, optimizer_idx, value, algorithm)

        def lr_scheduler_step(self, scheduler: Any, optimizer_idx: int, metric: Any) -> None:
            self.calls.append("scheduler")
            super().lr_scheduler_step(scheduler, optimizer_idx, metric)

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    class Modern(Regression):
        configure_optimizers = Old.configure_optimizers

    old = trained(Old, limit_train_batches=1, gradient_clip_val=0.01)
    assert old.calls == [0, "zero", 0, 0.01, "scheduler"]
    assert torch.equal(weights(old), weights(trained(Modern, limit_train_batches=1, gradient_clip_val=0.01)))


def test_backward_of_0_9() -> None:
    class Old(Regression):
        def backward(self, trainer: pl.Trainer, loss: Tensor, optimizer: Any, optimizer_idx: int) -> None:
            assert trainer is self.trainer
            loss.backward()

    assert torch.equal(weights(trained(Old)), weights(trained(Regression)))


def test_hooks_of_batches_and_epochs() -> None:
    class Old(Regression):
        def on_train_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.calls.append((batch_idx, dataloader_idx))

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
            self.calls.append((sorted(outputs), batch_idx, dataloader_idx))

        def on_train_epoch_end(self, outputs: Any) -> None:
            self.calls.append(len(outputs))

        def transfer_batch_to_device(self, batch: Any, device: torch.device) -> Any:
            return super().transfer_batch_to_device(batch, device)

    module = trained(Old, limit_train_batches=1)
    assert module.calls == [(0, 0), 0, (["loss"], 0, 0), 1]


def test_callbacks_have_the_same_old_parameters() -> None:
    class Old(pl.Callback):
        def __init__(self) -> None:
            self.calls: list[Any] = []

        def on_train_batch_end(
            self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int
        ) -> None:
            self.calls.append((batch_idx, dataloader_idx))

        def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any, opt_idx: int) -> None:
            self.calls.append(opt_idx)

        def on_train_epoch_end(self, trainer: Any, pl_module: Any, outputs: Any) -> None:
            self.calls.append(len(outputs))

        def on_predict_epoch_end(self, trainer: Any, pl_module: Any, outputs: Any) -> None:
            self.calls.append(outputs)

    class Predicts(Regression):
        def predict_step(self, batch: Any, batch_idx: int) -> Any:
            return batch_idx

    callback, module = Old(), Predicts()
    runner = trainer(callbacks=[callback], limit_train_batches=2)
    runner.fit(module, loader())
    runner.predict(module, loader(4))
    assert callback.calls == [0, (0, 0), 0, (1, 0), 2, [[0, 1]]]


@pytest.mark.parametrize(
    ("hook", "method"),
    [
        ("on_train_batch_start", lambda batch, batch_idx, dataloader_idx=0: None),
        ("on_train_batch_start", lambda batch, batch_idx, unused=0: None),
        ("on_train_epoch_end", lambda outputs=None: None),
        ("optimizer_step", lambda epoch, batch_idx, optimizer, optimizer_closure=None: None),
        ("optimizer_step", lambda *args, **kwargs: None),
        ("transfer_batch_to_device", lambda batch, device, dataloader_idx: None),
        ("backward", lambda loss, *args: None),
        ("configure_gradient_clipping", lambda optimizer, **given: None),
    ],
)
def test_what_can_be_called_today_is_left_alone(hook: str, method: Any) -> None:
    assert adapt(method, hook, (), {}) is None


def test_old_parameters_are_known_by_several_names() -> None:
    names = ("optimizer_idx",)
    assert {old_name(name, names) for name in ("optimizer_idx", "opt_idx", "optimizer_i", "opt_i")} == {"optimizer_idx"}
    assert old_name("optimizer", names) == ""
    assert old_name("opt_idx", ()) == ""


@pytest.mark.parametrize(
    ("hook", "method", "given", "called"),
    [
        ("on_train_epoch_end", lambda outs: [outs], (), [7]),
        ("on_before_optimizer_step", lambda o, n: [o, n], (1,), [1, 7]),
        ("lr_scheduler_step", lambda s, n, m: [s, n, m], (1, 2), [1, 7, 2]),
    ],
)
def test_parameters_under_names_of_their_own_are_known_by_their_places(
    hook: str, method: Any, given: Any, called: Any
) -> None:
    values = dict.fromkeys(("outputs", "optimizer_idx"), lambda *given: 7)
    call = adapt(method, hook, (), values)
    assert call is not None
    assert call(*given) == called


def test_more_parameters_than_there_ever_were_are_left_to_the_checks() -> None:
    assert adapt(lambda a, b, c: None, "on_before_optimizer_step", (), {}) is None


def test_keyword_arguments_follow_the_positional_ones() -> None:
    call = adapt(
        lambda a, optimizer_idx, b, c: (a, optimizer_idx, b, c),
        "configure_gradient_clipping",
        (),
        {"optimizer_idx": lambda *given: 0},
    )
    assert call is not None
    assert call("optimizer", gradient_clip_val=1, gradient_clip_algorithm="norm") == ("optimizer", 0, 1, "norm")


def test_todays_state_hooks_are_left_alone() -> None:
    class Modern(pl.Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
            checkpoint["mine"] = 1

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> None:
            assert checkpoint["mine"] == 1

    assert adapt_state(Modern(), lambda: None) == {}


def test_what_a_callback_of_today_returns_is_no_state(tmp_path: Any) -> None:
    class Modern(pl.Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> Any:
            checkpoint["mine"] = 1
            return super().on_save_checkpoint(trainer, pl_module, checkpoint)

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
            self.found = checkpoint["mine"]

    callback, path = Modern(), tmp_path / "a.ckpt"
    runner = trainer(callbacks=[callback])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner.fit(Regression(), loader())
        runner.save_checkpoint(path)
        trainer(callbacks=[callback], max_epochs=2).fit(Regression(), loader(), ckpt_path=path)
    assert callback.found == 1


def test_data_that_is_moved_by_a_data_module_of_1_x() -> None:
    class Old(pl.LightningDataModule):
        moved = 0

        def train_dataloader(self) -> Any:
            return torch.utils.data.DataLoader(samples(), batch_size=4)

        def transfer_batch_to_device(self, batch: Any, device: torch.device) -> Any:
            self.moved += 1
            return batch

    data = Old()
    trainer().fit(Regression(), data)
    assert data.moved == 2


def test_toggling_takes_the_optimizer_alone() -> None:
    class Old(Regression):
        automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:
            self.toggle_optimizer(self.optimizers(), 0)  # type: ignore[call-arg]

    with pytest.raises(TypeError, match="toggle_optimizer"):
        trained(Old)
