from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest

from leyden.callbacks import EarlyStopping, ModelCheckpoint
from leyden.errors import LightningDeprecationWarning, MisconfigurationException
from leyden.legacy.constructors import early_stopping_arguments, model_checkpoint_arguments


@pytest.mark.parametrize(
    ("given", "today"),
    [
        ({"filepath": "out/best"}, {"dirpath": "out", "filename": "best"}),
        ({"filepath": "out/"}, {"dirpath": "out"}),
        ({"filepath": "best"}, {"filename": "best"}),
        ({"filepath": None}, {}),
        ({"prefix": "a"}, {"filename": "a-{epoch}-{step}"}),
        ({"prefix": "a", "filename": "b"}, {"filename": "a-b"}),
        ({"prefix": ""}, {}),
        ({"period": 3}, {"every_n_epochs": 3}),
        ({"every_n_val_epochs": 2}, {"every_n_epochs": 2}),
        ({"mode": "auto", "monitor": "val_acc"}, {"mode": "max", "monitor": "val_acc"}),
        ({"mode": "auto", "monitor": "val_loss"}, {"mode": "min", "monitor": "val_loss"}),
        ({"mode": "auto"}, {"mode": "min"}),
        ({"save_function": None}, {}),
    ],
)
def test_arguments_of_model_checkpoint(given: dict[str, Any], today: dict[str, Any]) -> None:
    assert model_checkpoint_arguments(given)
    assert given == today


def test_a_folder_is_no_file_name(tmp_path: Any) -> None:
    given = {"filepath": str(tmp_path)}
    model_checkpoint_arguments(given)
    assert given == {"dirpath": str(tmp_path)}


def test_arguments_of_early_stopping() -> None:
    given = {"monitor": "fmeasure_val", "mode": "auto"}
    assert early_stopping_arguments(given) == ["mode='auto' -> mode='max'"]
    assert given["mode"] == "max"


def test_one_warning_names_all_and_points_at_the_call() -> None:
    with pytest.warns(LightningDeprecationWarning) as caught:
        made = ModelCheckpoint(filepath="out/best", period=2, monitor="acc", mode="auto")  # type: ignore[call-arg]
    (message,) = caught
    assert message.filename == __file__
    text = str(message.message)
    assert all(line in text for line in ("dirpath='out', filename='best'", "every_n_epochs=2", "mode='max'"))
    assert (made.filename, made.mode) == ("best", "max")


def test_a_save_function_is_refused() -> None:
    with pytest.raises(TypeError, match="save_function.*CheckpointIO"):
        ModelCheckpoint(save_function=print)  # type: ignore[call-arg]


def test_todays_arguments_are_not_old() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ModelCheckpoint(dirpath="out", filename="best", every_n_epochs=2, mode="max", monitor="acc")
        EarlyStopping("val_loss", mode="min")


def test_the_signatures_are_todays() -> None:
    assert "filepath" not in inspect.signature(ModelCheckpoint).parameters
    assert next(iter(inspect.signature(EarlyStopping).parameters)) == "monitor"


def test_what_early_stopping_monitors_has_no_default() -> None:
    with pytest.raises(TypeError, match="monitor"):
        EarlyStopping()  # type: ignore[call-arg]


def test_a_mode_that_never_was_is_refused_as_always() -> None:
    with pytest.raises(MisconfigurationException, match="mode"):
        EarlyStopping("a", mode="maximal")
