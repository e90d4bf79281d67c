from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import leyden as pl
from helpers_fit import Regression, Validated, fit, loader, trainer
from leyden.core.profiler import PassThroughProfiler, Profiler


class Recording(Profiler):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.actions: list[tuple[str, str]] = []

    def start(self, action_name: str) -> None:
        self.actions.append(("start", action_name))

    def stop(self, action_name: str) -> None:
        self.actions.append(("stop", action_name))

    def summary(self) -> str:
        return f"{self.stage}: {len(self.actions)} actions"

    def count(self, name: str) -> int:
        return self.actions.count(("start", name))

    @property
    def names(self) -> set[str]:
        assert sorted(name for kind, name in self.actions if kind == "start") == sorted(
            name for kind, name in self.actions if kind == "stop"
        ), "every action that starts is stopped"
        return {name for _, name in self.actions}


def test_profile_stops_the_action_when_the_block_raises() -> None:
    profiler = Recording()
    with pytest.raises(KeyError), profiler.profile("load"):
        raise KeyError
    assert profiler.actions == [("start", "load"), ("stop", "load")]


def test_describe_prints_or_writes_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Recording().describe()
    assert capsys.readouterr().out == "None: 0 actions\n"
    profiler = Recording(dirpath=tmp_path / "reports", filename="run")
    profiler.setup("fit")
    profiler.describe()
    assert (tmp_path / "reports" / "fit-run.txt").read_text() == "fit: 0 actions"
    assert capsys.readouterr().out == ""


def test_each_process_writes_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leyden.core.profiler.rank", lambda: 3)
    profiler = Recording(filename="run")
    profiler.setup("test", local_rank=1, log_dir=str(tmp_path))
    profiler.describe()
    assert [path.name for path in tmp_path.iterdir()] == ["test-run-3.txt"]
    assert profiler.path(".prof", "a/b") == str(tmp_path / "test-run-a_b-3.prof")


def test_only_the_first_process_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("leyden.core.profiler.rank", lambda: 1)
    Recording().describe()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("kind", [Profiler, PassThroughProfiler])
def test_these_report_nothing(kind: type[Profiler], capsys: pytest.CaptureFixture[str]) -> None:
    with kind().profile("load") as name:
        assert name == "load"
    kind().describe()
    assert capsys.readouterr().out == ""


class Watch(pl.Callback):
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        pass


class Full(Validated):
    """Overrides hooks of several kinds, and has a scheduler."""

    def on_train_start(self) -> None:
        pass

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


ACTIONS_OF_FIT = {
    "run_training_epoch": 2,
    "run_training_batch": 8,
    "[_TrainingEpochLoop].train_dataloader_next": 10,
    "[_EvaluationLoop].val_next": 8,
    "[Strategy]SingleDeviceStrategy.batch_to_device": 16,
    "[Strategy]SingleDeviceStrategy.training_step": 8,
    "[Strategy]SingleDeviceStrategy.validation_step": 8,
    "[Strategy]SingleDeviceStrategy.backward": 8,
    "[LightningModule]Full.on_train_start": 1,
    "[LightningModule]Full.on_train_epoch_end": 2,
    "[LightningModule]Full.on_after_batch_transfer": 16,
    "[LightningModule]Full.on_validation_model_eval": 2,
    "[LightningModule]Full.on_validation_model_zero_grad": 2,
    "[LightningModule]Full.optimizer_step": 8,
    "[LightningModule]Full.optimizer_zero_grad": 8,
    "[LightningModule]Full.configure_gradient_clipping": 8,
    "[LightningModule]Full.configure_optimizers": 1,
    "[LightningModule]Full.configure_model": 1,
    "[LightningModule]Full.lr_scheduler_step": 2,
    "[Callback]Watch.on_train_epoch_end": 2,
}


def test_actions_of_fit() -> None:
    profiler = Recording()
    fit(Full(), max_epochs=2, profiler=profiler, callbacks=[Watch()])
    assert profiler.names == ACTIONS_OF_FIT.keys()
    assert {name: profiler.count(name) for name in ACTIONS_OF_FIT} == ACTIONS_OF_FIT


def test_actions_lie_inside_each_other() -> None:
    profiler, depth, inside = Recording(), [], {}
    fit(Regression(), profiler=profiler)
    for kind, name in profiler.actions:
        if kind == "start":
            inside.setdefault(name, depth[-1] if depth else None)
            depth.append(name)
        else:
            assert depth.pop() == name
    assert inside["run_training_batch"] == "run_training_epoch"
    assert inside["[LightningModule]Regression.optimizer_step"] == "run_training_batch"
    assert inside["[Strategy]SingleDeviceStrategy.backward"] == "[LightningModule]Regression.optimizer_step"


def test_actions_of_the_data_module_and_of_a_save(tmp_path: Path) -> None:
    class Data(pl.LightningDataModule):
        def prepare_data(self) -> None:
            pass

        def setup(self, stage: str) -> None:
            pass

        def train_dataloader(self) -> Any:
            return loader()

        def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch

    profiler = Recording()
    made = trainer(profiler=profiler)
    made.fit(Regression(), datamodule=Data())
    expected = {"prepare_data", "setup", "train_dataloader", "on_before_batch_transfer"}
    assert {name for name in profiler.names if "Data" in name and "next" not in name} == {
        f"[LightningDataModule]Data.{name}" for name in expected
    }
    made.save_checkpoint(tmp_path / "a.ckpt")
    assert profiler.count("save_checkpoint") == 1


@pytest.mark.parametrize(
    ("stage", "loop", "step"),
    [
        ("validate", "[_EvaluationLoop].val_next", "validation_step"),
        ("test", "[_EvaluationLoop].test_next", "test_step"),
        ("predict", "[_PredictionLoop].predict_next", "predict_step"),
    ],
)
def test_actions_of_the_other_stages(stage: str, loop: str, step: str) -> None:
    class All(Regression):
        def validation_step(self, batch: Any, batch_idx: int) -> None: ...
        def test_step(self, batch: Any, batch_idx: int) -> None: ...
        def predict_step(self, batch: Any, batch_idx: int) -> None: ...

    profiler = Recording()
    getattr(trainer(profiler=profiler), stage)(All(), loader())
    assert (profiler.count(loop), profiler.count(f"[Strategy]SingleDeviceStrategy.{step}")) == (4, 4)
    assert profiler.stage == stage


def test_a_report_is_made_per_run(capsys: pytest.CaptureFixture[str]) -> None:
    class Quiet(Recording):
        def setup(self, stage: str, local_rank: int | None = None, log_dir: str | None = None) -> None:
            super().setup(stage, local_rank, log_dir)
            self.events = [f"setup {stage}", local_rank, log_dir, self.lightning_module]

        def teardown(self, stage: str | None) -> None:
            self.events += [f"teardown {stage}"]

    profiler, module = Quiet(), Validated()
    made = trainer(profiler=profiler, default_root_dir="somewhere")
    made.validate(module, loader(), verbose=False)
    assert capsys.readouterr().out.startswith("validate: ")
    assert profiler.events == ["setup validate", None, "somewhere", module, "teardown validate"]
    assert profiler.lightning_module is None
    assert made.profiler is profiler


def test_a_run_that_fails_is_reported_too(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise KeyError

    profiler = Recording()
    with pytest.raises(KeyError):
        fit(Failing(), profiler=profiler)
    assert "run_training_batch" in profiler.names
    assert capsys.readouterr().out.startswith("fit: ")


def test_without_a_profiler_nothing_is_wrapped() -> None:
    """The default, and the profiler that passes through: the loop keeps the module's own methods."""
    found: list[Any] = []

    class Looking(Regression):
        def on_train_start(self) -> None:
            run = self.trainer._run_now
            found.append([*run.hooks.listeners("on_train_start"), run.hooks.method("optimizer_step")])

    for profiler in (None, PassThroughProfiler()):
        module = Looking()
        fit(module, profiler=profiler)
        assert found.pop() == [module.on_train_start, module.optimizer_step]


def test_a_module_may_time_actions_of_its_own() -> None:
    class Timing(Regression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            with self.trainer.profiler.profile("my action"):
                return super().training_step(batch, batch_idx)

    profiler = Recording()
    fit(Timing(), profiler=profiler)
    assert profiler.count("my action") == 4
    fit(Timing())


def test_a_short_loader_ends_as_without_a_profiler() -> None:
    class Short:
        def __iter__(self) -> Any:
            return iter([(torch.ones(1, 2), torch.ones(1, 1))] * 3)

    data = DataLoader(TensorDataset(torch.ones(4, 2), torch.ones(4, 1)), batch_size=2)
    for given in (Short(), data):
        counts = [fit(Regression(), given, profiler=profiler).global_step for profiler in (None, Recording())]
        assert counts[0] == counts[1] > 0
