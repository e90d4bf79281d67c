"""Every row of the contract has a test, or says why it cannot; the page that shows them is up to date."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "contract").glob("*.toml"))
SUBTLE = 112
"""Behaviours of section 10, each with a test named after its number."""


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["row"]
    return found


ROWS = [(path, row) for path in FILES for row in rows(path)]


@cache
def names_in(path: Path) -> set[str]:
    """The names of a file's tests, those in classes as ``Class::test``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return names | {f"{kind.name}::{n.name}" for kind in classes for n in kind.body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize(("path", "row"), ROWS, ids=[row["id"] for _, row in ROWS])
def test_the_row_is_covered(path: Path, row: dict[str, Any]) -> None:
    assert set(row) <= {"id", "says", "tests", "differs", "out"}
    assert row["says"].strip()
    assert bool(row.get("tests")) != bool(row.get("out", "").strip()), "either tests, or why there can be none"
    for name in row.get("tests", ()):
        file, _, test = name.partition("::")
        assert test.split("::")[-1].startswith("test_"), name
        assert (ROOT / file).is_file(), name
        assert test.partition("[")[0] in names_in(ROOT / file), name


def test_rows_have_numbers_of_their_own() -> None:
    names = [row["id"] for _, row in ROWS]
    assert len(set(names)) == len(names)
    # The behaviours of section 10 are numbered across its parts.
    of_section = [
        (path.stem.split(".")[0] if path.stem.startswith("10.") else path.stem.rstrip("bc"), path, row)
        for path, row in ROWS
    ]
    assert [(path.name, row["id"]) for section, path, row in of_section if not row["id"].startswith(section)] == []


def test_each_subtle_behaviour_has_a_test_named_after_it() -> None:
    of_row = re.compile(r"row_(\d+)_")
    unnamed, seen = [], set()
    for path, row in ROWS:
        if path.stem.startswith("10."):
            number = int(row["id"].rpartition(".")[2])
            seen.add(number)
            numbers = {int(found) for test in row.get("tests", ()) for found in of_row.findall(test)}
            if "tests" in row and number not in numbers:
                unnamed.append(row["id"])
    assert unnamed == []
    assert seen == set(range(1, SUBTLE + 1))


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, make in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == make(), "run: python docs/generate.py"
