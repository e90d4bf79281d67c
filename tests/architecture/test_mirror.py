"""Tests mirror the source: ``src/leyden/data/order.py`` is tested by ``tests/unit/data/test_order.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "leyden"
UNIT = ROOT / "tests" / "unit"

SOURCES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if path.name != "__init__.py")
TESTS = sorted(path.relative_to(UNIT) for path in UNIT.rglob("test_*.py"))

# A reason beside each exception: source file -> where it is tested, or test file -> what it tests.
UNTESTED_ALONE: dict[str, str] = {
    # Lightning's paths hold nothing of their own: every name of the table is imported through them.
    f"{name}.py": "legacy/test_names.py"
    for name in ("accelerators", "plugins", "pytorch", "strategies")
}
OF_NO_ONE_FILE: dict[str, str] = {}


@pytest.mark.parametrize("path", SOURCES, ids=Path.as_posix)
def test_every_source_file_has_its_tests(path: Path) -> None:
    mirror = UNIT / path.with_name(f"test_{path.name}")
    # A long test file may be split: test_module.py, test_module_logging.py.
    parts = list(mirror.parent.glob(f"{mirror.stem}_*.py"))
    assert mirror.exists() or parts or path.as_posix() in UNTESTED_ALONE


@pytest.mark.parametrize("path", TESTS, ids=Path.as_posix)
def test_every_test_file_has_its_source(path: Path) -> None:
    name = path.stem.removeprefix("test_")
    sources = {source.stem for source in (SOURCE / path.parent).glob("*.py")}
    assert (
        any(name == source or name.startswith(f"{source}_") for source in sources) or path.as_posix() in OF_NO_ONE_FILE
    )


def test_every_exception_is_still_needed() -> None:
    assert set(UNTESTED_ALONE) <= {path.as_posix() for path in SOURCES}
    assert set(OF_NO_ONE_FILE) <= {path.as_posix() for path in TESTS}
