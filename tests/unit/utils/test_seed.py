from __future__ import annotations

import io
import logging
import os
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from leyden.utils.seed import capture_rng, isolate_rng, restore_rng, seed_everything


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(variable, "")  # so that what a test sets is undone
        monkeypatch.delenv(variable)
    with isolate_rng():
        yield


def draw() -> tuple[float, float, float, float]:
    return random.random(), random.gauss(0, 1), float(np.random.randn()), float(torch.randn(1))


def test_seed_everything_seeds_all_generators() -> None:
    assert seed_everything(7) == 7
    first = draw()
    assert (os.environ["PL_GLOBAL_SEED"], os.environ["PL_SEED_WORKERS"]) == ("7", "0")
    seed_everything(7, workers=True)
    assert draw() == first
    assert os.environ["PL_SEED_WORKERS"] == "1"
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    assert draw() == first


def test_seed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "11")
    assert seed_everything() == 11


def test_no_seed_anywhere_is_zero_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="the seed is 0") as record:
        assert seed_everything() == 0
    assert record[0].filename == __file__


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "x", "", float("nan")])
def test_bad_seed(seed: object) -> None:
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="`seed` got"):
        seed_everything(seed)  # type: ignore[arg-type]
    assert torch.equal(before, torch.get_rng_state())
    assert "PL_GLOBAL_SEED" not in os.environ


def test_bad_seed_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "many")
    with pytest.raises(ValueError, match="`PL_GLOBAL_SEED` got 'many'"):
        seed_everything()


def test_numpy_integers_and_numerals_are_seeds() -> None:
    assert seed_everything(np.int64(3)) == 3  # type: ignore[arg-type]
    assert seed_everything("4") == 4  # type: ignore[arg-type]


def test_verbose(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leyden"):
        seed_everything(1)
        seed_everything(2, verbose=False)
    assert caplog.messages == ["Seed set to 1"]


def test_state_survives_a_safe_load() -> None:
    seed_everything(3)
    draw()  # leaves a spare normal number in Python's generator
    np.random.randn()  # and in numpy's
    file = io.BytesIO()
    torch.save(capture_rng(), file)
    expected = draw()
    file.seek(0)
    restore_rng(torch.load(file, weights_only=True))
    assert draw() == expected


def test_captured_state_does_not_change_with_the_generators() -> None:
    state = capture_rng()
    expected = draw()
    for _ in range(700):  # numpy and Python renew their words in place
        draw()
    restore_rng(state)
    assert draw() == expected


def test_restoring_does_not_consume_the_state() -> None:
    state = capture_rng()
    draws = []
    for _ in range(2):
        restore_rng(state)
        draws.append([draw() for _ in range(700)])
    assert draws[0] == draws[1]


def test_isolation_holds_after_an_error() -> None:
    state = capture_rng()
    expected = draw()
    restore_rng(state)
    with pytest.raises(KeyError), isolate_rng():
        draw()
        raise KeyError
    assert draw() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_generators() -> None:
    torch.cuda.init()
    state = capture_rng()
    assert len(state["cuda"]) == torch.cuda.device_count()
    first = torch.rand(3, device="cuda")
    restore_rng(state)
    assert torch.equal(first, torch.rand(3, device="cuda"))
    assert "cuda" not in capture_rng(include_cuda=False)
