from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from leyden.callbacks import ModelCheckpoint
from leyden.core.callback import Checkpoint
from leyden.loggers.checkpoints import unsent_checkpoints


class Saved(Checkpoint):
    """A callback that has saved files, given as names and the second in which each was written."""

    def __init__(self, folder: Path, last: str = "", best: str = "", **times: int) -> None:
        for name, second in times.items():
            (folder / name).write_text(name)
            os.utime(folder / name, (second, second))
        self.last_model_path = str(folder / last) if last else ""
        self.best_model_path = str(folder / best) if best else ""
        self.best_model_score = torch.tensor(0.25)
        self.current_score = torch.tensor(0.5)
        self.best_k_models = {str(folder / name): torch.tensor(float(second)) for name, second in times.items()}
        self.monitor = "loss"


def names(found: list[Any]) -> dict[str, tuple[str, ...]]:
    return {os.path.basename(saved.path): saved.aliases for saved in found}


def test_the_oldest_first_with_their_aliases(tmp_path: Path) -> None:
    found = unsent_checkpoints(Saved(tmp_path, best="b", a=3, b=1, c=2), {})
    assert list(names(found).items()) == [("b", ("best",)), ("c", ()), ("a", ("latest",))]
    assert found[0].metadata == {"original_filename": "b", "score": 1.0, "Saved": {"monitor": "loss"}}
    assert found[0].changed == 1
    (only,) = unsent_checkpoints(Saved(tmp_path, last="c", best="c", c=9), {})
    assert only.aliases == ("latest", "best")


def test_each_is_sent_once_and_again_when_it_changed(tmp_path: Path) -> None:
    sent: dict[str, float] = {}
    callback = Saved(tmp_path, a=1, b=2)
    assert len(unsent_checkpoints(callback, sent)) == 2
    assert unsent_checkpoints(callback, sent) == []
    os.utime(tmp_path / "a", (5, 5))
    assert names(unsent_checkpoints(callback, sent)) == {"a": ("latest",)}


def test_what_is_gone_or_elsewhere_is_left_out(tmp_path: Path) -> None:
    callback = Saved(tmp_path, best="gone")
    callback.best_k_models = {"s3://bucket/a.ckpt": torch.tensor(1.0)}
    assert unsent_checkpoints(callback, {}) == []
    assert unsent_checkpoints(ModelCheckpoint(), {}) == []


def test_a_callback_without_a_ranking(tmp_path: Path) -> None:
    class Plain(Checkpoint):
        best_model_path = str(tmp_path / "x")

    (tmp_path / "x").mkdir()  # a sharded one is a folder
    (found,) = unsent_checkpoints(Plain(), {})
    assert (found.path, found.aliases) == (str(tmp_path / "x"), ("latest", "best"))
    assert found.metadata == {"original_filename": "x", "score": None, "Plain": {}}


def test_how_it_was_chosen(tmp_path: Path) -> None:
    callback = ModelCheckpoint(monitor="loss", mode="max", save_last=True)
    callback.best_model_path = str(tmp_path / "x")
    (tmp_path / "x").touch()
    (found,) = unsent_checkpoints(callback, {})
    assert found.metadata["ModelCheckpoint"] == {
        "monitor": "loss", "mode": "max", "save_last": True, "save_top_k": 1, "save_weights_only": False,
    }  # fmt: skip
