"""ModelCheckpoint in real runs: which files are there afterwards, and what they hold."""

from __future__ import annotations

import os
import warnings

import pytest
import torch
from torch.utils.data import DataLoader

import leyden as pl
from leyden.callbacks.model_checkpoint import ModelCheckpoint
from leyden.errors import MisconfigurationException

BATCHES = 4


class Model(pl.LightningModule):
    """Logs ``val_loss`` from a list, one value per validation, and ``train_loss`` per epoch."""

    def __init__(self, scores=()):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.scores = iter(scores)

    def training_step(self, batch, batch_idx):
        loss = self.layer(batch).sum()
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        pass

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            score = next(self.scores, None)
            if score is not None:
                self.log("val_loss", torch.tensor(score))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Broken(pl.Callback):
    """Raises before the batch that would be optimizer step ``step``."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise ValueError("broken")


def data():
    return DataLoader(torch.ones(BATCHES, 2), batch_size=1)


def fit(folder, checkpoint, scores=(), callbacks=(), ckpt_path=None, module=None, **arguments):
    options = {"max_epochs": 2, "logger": False, "num_sanity_val_steps": 0, "accelerator": "cpu", **arguments}
    trainer = pl.Trainer(
        default_root_dir=folder,
        callbacks=[checkpoint, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(Model(scores) if module is None else module, data(), data(), ckpt_path=ckpt_path)
    return trainer


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )


def load(path):
    return torch.load(path, weights_only=True)


def test_row_83_default_keeps_the_latest_epoch(tmp_path):
    checkpoint = ModelCheckpoint()
    fit(tmp_path, checkpoint)
    assert files(tmp_path) == ["checkpoints/epoch=1-step=8.ckpt"]
    saved = load(checkpoint.best_model_path)
    assert (saved["epoch"], saved["global_step"]) == (1, 8)
    assert saved["callbacks"][checkpoint.state_key]["best_model_path"] == checkpoint.best_model_path


def test_trainer_adds_one_by_itself(tmp_path):
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        logger=False,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Model(), data(), data())
    assert files(tmp_path) == ["checkpoints/epoch=0-step=4.ckpt"]
    assert isinstance(trainer.checkpoint_callback, ModelCheckpoint)


@pytest.mark.parametrize(
    ("arguments", "trainer_arguments", "names"),
    [
        ({"every_n_train_steps": 3}, {}, ["epoch=0-step=3", "epoch=1-step=6"]),
        ({"every_n_epochs": 2}, {}, ["epoch=1-step=8"]),
        ({}, {"val_check_interval": 0.5}, [f"epoch={s // 5}-step={s}" for s in (2, 4, 6, 8)]),
        ({}, {"val_check_interval": 1, "max_epochs": 1}, [f"epoch=0-step={s}" for s in (1, 2, 3, 4)]),
        ({}, {"check_val_every_n_epoch": 2}, ["epoch=1-step=8"]),
        ({"every_n_train_steps": 2}, {"accumulate_grad_batches": 2}, ["epoch=0-step=2", "epoch=1-step=4"]),
        ({}, {"max_steps": 6, "max_epochs": -1}, ["epoch=0-step=4", "epoch=1-step=6"]),
    ],
)  # fmt: skip
def test_moments(tmp_path, arguments, trainer_arguments, names):
    fit(tmp_path, ModelCheckpoint(tmp_path, save_top_k=-1, **arguments), **trainer_arguments)
    assert files(tmp_path) == [f"{name}.ckpt" for name in names]


def test_best_of_validation(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, "{epoch}-{val_loss:.1f}", monitor="val_loss", save_top_k=2)
    trainer = fit(tmp_path, checkpoint, scores=[0.5, 0.9, 0.4, 0.3], max_epochs=4)
    assert files(tmp_path) == ["epoch=2-val_loss=0.4.ckpt", "epoch=3-val_loss=0.3.ckpt"]
    assert checkpoint.best_model_score == torch.tensor(0.3)
    assert trainer.checkpoint_callback is checkpoint


def test_metric_of_the_training_epoch(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="train_loss")
    fit(tmp_path, checkpoint, limit_val_batches=0)
    assert files(tmp_path) == ["epoch=1-step=8.ckpt"]  # the loss of this model falls
    assert torch.isfinite(checkpoint.best_model_score)


def test_step_save_waits_for_the_validation(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", every_n_train_steps=3)
    fit(tmp_path, checkpoint, scores=[1.0], max_epochs=1)
    assert files(tmp_path) == ["epoch=0-step=4.ckpt"]


def test_unknown_metric_after_validation_is_an_error(tmp_path):
    with pytest.raises(MisconfigurationException, match="val_los"):
        fit(tmp_path, ModelCheckpoint(tmp_path, monitor="val_los"), scores=[1.0, 2.0])


def test_last_and_link(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_last="link")
    fit(tmp_path, checkpoint)
    assert os.readlink(checkpoint.last_model_path) == "epoch=1-step=8.ckpt"
    assert load(checkpoint.last_model_path)["global_step"] == 8


def test_only_last(tmp_path):
    fit(tmp_path, ModelCheckpoint(tmp_path, save_top_k=0, save_last=True))
    assert files(tmp_path) == ["last.ckpt"]
    assert load(tmp_path / "last.ckpt")["global_step"] == 8


def test_weights_only_file_has_no_optimizer(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_weights_only=True)
    fit(tmp_path, checkpoint)
    saved = load(checkpoint.best_model_path)
    assert "state_dict" in saved
    assert not {"optimizer_states", "lr_schedulers", "callbacks"} & set(saved)


def test_nothing_is_saved_in_a_dev_run(tmp_path):
    fit(tmp_path, ModelCheckpoint(tmp_path / "checks"), fast_dev_run=True)
    assert files(tmp_path) == []


def test_nothing_is_saved_in_evaluation(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path)
    trainer = fit(tmp_path, checkpoint)
    before = files(tmp_path)
    trainer.validate(trainer.lightning_module, data(), verbose=False)
    assert files(tmp_path) == before


def test_save_on_exception(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, save_on_exception=True, save_last=True)
    with pytest.raises(ValueError, match="broken"):
        fit(tmp_path, checkpoint, callbacks=[Broken(3)])
    assert files(tmp_path) == ["epoch=0-step=3.ckpt", "last.ckpt"]
    assert load(tmp_path / "last.ckpt")["global_step"] == 3


def test_resume_continues_the_ranking_and_keeps_the_file_it_came_from(tmp_path):
    def checkpoint():
        return ModelCheckpoint(tmp_path, "{epoch}", monitor="val_loss", save_top_k=1)

    first = checkpoint()
    fit(tmp_path, first, scores=[0.5], max_epochs=1)
    resumed = checkpoint()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*exists and is not empty")
        fit(tmp_path, resumed, scores=[0.9, 0.1], max_epochs=3, ckpt_path=first.best_model_path)
    assert files(tmp_path) == ["epoch=0.ckpt", "epoch=2.ckpt"]
    assert resumed.best_model_path == str(tmp_path / "epoch=2.ckpt")


def test_attributes_are_known_to_later_hooks_and_loggers_hear_of_the_file(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path)
    seen = []

    class Watching(Model):
        def on_train_end(self):
            seen.append(checkpoint.best_model_path)

    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        max_epochs=1,
        logger=False,
        accelerator="cpu",
        callbacks=[checkpoint],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Watching(), data(), data())
    assert seen == [str(tmp_path / "epoch=0-step=4.ckpt")]


def test_folder_that_is_a_file_is_found_before_any_batch(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(MisconfigurationException, match="this is a file"):
        fit(tmp_path, ModelCheckpoint(path), callbacks=[Broken(0)])


def test_steps_count_all_optimizers_in_manual_optimization(tmp_path):
    class Manual(Model):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch, batch_idx):
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.layer(batch).sum())
                optimizer.step()

        def configure_optimizers(self):
            return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]

    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_top_k=-1)
    fit(tmp_path, checkpoint, module=Manual(), max_epochs=1)
    assert files(tmp_path) == ["epoch=0-step=4.ckpt", "epoch=0-step=8.ckpt"]
    assert torch.load(tmp_path / "epoch=0-step=4.ckpt", weights_only=True)["global_step"] == 4


def test_two_with_equal_settings_collide(tmp_path):
    callbacks = [ModelCheckpoint(tmp_path / name, monitor="val_loss") for name in "ab"]
    with pytest.raises(RuntimeError, match="state_key"):
        fit(tmp_path, callbacks[0], callbacks=callbacks[1:])


@pytest.mark.parametrize("arguments", [{"fast_dev_run": 2}, {"num_sanity_val_steps": 2}])
def test_an_exception_outside_training_saves_nothing(tmp_path, arguments):
    class Failing(Model):
        def validation_step(self, batch, batch_idx):
            raise ValueError("broken")

    checkpoint = ModelCheckpoint(tmp_path, save_on_exception=True)
    with pytest.raises(ValueError, match="broken"):
        fit(tmp_path, checkpoint, module=Failing(), **arguments)
    assert files(tmp_path) == []


def test_an_exception_right_after_a_save_saves_nothing_more(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1, save_on_exception=True)
    with pytest.raises(ValueError, match="broken"):
        fit(tmp_path, checkpoint, callbacks=[Broken(2)])
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]


def test_a_folder_of_the_home_is_resolved(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ModelCheckpoint("~/runs").dirpath == str(tmp_path / "runs")
