"""Imports point down and have no cycles; importing does nothing and stays cheap."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import leyden

SOURCE = Path(__file__).parents[2] / "src"
FILES = sorted(SOURCE.rglob("*.py"))

# Lightning's paths: the names of what lies in other modules, which a table of strings gives and their first use imports.
PATH_MODULES = ("leyden.accelerators", "leyden.plugins", "leyden.pytorch", "leyden.strategies", "leyden.utilities")

# From the ground up: a module imports from its own layer and those before it.
LAYERS = [
    ("leyden.errors",),
    ("leyden.utils",),
    ("leyden.legacy",),
    ("leyden.runtime", "leyden.checkpoint"),
    ("leyden.core",),
    ("leyden.data",),
    ("leyden.engine",),
    ("leyden.callbacks", "leyden.loggers", "leyden.profilers"),
    ("leyden.trainer", "leyden.fabric", *PATH_MODULES),
    ("leyden.demos",),
    ("leyden.cli",),
    ("leyden.dropin",),
]

# Packages whose names are imported on first use: nothing but annotations points up.
LAZY = {"leyden", "leyden.callbacks", "leyden.cli", "leyden.loggers", "leyden.profilers"}

# Their purpose is an effect: the drop-in is entered by importing it, the other is run by Python as it starts.
WITH_AN_EFFECT = {"leyden.dropin", "leyden.legacy.startup.sitecustomize"}

# What `import leyden` loads beyond what torch has loaded: an addition is a decision, since every program pays for it.
LOADED = ["leyden", "leyden.errors", "leyden.utils", "leyden.utils.lazy"]

EXPORTED = {
    "leyden": (
        "Callback CombinedLoader Fabric LightningDataModule LightningModule Supervised Trainer __version__ callbacks cli "
        "loggers profilers seed_everything"
    ),
    "leyden.cli": (
        "ArgsType LRSchedulerCallable LRSchedulerTypeTuple LRSchedulerTypeUnion LightningArgumentParser LightningCLI "
        "OptimizerCallable ReduceLROnPlateau SaveConfigCallback allow_imports instantiate_class instantiate_module"
    ),
    "leyden.callbacks": (
        "BackboneFinetuning BaseFinetuning BasePredictionWriter Callback Checkpoint DeviceStatsMonitor "
        "EMAWeightAveraging EarlyStopping OnExceptionCheckpoint SpikeDetection TQDMProgressBar ThroughputMonitor "
        "GradientAccumulationScheduler LambdaCallback LearningRateMonitor ModelCheckpoint ModelPruning "
        "ModelSummary PlainProgress ProgressBar RichModelSummary RichProgressBar RichProgressBarTheme "
        "StochasticWeightAveraging Timer WeightAveraging"
    ),
    "leyden.loggers": (
        "CSVLogger CometLogger DummyLogger Logger MLFlowLogger TensorBoardLogger TrackioLogger WandbLogger"
    ),
    "leyden.profilers": "AdvancedProfiler PassThroughProfiler Profiler PyTorchProfiler SimpleProfiler XLAProfiler",
}


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path, typing_only: bool) -> Iterator[str]:
    """Yield the modules of ours that a file imports, either all it runs or those for annotations alone."""
    tree = ast.parse(path.read_text())
    guarded = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    for_types = {id(inner) for node in guarded for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if (id(node) in for_types) is not typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "leyden")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full"
            if node.module and node.module.partition(".")[0] == "leyden":
                names = [f"{node.module}.{alias.name}" for alias in node.names if alias.name != "__version__"]
                yield from (name if name in MODULES else node.module for name in names)


def layer(module: str) -> int:
    for number, packages in enumerate(LAYERS):
        if any(module == package or module.startswith(f"{package}.") for package in packages):
            return number
    raise AssertionError(f"{module} is in no layer: add it to LAYERS")


@pytest.mark.parametrize("module", sorted(MODULES.keys() - {"leyden"}))
def test_imports_point_down(module: str) -> None:
    wrong = [
        name for name in imports(MODULES[module], typing_only=False) if name != "leyden" and layer(name) > layer(module)
    ]
    assert wrong == []


@pytest.mark.parametrize("module", sorted(MODULES.keys() - LAZY))
def test_annotations_point_down_but_for_the_trainer(module: str) -> None:
    names = set(imports(MODULES[module], typing_only=True)) - {"leyden.trainer"}
    assert [name for name in sorted(names) if layer(name) > layer(module)] == []


@pytest.mark.parametrize("module", sorted(MODULES.keys() - LAZY))
def test_what_runs_imports_no_name_from_the_lazy_root(module: str) -> None:
    assert "leyden" not in set(imports(MODULES[module], typing_only=False))


def test_there_are_no_cycles() -> None:
    graph = {module: set(imports(path, typing_only=False)) & MODULES.keys() for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for imported in sorted(graph[module]):
                visit(imported, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def in_a_new_process(code: str) -> dict[str, object]:
    environment = {name: value for name, value in os.environ.items() if name != "LEYDEN_DROPIN"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    printed: dict[str, object] = json.loads(result.stdout)
    return printed


def test_the_modules_that_importing_leyden_loads() -> None:
    code = """if True:
        import json, sys, torch
        before = set(sys.modules)
        import leyden
        print(json.dumps({"loaded": sorted(set(sys.modules) - before)}))
    """
    assert in_a_new_process(code)["loaded"] == LOADED


def test_using_every_export_loads_no_other_package() -> None:
    code = """if True:
        import json, sys, torch
        packages = lambda: {name.partition(".")[0] for name in sys.modules}
        before, modules = packages(), set(sys.modules)
        import leyden
        for owner in (leyden, leyden.callbacks, leyden.loggers, leyden.profilers):
            for name in owner.__all__:
                getattr(owner, name)
        foreign = sorted(packages() - before - sys.stdlib_module_names - {"leyden"})
        others = [name for name in set(sys.modules) - modules if name.partition(".")[0] != "leyden"]
        print(json.dumps({"foreign": foreign, "others": len(others)}))
    """
    found = in_a_new_process(code)
    assert found["foreign"] == []
    assert isinstance(found["others"], int)
    assert found["others"] <= 30, "modules beside ours that torch had not loaded"


def test_nothing_happens_at_import() -> None:
    code = f"""if True:
        import importlib, json, logging, os, random, signal, sys, threading, warnings
        import numpy, torch
        def state():
            return {{
                "filters": list(map(repr, warnings.filters)),
                "showwarning": repr(warnings.showwarning),
                "threads": threading.active_count(),
                "handlers": repr(logging.getLogger().handlers + logging.getLogger("leyden").handlers),
                "level": logging.getLogger("leyden").level,
                "signals": [repr(signal.getsignal(number)) for number in signal.valid_signals()],
                "excepthook": repr(sys.excepthook),
                "finders": list(map(repr, sys.meta_path)),
                "environment": dict(os.environ),
                "folder": os.getcwd(),
                "random": [random.random(), numpy.random.rand(), torch.rand(1).item()],
                "torch": [torch.get_num_threads(), str(torch.get_default_dtype()), torch.is_grad_enabled(),
                          torch.are_deterministic_algorithms_enabled(), torch.distributed.is_initialized()],
            }}
        def seeded():
            random.seed(1); numpy.random.seed(1); torch.manual_seed(1)
        seeded()
        before = state()
        seeded()
        for name in {sorted(MODULES.keys() - WITH_AN_EFFECT)!r}:
            importlib.import_module(name)
        after = state()
        print(json.dumps({{"changed": [key for key in before if before[key] != after[key]]}}))
    """
    assert in_a_new_process(code)["changed"] == []


@pytest.mark.parametrize("package", sorted(EXPORTED))
def test_the_exported_names(package: str) -> None:
    module = __import__(package, fromlist=["__all__"])
    assert sorted(module.__all__) == sorted(EXPORTED[package].split())
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_the_lazy_root_resolves_to_the_one_definition() -> None:
    from leyden.core.callback import Callback

    assert leyden.Callback is Callback
