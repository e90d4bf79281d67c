"""Which callbacks a Trainer has without being given them; what is excluded is in tests/mistakes."""

from __future__ import annotations

import sys

import pytest

import leyden as pl
from leyden.callbacks import ModelCheckpoint, ModelSummary, ProgressBar, Timer
from leyden.callbacks.defaults import check_callbacks, factories, with_defaults
from leyden.engine.config import TrainerArguments

KINDS = {
    "max_time": Timer,
    "enable_progress_bar": ProgressBar,
    "enable_model_summary": ModelSummary,
    "enable_checkpointing": ModelCheckpoint,
}


def arguments(**given):
    found, errors = TrainerArguments.checked(given)
    assert errors == []
    return found


def test_the_defaults_in_order():
    kinds = [type(callback) for callback in with_defaults(arguments(max_time={"hours": 1}))]
    assert [issubclass(kind, expected) for kind, expected in zip(kinds, KINDS.values(), strict=True)] == [True] * 4


@pytest.mark.parametrize("name", KINDS)
def test_each_can_be_left_out(name):
    off = {"max_time": {"hours": 1}, name: None if name == "max_time" else False}
    assert not [callback for callback in with_defaults(arguments(**off)) if isinstance(callback, KINDS[name])]


@pytest.mark.parametrize("own", [ModelCheckpoint(), ModelSummary(), Timer(), pl.callbacks.RichProgressBar()], ids=repr)
def test_one_that_was_given_takes_the_place_of_the_default(own):
    callbacks = with_defaults(arguments(callbacks=own, max_time={"hours": 1}))
    assert callbacks[0] is own
    assert len(callbacks) == len(KINDS)


def test_barebones_has_none():
    assert with_defaults(arguments(barebones=True)) == []


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package for this test that adds callbacks, in a group of entry points."""

    def install(group, returned):
        (tmp_path / "adding.py").write_text(
            f"import leyden as pl\nclass Added(pl.Callback): ...\ndef make(): return {returned}"
        )
        folder = tmp_path / "adding-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: adding\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\nmine = adding:make\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "adding", raising=False)
        factories.cache_clear()

    yield install
    factories.cache_clear()


@pytest.mark.parametrize(("returned", "count"), [("Added()", 1), ("[Added(), Added()]", 2), ("[]", 0)])
def test_installed_packages_add_theirs_after_the_defaults_and_before_checkpoints(package, returned, count):
    package("leyden.callbacks_factory", returned)
    trainer = pl.Trainer(logger=False, max_epochs=1, callbacks=[pl.Callback()])
    kinds = [type(callback).__name__ for callback in trainer.callbacks]
    assert kinds[3:] == ["Added"] * count + ["ModelCheckpoint"]


def test_packages_for_lightning_count_while_the_drop_in_is_on(package, monkeypatch):
    package("lightning.pytorch.callbacks_factory", "Added()")
    monkeypatch.delitem(sys.modules, "leyden.legacy.finder", raising=False)
    assert with_defaults(arguments(barebones=True)) == []
    factories.cache_clear()
    monkeypatch.setitem(sys.modules, "leyden.legacy.finder", None)
    assert [type(callback).__name__ for callback in with_defaults(arguments(barebones=True))] == ["Added"]


def test_a_package_that_returns_something_else(package):
    package("leyden.callbacks_factory", "Added")
    with pytest.raises(TypeError, match=r"`the entry point adding:make\(\)` got.*Accepted: a Callback, or a list"):
        pl.Trainer(logger=False, max_epochs=1)


def test_others_are_no_reason_to_complain():
    given = arguments(callbacks=[pl.Callback(), ModelCheckpoint(), ModelCheckpoint()], enable_model_summary=False)
    assert list(check_callbacks(given)) == []
