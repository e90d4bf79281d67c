"""Modules, data modules and callbacks as they were written for 0.x and 1.x."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import leyden as pl
from helpers_fit import Regression, loader, trainer
from leyden.callbacks.removed_hooks import OldHooks
from leyden.errors import LightningDeprecationWarning

pytestmark = pytest.mark.filterwarnings("ignore::leyden.errors.LightningDeprecationWarning")


def notes(name: str) -> Callable[..., None]:
    def hook(self: Any, *args: Any) -> None:
        self.calls.append(name)

    return hook


class Noted(Regression):
    """Notes what it is asked; steps return dicts, as before ``self.log``."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return {"loss": self.loss(batch), "number": batch_idx, "graph": self.loss(batch)}

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return {"val_loss": self.loss(batch), "number": batch_idx}

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return batch_idx

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return torch.tensor(batch_idx)


def fit(module: pl.LightningModule, val: Any = None, **arguments: Any) -> pl.Trainer:
    made = trainer(**arguments)
    made.fit(module, loader(), val)
    return made


def test_epoch_ends_get_what_the_steps_returned() -> None:
    got: dict[str, Any] = {}

    class Old(Noted):
        def training_epoch_end(self, outputs: Any) -> None:
            got["train"] = outputs

        def validation_epoch_end(self, outputs: Any) -> None:
            got["val"] = outputs

        def test_epoch_end(self, outputs: Any) -> None:
            got["test"] = outputs

        def predict_epoch_end(self, outputs: Any) -> None:
            got["predict"] = outputs

    module = Old()
    made = fit(module, loader(4))
    made.test(module, loader(4), verbose=False)
    made.predict(module, loader(4))
    assert [output["number"] for output in got["train"]] == [0, 1, 2, 3]
    assert not any(
        value.requires_grad for output in got["train"] for value in output.values() if isinstance(value, Tensor)
    )
    assert [output["number"] for output in got["val"]] == [0, 1]
    assert got["test"] == [0, 1]
    assert [[int(value) for value in values] for values in got["predict"]] == [[0, 1]]


def test_several_loaders_give_a_list_each() -> None:
    got: list[Any] = []

    class Old(Noted):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> Any:
            return (dataloader_idx, batch_idx)

        def validation_epoch_end(self, outputs: Any) -> None:
            got.append(outputs)

    fit(Old(), [loader(4), loader(2)])
    assert got == [[[(0, 0), (0, 1)], [(1, 0)]]]


def test_batches_that_return_nothing_are_left_out() -> None:
    got: list[Any] = []

    class Old(Noted):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return None if batch_idx == 1 else self.loss(batch)

        def training_epoch_end(self, outputs: Any) -> None:
            got.append(len(outputs))

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return None

        def validation_epoch_end(self, outputs: Any) -> None:
            got.append(outputs)

    fit(Old(), loader())
    assert got == [[], 3]


def test_each_epoch_begins_anew_and_the_sanity_check_counts_by_itself() -> None:
    got: list[int] = []

    class Old(Noted):
        def training_epoch_end(self, outputs: Any) -> None:
            got.append(len(outputs))

        def validation_epoch_end(self, outputs: Any) -> None:
            got.append(-len(outputs))

    fit(Old(), loader(6), max_epochs=2, num_sanity_val_steps=1)
    assert got == [-1, -3, 4, -3, 4]


def test_self_log_works_in_an_epoch_end() -> None:
    class Old(Noted):
        def training_epoch_end(self, outputs: Any) -> None:
            self.log("train_mean", torch.stack([output["loss"] for output in outputs]).mean(), prog_bar=True)

        def validation_epoch_end(self, outputs: Any) -> None:
            self.log("val_mean", torch.stack([output["val_loss"] for output in outputs]).mean())

    made = fit(Old(), loader())
    assert {"train_mean", "val_mean"} <= made.callback_metrics.keys()
    assert "train_mean" in made.progress_bar_metrics


def test_what_an_epoch_end_logs_can_be_monitored(tmp_path: Any) -> None:
    class Old(Noted):
        def validation_epoch_end(self, outputs: Any) -> None:
            self.log("score", float(len(outputs)))

    best = pl.callbacks.ModelCheckpoint(tmp_path, monitor="score")
    fit(Old(), loader(), callbacks=[best, pl.callbacks.EarlyStopping("score")], enable_checkpointing=True)
    assert best.best_model_score == 4.0


def test_the_loss_is_over_the_accumulation_factor_as_in_1_x() -> None:
    got: list[float] = []

    class Old(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self.layer(batch[0]).sum() * 0 + 4.0

        def training_epoch_end(self, outputs: Any) -> None:
            got.extend(float(output["loss"]) for output in outputs)

    fit(Old(), accumulate_grad_batches=2)
    assert got == [2.0] * 4


def test_step_ends_may_change_the_output() -> None:
    seen: list[Any] = []

    class Old(Noted):
        def training_step_end(self, output: Any) -> Any:
            return {**output, "more": 1}

        def validation_step_end(self, output: Any) -> Any:
            seen.append(output["number"])  # returns nothing: the output stays

        def test_step_end(self, output: Any) -> Any:
            return output * 10

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            seen.append(outputs["more"])

        def validation_epoch_end(self, outputs: Any) -> None:
            seen.append(len(outputs))

        def test_epoch_end(self, outputs: Any) -> None:
            seen.append(outputs)

    module = Old()
    made = fit(module, loader(4))
    made.test(module, loader(4), verbose=False)
    assert seen == [1, 1, 1, 1, 0, 1, 2, [0, 10]]


def test_the_ends_of_0_x_are_called_where_they_were() -> None:
    class Old(Noted):
        def training_end(self, output: Any) -> Any:
            self.calls.append("step")
            return output

        def validation_end(self, outputs: Any) -> Any:
            return {"val_loss": torch.stack([output["val_loss"] for output in outputs]).mean()}

        def test_end(self, outputs: Any) -> None:
            self.calls.append(outputs)

    module = Old()
    made = fit(module, loader(4), max_epochs=1)
    assert "val_loss" in made.callback_metrics
    made.test(module, loader(2), verbose=False)
    assert module.calls == ["step"] * 4 + [[0]]


def test_returned_dicts_are_logged_as_in_0_x() -> None:
    class Old(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            loss = self.loss(batch)
            return {"loss": loss, "log": {"train/loss": loss}, "progress_bar": {"shown": loss}}

        def validation_step(self, batch: Any, batch_idx: int) -> Any:
            return {"val_loss": self.loss(batch)}

        def validation_epoch_end(self, outputs: Any) -> Any:
            mean = torch.stack([output["val_loss"] for output in outputs]).mean()
            return {"val_loss": mean, "log": {"val/loss": mean, "both": 1.0}, "progress_bar": {"both": 1.0}}

    made = fit(Old(), loader(), log_every_n_steps=1)
    assert {"train/loss", "shown", "val_loss", "val/loss", "both"} <= made.callback_metrics.keys()
    assert {"shown", "both"} <= made.progress_bar_metrics.keys()
    assert "train/loss" not in made.progress_bar_metrics
    assert {"train/loss", "val/loss", "both"} <= made.logged_metrics.keys()
    assert not {"shown", "val_loss"} & made.logged_metrics.keys()


@pytest.mark.parametrize("stop_at", ["on_batch_start", "on_train_batch_start"])
def test_minus_one_leaves_the_epoch(stop_at: str) -> None:
    class Old(Regression):
        def on_batch_start(self, batch: Any) -> Any:
            self.calls.append("old")
            return -1 if stop_at == "on_batch_start" and self.calls.count("old") > 1 else None

        def on_train_batch_start(self, batch: Any, batch_idx: int) -> Any:
            return -1 if stop_at == "on_train_batch_start" and batch_idx == 1 else None

    module = Old()
    assert fit(module).global_step == 1
    assert module.calls == ["old", 0, "old"]


class Callback(pl.Callback):
    def __init__(self) -> None:
        self.calls: list[Any] = []


def test_a_callback_that_has_an_interrupt_hook() -> None:
    class Old(Callback):
        def on_keyboard_interrupt(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            self.calls.append("interrupted")

    class Stops(Regression):
        error: type[BaseException] = KeyboardInterrupt

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise self.error

    callback = Old()
    with pytest.raises(SystemExit):
        fit(Stops(), callbacks=[callback])
    assert callback.calls == ["interrupted"]
    module = Stops()
    module.error = RuntimeError
    with pytest.raises(RuntimeError):
        fit(module, callbacks=[callback])
    assert callback.calls == ["interrupted"]


def test_init_hooks_are_called_by_the_trainer() -> None:
    class Old(Callback):
        def on_init_start(self, trainer: pl.Trainer) -> None:
            self.calls.append("start")

        def on_init_end(self, trainer: pl.Trainer) -> None:
            self.calls.append(trainer.max_epochs)

    callback = Old()
    with pytest.warns(LightningDeprecationWarning, match="`Old.on_init_start` .*`def setup"):
        trainer(callbacks=[callback])
    assert callback.calls == ["start", 1]


def test_methods_that_have_another_name_today() -> None:
    class Old(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def configure_sharded_model(self) -> None:
            if not hasattr(self, "layer"):
                self.layer = torch.nn.Linear(2, 1)

        def tng_step(self, batch: Any, batch_idx: int) -> Any:
            self.calls.append("step")
            return self.layer(batch[0]).sum()

        def tng_dataloader(self) -> Any:
            return loader()

        def on_post_move_to_device(self) -> None:
            self.calls.append("moved")

        def configure_optimizers(self) -> Any:
            self.calls.append("optimizers")
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Old()
    trainer().fit(module)
    assert module.calls == ["moved", "optimizers", *["step"] * 4]


def test_hooks_before_a_loader_is_made() -> None:
    class Data(pl.LightningDataModule):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        on_train_dataloader = notes("before train")
        on_val_dataloader = notes("before val")

        def train_dataloader(self) -> Any:
            self.calls.append("train")
            return loader()

    data = Data()
    trainer().fit(Regression(), data)
    assert data.calls == ["before val", "before train", "train"]


def test_super_finds_the_hooks_that_the_base_classes_had() -> None:
    class Base(Regression):
        def on_epoch_start(self) -> None:
            super().on_epoch_start()
            self.calls.append("base")

    class Old(Base):
        def on_epoch_start(self) -> None:
            super().on_epoch_start()
            self.calls.append("old")

    class OldCallback(Callback):
        def on_batch_end(self, trainer: Any, pl_module: Any) -> None:
            super().on_batch_end(trainer, pl_module)
            self.calls.append("end")

    module, callback = Old(), OldCallback()
    fit(module, callbacks=[callback], limit_train_batches=1)
    assert module.calls == ["base", "old", 0]
    assert callback.calls == ["end"]
    assert (type(module), type(callback)) == (Old, OldCallback)


def test_a_helper_that_the_class_calls_itself_is_not_called_by_the_trainer() -> None:
    class Modern(Regression):
        def on_epoch_end(self) -> None:
            self.calls.append("helper")

        def on_train_epoch_end(self) -> None:
            self.on_epoch_end()

    module = Modern()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(module)
    assert module.calls.count("helper") == 1


def test_a_run_without_old_names_has_todays_dispatcher() -> None:
    class Looks(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            self.calls.append(isinstance(trainer._run.hooks, OldHooks))

    class Old(Looks):
        on_epoch_end = notes("end")

    modern, old = Looks(), Old()
    fit(Regression(), callbacks=[modern])
    fit(Regression(), callbacks=[old])
    assert modern.calls == [False]
    assert old.calls == [True, "end"]


def test_callbacks_of_the_module_may_be_old_too() -> None:
    class Old(Callback):
        on_epoch_end = notes("end")

    callback = Old()

    class Brings(Regression):
        def configure_callbacks(self) -> Any:
            return callback

    with pytest.warns(LightningDeprecationWarning, match="Old.on_epoch_end"):
        fit(Brings())
    assert callback.calls == ["end"]


def test_a_callback_that_the_module_replaces_is_not_called() -> None:
    class Old(Callback):
        on_epoch_end = notes("end")

    given, brought = Old(), Old()

    class Brings(Regression):
        def configure_callbacks(self) -> Any:
            return brought

    fit(Brings(), callbacks=[given])
    assert (given.calls, brought.calls) == ([], ["end"])


class Pickled(Regression):
    on_epoch_end = notes("end")

    def training_step_end(self, output: Any) -> Any:
        return output


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_in_the_objects(fails: bool) -> None:
    module = Pickled()
    before = set(vars(module))
    if fails:
        with pytest.raises(FileNotFoundError):
            trainer().fit(module, loader(), ckpt_path="nowhere.ckpt")
    else:
        fit(module)
        fit(module)
        assert module.calls.count("end") == 2
    assert set(vars(module)) == before
    assert type(pickle.loads(pickle.dumps(module))) is Pickled
