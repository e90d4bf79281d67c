from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from leyden.errors import LightningDeprecationWarning, PossibleUserWarning
from leyden.utils import rank as module
from leyden.utils.rank import (
    announce,
    rank,
    rank_zero_deprecation,
    rank_zero_info,
    rank_zero_only,
    rank_zero_warn,
)

VARIABLES = ["RANK", "SLURM_PROCID", "LOCAL_RANK", "JSM_NAMESPACE_RANK"]


@pytest.fixture(autouse=True)
def no_rank(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    yield
    rank_zero_only.rank = None


def test_rank_is_zero_for_a_single_process() -> None:
    assert rank() == 0


@pytest.mark.parametrize("variable", VARIABLES)
def test_rank_from_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "3")
    assert rank() == 3
    assert rank_zero_only.rank == 3


def test_global_rank_wins_over_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert rank() == 5


def test_unreadable_rank_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("LOCAL_RANK", "x")
    assert rank() == 0


def test_rank_zero_only_on_functions_and_methods() -> None:
    class Counter:
        count = 0

        @rank_zero_only
        def add(self, amount: int = 1) -> int:
            self.count += amount
            return self.count

    counter = Counter()
    assert counter.add(amount=2) == 2
    rank_zero_only.rank = 1
    assert counter.add() is None
    assert counter.count == 2
    assert Counter.add.__name__ == "add"


def test_rank_zero_only_returns_the_default_elsewhere() -> None:
    rank_zero_only.rank = 1
    assert rank_zero_only(lambda: "zero", default="other")() == "other"


def test_messages_appear_on_rank_zero_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="leyden"):
        rank_zero_info("value %d", 3)
        announce("detail", level=logging.DEBUG)
        rank_zero_only.rank = 1
        rank_zero_info("hidden")
        announce("from rank 1")
    assert caplog.messages == ["value 3", "detail", "from rank 1"]


def test_warnings_name_the_callers_line() -> None:
    with pytest.warns(PossibleUserWarning, match="careful") as record:
        rank_zero_warn("careful", category=PossibleUserWarning)
    assert record[0].filename == __file__
    with pytest.warns(LightningDeprecationWarning, match="old") as record:
        rank_zero_deprecation("old")
    assert record[0].filename == __file__


def test_no_warning_on_other_ranks() -> None:
    rank_zero_only.rank = 2
    rank_zero_warn("hidden")
    rank_zero_deprecation("hidden")


def test_a_script_without_logging_set_up_sees_messages_and_gets_no_handler() -> None:
    code = (
        "import logging\n"
        f"from {module.__name__} import announce, log, rank_zero_info\n"
        "rank_zero_info('shown'); rank_zero_info('%d times', 2); announce('not shown', level=logging.DEBUG)\n"
        "announce('on every rank')\n"
        "log.setLevel(logging.ERROR); rank_zero_info('silenced')\n"
        "assert not log.handlers and not logging.getLogger().handlers\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.splitlines() == ["shown", "2 times", "on every rank"]


@pytest.mark.parametrize("value", ["0", "off"])
def test_possible_mistakes_are_silenced_by_a_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("POSSIBLE_USER_WARNINGS", value)
    rank_zero_warn("perhaps", category=PossibleUserWarning)
    with pytest.warns(UserWarning, match="surely"):
        rank_zero_warn("surely")
