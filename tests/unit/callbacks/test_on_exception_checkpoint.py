"""OnExceptionCheckpoint: the file of a failed run, and the run that continues it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import Regression, Validated, fit, loader, trainer, weights
from leyden.callbacks.on_exception_checkpoint import OnExceptionCheckpoint

ON = {"enable_checkpointing": True}


class Failing(Regression):
    """Raises at a batch, as long as ``fails``."""

    fails: BaseException | None = None

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 2 and self.fails is not None:
            raise self.fails
        return super().training_step(batch, batch_idx)


def run(module: Failing, callback: OnExceptionCheckpoint, **arguments: Any) -> pl.Trainer:
    return fit(module, callbacks=[callback], **ON, **arguments)


def failed(error: BaseException, callback: OnExceptionCheckpoint, **arguments: Any) -> Failing:
    module = Failing()
    module.fails = error
    with pytest.raises(type(error)):
        run(module, callback, **arguments)
    return module


def test_row_100_the_file_is_written_when_a_run_fails_and_removed_when_one_ends_well(tmp_path) -> None:
    callback = OnExceptionCheckpoint(tmp_path)
    module = failed(RuntimeError("broken"), callback)
    assert os.listdir(tmp_path) == ["on_exception.ckpt"]
    checkpoint = torch.load(callback.ckpt_path, weights_only=True)
    assert checkpoint["global_step"] == 2
    assert checkpoint["optimizer_states"]
    assert torch.equal(checkpoint["state_dict"]["layer.weight"], module.layer.weight)
    run(Failing(), OnExceptionCheckpoint(tmp_path))
    assert os.listdir(tmp_path) == []


def test_the_next_fit_continues_where_the_failed_one_was(tmp_path, caplog) -> None:
    calm = Failing()
    fit(calm)
    failed(RuntimeError("broken"), OnExceptionCheckpoint(tmp_path, "state"))
    module, callback = Failing(), OnExceptionCheckpoint(tmp_path, "state")
    with caplog.at_level(logging.INFO, logger="leyden"):
        made = run(module, callback)
    assert made.ckpt_path == callback.ckpt_path
    assert "continues the one that failed" in caplog.text
    assert module.calls == [2, 3]
    assert torch.equal(weights(module), weights(calm))


def test_an_explicit_file_wins(tmp_path) -> None:
    fit(Failing()).save_checkpoint(tmp_path / "other.ckpt")
    failed(RuntimeError("broken"), OnExceptionCheckpoint(tmp_path))
    made = trainer(max_epochs=2, callbacks=[OnExceptionCheckpoint(tmp_path)], **ON)
    made.fit(module := Failing(), loader(), ckpt_path=tmp_path / "other.ckpt")
    assert module.calls == [0, 1, 2, 3]


def test_last_considers_the_file_whatever_its_name(tmp_path) -> None:
    failed(RuntimeError("broken"), OnExceptionCheckpoint(tmp_path / "deep", "state"), default_root_dir=tmp_path)
    made = trainer(callbacks=[OnExceptionCheckpoint(tmp_path / "deep", "state")], default_root_dir=tmp_path, **ON)
    made.fit(module := Failing(), loader(), ckpt_path="last")
    assert module.calls == [2, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=["interrupt", "exit"])
def test_any_exception_counts(tmp_path, monkeypatch, error) -> None:
    monkeypatch.delattr(sys, "ps1", raising=False)
    module = Failing()
    module.fails = error
    with pytest.raises(SystemExit):  # an interrupted script ends too
        run(module, OnExceptionCheckpoint(tmp_path))
    assert os.listdir(tmp_path) == ["on_exception.ckpt"]


def test_other_runs_than_fit_leave_the_file_of_a_failed_fit_alone(tmp_path) -> None:
    class Broken(Validated):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            raise RuntimeError("broken")

    def validate(module: Any) -> None:
        trainer(callbacks=[OnExceptionCheckpoint(tmp_path)], **ON).validate(module, loader())

    with pytest.raises(RuntimeError, match="broken"):
        validate(Broken())
    assert os.listdir(tmp_path) == []  # a fit could not continue from it
    failed(RuntimeError("broken"), OnExceptionCheckpoint(tmp_path))
    with pytest.raises(RuntimeError, match="broken"):
        validate(Broken())
    validate(Validated())
    module = Failing()
    run(module, OnExceptionCheckpoint(tmp_path))
    assert module.calls == [2, 3]


def test_a_dev_run_touches_nothing(tmp_path) -> None:
    callback = OnExceptionCheckpoint(tmp_path)
    failed(RuntimeError("broken"), callback)
    before = os.stat(callback.ckpt_path).st_mtime_ns
    module = Failing()
    made = fit(module, callbacks=[OnExceptionCheckpoint(tmp_path)], fast_dev_run=1, **ON)
    assert module.calls == [0]  # nor does it continue the failed run
    assert made.ckpt_path is None
    assert os.stat(callback.ckpt_path).st_mtime_ns == before


def test_the_run_s_own_error_is_the_one_that_is_raised(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="could not save"):
        failed(RuntimeError("broken"), OnExceptionCheckpoint(tmp_path / "file"))


def test_it_stands_beside_another_checkpoint_callback(tmp_path) -> None:
    best = pl.callbacks.ModelCheckpoint(tmp_path / "best")
    made = fit(Regression(), callbacks=[OnExceptionCheckpoint(tmp_path), best], **ON)
    assert [type(c).__name__ for c in made.checkpoint_callbacks] == ["OnExceptionCheckpoint", "ModelCheckpoint"]
    assert os.listdir(tmp_path / "best") == ["epoch=0-step=4.ckpt"]


def test_the_name_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match="filename"):
        OnExceptionCheckpoint("folder", "")
