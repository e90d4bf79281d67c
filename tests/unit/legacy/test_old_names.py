from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from leyden.errors import LightningDeprecationWarning
from leyden.legacy.alias import AliasLoader, find, is_module, missing
from leyden.legacy.names import PATHS, REMOVED
from leyden.legacy.old_names import OLD, OLD_PATHS

OLD_NAMES = [(path, name) for path, names in OLD_PATHS.items() for name in names]
LOADER = AliasLoader()


@pytest.mark.parametrize(("path", "name"), OLD_NAMES, ids=[f"{path}.{name}" for path, name in OLD_NAMES])
def test_an_old_name_works_and_says_once_what_to_write(path: str, name: str) -> None:
    module = f"lightning.{path}"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for depth in range(path.count(".") + 1):
            LOADER.exec_module(LOADER.create_module(LOADER.spec_of(module.rsplit(".", depth)[0])))
        assert find(module, name) is not None
    assert [warning.category for warning in caught] == [LightningDeprecationWarning]
    assert "is an old name. " in str(caught[0].message)


@pytest.mark.parametrize(("old", "today"), OLD.items())
def test_what_is_to_be_written_today_can_be_written(old: str, today: str) -> None:
    path = today.replace("pytorch_lightning", "pytorch").removeprefix("lightning.")
    module, _, name = path.rpartition(".")
    assert path in PATHS if is_module(old) else name in PATHS[module]


def test_the_warning_points_at_the_line_that_imports() -> None:
    code = "import leyden.dropin\nfrom pytorch_lightning.core.lightning import LightningModule\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        "<string>:2: LightningDeprecationWarning: `pytorch_lightning.core.lightning` is an old name." in result.stderr
    )
    assert "Import its names from `pytorch_lightning`." in result.stderr


@pytest.mark.parametrize("path", sorted(REMOVED))
def test_what_is_gone_says_what_to_do(path: str) -> None:
    assert missing(f"lightning.{path}").endswith(f"gone from Lightning too: {REMOVED[path]}.")


def test_old_names_are_not_under_the_root_of_leyden() -> None:
    with pytest.raises(ModuleNotFoundError):
        import leyden.profiler  # noqa: F401
