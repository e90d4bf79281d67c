"""Which file a ``ckpt_path`` means; the messages about what is not there are in tests/mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leyden.callbacks import ModelCheckpoint
from leyden.errors import PossibleUserWarning
from mistakes.kit import Model, loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*no validation data")


def saves(folder, **arguments):
    return ModelCheckpoint(dirpath=folder, **{"save_last": True, **arguments})


def fitted(*callbacks, **arguments):
    made = trainer(enable_checkpointing=True, callbacks=list(callbacks), **arguments)
    model = Model()
    made.fit(model, loader())
    return made, model


def loaded(made, model, ckpt_path):
    made.test(model, loader(), ckpt_path=ckpt_path, verbose=False)
    return made.ckpt_path


def test_none_is_no_file(tmp_path):
    assert loaded(*fitted(saves(tmp_path)), None) is None


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_that_path(tmp_path, kind):
    made, model = fitted(saves(tmp_path))
    assert loaded(made, model, kind(tmp_path / "last.ckpt")) == str(tmp_path / "last.ckpt")


def test_best_is_that_of_the_callback(tmp_path):
    checkpoint = saves(tmp_path)
    made, model = fitted(checkpoint)
    assert loaded(made, model, "best") == checkpoint.best_model_path


def test_best_of_several_callbacks_is_that_of_the_first(tmp_path):
    first = saves(tmp_path / "a", every_n_epochs=1)
    made, model = fitted(first, saves(tmp_path / "b", every_n_train_steps=2))
    with pytest.warns(UserWarning, match="2 checkpoint callbacks"):
        assert loaded(made, model, "best") == first.best_model_path


def test_best_does_not_exist_before_a_save(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint was saved yet"):
        loaded(trainer(enable_checkpointing=True, callbacks=[saves(tmp_path)]), Model(), "best")


@pytest.mark.parametrize("name", ["last-v1.ckpt", "interrupted.ckpt", "hpc_ckpt_3.ckpt", "on_exception.ckpt"])
def test_last_is_the_newest_that_a_run_left(tmp_path, name):
    made, model = fitted(saves(tmp_path))
    assert loaded(made, model, "last") == str(tmp_path / "last.ckpt")
    newer = tmp_path / name
    newer.write_bytes((tmp_path / "last.ckpt").read_bytes())
    os.utime(newer, (2e9, 2e9))
    assert loaded(made, model, "last") == str(newer)


@pytest.mark.parametrize("name", ["interrupted.ckpt", "hpc_ckpt_3.ckpt"])
def test_hpc_is_the_newest_that_a_signal_left(tmp_path, name):
    made, model = fitted(saves(tmp_path))
    with pytest.raises(ValueError, match="no signal has left a checkpoint"):
        loaded(made, model, "hpc")
    (tmp_path / name).write_bytes((tmp_path / "last.ckpt").read_bytes())
    os.utime(tmp_path / "last.ckpt", (2e9, 2e9))
    assert loaded(made, model, "hpc") == str(tmp_path / name)


def test_last_is_looked_for_under_the_root_folder_too(tmp_path):
    made, model = fitted(saves(tmp_path / "elsewhere"))
    (tmp_path / "checkpoints").mkdir()
    made.save_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    other = trainer(default_root_dir=tmp_path)
    assert loaded(other, model, "last") == str(tmp_path / "checkpoints" / "last.ckpt")


def test_row_99_without_a_last_one_fit_starts_from_the_beginning(tmp_path):
    made = trainer(default_root_dir=tmp_path)
    with pytest.warns(PossibleUserWarning, match="from the beginning"):
        made.fit(Model(), loader(), ckpt_path="last")
    assert made.ckpt_path is None
    assert made.global_step == 4


def test_a_file_may_have_a_name_close_to_a_keyword(tmp_path, monkeypatch):
    made, model = fitted(saves(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("lasts").write_bytes((tmp_path / "last.ckpt").read_bytes())
    assert loaded(made, model, "lasts") == "lasts"
    with pytest.raises(FileNotFoundError, match="Did you mean 'last'"):
        loaded(made, model, "lastt")
