"""A CheckpointIO plugin in a run: it reads, writes and removes every checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers_fit import Regression, fit, loader, trainer
from leyden.callbacks import ModelCheckpoint
from leyden.checkpoint import file


class Noting:
    """Keeps to files, and notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.options: list[Any] = []

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        self.calls.append(("save", Path(path).name))
        self.options.append(storage_options)
        file.save(checkpoint, path)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        self.calls.append(("load", Path(path).name))
        return file.load(path, "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        self.calls.append(("remove", Path(path).name))
        Path(path).unlink()


class Predicting(Regression):
    def predict_step(self, batch: Any) -> Any:
        return self.layer(batch[0])


def test_it_does_what_model_checkpoint_asks_for(tmp_path: Path) -> None:
    plugin = Noting()
    keep = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=1)
    fit(Regression(), plugins=[plugin], callbacks=[keep], enable_checkpointing=True, max_epochs=2)
    assert plugin.calls == [("save", "epoch=0.ckpt"), ("save", "epoch=1.ckpt"), ("remove", "epoch=0.ckpt")]
    trainer(plugins=[plugin]).predict(Predicting(), loader(), ckpt_path=tmp_path / "epoch=1.ckpt")
    assert plugin.calls[-1] == ("load", "epoch=1.ckpt")


def test_options_of_a_store_reach_it(tmp_path: Path) -> None:
    plugin = Noting()
    made = fit(Regression(), plugins=plugin)
    made.save_checkpoint(tmp_path / "a.ckpt", storage_options={"acl": "private"})
    assert plugin.options == [{"acl": "private"}]
    with pytest.raises(TypeError, match="storage_options"):
        fit(Regression()).save_checkpoint(tmp_path / "b.ckpt", storage_options={})


@pytest.mark.parametrize("fails", [False, True])
def test_it_is_torn_down_with_the_run(fails: bool) -> None:
    class Closing(Noting):
        def teardown(self) -> None:
            self.calls.append(("teardown", ""))

    class Failing(Regression):
        def on_train_end(self) -> None:
            if fails:
                raise KeyError

    plugin = Closing()
    made = trainer(plugins=plugin)
    if fails:
        with pytest.raises(KeyError):
            made.fit(Failing(), loader())
    else:
        made.fit(Failing(), loader())
    assert plugin.calls == [("teardown", "")]
