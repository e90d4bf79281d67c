from __future__ import annotations

import pytest

from leyden.legacy.absent import PLACES
from leyden.legacy.stand_in import advice, stand_in


@pytest.mark.parametrize("name", sorted({name for names in PLACES.values() for name in names.split()}))
def test_making_one_says_what_to_do_instead(name: str) -> None:
    kind = stand_in(name)
    assert kind is stand_in(name) and kind.__name__ == name
    with pytest.raises(ImportError, match=f"Leyden does not have `{name}`") as caught:
        kind("any", argument=1)
    assert str(caught.value) == kind.__doc__


def test_a_sub_class_can_be_written_too() -> None:
    class Mine(stand_in("LearningRateFinder")):  # type: ignore[misc]
        pass

    with pytest.raises(ImportError, match="LearningRateFinder"):
        Mine()


def test_there_is_no_advice_about_other_names() -> None:
    assert advice("Trainer") is None
    assert advice("Tuner", "pytorch_lightning.tuner.Tuner") == (
        "Leyden does not have `pytorch_lightning.tuner.Tuner` yet: set `learning_rate` and `batch_size` yourself."
    )
