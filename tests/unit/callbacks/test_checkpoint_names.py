"""Templates of checkpoint names, as ModelCheckpoint fills them."""

from __future__ import annotations

import pytest
import torch

from leyden.callbacks.model_checkpoint import ModelCheckpoint
from leyden.errors import MisconfigurationException


@pytest.mark.parametrize(
    ("template", "metrics", "name"),
    [
        (None, {"epoch": 0, "step": 4}, "epoch=0-step=4.ckpt"),
        ("{epoch:03d}", {"epoch": 5}, "epoch=005.ckpt"),
        ("{epoch}-{val_loss:.2f}", {"epoch": 2, "val_loss": torch.tensor(0.123456)}, "epoch=2-val_loss=0.12.ckpt"),
        ("{missing:d}", {}, "missing=0.ckpt"),
        ("{missing:.2f}", {}, "missing=0.00.ckpt"),
        ("{a.b}", {"a.b": torch.tensor(2.0)}, "a.b=2.0.ckpt"),
        ("{epoch.__class__}", {"epoch": 3}, "epoch.__class__=0.ckpt"),
        ("plain", {"epoch": 3}, "plain.ckpt"),
    ],
)
def test_row_85_template_is_filled(template, metrics, name):
    assert ModelCheckpoint(filename=template).format_checkpoint_name(metrics) == name


def test_names_can_be_left_out():
    checkpoint = ModelCheckpoint(filename="epoch={epoch}-loss={val/loss:.1f}", auto_insert_metric_name=False)
    assert checkpoint.format_checkpoint_name({"epoch": 1, "val/loss": 0.25}) == "epoch=1-loss=0.2.ckpt"


def test_prefix_version_and_folder(tmp_path):
    checkpoint = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}")
    assert checkpoint.format_checkpoint_name({"epoch": 1}, ver=2, prefix="pre") == str(tmp_path / "pre-epoch=1-v2.ckpt")


def test_characters_are_settings_of_the_class():
    class Mine(ModelCheckpoint):
        CHECKPOINT_JOIN_CHAR = "_"
        CHECKPOINT_EQUALS_CHAR = ":"
        FILE_EXTENSION = ".pt"

    assert Mine().format_checkpoint_name({"epoch": 1, "step": 2}) == "epoch:1_step:2.pt"


@pytest.mark.parametrize("template", ["x{}", "a{b", "a}b", "{loss!r}", "{loss:zz}", "{loss:{epoch}}"])
def test_template_that_cannot_be_filled_is_refused_at_once(template):
    with pytest.raises(MisconfigurationException, match="`filename` got"):
        ModelCheckpoint(filename=template)


def test_format_that_does_not_fit_the_value_names_the_field():
    with pytest.raises(MisconfigurationException, match=r"loss=0\.5.*\{loss:\.2f\}"):
        ModelCheckpoint(filename="{loss:d}").format_checkpoint_name({"loss": 0.5})
