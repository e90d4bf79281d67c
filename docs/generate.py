"""The pages that are made from other things: ``python docs/generate.py`` writes the contract and the differences.

The site's build asks this file too (:func:`on_files`), for pages that are needed there alone.
"""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from leyden.engine.config import TrainerArguments

ROOT = Path(__file__).parents[1]
CONTRACT = ROOT / "tests" / "contract"
HEAD = """# The contract, row by row

What programs written for Lightning 2.x rely on, and the test that holds Leyden to it. The page is made from
`tests/contract` by `python docs/generate.py`; a row without a test, or with one that does not exist, fails the checks.
Where Leyden differs on purpose, the row says why ([differences](differences.md) has more).
"""
REPOSITORY = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh-CN.md",
    "src/leyden/engine/README.md": "engine.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
}
"""Pages that lie elsewhere in the repository, and their names in the site."""
PACKAGES = ("leyden", "leyden.callbacks", "leyden.loggers", "leyden.profilers", "leyden.cli")
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def contract_tables() -> list[dict[str, Any]]:
    """The tables of the contract, in the order of their numbers."""

    def place(path: Path) -> tuple[list[int], str]:
        return [int("".join(filter(str.isdigit, part)) or 99) for part in path.stem.split(".")], path.stem

    return [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(CONTRACT.glob("*.toml"), key=place)]


def differences_page() -> str:
    """The page of differences, with those that rows of the contract tell at its end."""
    begin, end = "<!-- rows:begin -->\n", "<!-- rows:end -->"
    text = (ROOT / "docs" / "differences.md").read_text(encoding="utf-8")
    head, rest = text.split(begin)
    lines = []
    for table in contract_tables():
        rows = [row for row in table["row"] if "differs" in row]
        if rows:
            lines += [f"**{table['title']}**", ""]
            lines += [f"- {cell(row['says']).rstrip('.')}: {cell(row['differs'])}. ({row['id']})" for row in rows] + [
                ""
            ]
    return head + begin + "\n".join(lines).replace("..", ".") + end + rest.split(end)[1]


def contract_page() -> str:
    """The page of the contract."""
    tables = contract_tables()
    rows = [row for table in tables for row in table["row"]]
    tested = sum("tests" in row for row in rows)
    lines = [HEAD, f"{len(rows)} rows: {tested} tested, {len(rows) - tested} out of reach of a test here.", ""]
    for table in tables:
        lines += [f"## {table['title']}", "", "| row | what programs rely on | test |", "|---|---|---|"]
        for row in table["row"]:
            says = cell(row["says"])
            if "differs" in row:
                says += f" **Differs:** {cell(row['differs'])}"
            tests = "<br>".join(f"`{name.removeprefix('tests/')}`" for name in row.get("tests", ()))
            lines.append(f"| {row['id']} | {says} | {tests or 'none: ' + cell(row['out'])} |")
        lines.append("")
    return "\n".join(lines)


def moved(source: str) -> str:
    """A page of the repository, with its links as they are in the site."""
    text = (ROOT / source).read_text(encoding="utf-8")
    up = "../" * source.count("/")
    for name, page in REPOSITORY.items():
        text = text.replace(f"]({up}{name}", f"]({page}")
    return text.replace(f"]({up}docs/", "](")


def trainer_arguments() -> list[str]:
    """The Trainer's arguments, which its signature takes from their declarations."""
    lines = ["## The Trainer's arguments", "", "| argument | type | default | |", "|---|---|---|---|"]
    for item in fields(TrainerArguments):
        about = cell(item.metadata["doc"])
        lines.append(f"| `{item.name}` | `{cell(str(item.type))}` | `{item.default!r}` | {about} |")
    return [*lines, ""]


def reference(package: ModuleType) -> str:
    """What a package offers, one entry per public name."""
    lines = [f"# {package.__name__}", "", (package.__doc__ or "").strip(), ""]
    if package.__name__ == "leyden":
        lines += trainer_arguments()
    for name in package.__all__:
        value = getattr(package, name)
        if getattr(value, "__module__", "").startswith("leyden."):
            lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines)


def notebook_page() -> str:
    """The executed notebook: its text, its code, and what each cell printed."""
    lines = []
    for part in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        text = "".join(part["source"])
        if part["cell_type"] == "markdown":
            lines += [text, ""]
            continue
        lines += ["```python", text, "```", ""]
        printed = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in part["outputs"]]
        if shown := "".join("".join(text) for text in printed).strip():
            lines += ["```text", shown, "```", ""]
    return "\n".join(lines)


PAGES: dict[str, Callable[[], str]] = {"contract.md": contract_page, "differences.md": differences_page}
"""Pages that the repository holds."""


def built_pages() -> dict[str, str]:
    """Pages that only the site has."""
    pages = {page: moved(source) for source, page in REPOSITORY.items()}
    packages = {name.rpartition(".")[2]: importlib.import_module(name) for name in PACKAGES}
    pages |= {f"reference/{name}.md": reference(package) for name, package in packages.items()}
    return pages | {"notebooks/quickstart.md": notebook_page()}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to a build of the site."""
    from mkdocs.structure.files import File

    for name, text in built_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links into the repository to the pages of the site."""
    for name, target in REPOSITORY.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return markdown


if __name__ == "__main__":
    for name, make in PAGES.items():
        (ROOT / "docs" / name).write_text(make(), encoding="utf-8")
