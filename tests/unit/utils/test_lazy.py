from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from leyden.utils.lazy import lazy_exports


@pytest.fixture
def package() -> Iterator[ModuleType]:
    module = ModuleType("tests_lazy_package")
    module.__getattr__, module.__dir__ = lazy_exports(module.__name__, {"nearest": "leyden.errors"}, ("part",))  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_a_name_is_imported_when_it_is_used_and_kept(package: ModuleType) -> None:
    assert "nearest" not in vars(package)
    assert package.nearest("a", []) == ""
    assert "nearest" in vars(package)


def test_names_are_listed_before_they_are_imported(package: ModuleType) -> None:
    assert {"nearest", "part"} <= set(dir(package))


def test_an_unknown_name_is_an_attribute_error_that_helps(package: ModuleType) -> None:
    assert not hasattr(package, "other")
    with pytest.raises(AttributeError, match="Did you mean 'nearest'"):
        _ = package.neares


def test_a_subpackage_that_is_not_there_is_an_import_error(package: ModuleType) -> None:
    with pytest.raises(ModuleNotFoundError, match="tests_lazy_package"):
        _ = package.part
