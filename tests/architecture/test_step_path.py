"""What stands between the loop and the user's step, counted in frames, files and Python calls of the package."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl

PACKAGE = str(Path(pl.__file__).parent)
MAX_FRAMES = 8
MAX_FILES = 6
MAX_CALLS = 60


class Tiny(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
        self.stacks = []

    def training_step(self, batch, batch_idx):
        frame, files = sys._getframe(1), []
        while frame is not None:
            files.append(frame.f_code.co_filename)
            frame = frame.f_back
        self.stacks.append([file for file in files if file.startswith(PACKAGE)])
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(tmp_path, **arguments):
    return pl.Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=16, **arguments,
    )  # fmt: skip


@pytest.fixture
def loader():
    return DataLoader(TensorDataset(torch.ones(64, 4)), batch_size=4)


def test_frames_and_files_above_the_step(tmp_path, loader):
    module = Tiny()
    trainer(tmp_path).fit(module, loader)
    assert {len(stack) for stack in module.stacks} == {len(module.stacks[0])}, "every step takes the same path"
    assert 1 <= len(module.stacks[0]) <= MAX_FRAMES, module.stacks[0]
    assert len(set(module.stacks[0])) <= MAX_FILES, sorted(set(module.stacks[0]))


def calls_of_one_step(tmp_path, loader, **arguments):
    """The package's Python calls from the start of one training step to the start of the next."""
    calls, counts = [], []

    class Counted(Tiny):
        def training_step(self, batch, batch_idx):
            counts.append(len(calls))
            return super().training_step(batch, batch_idx)

    def profile(frame, event, argument):
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}")

    run = trainer(tmp_path, **arguments)
    sys.setprofile(profile)
    try:
        run.fit(Counted(), loader)
    finally:
        sys.setprofile(None)
    middle = slice(counts[5], counts[6])
    return calls[middle]


def test_calls_of_a_whole_step(tmp_path, loader):
    calls = calls_of_one_step(tmp_path, loader)
    assert 5 <= len(calls) <= MAX_CALLS, calls


def test_hooks_that_nobody_overrides_are_not_called(tmp_path, loader):
    calls = calls_of_one_step(tmp_path, loader, logger=False, enable_checkpointing=False)
    assert not [call for call in calls if call.startswith(("callback.py", "hooks.py"))]


def test_no_value_of_an_accelerator_is_read_and_no_rng_is_captured_in_a_step(tmp_path, loader):
    calls = calls_of_one_step(tmp_path, loader)
    assert not [call for call in calls if "capture_rng" in call or "to_floats" in call]
