"""Stopped by a real signal, from within: what is saved, how the process ends, and that nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import leyden as pl
from helpers_resume import Net, Saver, Scenario, differences, run

SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {helpers!r})
import torch
torch.set_num_threads(1)
from helpers_resume import *

number, folder, save = signal.Signals[sys.argv[1]], Path(sys.argv[2]), sys.argv[3] == "save"
before = lambda *_: None
signal.signal(number, before)

class Killed(Net):
    def training_step(self, batch, batch_idx):
        if (self.current_epoch, batch_idx) == (1, 2):
            os.kill(os.getpid(), number)
        return super().training_step(batch, batch_idx)

class Notes(pl.Callback):
    def on_exception(self, trainer, pl_module, exception):
        print("on_exception", type(exception).__name__)
    def teardown(self, trainer, pl_module, stage):
        print("teardown", trainer.received_sigterm)
    def on_fit_end(self, trainer, pl_module):
        print("on_fit_end")

callbacks = [Notes(), *([Saver(folder / "saved", every_n_epochs=10)] if save else [])]
scenario = Scenario(Killed, callbacks=lambda: callbacks, arguments={{"enable_checkpointing": save}})
try:
    run(scenario, folder, seed=1, save=False)
finally:
    print("handler", signal.getsignal(number) is before)
    print("files", sorted(path.name for path in folder.rglob("*.ckpt")))
"""
HELPERS = str(Path(__file__).parents[2])


def start(tmp_path: Path, number: str, mode: str) -> subprocess.Popen[str]:
    script = tmp_path / f"script_{number}_{mode}.py"
    script.write_text(SCRIPT.format(helpers=HELPERS))
    command = [sys.executable, str(script), number, str(tmp_path / f"{number}_{mode}"), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_row_112_a_stopped_process_leaves_a_checkpoint_and_the_customary_exit_code(tmp_path: Path) -> None:
    expected = {
        "SIGINT": (130, "KeyboardInterrupt"),
        "SIGTERM": (143, "SIGTERMException"),
        "SIGHUP": (129, "SystemExit"),
    }
    started = {(name, "save"): start(tmp_path, name, "save") for name in expected}
    started["SIGTERM", "nothing"] = start(tmp_path, "SIGTERM", "nothing")
    calm = run(Scenario(), tmp_path / "calm", seed=1, save=False)
    for (name, mode), process in started.items():
        output, errors = process.communicate(timeout=120)
        code, exception = expected[name]
        assert process.returncode == code, errors
        assert f"on_exception {exception}\nteardown {name == 'SIGTERM'}\n" in output
        assert "on_fit_end" not in output
        assert f"handler True\nfiles {['interrupted.ckpt'] if mode == 'save' else []}\n" in output
        if mode == "save":
            path = tmp_path / f"{name}_save" / "saved" / "interrupted.ckpt"
            scenario = Scenario(
                callbacks=lambda: [pl.Callback(), Saver(path.parent, every_n_epochs=10)],  # noqa: B023  # used at once
                arguments={"enable_checkpointing": True},
            )
            resumed = run(scenario, tmp_path, seed=9, ckpt_path=path, save=False)
            calm.state.pop("callbacks", None), resumed.state.pop("callbacks")
            assert list(differences(calm.state, resumed.state)) == []
            assert resumed.samples == calm.samples[9:]


class Killed(Net):
    """Sends itself a signal, once, in the hook of that name."""

    def __init__(self, hook: str, number: signal.Signals = signal.SIGTERM) -> None:
        super().__init__()
        self.hook, self.number, self.sent = hook, number, False

    def kill(self, hook: str) -> None:
        if hook == self.hook and not self.sent and not self.trainer.sanity_checking:
            self.sent = True
            os.kill(os.getpid(), self.number)

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.kill(f"validation batch {batch_idx}")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.kill(f"batch {batch_idx}")


def interrupted(folder: Path, hook: str, number: signal.Signals = signal.SIGTERM, **arguments: Any) -> Path:
    """Fit until the signal; return the file."""
    saver = Saver(folder / "saved", every_n_epochs=10)
    scenario = Scenario(
        lambda: Killed(hook, number), callbacks=lambda: [saver], arguments={"enable_checkpointing": True, **arguments}
    )
    with pytest.raises(SystemExit):
        run(scenario, folder, seed=1, save=False)
    return folder / "saved" / "interrupted.ckpt"


def test_a_signal_in_validation_saves_the_step_before_it_with_validation_due(tmp_path: Path) -> None:
    path = interrupted(tmp_path, "validation batch 0", val_check_interval=2)
    progress = torch.load(path, weights_only=True)["leyden"]["progress"]
    assert (progress["batch"], progress["phase"]) == (2, "validating")
    scenario = Scenario(arguments={"val_check_interval": 2})
    calm = run(scenario, tmp_path / "calm", seed=1, save=False)
    with pytest.warns(UserWarning, match="does not have: \\['Saver saved'\\]"):
        resumed = run(scenario, tmp_path, seed=9, ckpt_path=path, save=False)
    assert [event[0] for event in resumed.events[:4]] == ["validation", "validated", "validated", "validated"]
    calm.state.pop("callbacks"), resumed.state.pop("callbacks")
    assert list(differences(calm.state, resumed.state)) == []


def test_the_next_regular_save_takes_the_place_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = interrupted(tmp_path, "batch 1")
    seen = []

    class Saves(pl.Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == 3:
                trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
                seen.append(path.exists())
                trainer.save_checkpoint(tmp_path / "whole.ckpt")
                seen.append(path.exists())

    callbacks = [Saves(), Saver(path.parent, every_n_epochs=10)]
    scenario = Scenario(callbacks=lambda: callbacks, arguments={"max_epochs": 1, "enable_checkpointing": True})
    run(scenario, tmp_path, seed=1, ckpt_path=path, save=False)
    assert seen == [True, False]


def test_interrupted_twice_under_a_relative_path_the_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = interrupted(tmp_path, "batch 1")
    monkeypatch.chdir(tmp_path)
    scenario = Scenario(
        lambda: Killed("batch 4"),
        callbacks=lambda: [Saver(path.parent, every_n_epochs=10)],
        arguments={"enable_checkpointing": True},
    )
    with pytest.raises(SystemExit) as left:
        run(scenario, tmp_path, seed=1, ckpt_path=Path("saved/interrupted.ckpt"), save=False)
    assert left.value.code == 143
    assert torch.load(path, weights_only=True)["global_step"] == 5


def test_a_signal_after_the_last_batch_ends_the_process_when_the_fit_is_over(tmp_path: Path) -> None:
    class Late(Net):
        over = False

        def on_train_end(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        def on_fit_end(self) -> None:
            self.over = True

    module = Late()
    scenario = Scenario(lambda: module, arguments={"max_epochs": 1, "enable_checkpointing": False})
    with pytest.raises(SystemExit) as left:
        run(scenario, tmp_path, seed=1, save=False)
    assert left.value.code == 143
    assert module.over
    assert list(tmp_path.rglob("interrupted.ckpt")) == []


def test_at_a_prompt_the_call_returns_and_can_be_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    saver = Saver(tmp_path / "saved", every_n_epochs=10)
    scenario = Scenario(
        lambda: Killed("batch 2", signal.SIGINT), callbacks=lambda: [saver], arguments={"enable_checkpointing": True}
    )
    before = signal.getsignal(signal.SIGINT)
    outcome = run(scenario, tmp_path, seed=1, save=False)
    assert signal.getsignal(signal.SIGINT) is before
    assert outcome.state["progress"]["batch"] == 3
    assert (tmp_path / "saved" / "interrupted.ckpt").exists()
