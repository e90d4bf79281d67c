from __future__ import annotations

import pytest

from leyden.legacy.absent import INTERNAL, LATER, NEVER
from leyden.legacy.names import PATHS


@pytest.mark.parametrize("table", [LATER, NEVER, INTERNAL])
def test_what_the_table_of_names_has_is_not_said_to_be_missing(table: dict[str, str]) -> None:
    assert set(table) & set(PATHS) == set()


def test_a_name_is_in_one_table_and_comes_with_advice() -> None:
    assert set(LATER) & set(NEVER) == set()
    assert all((LATER | NEVER).values())
