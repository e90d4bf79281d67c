"""States, attributes and values that modules, data modules and callbacks of 1.x find and give."""

from __future__ import annotations

from typing import Any

import pytest

import leyden as pl
from helpers_fit import Regression, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::leyden.errors.LightningDeprecationWarning")


class Callback(pl.Callback):
    def __init__(self) -> None:
        self.calls: list[Any] = []


def test_states_of_data_modules_and_of_signals(tmp_path: Any) -> None:
    class Data(pl.LightningDataModule):
        position = 0

        def train_dataloader(self) -> Any:
            return loader()

        def on_save_checkpoint(self, checkpoint: Any) -> None:
            checkpoint["position"] = 7

        def on_load_checkpoint(self, checkpoint: Any) -> None:
            self.position = checkpoint["position"]

    class Old(Regression):
        found = 0

        def on_hpc_save(self, checkpoint: Any) -> None:
            checkpoint["mine"] = 3

        def on_hpc_load(self, checkpoint: Any) -> None:
            self.found = checkpoint["mine"]

    saved, path = trainer(), tmp_path / "a.ckpt"
    saved.fit(Old(), Data())
    saved.save_checkpoint(path)
    module, data = Old(), Data()
    trainer(max_epochs=2).fit(module, data, ckpt_path=path)
    assert (module.found, data.position) == (3, 7)


def test_a_callback_that_returns_its_state_gets_it_back(tmp_path: Any) -> None:
    class Old(Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: Any) -> Any:
            return {"seen": 5}

        def on_load_checkpoint(self, trainer: Any, pl_module: Any, callback_state: Any) -> None:
            self.calls.append(callback_state)

    class Older(Callback):
        def on_save_checkpoint(self, trainer: Any, pl_module: Any) -> Any:
            return {"seen": 6}

        def on_load_checkpoint(self, checkpointed_state: Any) -> None:
            self.calls.append(checkpointed_state)

    saved, path = trainer(callbacks=[Old(), Older()]), tmp_path / "a.ckpt"
    saved.fit(Regression(), loader())
    saved.save_checkpoint(path)
    callbacks = [Old(), Older()]
    trainer(max_epochs=2, callbacks=callbacks).fit(Regression(), loader(), ckpt_path=path)
    assert [callback.calls for callback in callbacks] == [[{"seen": 5}], [{"seen": 6}]]


def test_attributes_that_a_module_had_in_a_run() -> None:
    found: list[Any] = []

    class Old(Regression):
        def on_train_start(self) -> None:
            found.extend([self.precision, self.use_amp, self.datamodule, self.model_size > 0])
            found.append(self.summarize(mode="full").total_parameters)

    class Data(pl.LightningDataModule):
        def train_dataloader(self) -> Any:
            return loader()

    data, module = Data(), Old()
    trainer().fit(module, data)
    assert found == [32, False, data, True, 3]
    assert not hasattr(module, "datamodule")


def test_arguments_of_log_that_are_gone() -> None:
    class Old(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("a", float(batch_idx), on_step=False, on_epoch=True, sync_dist_op="sum", tbptt_pad_token=0)
            return self.loss(batch)

    runner = trainer()
    runner.fit(Old(), loader())
    assert runner.callback_metrics["a"] == 6.0


def test_the_bars_own_values() -> None:
    class Old(Regression):
        def get_progress_bar_dict(self) -> Any:
            items = super().get_progress_bar_dict()
            items.pop("v_num", None)
            return {**items, "mine": 1}

        def on_train_end(self) -> None:
            bar = self.trainer.progress_bar_callback
            self.calls.append(bar.get_metrics(self.trainer, self))

    class Bar(pl.callbacks.ProgressBar):
        """Draws nothing."""

    module = Old()
    made = trainer(callbacks=[Bar()], enable_progress_bar=True)
    made.fit(module, loader())
    assert module.calls[-1] == {"mine": 1}
    assert "get_metrics" not in vars(made.progress_bar_callback)


def test_hyper_parameters_that_are_assigned(tmp_path: Any) -> None:
    class Old(Regression):
        def __init__(self, hparams: Any) -> None:
            super().__init__(lr=hparams["lr"])
            self.hparams = hparams

    module = Old({"lr": 0.25, "name": "a"})
    assert (module.hparams.lr, module.hparams["name"]) == (0.25, "a")
    runner = trainer()
    runner.fit(module, loader())
    runner.save_checkpoint(tmp_path / "a.ckpt")
    assert Old.load_from_checkpoint(tmp_path / "a.ckpt").lr == 0.25


def test_the_bar_shows_what_is_logged_for_it_and_no_loss_of_its_own() -> None:
    class Logs(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("mine", 1.0, prog_bar=True)
            return self.loss(batch)

    runner = trainer()
    runner.fit(Logs(), loader())
    assert runner.progress_bar_metrics == {"mine": 1.0}
    runner = trainer()
    runner.fit(Regression(), loader())
    assert runner.progress_bar_metrics == {}
