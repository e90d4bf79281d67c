"""Which checkpoints ModelCheckpoint keeps, its last, its folder and its state."""

from __future__ import annotations

import os

import pytest
import torch
import yaml

from leyden.callbacks.model_checkpoint import ModelCheckpoint
from leyden.errors import MisconfigurationException


def files(folder):
    return sorted(
        os.path.relpath(os.path.join(base, name), folder) for base, _, names in os.walk(folder) for name in names
    )


def step_of(path):
    return torch.load(path, weights_only=True)["global_step"]


# -- which to keep ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "kept"), [("min", [1, 4]), ("max", [2, 3])])
def test_the_best_are_kept(tmp_path, mode, kept, Run):
    checkpoint = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", mode=mode, save_top_k=2)
    run = Run(tmp_path, checkpoint).start()
    for value in (0.2, 0.9, 0.5, 0.1):
        run.epoch(steps=1, val_loss=value)
    assert files(tmp_path) == [f"step={step}.ckpt" for step in kept]
    best, kth = (0.1, 0.2) if mode == "min" else (0.9, 0.5)
    assert checkpoint.best_model_score == torch.tensor(best)
    assert checkpoint.kth_value == torch.tensor(kth)
    assert checkpoint.best_k_models[checkpoint.kth_best_model_path] == torch.tensor(kth)
    assert set(checkpoint.best_k_models) == {str(tmp_path / name) for name in files(tmp_path)}


def test_row_86_nan_never_wins(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(steps=1, val_loss=float("nan"))
    assert files(tmp_path) == ["step=1.ckpt"]  # better than nothing
    run.epoch(steps=1, val_loss=3.0)
    run.epoch(steps=1, val_loss=float("nan"))
    assert files(tmp_path) == ["step=2.ckpt"]
    assert checkpoint.best_model_score == torch.tensor(3.0)


def test_worse_value_changes_nothing(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(val_loss=1.0)
    run.epoch(val_loss=2.0)
    assert files(tmp_path) == ["epoch=0-step=2.ckpt"]
    assert checkpoint.current_score == torch.tensor(1.0)


def test_step_can_be_monitored(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, monitor="step", mode="max", save_top_k=2)).start()
    for _ in range(3):
        run.epoch()
    assert files(tmp_path) == ["epoch=1-step=4.ckpt", "epoch=2-step=6.ckpt"]


def test_scores_are_no_views_of_the_logged_values(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(val_loss=1.0)
    run.callback_metrics["val_loss"].fill_(5.0)
    assert checkpoint.best_model_score == torch.tensor(1.0)


def test_fewer_to_keep_than_before_the_resume(tmp_path, Run):
    old = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_top_k=3)
    run = Run(tmp_path, old).start()
    for value in (0.3, 0.2, 0.1):
        run.epoch(steps=1, val_loss=value)
    new = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_top_k=1)
    new.load_state_dict(old.state_dict())
    run.checkpoint_callbacks = [new]
    run.epoch(steps=1, val_loss=0.05)
    assert files(tmp_path) == ["step=4.ckpt"]


def test_row_87_resumed_file_is_never_deleted(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, save_last="link")
    run = Run(tmp_path, checkpoint).start()
    run.epoch()
    run.ckpt_path = str(tmp_path / "last.ckpt")  # a link to epoch=0-step=2.ckpt
    run.each("on_train_start")
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "epoch=2-step=6.ckpt", "last.ckpt"]


def test_row_87_files_of_other_folders_are_never_deleted(tmp_path, Run):
    old = ModelCheckpoint(tmp_path / "old")
    Run(tmp_path, old).start().epoch()
    new = ModelCheckpoint(tmp_path / "new")
    run = Run(tmp_path, new)
    new.setup(run, run.module, "fit")
    with pytest.warns(UserWarning, match="dirpath has changed"):
        new.load_state_dict(old.state_dict())
    assert new.best_model_path == str(tmp_path / "old" / "epoch=0-step=2.ckpt")
    assert not new.best_k_models
    run.global_step = 2
    run.epoch()
    assert files(tmp_path) == ["new/epoch=0-step=4.ckpt", "old/epoch=0-step=2.ckpt"]


def test_row_90_a_new_folder_drops_the_ranking(tmp_path, Run):
    old = ModelCheckpoint(tmp_path / "old", monitor="loss", save_top_k=2, save_last=True)
    Run(tmp_path, old).start().epoch(loss=1.0)
    new = ModelCheckpoint(tmp_path / "new", monitor="loss", save_top_k=2)
    with pytest.warns(UserWarning, match=r"Only `best_model_path`"):
        new.load_state_dict(old.state_dict())
    assert new.best_model_path == old.best_model_path
    assert (new.best_k_models, new.best_model_score, new.kth_best_model_path, new.last_model_path) == ({}, None, "", "")


def test_all_ranks_agree_on_what_is_among_the_best(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="loss")
    run = Run(tmp_path, checkpoint).start()
    run.epoch(loss=1.0)
    asked = []
    run.strategy.reduce_boolean_decision = lambda decision: asked.append(decision) or False
    run.epoch(loss=0.5)  # better here, not so on another rank
    assert asked == [True]
    assert checkpoint.best_model_score == 1.0


def test_missing_monitor_warns_before_validation_and_raises_after(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_los", save_on_train_epoch_end=True)
    run = Run(tmp_path, checkpoint).start()
    run.steps(1, train_loss=1.0)
    with pytest.warns(UserWarning, match=r"could not find the monitored key.*\['train_loss'\]"):
        run.epoch_end()
    run.steps(1)
    run.validation(val_loss=0.5)
    with pytest.raises(MisconfigurationException, match=r"monitor='val_los'.*Did you mean 'val_loss'\?"):
        run.epoch_end()


def test_missing_monitor_in_mid_epoch_is_found_at_the_first_validation(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, monitor="val_los", every_n_train_steps=1)).start()
    run.steps(1)
    with pytest.raises(MisconfigurationException, match="val_los"):
        run.validation(val_loss=0.5)


# -- last ------------------------------------------------------------------------------------------------------------


def test_last_accompanies_each_save(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss", save_last=True)
    run = Run(tmp_path, checkpoint).start()
    run.epoch(val_loss=1.0)
    run.epoch(val_loss=2.0)  # not saved, so last stays
    assert files(tmp_path) == ["epoch=0-step=2.ckpt", "last.ckpt"]
    assert step_of(tmp_path / "last.ckpt") == 2
    run.epoch(val_loss=0.5)
    assert step_of(tmp_path / "last.ckpt") == 6
    assert checkpoint.last_model_path == str(tmp_path / "last.ckpt")


def test_only_last(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_top_k=0, save_last=True)).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["last.ckpt"]
    assert step_of(tmp_path / "last.ckpt") == 4


def test_last_is_written_at_the_end_if_nothing_was_saved(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, every_n_train_steps=10, save_last=True)).start()
    run.epoch()
    run.each("on_train_end")
    assert files(tmp_path) == ["last.ckpt"]


def test_previous_last_goes_when_its_name_changes(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, save_last=True)
    checkpoint.CHECKPOINT_NAME_LAST = "{epoch}-last"
    run = Run(tmp_path, checkpoint).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=1-last.ckpt", "epoch=1-step=4.ckpt"]


def test_row_88_last_as_a_relative_link(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint(tmp_path, save_last="link")).start()
    run.epoch()
    run.epoch()
    assert files(tmp_path) == ["epoch=1-step=4.ckpt", "last.ckpt"]
    assert os.readlink(tmp_path / "last.ckpt") == "epoch=1-step=4.ckpt"


def test_link_becomes_a_copy_where_links_are_impossible(tmp_path, monkeypatch, Run):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    Run(tmp_path, ModelCheckpoint(tmp_path, save_last="link")).start().epoch()
    assert not (tmp_path / "last.ckpt").is_symlink()
    assert step_of(tmp_path / "last.ckpt") == 2


# -- folder ------------------------------------------------------------------------------------------------------------


def test_default_folder_without_a_logger(tmp_path, Run):
    run = Run(tmp_path, ModelCheckpoint()).start()
    run.epoch()
    assert files(tmp_path) == ["checkpoints/epoch=0-step=2.ckpt"]


def test_filled_folder_is_announced(tmp_path, Run):
    (tmp_path / "other").write_text("")
    with pytest.warns(UserWarning, match="exists and is not empty"):
        Run(tmp_path, ModelCheckpoint(tmp_path)).start()


def test_filled_folder_is_expected_when_the_run_continues_from_it(tmp_path, Run):
    (tmp_path / "last.ckpt").write_text("")
    Run(tmp_path, ModelCheckpoint(tmp_path), ckpt_path=str(tmp_path / "last.ckpt")).start()


def test_folder_that_is_a_file_is_found_before_any_batch(tmp_path, Run):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(MisconfigurationException, match=r"`dirpath` got '.*file'.*this is a file"):
        Run(tmp_path, ModelCheckpoint(path)).start()


def test_remote_folder(tmp_path, Run):
    import fsspec

    checkpoint = ModelCheckpoint("memory://remote/checks", save_top_k=1)
    run = Run(tmp_path, checkpoint)
    store = fsspec.filesystem("memory")
    run.save_checkpoint = lambda path, weights_only=None: store.pipe_file(path, b"x")
    run.start()
    run.epoch()
    run.epoch()
    assert [os.path.basename(p) for p in store.ls("/remote/checks", detail=False)] == ["epoch=1-step=4.ckpt"]
    with pytest.raises(ValueError, match="link"):
        ModelCheckpoint("memory://remote", save_last="link")


# -- state and arguments ---------------------------------------------------------------------------------------------


def test_state_continues_the_ranking(tmp_path, Run):
    old = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_last=True)
    run = Run(tmp_path, old).start()
    run.epoch(val_loss=0.5)
    new = ModelCheckpoint(tmp_path, "{step}", monitor="val_loss", save_last=True)
    new.load_state_dict(torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"][old.state_key])
    assert new.state_dict() == old.state_dict()
    run.checkpoint_callbacks = [new]
    run.epoch(val_loss=0.9)
    run.epoch(val_loss=0.1)
    assert files(tmp_path) == ["last.ckpt", "step=6.ckpt"]


def test_state_key_tells_callbacks_apart():
    assert ModelCheckpoint(monitor="a").state_key == (
        "ModelCheckpoint{'monitor': 'a', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    assert ModelCheckpoint(monitor="a", every_n_train_steps=5).every_n_epochs == 0


def test_new_run_with_an_old_callback_saves_again(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path / "c", save_top_k=-1)
    Run(tmp_path, checkpoint).start().epoch(steps=4)
    with pytest.warns(UserWarning, match="not empty"):
        run = Run(tmp_path, checkpoint).start()
    run.epoch(steps=4)
    assert files(tmp_path / "c") == ["epoch=0-step=4-v1.ckpt", "epoch=0-step=4.ckpt"]


def test_ranking_as_yaml(tmp_path, Run):
    checkpoint = ModelCheckpoint(tmp_path, monitor="val_loss")
    Run(tmp_path, checkpoint).start().epoch(val_loss=0.5)
    checkpoint.to_yaml()
    assert yaml.safe_load((tmp_path / "best_k_models.yaml").read_text()) == {checkpoint.best_model_path: 0.5}


def test_verbose_announces(tmp_path, caplog, Run):
    caplog.set_level("INFO", logger="leyden")
    run = Run(tmp_path, ModelCheckpoint(tmp_path, monitor="val_loss", verbose=True)).start()
    run.epoch(val_loss=0.5)
    run.epoch(val_loss=0.7)
    assert "Epoch 0, global step 2: 'val_loss' reached 0.50000" in caplog.text
    assert "was not in top 1" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"save_top_k": -2}, "save_top_k"),
        ({"save_top_k": 2}, "save_top_k"),
        ({"save_top_k": 1.5, "monitor": "a"}, "save_top_k"),
        ({"mode": "minimum"}, "Did you mean 'min'"),
        ({"save_last": "lnk"}, "save_last"),
    ],
)
def test_wrong_arguments_are_named(arguments, name):
    with pytest.raises(MisconfigurationException, match=name):
        ModelCheckpoint(**arguments)
