"""One person can read it: short files, functions that fit a screen, an engine of bounded size."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "leyden"
FILES = sorted(path for folder in ("src", "examples", "bench", "tests") for path in (ROOT / folder).rglob("*.py"))

LONGEST_FILE = 500
LONGEST_FUNCTION = 60
LARGEST_ENGINE = 6000

# The leaves and the applications are not the engine; nor is Fabric, the other face of the runtime, which nothing imports.
LEAVES = {"callbacks", "cli", "loggers", "profilers", "legacy", "demos", "dropin.py", "fabric"}

# Lightning's paths: three lines each, which lead to what lies in other modules, and a command.
LEAVES |= {"accelerators.py", "plugins.py", "pytorch.py", "strategies.py", "utilities"}

# A reason beside each exception: "path" or "path::function" -> why.
EXCEPTIONS: dict[str, str] = {}

_SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_lines(text: str) -> int:
    """Count the lines with code on them: no blanks, no comments, no docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _SILENT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # A string that stands alone is a docstring, of a module, class, function or attribute.
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines from ``def`` on, without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def test_what_counts_as_a_line_of_code() -> None:
    text = '"""Doc."""\n\nx = 1  # one\n# comment\n"""About x."""\n\n\n'
    text += 'def f(a,\n      b):\n    """Doc\n    more."""\n    return """text\nof two lines"""\n'
    assert code_lines(text) == 5


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_FILE or name_of(path) in EXCEPTIONS


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_fit_a_screen(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    long = [node.name for node in functions if length(node) > LONGEST_FUNCTION]
    assert [name for name in long if f"{name_of(path)}::{name}" not in EXCEPTIONS] == []


def test_the_engine_stays_small() -> None:
    engine = [path for path in SOURCE.rglob("*.py") if path.relative_to(SOURCE).parts[0] not in LEAVES]
    assert sum(code_lines(path.read_text()) for path in engine) < LARGEST_ENGINE


def test_every_exception_is_still_needed() -> None:
    known = {name_of(path) for path in FILES}
    assert {name.partition("::")[0] for name in EXCEPTIONS} <= known
