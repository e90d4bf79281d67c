"""The Python blocks of each document run, in order, as one program."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from leyden.core.hooks import HOOKS, PER_BATCH, PER_EPOCH, PER_STEP

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]+))?\)")


def blocks(document: Path) -> list[tuple[int, str]]:
    """Return each block with its first line's number."""
    text = document.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start(1)) + 1, match.group(1)) for match in FENCE.finditer(text)]


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path)], ids=lambda path: path.name)
def test_python_blocks_run(document: Path) -> None:
    namespace = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for line, code in blocks(document):
            # Blank lines in front, so that a traceback tells the line of the document.
            exec(compile("\n" * (line - 1) + code, str(document), "exec"), namespace)


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "src/leyden/engine/README.md", ROOT / "CONTRIBUTING.md"])
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        path = document.parent / target
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings], anchor


def test_the_table_of_hooks_is_complete_and_right() -> None:
    """Each row of the document's table says who owns a hook, and what it may log, as the table in the code does."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("\n## The hooks\n")[2].partition("\n## ")[0]
    described = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, owners, log = (cell.strip() for cell in line.strip("|").split("|"))
            described |= {name: (re.sub("[^cmd]", "", owners.partition(", then")[0].replace("else", "")), log)
                          for name in re.findall(r"`(\w+)`", names)}  # fmt: skip
    words = {None: "-", PER_STEP: "step", PER_BATCH: "epoch", PER_EPOCH: "epoch only"}
    assert described == {hook.name: (hook.owners, words[hook.log]) for hook in HOOKS.values()}


def test_the_engines_own_page_names_every_file() -> None:
    folder = ROOT / "src" / "leyden" / "engine"
    table = (folder / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    files = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", table)) == files
