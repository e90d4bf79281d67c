"""The Trainer's methods: what they take, what they return, which weights they use."""

from __future__ import annotations

import copy
import inspect
import os
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader

import leyden as pl
from leyden.callbacks import ModelCheckpoint
from leyden.errors import LightningDeprecationWarning, MisconfigurationException
from mistakes.kit import Counts, Model, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*no validation data")


class Scores(Model):
    """Logs in every evaluation step and hook."""

    def validation_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("score", float(batch_idx))

    def on_validation_epoch_end(self):
        self.log("epoch_score", torch.tensor(7.0))

    def test_step(self, batch, batch_idx, dataloader_idx=0):
        self.log("score", torch.tensor(1.0))


def test_evaluation_returns_numbers_per_loader():
    assert trainer().validate(Scores(), loader(), verbose=False) == [{"score": 1.5, "epoch_score": 7.0}]
    first, second = trainer().validate(Scores(), [loader(), loader(4)], verbose=False)
    assert first == {"score/dataloader_idx_0": 1.5, "epoch_score": 7.0}
    assert second == {"score/dataloader_idx_1": 0.5, "epoch_score": 7.0}
    assert all(type(value) is float for value in first.values())


def test_evaluation_of_nothing():
    assert trainer(limit_test_batches=0).test(Scores(), loader(), verbose=False) == []
    assert trainer(limit_predict_batches=0).predict(torch.nn.Linear(2, 1), loader()) is None


def test_evaluation_prints_a_table_unless_told_otherwise(capsys):
    trainer().test(Scores(), loader())
    assert "score" in capsys.readouterr().out
    trainer().test(Scores(), loader(), verbose=False)
    assert capsys.readouterr().out == ""


def test_predictions():
    data = DataLoader(torch.ones(4, 2), batch_size=2)
    made, model = trainer(), torch.nn.Linear(2, 1)
    single = made.predict(model, data)
    assert [batch.shape for batch in single] == [(2, 1), (2, 1)]
    several = made.predict(model, [data, data])
    assert [len(batches) for batches in several] == [2, 2]
    assert made.predict(model, data, return_predictions=False) is None
    assert made.predict(model, data, return_predictions=True) is not None


class Weight(Model):
    """One weight, which grows by one in each epoch."""

    def on_train_epoch_end(self):
        with torch.no_grad():
            self.layer.bias.fill_(self.current_epoch + 1.0)

    def training_step(self, batch, batch_idx):
        return self.loss(batch) * 0

    def test_step(self, batch, batch_idx):
        self.log("bias", self.layer.bias.item())

    validation_step = test_step


def fitted(tmp_path):
    saves = ModelCheckpoint(dirpath=tmp_path, monitor="bias", mode="min", save_last=True, save_top_k=-1)

    class Logs(Weight):
        def on_train_epoch_start(self):
            self.log("bias", float(self.current_epoch))

    made = trainer(max_epochs=3, callbacks=[saves], enable_checkpointing=True)
    model = Logs()
    made.fit(model, loader())
    return made, model, saves


def bias(rows):
    return rows[0]["bias"]


def test_without_a_model_the_best_checkpoint_is_tested(tmp_path):
    made, model, saves = fitted(tmp_path)
    assert bias(made.test(dataloaders=loader(), verbose=False)) == 1.0
    assert made.ckpt_path == saves.best_model_path
    assert bias(made.test(model, loader(), ckpt_path="last", verbose=False)) == 3.0


def test_with_a_model_its_own_weights_are_tested(tmp_path):
    made, model, saves = fitted(tmp_path)
    assert bias(made.test(model, loader(), verbose=False)) == 3.0
    assert made.ckpt_path is None
    assert bias(made.validate(model, loader(), ckpt_path="best", verbose=False)) == 1.0
    assert bias(made.test(model, loader(), ckpt_path=saves.last_model_path, verbose=False)) == 3.0


def test_without_a_model_and_data_those_of_the_last_run_are_used():
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loader()

        test_dataloader = train_dataloader

    made = trainer()
    made.fit(Model(), datamodule=Data())
    assert made.test(verbose=False)[0].keys() == {"test_loss"}


def test_without_a_checkpoint_the_last_weights_are_tested():
    made, model = trainer(), Weight()
    made.fit(model, loader())
    assert bias(made.test(dataloaders=loader(), verbose=False)) == 1.0


def test_a_compiled_module_is_taken_for_the_module_itself():
    model = Model()

    class Compiled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self._orig_mod = model

    made = trainer()
    with pytest.warns(UserWarning, match="uncompiled.*self.net.compile"):
        made.fit(Compiled(), loader())
    assert made.lightning_module is model


@pytest.mark.parametrize("same", [True, False])
def test_a_run_inside_a_run_of_the_same_module_is_refused(same):
    class Nested(pl.Callback):
        def on_train_epoch_end(self, outer, pl_module):
            (outer if same else trainer()).validate(pl_module, loader(), verbose=False)

    with pytest.raises(RuntimeError, match="called while a Trainer runs.*copy.deepcopy"):
        trainer(callbacks=[Nested()]).fit(Model(), loader())


def test_a_copy_can_be_run_inside_a_run():
    class Nested(pl.Callback):
        def on_train_epoch_end(self, outer, pl_module):
            trainer().predict(copy.deepcopy(pl_module), DataLoader(torch.ones(4, 2), batch_size=2))
            assert pl_module.trainer is outer

    made = trainer(callbacks=[Nested()], max_epochs=2)
    made.fit(Model(), loader())
    assert made.current_epoch == 2


def test_old_names_of_loaders():
    made = trainer()
    with pytest.warns(LightningDeprecationWarning, match="train_dataloaders"):
        made.fit(Model(), train_dataloader=loader())
    with pytest.warns(LightningDeprecationWarning, match="dataloaders"):
        made.test(Model(), test_dataloaders=loader(), verbose=False)
    assert made.num_test_batches == [4]


def test_two_data_modules():
    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            return loader()

    with pytest.raises(MisconfigurationException, match="one of them"):
        trainer().fit(Model(), Data(), datamodule=Data())


def test_save_checkpoint(tmp_path):
    made = trainer()
    made.fit(Model(), loader())
    made.save_checkpoint(tmp_path / "all.ckpt")
    made.save_checkpoint(str(tmp_path / "weights.ckpt"), weights_only=True)
    everything = torch.load(tmp_path / "all.ckpt", weights_only=True)
    weights = torch.load(tmp_path / "weights.ckpt", weights_only=True)
    assert everything["global_step"] == 4
    assert set(everything) - set(weights) >= {"optimizer_states", "lr_schedulers", "callbacks"}
    assert set(weights) >= {"state_dict", "epoch", "global_step", "loops"}
    with pytest.raises(TypeError, match="storage_options"):
        made.save_checkpoint(tmp_path / "x.ckpt", storage_options={})


def test_when_settled_runs_at_once_if_nothing_runs():
    done = []
    made = trainer()
    made.when_settled(lambda: done.append(1))
    made.fit(Model(), loader())
    made.when_settled(lambda: done.append(2))
    assert done == [1, 2]


def test_print(capsys):
    trainer().print("a", "b", sep="-")
    assert capsys.readouterr().out == "a-b\n"


def test_init_module():
    made = trainer(precision="64-true")
    with made.init_module():
        layer = torch.nn.Linear(2, 1)
    assert layer.weight.dtype == torch.float64
    with trainer().init_module(empty_init=True):
        layer = torch.nn.Linear(2, 1)
    assert layer.weight.device.type == "cpu"
    assert torch.nn.Linear(1, 1).weight.dtype == torch.float32


def test_a_second_fit_of_a_finished_trainer_does_nothing():
    made, model = trainer(), Model()
    made.fit(model, loader())
    Counts.reset()
    made.fit(model, loader())
    assert Counts.batches == 0
    assert made.global_step == 4


def test_metrics_of_an_earlier_run_are_gone():
    made = trainer()
    made.test(Scores(), loader(), verbose=False)
    assert made.callback_metrics
    made.predict(torch.nn.Linear(2, 1), loader())
    assert made.callback_metrics == {}


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_precision_reaches_the_module(precision):
    seen = []

    class Looks(Model):
        def training_step(self, batch, batch_idx):
            seen.append((self.layer.weight.dtype, batch[0].dtype))
            return self.loss(batch)

    trainer(precision=precision).fit(Looks(), loader())
    dtype = torch.float64 if precision == "64-true" else torch.bfloat16
    assert set(seen) == {(dtype, dtype)}


def test_subclasses_keep_working():
    class Own(pl.Trainer):
        def __init__(self, extra, **arguments):
            super().__init__(accelerator="cpu", logger=False, enable_progress_bar=False, **arguments)
            self.extra = extra

    made = Own(3, max_epochs=1, enable_model_summary=False, enable_checkpointing=False)
    made.fit(Model(), loader())
    assert (made.extra, made.global_step) == (3, 4)


@pytest.mark.parametrize("name", ["from_argparse_args", "add_argparse_args", "tune"])
def test_methods_that_are_gone_say_what_to_write(name):
    for owner in (pl.Trainer, trainer()):
        assert not hasattr(owner, name)
        with pytest.raises(AttributeError, match=f"rainer.{name}` is gone. Write `"):
            getattr(owner, name)


def test_the_checkpoint_of_an_old_argument_is_resumed_by_the_first_fit_that_runs(tmp_path):
    first, model = trainer(), Model()
    first.fit(model, loader())
    first.save_checkpoint(tmp_path / "model.ckpt")
    with pytest.warns(LightningDeprecationWarning, match="ckpt_path"):
        made = trainer(resume_from_checkpoint=tmp_path / "model.ckpt", max_epochs=2)
    with pytest.raises(MisconfigurationException, match="no data"):
        made.fit(Model())
    made.fit(Model(), loader())
    assert made.global_step == 8
    made.fit_loop.max_epochs = 3
    made.fit(Model(), loader())
    assert made.ckpt_path is None


def test_an_old_and_a_new_name_of_the_same():
    with pytest.raises(TypeError, match="Keep `train_dataloaders`"):
        trainer().fit(Model(), loader(), train_dataloader=loader())


def test_old_arguments_build_callbacks():
    with pytest.warns(LightningDeprecationWarning, match="EarlyStopping"):
        made = trainer(early_stop_callback=True)
    assert [type(callback).__name__ for callback in made.callbacks] == ["EarlyStopping"]


def test_warnings_point_at_the_user_s_line():
    with pytest.warns(LightningDeprecationWarning) as caught:
        made = trainer(max_nb_epochs=1, max_epochs=None)
    assert caught[0].filename.endswith("kit.py")
    with pytest.warns(LightningDeprecationWarning) as caught:
        made.fit(Model(), train_dataloader=loader())
    assert caught[0].filename == __file__


def test_type_checkers_see_the_arguments(tmp_path):
    assert "self" not in inspect.signature(pl.Trainer).parameters
    pytest.importorskip("mypy")
    config, script = tmp_path / "mypy.ini", tmp_path / "script.py"
    config.write_text("[mypy]\nfollow_imports = silent\n[mypy-torch.*,numpy.*]\nfollow_imports = skip\n")
    script.write_text(
        "import leyden as pl\npl.Trainer(max_epochs='3')\npl.Trainer(max_epoch=3)\npl.Trainer(max_epochs=3)\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", os.devnull, str(script)]
    result = subprocess.run(mypy, capture_output=True, text=True, check=False)
    lines = [line for line in result.stdout.splitlines() if "error:" in line]
    assert len(lines) == 2, result.stdout + result.stderr
    assert 'Argument "max_epochs"' in lines[0]
    assert 'Unexpected keyword argument "max_epoch"' in lines[1]
