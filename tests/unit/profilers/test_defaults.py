from __future__ import annotations

import pytest

import leyden as pl
from helpers_fit import trainer
from leyden.errors import MisconfigurationException
from leyden.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from leyden.profilers.defaults import profiler_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("simple", SimpleProfiler),
        ("SIMPLE", SimpleProfiler),
        ("advanced", AdvancedProfiler),
        ("pytorch", PyTorchProfiler),
    ],
)
def test_names(name: str, kind: type[Profiler]) -> None:
    assert type(trainer(profiler=name).profiler) is kind


def test_objects_and_none_stay() -> None:
    profiler = SimpleProfiler()
    assert profiler_of(profiler) is profiler
    assert profiler_of(None) is None
    assert trainer(profiler=profiler).profiler is profiler


@pytest.mark.parametrize(("bad", "hint"), [("simpel", "Did you mean 'simple'"), (5, "Accepted: a Profiler")])
def test_others_are_refused(bad: object, hint: str) -> None:
    with pytest.raises(MisconfigurationException, match=hint):
        pl.Trainer(profiler=bad)  # type: ignore[arg-type]


def test_barebones_has_none() -> None:
    with pytest.raises(ValueError, match="profiler"):
        pl.Trainer(accelerator="cpu", barebones=True, profiler="simple")
