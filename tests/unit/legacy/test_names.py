from __future__ import annotations

import importlib
import subprocess
import sys
from functools import reduce

import pytest

from helpers_paths import PRIVATE, PUBLIC
from leyden.legacy.absent import PLACES
from leyden.legacy.alias import TABLE
from leyden.legacy.names import PATHS, REMOVED

TARGETS = sorted({target for names in TABLE.values() for target in names.values()})

# Names that programs import and Leyden does not have: an import says so.
ABSENT = {
    "lightning.fabric.strategies.fsdp": {"_get_full_state_dict_context", "_setup_activation_checkpointing"},
    "lightning.fabric.utilities.init": {"_materialize_meta_tensors"},
    "lightning.fabric.utilities.testing": {"_runif_reasons"},
    "lightning.pytorch.loops.evaluation_loop": {"_EvaluationLoop"},
}

# Classes that can be named under Lightning's roots and not be made.
STAND_INS = {name for names in PLACES.values() for name in names.split()}

# Run in a new process under the drop-in: import every name from every root that has it, and say what came.
PROBE = """
import json, sys
import leyden.dropin
sys.path.insert(0, {folder!r})
from helpers_paths import PRIVATE, PUBLIC

ROOTS = {{
    "lightning.pytorch": ["lightning.pytorch", "pytorch_lightning", "leyden.pytorch", "leyden"],
    "lightning.fabric": ["lightning.fabric", "lightning_fabric", "leyden.fabric"],
    "lightning_fabric": ["lightning_fabric", "leyden.fabric"],
}}

def load(path, name):
    exec(f"from {{path}} import {{name}} as found", namespace := {{}})
    return namespace["found"]

found = {{}}
for table in (PUBLIC, PRIVATE):
    for path, names in table.items():
        root = ".".join(path.split(".")[:2]) if path.startswith("lightning.") else path.split(".")[0]
        for name in names.split():
            objects, messages = [], []
            for other in ROOTS.get(root, [root]):
                try:
                    objects.append(load(other + path[len(root):], name))
                except ImportError as error:
                    messages.append(str(error))
            same = name == "__version__" or path == "lightning_fabric.plugins.io" or all(o is objects[0] for o in objects)
            stands_in = getattr(objects[0], "__module__", "") == "leyden.legacy.stand_in" if objects else False
            found[f"{{path}}:{{name}}"] = [len(objects), len(messages), same, messages[0] if messages else "", stands_in]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found() -> dict[str, list[object]]:
    import json
    from pathlib import Path

    code = PROBE.format(folder=str(Path(__file__).parents[2]))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    loaded: dict[str, list[object]] = json.loads(result.stdout.splitlines()[-1])
    return loaded


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_every_public_name_is_one_object_under_all_roots_or_says_why_not(
    found: dict[str, list[object]], path: str
) -> None:
    check(found, path, PUBLIC[path])


@pytest.mark.parametrize("path", sorted(PRIVATE))
def test_every_private_name_has_a_counterpart_or_says_that_it_has_none(
    found: dict[str, list[object]], path: str
) -> None:
    check(found, path, PRIVATE[path])


def check(found: dict[str, list[object]], path: str, names: str) -> None:
    for name in names.split():
        objects, errors, same, message, stands_in = found[f"{path}:{name}"]
        if name in ABSENT.get(path, ()):
            assert objects == 0, f"{path}.{name} is there: take it out of ABSENT"
            assert "Leyden" in str(message), message
        elif name in STAND_INS:
            assert stands_in, f"{path}.{name} is there: take it out of PLACES"
        else:
            assert not stands_in
            assert errors == 0, message
        assert same, f"{path}.{name} differs between the roots"


def test_every_path_below_leyden_has_its_names() -> None:
    # Files of ours that stand at a path of Lightning's and hold something else.
    other = {"pytorch.core.hooks", "pytorch.trainer", "pytorch.callbacks.throughput_monitor", "fabric.wrappers"}
    missing = []
    for path in PATHS.keys() - other - {""}:
        module = importlib.import_module(f"leyden.{path}".replace("leyden.pytorch", "leyden", 1))
        missing += [f"{module.__name__}.{name}" for name in PATHS[path] if not hasattr(module, name)]
    assert missing == []


def test_no_program_needs_more_than_is_listed() -> None:
    assert len(PUBLIC) == 106
    assert sum(len(names.split()) for names in PUBLIC.values()) == 228


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_there(target: str) -> None:
    module, _, attribute = target.partition(":")
    assert reduce(getattr, attribute.split("."), importlib.import_module(module)) is not None


def test_names_that_are_gone_are_not_in_the_table() -> None:
    for path in REMOVED:
        parent, _, name = path.rpartition(".")
        assert path not in PATHS
        assert name not in PATHS.get(parent, {})


def test_the_main_names_are_under_all_roots() -> None:
    main = {"Callback", "LightningDataModule", "LightningModule", "Trainer", "seed_everything"}
    assert main <= PATHS[""].keys()
    assert main <= PATHS["pytorch"].keys()
