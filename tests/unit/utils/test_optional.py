from __future__ import annotations

import sys
from pathlib import Path

import pytest

from leyden.utils.optional import require


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "leyden_broken").mkdir()
    (tmp_path / "leyden_broken/__init__.py").write_text("import a_module_that_is_not_there\n")
    (tmp_path / "leyden_broken/part.py").write_text("")
    (tmp_path / "leyden_old.py").write_text("from os import a_name_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_require_returns_the_module() -> None:
    assert require("json.decoder", "x") is sys.modules["json.decoder"]


@pytest.mark.parametrize("name", ["no_such_module", "no_such_module.part", "json.no_such_part"])
def test_missing_module_names_the_extra(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=r'needs .*: pip install "leyden\[report\]"') as caught:
        require(name, "report")
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("name", "reason"), [("leyden_broken", "a_module_that_is_not_there"), ("leyden_old", "a_name_that_is_not_there")]
)
def test_module_whose_import_fails_says_why(packages: Path, name: str, reason: str) -> None:
    with pytest.raises(ImportError, match=reason) as caught:
        require(name, "report")
    assert caught.value.__cause__ is not None
