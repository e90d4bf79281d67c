from __future__ import annotations

import os
import random
import sys

import pytest
import torch

from leyden.loggers.installed import check_installed, is_installed, starting


def test_what_is_there_is_not_imported() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "sndhdr"]:
        del sys.modules[name]
    assert is_installed("this") and is_installed("json")
    check_installed("this", "zen")
    assert "this" not in sys.modules


def test_what_is_missing_is_named_with_its_extra() -> None:
    assert not is_installed("no_such_module")
    with pytest.raises(ModuleNotFoundError, match=r'needs no_such_module: pip install "leyden\[extra\]"'):
        check_installed("no_such_module", "extra")


def test_the_environment_of_the_user_wins_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEYDEN_GIVEN", "mine")
    with pytest.raises(RuntimeError), starting(LEYDEN_GIVEN="ours", LEYDEN_NEW="ours"):
        assert (os.environ["LEYDEN_GIVEN"], os.environ["LEYDEN_NEW"]) == ("mine", "ours")
        raise RuntimeError
    assert os.environ["LEYDEN_GIVEN"] == "mine"
    assert "LEYDEN_NEW" not in os.environ


def test_the_random_numbers_of_the_run_stay_its_own() -> None:
    random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), torch.rand(2).tolist()
    random.seed(1)
    torch.manual_seed(1)
    with starting():
        random.random()
        torch.rand(3)
    assert (random.random(), torch.rand(2).tolist()) == expected
