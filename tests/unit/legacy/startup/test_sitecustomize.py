from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from leyden.legacy import startup

FOLDER = Path(startup.__file__).parent
SHOW = "import sys; print(any(type(finder).__name__ == 'AliasFinder' for finder in sys.meta_path), sys.path[1:2])"


def run(tmp_path: Path, prefix: str) -> list[str]:
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), str(tmp_path)]), "LEYDEN_DROPIN": prefix}
    return subprocess.run(
        [sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_it_enters_hands_over_and_leaves_the_path_as_it_was(tmp_path: Path) -> None:
    assert run(tmp_path, sys.prefix) == ["mine", f"True ['{tmp_path}']"]


def test_a_python_of_another_environment_stays_as_it_is(tmp_path: Path) -> None:
    assert run(tmp_path, "/elsewhere") == ["mine", f"False ['{tmp_path}']"]


def test_a_process_that_cannot_enter_ends(tmp_path: Path) -> None:
    (tmp_path / "leyden.py").write_text("raise RuntimeError('broken')")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(FOLDER), str(tmp_path)]),
        "LEYDEN_DROPIN": sys.prefix,
    }
    result = subprocess.run(
        [sys.executable, "-c", "print('reached')"], env=environment, check=False, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert "broken" in result.stderr
