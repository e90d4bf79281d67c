"""What a checkpoint looks like to Lightning: the layout of a file that Lightning 2.6 wrote of the same run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_fit import trainer
from helpers_written_by_lightning import Model, loader, path
from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.checkpoint import file


class SavesInEpoch(pl.Callback):
    def __init__(self, to: Path) -> None:
        self.to = to

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1:
            trainer.save_checkpoint(self.to)


@pytest.fixture(params=["2.6.6", "2.6.6-in-epoch"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same moment of the same run: as Lightning wrote it, and as it is written here."""
    ours = tmp_path / "ours.ckpt"
    best = ModelCheckpoint(dirpath=tmp_path, monitor="val_loss")
    callbacks = [EarlyStopping("val_loss", patience=3), *([SavesInEpoch(ours)] if "in" in request.param else []), best]
    runner = trainer(max_epochs=2, enable_checkpointing=True, callbacks=callbacks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner.fit(Model(), loader(), loader())
    if not ours.exists():
        runner.save_checkpoint(ours)
    return torch.load(path(request.param), weights_only=True), torch.load(ours, weights_only=True)


def leaves(tree: Any, *keys: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, *keys, str(key))
    else:
        yield keys, tree


def test_the_keys_are_those_of_lightning_and_two_more(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    assert ours.keys() - theirs.keys() == {"leyden", "leyden_version"}
    assert theirs.keys() - ours.keys() == set()
    for key in ("epoch", "global_step", "hparams_name", "hyper_parameters"):
        assert ours[key] == theirs[key]
    assert ours["pytorch-lightning_version"].startswith("2.")


def test_the_weights_and_optimizers_have_the_same_form(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    assert [(name, value.shape) for name, value in ours["state_dict"].items()] == [
        (name, value.shape) for name, value in theirs["state_dict"].items()
    ]
    for kind in ("optimizer_states", "lr_schedulers"):
        mine, other = ([[keys for keys, _ in leaves(state)] for state in saved[kind]] for saved in (ours, theirs))
        assert mine == other


def test_the_loops_have_the_same_form_and_count_the_same(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = (dict(leaves(saved["loops"])) for saved in both)
    assert theirs.keys() - ours.keys() == set()
    # What decides where a run goes on. A batch is over here when it is saved, and an epoch that is over leaves no batch.
    for keys, value in theirs.items():
        decides = keys[1:2] == ("epoch_progress",) or keys[1:] == ("epoch_loop.batch_progress", "total", "processed")
        if keys[0] == "fit_loop" and decides:
            assert ours[keys] == value, keys


def test_the_states_of_callbacks_are_under_the_same_keys(both: tuple[dict[str, Any], dict[str, Any]]) -> None:
    theirs, ours = both
    assert ours["callbacks"].keys() == theirs["callbacks"].keys()
    for key, state in theirs["callbacks"].items():
        assert state.keys() <= ours["callbacks"][key].keys()


def test_a_file_of_ours_is_what_load_reads(tmp_path: Path) -> None:
    runner = trainer(callbacks=[EarlyStopping("val_loss")])
    runner.fit(Model(), loader(), loader())
    runner.save_checkpoint(tmp_path / "a.ckpt")
    assert file.load(tmp_path / "a.ckpt").keys() == torch.load(tmp_path / "a.ckpt", weights_only=True).keys()
