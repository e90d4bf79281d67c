"""When fit trains, validates and stops."""

from datetime import timedelta
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import leyden as pl
from helpers_fit import Claiming, Endless, Regression, Validated, fit, loader, samples, trainer, weights
from leyden.errors import MisconfigurationException, PossibleUserWarning

EPOCH = [0, 1, 2, 3]


def skipping(kind: type[Regression], at: int) -> Regression:
    class Skipping(kind):  # type: ignore[misc, valid-type]
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
            return -1 if batch_idx == at else None

    return Skipping()


def stopping(at: int, epoch: int = 0) -> pl.Callback:
    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            if trainer.global_step == at and trainer.current_epoch == epoch:
                trainer.should_stop = True

    return Stop()


def test_row_06_minus_one_leaves_the_epoch_without_validation() -> None:
    module = skipping(Validated, 2)
    made = fit(module, max_epochs=2)
    assert module.calls == [0, 1, "end", 0, 1, "end"]
    assert (made.current_epoch, made.global_step) == (2, 4)


def test_row_06_only_the_modules_answer_counts() -> None:
    callback = pl.Callback()
    callback.on_train_batch_start = lambda *_: -1  # type: ignore[method-assign, assignment, return-value]
    module = Regression()
    fit(module, callbacks=[callback])
    assert module.calls == EPOCH


def test_row_10_validation_comes_before_the_epochs_end() -> None:
    module = Validated()
    fit(module, max_epochs=2)
    assert module.calls == [*EPOCH, "val", "end"] * 2


def test_row_11_a_second_fit_goes_on_when_the_limit_is_raised() -> None:
    module = Regression()
    made = fit(module)
    made.fit(module, loader())
    assert module.calls == EPOCH
    assert made.current_epoch == made.max_epochs == 1
    made.fit_loop.max_epochs = 2
    made.fit(module, loader())
    assert module.calls == EPOCH * 2
    assert (made.current_epoch, made.global_step) == (2, 8)


class Loggers(pl.loggers.CSVLogger):
    def __init__(self, folder: Any) -> None:
        super().__init__(str(folder))
        self.rows: list[tuple[dict[str, float], int]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.rows.append((dict(metrics), step or 0))


class Logging(Validated):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.log("a", float(batch_idx), on_step=True, on_epoch=True)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(("window", "axis"), [(1, [(1.0, 1), (3.0, 3)]), (2, [(3.0, 1)])])
def test_row_13_the_loggers_axis_counts_batches_that_stepped(tmp_path: Any, window: int, axis: list[Any]) -> None:
    logger = Loggers(tmp_path)
    made = fit(Logging(), logger=logger, log_every_n_steps=2, accumulate_grad_batches=window)
    assert [(row["a_step"], x) for row, x in logger.rows if "a_step" in row] == axis
    assert made.global_step == 4 // window


def test_row_14_epoch_values_stand_at_the_last_batch(tmp_path: Any) -> None:
    logger = Loggers(tmp_path)
    fit(Logging(), logger=logger, log_every_n_steps=2, max_epochs=2)
    assert [x for row, x in logger.rows if "a_epoch" in row] == [3, 7]
    assert [x for row, x in logger.rows if "val_loss" in row] == [3, 7]


def test_row_15_every_n_steps(tmp_path: Any) -> None:
    logger = Loggers(tmp_path)
    fit(Logging(), logger=logger, log_every_n_steps=3, max_epochs=2)
    assert [x for row, x in logger.rows if "a_step" in row] == [2, 5]  # (stepped + 1) % 3 == 0


def test_row_15_too_rare_logging_warns(tmp_path: Any) -> None:
    with pytest.warns(PossibleUserWarning, match="fewer than log_every_n_steps"):
        fit(Regression(), logger=Loggers(tmp_path), log_every_n_steps=9)


def test_row_16_should_stop_validates_once_and_ends_the_epoch() -> None:
    module = Validated()
    made = fit(module, max_epochs=3, callbacks=[stopping(at=2)])
    assert module.calls == [0, 1, "val", "end"]
    assert (made.current_epoch, made.global_step) == (1, 2)


def test_row_16_should_stop_waits_for_min_epochs() -> None:
    module = Validated()
    fit(module, max_epochs=4, min_epochs=2, callbacks=[stopping(at=2)])
    assert module.calls == [*EPOCH, "val", "end"] * 2


@pytest.mark.parametrize(
    ("steps", "calls"), [(3, [*EPOCH, "val", "end"]), (6, [*EPOCH, "val", "end", 0, 1, "val", "end"])]
)
def test_row_16_should_stop_waits_for_min_steps(steps: int, calls: list[Any]) -> None:
    module = Validated()
    fit(module, max_epochs=4, min_steps=steps, callbacks=[stopping(at=2)])
    assert module.calls == calls


def test_row_17_max_steps_stops_in_mid_epoch_and_ends_it() -> None:
    module = Validated()
    made = fit(module, max_epochs=3, max_steps=3)
    assert module.calls == [0, 1, 2, "end"]
    assert made.global_step == 3


def test_row_17_max_steps_counts_optimizer_steps() -> None:
    module = Validated()
    fit(module, max_epochs=3, max_steps=2, accumulate_grad_batches=2)
    assert module.calls == [*EPOCH, "val", "end"]


def test_row_18_defaults_of_the_limits() -> None:
    with pytest.warns(PossibleUserWarning, match="max_epochs"):
        assert trainer(max_epochs=None).max_epochs == 1000
    assert trainer(max_epochs=None, max_steps=5).max_epochs == -1
    assert trainer(max_epochs=None, max_time="00:01:00:00").max_epochs == -1
    assert trainer(min_steps=1).min_epochs == 1
    assert trainer().min_epochs == 0


def test_max_time_stops() -> None:
    module = Regression()
    made = fit(module, max_epochs=-1, max_time=timedelta(seconds=0))
    assert made.should_stop
    assert len(module.calls) <= 1


def test_row_19_an_interval_longer_than_the_epoch() -> None:
    with pytest.raises(ValueError, match="val_check_interval"):
        fit(Validated(), val_check_interval=9)
    module = Validated()
    fit(module, val_check_interval=3, check_val_every_n_epoch=None, max_epochs=2)
    assert module.calls == [0, 1, 2, "val", 3, "end", 0, 1, "val", 2, 3, "end"]
    fit(Validated(), val_check_interval=9, limit_val_batches=0)


@pytest.mark.parametrize(
    ("interval", "calls"),
    [
        (0.5, [0, 1, "val", 2, 3, "val", "end"]),
        (0.8, [0, 1, 2, "val", 3, "end"]),
        (0.1, [0, "val", 1, "val", 2, "val", 3, "val", "end"]),
        (3, [0, 1, 2, "val", 3, "end"]),
        (1, [0, "val", 1, "val", 2, "val", 3, "val", "end"]),
    ],
)
def test_row_20_part_of_an_epoch(interval: float, calls: list[Any]) -> None:
    module = Validated()
    fit(module, val_check_interval=interval)
    assert module.calls == calls


def test_row_21_time_since_the_last_validation() -> None:
    module = Validated()
    fit(module, val_check_interval=timedelta(seconds=0))
    assert module.calls == [0, "val", 1, "val", 2, "val", 3, "val", "end"]
    module = Validated()
    fit(module, val_check_interval="01:00:00:00")
    assert module.calls == [*EPOCH, "end"]


def test_row_22_validation_in_every_second_epoch() -> None:
    module = Validated()
    fit(module, check_val_every_n_epoch=2, max_epochs=3)
    assert module.calls == [*EPOCH, "end", *EPOCH, "val", "end", *EPOCH, "end"]


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (True, 1), (1.0, 4), (0.5, 2), (0.6, 2), (3, 3), (9, 4), (0, 0)])
def test_row_23_limits(limit: float, count: int) -> None:
    module = Regression()
    made = fit(module, limit_train_batches=limit)
    assert module.calls == list(range(count))
    assert made.num_training_batches == count
    assert made.current_epoch == (1 if count else 0)


def test_row_24_a_fraction_of_no_batch() -> None:
    with pytest.raises(MisconfigurationException, match="`limit_train_batches` got 0.1 .*at least 1/4"):
        fit(Regression(), limit_train_batches=0.1)


@pytest.mark.parametrize(("part", "count"), [(1, 1), (0.5, 2)])
def test_row_25_overfit_batches_repeats_the_first_batches_unshuffled(part: float, count: int) -> None:
    class Noting(Validated):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append(batch[0][0, 0].item())
            return self.loss(batch)

    module = Noting()
    with pytest.warns(UserWarning, match="shuffle"):
        fit(module, loader(shuffle=True), overfit_batches=part, max_epochs=2)
    first = samples().tensors[0][::2, 0][:count].tolist()
    assert module.calls == [*first, "val", "end"] * 2


def test_row_26_the_sanity_check_leaves_no_trace() -> None:
    seen: list[Any] = []

    class Watching(Validated):
        def on_validation_start(self) -> None:
            torch.rand(1)
            seen.append((self.trainer.sanity_checking, self.trainer.validating))

        def on_train_start(self) -> None:
            seen.append((dict(self.trainer.callback_metrics), torch.get_rng_state()))

    module = Watching()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    fit(module, num_sanity_val_steps=2)
    assert seen[0] == (True, False)
    metrics, state = seen[1]
    assert metrics == {}
    assert torch.equal(state, before)
    assert seen[2] == (False, True)


@pytest.mark.parametrize(("steps", "limit", "count"), [(2, 1.0, 2), (-1, 1.0, 4), (9, 3, 3), (0, 1.0, 0)])
def test_row_27_batches_of_the_sanity_check(steps: int, limit: float, count: int) -> None:
    class Counting(Validated):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.calls.append("sanity" if self.trainer.sanity_checking else "val")

    module = Counting()
    fit(module, num_sanity_val_steps=steps, limit_val_batches=limit)
    assert module.calls.count("sanity") == count


def test_the_sanity_check_runs_in_every_fit_that_resumes_nothing() -> None:
    module = Validated()
    made = fit(module, num_sanity_val_steps=1)
    made.fit_loop.max_epochs = 2
    made.fit(module, loader(), loader())
    assert module.calls == ["val", *EPOCH, "val", "end"] * 2


def test_row_35_estimated_stepping_batches_asks_for_the_loader_once() -> None:
    class Own(Regression):
        asked = 0

        def train_dataloader(self) -> Any:
            self.asked += 1
            return loader()

        def configure_optimizers(self) -> Any:
            self.calls.append(self.trainer.estimated_stepping_batches)
            return super().configure_optimizers()

    def estimate(**arguments: Any) -> float:
        module = Own()
        trainer(**arguments).fit(module)
        assert module.asked == 1
        return module.calls[0]

    assert estimate(max_epochs=3, accumulate_grad_batches=3) == 6
    assert estimate(max_epochs=3, max_steps=5) == 5
    assert estimate(max_epochs=2, limit_train_batches=3) == 6


def test_fast_dev_run() -> None:
    module = Validated()
    made = fit(module, fast_dev_run=2, max_epochs=7)
    assert module.calls == [0, 1, "val", "end"]
    assert (made.max_epochs, made.max_steps, made.global_step) == (1, 2, 2)


def test_reload_dataloaders_every_n_epochs() -> None:
    class Growing(Validated):
        def train_dataloader(self) -> Any:
            self.calls.append("train")
            return loader(2 * (self.current_epoch + 1))

        def val_dataloader(self) -> Any:
            self.calls.append("load")
            return loader(2)

    module = Growing()
    trainer(max_epochs=4, reload_dataloaders_every_n_epochs=2).fit(module)
    first = ["train", "load", 0, "val", "end", 0, "val", "end"]
    assert module.calls == [*first, "train", 0, 1, 2, "load", "val", "end", 0, 1, 2, "val", "end"]


@pytest.mark.parametrize("data", [Endless(), Claiming(8, 12), Claiming(8, 7)])
@pytest.mark.filterwarnings("ignore:Length of IterableDataset:UserWarning")
def test_data_without_a_true_length_validates_and_ends_the_epoch(data: Any) -> None:
    module = Validated()
    made = fit(module, DataLoader(data, batch_size=2), max_epochs=2)
    assert module.calls == [*EPOCH, "val", "end"] * 2
    assert made.global_step == 8


@pytest.mark.parametrize("data", [Endless(), Claiming(8, 12)])
def test_data_without_a_true_length_steps_with_the_rest(data: Any) -> None:
    exact, guessed = Regression(), Regression()
    fit(exact, accumulate_grad_batches=3)
    made = fit(guessed, DataLoader(data, batch_size=2), accumulate_grad_batches=3)
    assert made.global_step == 2
    assert torch.equal(weights(exact), weights(guessed))


def test_data_without_length_validates_by_number() -> None:
    module = Validated()
    fit(module, DataLoader(Endless(), batch_size=2), val_check_interval=2)
    assert module.calls == [0, 1, "val", 2, 3, "val", "end"]
    with pytest.raises(MisconfigurationException, match="val_check_interval"):
        fit(Validated(), DataLoader(Endless(), batch_size=2), val_check_interval=0.5)


def test_data_without_length_logs_where_data_with_one_does(tmp_path: Any) -> None:
    logger, other = Loggers(tmp_path / "a"), Loggers(tmp_path / "b")
    fit(Logging(), logger=logger, log_every_n_steps=2, max_epochs=2)
    fit(Logging(), DataLoader(Endless(), batch_size=2), logger=other, log_every_n_steps=2, max_epochs=2)
    assert logger.rows == other.rows


def test_a_generator_is_empty_in_its_second_epoch() -> None:
    with pytest.warns(PossibleUserWarning, match="no batch in epoch 1"):
        fit(Regression(), (batch for batch in loader()), max_epochs=2)


def test_values_logged_before_the_first_epoch_belong_to_it() -> None:
    class Early(Regression):
        def on_train_start(self) -> None:
            self.log("early", 2.0)

    assert fit(Early()).callback_metrics["early"] == 2.0


def test_after_an_exception_a_fit_begins_the_epoch_again() -> None:
    class Failing(Regression):
        fails = True

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if batch_idx == 2 and self.fails:
                raise ZeroDivisionError
            return super().training_step(batch, batch_idx)

        def teardown(self, stage: str) -> None:
            self.calls.append("teardown")

    module, made = Failing(), trainer()
    with pytest.raises(ZeroDivisionError):
        made.fit(module, loader())
    assert made.interrupted
    module.fails = False
    made.fit(module, loader())
    assert module.calls == [0, 1, "teardown", *EPOCH, "teardown"]
    assert (made.current_epoch, made.global_step) == (1, 6)


@pytest.mark.parametrize("hook", ["on_train_start", "on_train_batch_start", "on_validation_end", "on_train_epoch_end"])
def test_the_first_error_of_a_hook_is_raised_and_everything_torn_down(hook: str) -> None:
    seen: list[str] = []

    def fail(*_: Any) -> None:
        raise LookupError(hook)

    class Cleaning(pl.Callback):
        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            seen.append(type(exception).__name__)
            raise RuntimeError("second")

        def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
            seen.append(stage)

    callback = Cleaning()
    setattr(callback, hook, fail)
    with pytest.raises(LookupError, match=hook) as caught:
        fit(Validated(), callbacks=[callback])
    assert seen == ["LookupError", "fit"]
    assert any("second" in note for note in caught.value.__notes__)


def test_modules_in_evaluation_mode_are_announced_and_left() -> None:
    module = Regression()
    module.layer.eval()
    with pytest.warns(PossibleUserWarning, match="evaluation mode"):
        fit(module)
    assert not module.layer.training


def test_row_37_several_loaders_need_a_dataloader_idx() -> None:
    with pytest.raises(RuntimeError, match="dataloader_idx"):
        fit(Validated(), val=[loader(), loader()])
