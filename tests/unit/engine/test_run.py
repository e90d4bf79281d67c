from typing import Any, cast

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, Validated, fit, loader, trainer
from leyden.engine.run import Phase, Progress, Window


def test_progress_survives_a_checkpoint() -> None:
    progress = Progress(epoch=2, batch=3, global_step=11, phase=Phase.VALIDATED, started=True, is_last_batch=True)
    progress.validations["fit"] = [4]
    state = progress.state_dict()
    assert type(state["phase"]) is str
    restored = Progress()
    restored.load_state_dict(state)
    assert restored == progress
    restored.restart_epoch()
    assert restored == Progress(epoch=2, global_step=11, validations={"fit": [4]})


def window_factor(weights: list[Any], size: int) -> tuple[list[float], float]:
    window = Window(size)
    shares = [float(window.weigh(torch.ones(()) / size, weight)) for weight in weights]
    return shares, float(window.correction())


@pytest.mark.parametrize("kind", [int, float, torch.tensor])
def test_a_window_weighs_its_batches(kind: Any) -> None:
    weights = [4, 2, 1]
    shares, factor = window_factor([kind(w) for w in weights], 3)
    assert [share * factor for share in shares] == pytest.approx([w / 7 for w in weights])


def test_a_full_window_of_equal_weights_is_left_alone() -> None:
    window, loss = Window(3), torch.tensor(0.7)
    assert all(window.weigh(loss, 5) is loss for _ in range(3))
    assert window.correction() == 1.0
    assert window.correction() == 1.0  # closed: nothing is left of it


@pytest.mark.parametrize("kind", [int, torch.tensor])
def test_weights_of_zero_divide_nothing(kind: Any) -> None:
    shares, factor = window_factor([kind(0), kind(3)], 2)
    assert [share * factor for share in shares] == pytest.approx([0.0, 1.0])
    shares, factor = window_factor([kind(0), kind(0)], 2)
    assert [share * factor for share in shares] == [0.0, 0.0]


def test_what_waits_runs_after_the_hooks_of_the_batch() -> None:
    calls: list[Any] = []

    class First(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            trainer.when_settled(lambda: calls.append("settled"))
            calls.append("first")

    class Second(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            calls.append("second")

    made = fit(Regression(), callbacks=[First(), Second()], limit_train_batches=2)
    assert calls == ["first", "second", "settled"] * 2
    made.when_settled(lambda: calls.append("idle"))
    assert calls[-1] == "idle"


def test_what_waits_is_dropped_when_the_run_fails() -> None:
    calls: list[str] = []

    class Failing(Regression):
        def on_train_batch_end(self, *_: Any) -> None:
            self.trainer.when_settled(lambda: calls.append("settled"))
            raise LookupError

    with pytest.raises(LookupError):
        fit(Failing())
    assert calls == []


def test_a_batch_reaches_the_step_through_the_transfer_hooks() -> None:
    class Moving(Regression):
        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            self.calls.append("before")
            return batch[0] * 2, batch[1]

        def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
            self.calls.append(device.type)
            return super().transfer_batch_to_device(batch, device, dataloader_idx)

        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            self.calls.append("after")
            return batch

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(torch.equal(batch[0], 2 * next(iter(loader()))[0]))
            return self.loss(batch)

    module = Moving()
    fit(module, limit_train_batches=1)
    assert module.calls == ["before", "cpu", "after", True]


def test_barebones_logs_nothing_and_says_so_once() -> None:
    class Logging(Validated):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("a", 1.0)
            return super().training_step(batch, batch_idx)

    module, made = Logging(), pl.Trainer(barebones=True, max_epochs=2, accelerator="cpu")
    with pytest.warns(UserWarning, match="barebones") as caught:
        made.fit(module, loader(), loader())
    assert len(caught) == 1
    assert made.callback_metrics == {}
    assert made.global_step == 8
    assert made.callbacks == []


def test_logging_without_a_trainer_warns() -> None:
    with pytest.warns(UserWarning, match="no Trainer"):
        Regression().log("a", 1.0)


def test_a_step_is_called_in_the_precisions_context() -> None:
    class Typed(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(torch.get_default_dtype())
            return self.loss(batch)

    module = Typed()
    fit(module, precision="64-true", limit_train_batches=1)
    assert module.calls == [torch.float64]
    assert torch.get_default_dtype() == torch.float32


def test_metrics_of_a_run_begin_empty() -> None:
    class Logging(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("a", 1.0, on_epoch=True)
            return self.loss(batch)

    made = fit(Logging())
    assert set(made.callback_metrics) == {"a", "a_step", "a_epoch"}
    made.fit_loop.max_epochs = 2
    made.fit(Regression(), loader())
    assert cast(Any, made.callback_metrics) == {}


def test_hooks_set_on_the_instance_count() -> None:
    module = Regression()
    calls: list[int] = []
    module.on_train_batch_start = lambda batch, batch_idx: calls.append(batch_idx)  # type: ignore[method-assign]
    trainer().fit(module, loader())
    assert calls == [0, 1, 2, 3]
