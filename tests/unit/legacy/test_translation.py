from __future__ import annotations

from leyden.legacy.translation import MISSING, Build, Translation


def test_a_build_reads_as_the_line_to_write() -> None:
    assert str(Build("EarlyStopping", {"monitor": "val_loss", "patience": 3})) == (
        "EarlyStopping(monitor='val_loss', patience=3)"
    )


def test_replacing_puts_todays_argument_and_shows_it() -> None:
    translation = Translation({"a": 1})
    translation.replace("old", 2, new=3)
    assert translation.arguments == {"a": 1, "new": 3}
    assert translation.messages == ["`Trainer(old=2)` is an old argument. Write `Trainer(new=3)`."]


def test_an_old_and_a_new_name_that_disagree_are_refused() -> None:
    translation = Translation({"new": 4})
    translation.replace("old", 2, new=3)
    assert translation.arguments == {"new": 4}
    assert "keep one of them" in str(translation.errors[0])


def test_an_old_and_a_new_name_that_agree_are_fine() -> None:
    translation = Translation({"new": 3})
    translation.replace("old", 2, new=3)
    assert translation.errors == []


def test_a_callback_is_added_to_a_copy_of_the_users_list() -> None:
    mine = ["first"]
    translation = Translation({"callbacks": mine})
    translation.add_callback("old", True, Build("Timer"))
    assert translation.arguments["callbacks"] == ["first", Build("Timer")]
    assert mine == ["first"]


def test_a_long_value_is_cut_in_a_message() -> None:
    translation = Translation({})
    translation.drop("old", list(range(1000)))
    assert len(translation.messages[0]) < 150


def test_taking_what_is_not_there() -> None:
    assert Translation({}).take("absent") is MISSING
