"""Mistakes with checkpoint files."""

from __future__ import annotations

from pathlib import Path

import torch

from leyden.callbacks import ModelCheckpoint
from leyden.errors import CheckpointError, MisconfigurationException
from mistakes.kit import Counts, Model, doubtful, fit, loader, mistake, trainer


class Other(Model):
    """Another model."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 3)
        self.more = torch.nn.Linear(1, 1)


def saved(model: Model | None = None, weights_only: bool = False) -> str:
    """The path of a checkpoint; what was done to write it is not counted."""
    run = trainer()
    run.fit(model or Model(), loader())
    run.save_checkpoint("model.ckpt", weights_only=weights_only)
    Counts.reset()
    return "model.ckpt"


def resume(path: object, model: Model | None = None) -> None:
    trainer(max_epochs=2).fit(model or Model(), loader(), ckpt_path=path)


@mistake(FileNotFoundError, "missing.ckpt")
def file_that_is_not_there():
    resume("missing.ckpt")


@mistake(FileNotFoundError, "modle.ckpt", "model.ckpt")
def misspelt_file():
    saved()
    resume("modle.ckpt")


@mistake(FileNotFoundError, "lst", "Did you mean 'last'")
def misspelt_keyword():
    resume("lst")


@mistake(ValueError, "registry:team/model", "no model registry", "path or URL")
def model_of_a_registry():
    resume("registry:team/model")


@mistake(CheckpointError, "empty.ckpt", "empty")
def empty_file():
    Path("empty.ckpt").touch()
    resume("empty.ckpt")


@mistake(CheckpointError, "garbage.ckpt")
def garbage():
    Path("garbage.ckpt").write_bytes(b"this is no checkpoint" * 100)
    resume("garbage.ckpt")


@mistake(CheckpointError, "cut.ckpt")
def truncated_file():
    Path("cut.ckpt").write_bytes(Path(saved()).read_bytes()[:-500])
    resume("cut.ckpt")


@mistake(CheckpointError, "weights.pt", "load_state_dict|state_dict")
def bare_state_dict():
    torch.save(Model().state_dict(), "weights.pt")
    resume("weights.pt")


@mistake(CheckpointError, "other.pt")
def file_of_another_program():
    torch.save({"epoch": 3, "model": {"w": torch.ones(2)}}, "other.pt")
    resume("other.pt")


@mistake(RuntimeError, "more.weight", "size mismatch for layer.weight|layer.weight")
def checkpoint_of_another_model():
    resume(saved(), Other())


@mistake(CheckpointError, "1 optimizers", "returned 2", "same ones")
def checkpoint_with_another_number_of_optimizers():
    class Two(Model):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False

        def configure_optimizers(self):
            return [torch.optim.SGD(self.parameters(), lr=0.1) for _ in range(2)]

    resume(saved(), Two())


@mistake(KeyError, "model.ckpt", "only the model", "load_from_checkpoint")
def resuming_from_weights_alone():
    resume(saved(weights_only=True))


@mistake(MisconfigurationException, "epoch 1|epoch", "`max_epochs` is 0|max_epochs")
def resuming_beyond_the_last_epoch():
    path = saved()
    trainer(max_epochs=0).fit(Model(), loader(), ckpt_path=path)


@doubtful(UserWarning, "ckpt_path='last'", "no checkpoint was found", "from the beginning")
def last_without_any():
    trainer(default_root_dir="nowhere").fit(Model(), loader(), ckpt_path="last")


@mistake(Exception, "folder.ckpt", "file")
def folder_for_checkpoints_is_a_file():
    Path("folder.ckpt").touch()
    fit(enable_checkpointing=True, callbacks=[ModelCheckpoint(dirpath="folder.ckpt")])


@mistake(FileNotFoundError, "missing.ckpt")
def loading_a_file_that_is_not_there():
    Model.load_from_checkpoint("missing.ckpt")


@mistake(RuntimeError, "layer.weight")
def loading_into_another_model():
    Other.load_from_checkpoint(saved())


@mistake(TypeError, "width", "load_from_checkpoint")
def loading_without_a_needed_argument():
    class Sized(Model):
        def __init__(self, width):
            super().__init__()
            self.layer = torch.nn.Linear(2, width)

    Sized.load_from_checkpoint(saved(Sized(1)))
