"""What the README promises by name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.zh-CN.md"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", READMES)
def test_commands_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    commands = set(
        re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"```console\n(.*?)```", read(name), re.DOTALL)))
    )
    assert {"demo", "test"} <= commands <= targets


@pytest.mark.parametrize("name", READMES)
def test_scripts_exist(name: str) -> None:
    scripts = re.findall(r"\b((?:examples|bench)/\w+\.py)\b", read(name))
    assert all((ROOT / script).exists() for script in scripts)


@pytest.mark.parametrize("name", READMES)
def test_pictures_are_there_and_small(name: str) -> None:
    pictures = [ROOT / path for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", read(name))]
    assert len(pictures) == 2
    for picture in pictures:
        content = picture.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) < 200_000


def test_the_first_example_is_short() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 20


def test_the_figures_can_be_replaced_by_a_program() -> None:
    text = read("README.md")
    assert text.count("<!-- figures:begin -->") == text.count("<!-- figures:end -->") == 1
    assert text.index("<!-- figures:begin -->") < text.index("<!-- figures:end -->")
