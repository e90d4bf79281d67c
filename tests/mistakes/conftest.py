"""The corpus's own table; its files are imported by ``test_mistakes.py``, not a second time for doctests."""

from __future__ import annotations

from typing import Any

import pytest

collect_ignore_glob = ["[!t]*.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", action="store_true", help="print what each mistake is answered with")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--table"):
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("mistake", "answered by", "message", show_lines=True)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if caught := dict(report.user_properties).get("caught"):
            table.add_row(report.nodeid.partition("[")[2][:-1], *caught)
    Console(width=160, markup=False).print(table)
