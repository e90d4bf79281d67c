import pytest

from leyden.errors import (
    ConfigurationErrors,
    MisconfigurationException,
    SIGTERMException,
    bad_value,
    missing_metric,
    nearest,
    single_or_all,
)


def test_nearest_suggests_a_close_name_only():
    assert nearest("max_epoch", ["max_epochs", "devices"]) == " Did you mean 'max_epochs'?"
    assert nearest("zzz", ["max_epochs"]) == ""


def test_bad_value_names_argument_value_type_accepted_and_fix():
    assert bad_value("n", "1", "an int", "write n=1") == "`n` got '1' (str). Accepted: an int. Fix: write n=1."
    assert bad_value("n", 1.5, "an int") == "`n` got 1.5 (float). Accepted: an int."


def test_several_errors_are_one_that_is_of_every_kind():
    errors = [ValueError("a is wrong"), TypeError("b is wrong")]
    together = single_or_all(errors)
    assert isinstance(together, ConfigurationErrors)
    for kind in (MisconfigurationException, ValueError, TypeError):
        assert isinstance(together, kind)
    assert "2 mistakes" in str(together)
    assert "a is wrong" in str(together)
    assert "b is wrong" in str(together)
    assert together.errors == tuple(errors)


def test_one_error_stays_itself_and_none_is_none():
    error = ValueError("a")
    assert single_or_all([error]) is error
    assert single_or_all([]) is None


def test_one_mistake_is_not_called_several():
    assert str(ConfigurationErrors([ValueError("a")])).startswith("1 mistake in")


def test_missing_metric_lists_what_there_is():
    message = missing_metric("val_los", {"val_loss": 1, "acc": 2})
    assert "['acc', 'val_loss']" in message
    assert "Did you mean 'val_loss'?" in message


def test_sigterm_ends_the_process_with_143():
    with pytest.raises(SystemExit) as caught:
        raise SIGTERMException
    assert caught.value.code == 143
