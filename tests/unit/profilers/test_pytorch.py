from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerAction, schedule

from helpers_fit import Regression, Validated, fit, loader, trainer
from leyden.errors import MisconfigurationException
from leyden.profilers.pytorch import PyTorchProfiler, RegisterRecordFunction

MODULE = "[pl][module]torch.nn.modules.linear.Linear: layer"
STEP = "[pl][profile][Strategy]SingleDeviceStrategy"


class Stages(Validated):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.loss(batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0])


def traces(folder: Path) -> dict[str, list[str]]:
    """The names of the ranges in each trace, by the part of the file's name before the time."""
    found = {}
    for path in sorted(folder.glob("*.pt.trace.json")):
        events = json.loads(path.read_text())["traceEvents"]
        found[path.name.split(".")[0]] = [event["name"] for event in events if event.get("cat") == "user_annotation"]
    return found


def table(folder: Path, name: str, kind: str) -> dict[str, int]:
    """The calls of each row in the part of a report about one kind of step."""
    part = (folder / name).read_text().partition(f"Profile stats for: {kind}\n")[2].partition("Profile stats for")[0]
    rows = [line for line in part.splitlines() if "%" in line and "# of Calls" not in line]
    return {row.strip().split("  ")[0]: int(row.split()[-1]) for row in rows}


def profiler(folder: Path, **options: Any) -> PyTorchProfiler:
    shown = {"row_limit": -1, "table_kwargs": {"max_name_column_width": 200}}
    return PyTorchProfiler(folder, "run", **(shown | options))


def test_by_default_three_steps_of_each_kind_are_recorded(tmp_path: Path) -> None:
    fit(Stages(), loader(40), loader(40), max_epochs=2, num_sanity_val_steps=2, profiler=profiler(tmp_path))
    found = traces(tmp_path)
    assert found.keys() == {"fit-run-training_step", "fit-run-validation_step"}
    for kind, names in found.items():
        step = kind.split("-")[-1]
        assert names.count(f"{STEP}.{step}") == names.count(MODULE) == 3
        assert len([name for name in names if name.startswith("ProfilerStep#")]) == 3
    assert found["fit-run-training_step"].count(f"{STEP}.backward") == 3
    assert table(tmp_path, "fit-run.txt", "training_step")[f"{STEP}.training_step"] == 3
    assert table(tmp_path, "fit-run.txt", "validation_step")["aten::linear"] == 3


def test_each_stage_has_its_own_report(tmp_path: Path) -> None:
    made, module = trainer(profiler=profiler(tmp_path)), Stages()
    for stage in ("test", "predict"):
        getattr(made, stage)(module, loader(20))
        assert traces(tmp_path)[f"{stage}-run-{stage}_step"].count(f"{STEP}.{stage}_step") == 3
    assert "test_step" not in (tmp_path / "predict-run.txt").read_text()


@pytest.mark.parametrize("arguments", [{"fast_dev_run": True}, {"max_epochs": 3}, {"max_epochs": -1, "max_steps": 2}])
def test_short_runs_are_recorded_whole(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """Fewer than five steps: waiting and warming up would leave little; a second epoch would repeat the first."""
    fit(Regression(), profiler=profiler(tmp_path), **arguments)
    expected = {"fast_dev_run": 1, "max_epochs": 4, "max_steps": 2}[[*arguments][-1]]
    assert traces(tmp_path)["fit-run-training_step"].count(f"{STEP}.training_step") == expected


def test_a_schedule_of_ones_own_counts_through_the_run(tmp_path: Path) -> None:
    plan = schedule(wait=3, warmup=1, active=1, repeat=2)  # steps 4 and 9, of 12
    fit(Stages(), max_epochs=3, profiler=profiler(tmp_path, schedule=plan))
    files = [path.name.split(".")[0] for path in tmp_path.glob("*.pt.trace.json")]
    assert sorted(files) == ["fit-run-training_step"] * 2 + ["fit-run-validation_step"] * 2


def test_without_a_schedule_everything_is_recorded(tmp_path: Path) -> None:
    fit(Regression(), max_epochs=3, profiler=profiler(tmp_path, schedule=None))
    names = traces(tmp_path)["fit-run-training_step"]
    assert names.count(f"{STEP}.training_step") == 12
    assert "[pl][profile][LightningModule]Regression.configure_optimizers" in names


def test_a_handler_of_ones_own_takes_the_traces(tmp_path: Path) -> None:
    taken: list[Any] = []
    fit(Regression(), profiler=profiler(tmp_path, on_trace_ready=taken.append))
    assert len(taken) == 1 and isinstance(taken[0], torch.profiler.profile)
    assert traces(tmp_path) == {}
    fit(Regression(), profiler=profiler(tmp_path, export_to_chrome=False))
    assert traces(tmp_path) == {}


def test_options_of_table_and_profiler(tmp_path: Path) -> None:
    given = profiler(tmp_path, group_by_input_shapes=True, sort_by_key="count", profile_memory=True)
    fit(Regression(), profiler=given)
    report = (tmp_path / "fit-run.txt").read_text()
    assert "Input Shapes" in report and "[[2, 2]" in report and "CPU Mem" in report
    fit(Regression(), profiler=profiler(tmp_path, row_limit=2, record_module_names=False))
    assert len(table(tmp_path, "fit-run.txt", "training_step")) == 2
    assert MODULE not in (tmp_path / "fit-run.txt").read_text()


def test_stacks_for_a_flame_graph(tmp_path: Path) -> None:
    given = profiler(
        tmp_path, with_stack=True, export_to_flame_graph=True,
        experimental_config=torch._C._profiler._ExperimentalConfig(verbose=True),
    )  # fmt: skip
    fit(Regression(), limit_train_batches=1, profiler=given)
    assert (tmp_path / "fit-run-training_step.stack").exists()


def test_traces_go_to_the_root_folder_and_the_table_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(Regression(), profiler="pytorch", default_root_dir=tmp_path)
    assert traces(tmp_path).keys() == {"fit-training_step"}
    assert "FIT Profiler Report" in capsys.readouterr().out


def test_code_of_ones_own_is_timed(tmp_path: Path) -> None:
    given = profiler(tmp_path, schedule=None)
    with given.profile("mine"):
        torch.ones(2) + 1
    assert "[pl][profile]mine" in given.summary() and "aten::add" in given.summary()
    given.stop("never started")


def test_a_failed_run_stops_recording(tmp_path: Path) -> None:
    class Failing(Regression):
        def on_train_batch_end(self, *arguments: Any) -> None:
            raise KeyError

    given = profiler(tmp_path)
    with pytest.raises(KeyError):
        fit(Failing(), profiler=given)
    assert given.profiler is None
    assert traces(tmp_path)["fit-run-training_step"].count(f"{STEP}.training_step") == 1
    fit(Regression(), profiler=given)


def test_weights_are_those_of_a_run_without_it(tmp_path: Path) -> None:
    one, other = Regression(), Regression()
    fit(one, profiler=profiler(tmp_path))
    fit(other)
    assert torch.equal(one.layer.weight, other.layer.weight)
    assert not one.layer._forward_hooks and not one.layer._forward_pre_hooks


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sort_by_key": "cpu_tim"}, MisconfigurationException, "Did you mean 'cpu_time'"),
        ({"schedule": "often"}, MisconfigurationException, "`schedule` got 'often'"),
        ({"schedule": lambda step: step}, MisconfigurationException, "ProfilerAction"),
        ({"table_kwargs": {"row_limit": 3}}, KeyError, "`table_kwargs` got 'row_limit'"),
        ({"table_kwargs": {"width": 3}}, KeyError, "'max_name_column_width'"),
        ({"with_stacks": True}, TypeError, "Did you mean 'with_stack'"),
    ],
)
def test_mistakes(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PyTorchProfiler(**options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_nvtx_needs_cuda() -> None:
    with pytest.raises(MisconfigurationException, match="emit_nvtx"):
        PyTorchProfiler(emit_nvtx=True)


def test_a_schedule_may_be_any_function_of_the_step(tmp_path: Path) -> None:
    def only_third(step: int) -> ProfilerAction:
        return {1: ProfilerAction.WARMUP, 2: ProfilerAction.RECORD_AND_SAVE}.get(step, ProfilerAction.NONE)

    fit(Regression(), profiler=profiler(tmp_path, schedule=only_third))
    assert traces(tmp_path)["fit-run-training_step"].count(f"{STEP}.training_step") == 1


def test_forward_passes_are_named_and_left_alone_afterwards() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))

    class Failing(nn.Module):
        def forward(self, inputs: Any) -> Any:
            raise KeyError

    with torch.profiler.profile() as recorded, RegisterRecordFunction(model):
        model(torch.ones(1, 2))
    names = [event.key for event in recorded.key_averages() if event.key.startswith("[pl]")]
    assert sorted(names) == [
        "[pl][module]torch.nn.modules.activation.ReLU: 1.0",
        "[pl][module]torch.nn.modules.container.Sequential: 1",
        "[pl][module]torch.nn.modules.linear.Linear: 0",
    ]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    register = RegisterRecordFunction(nn.Sequential(Failing()))
    with torch.profiler.profile(), register, pytest.raises(KeyError):
        register.model(torch.ones(1))
    assert register._records == []


def test_nothing_is_written_to_stderr(tmp_path: Path) -> None:
    """Kineto announces each start and stop there, unless told otherwise; the environment stays as it was."""
    script = """if True:
        import os
        import leyden as pl, torch
        from leyden.profilers import PyTorchProfiler
        profiler = PyTorchProfiler(filename="run", schedule=None)
        with profiler.profile("mine"):
            torch.ones(2) + 1
        profiler.describe()
        assert "KINETO_LOG_LEVEL" not in os.environ
    """
    environment = {name: value for name, value in os.environ.items() if name != "KINETO_LOG_LEVEL"}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "run.txt").exists()
