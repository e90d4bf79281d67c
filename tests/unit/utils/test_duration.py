from datetime import timedelta

import pytest

from leyden.errors import MisconfigurationException
from leyden.utils.duration import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("00:00:00:22", 22), ("01:00:30:00", 88200), (timedelta(days=1), 86400), ({"hours": 1, "minutes": 1}, 3660)],
)
def test_duration_has_three_forms(value, seconds):
    assert parse_duration("max_time", value).total_seconds() == seconds


@pytest.mark.parametrize(
    "value", ["1 hour", "00:00:22", 60, {"hour": 1}, timedelta(seconds=-1), {"hours": "1"}, {"days": 10**10}, None]
)
def test_wrong_duration_shows_the_form(value):
    with pytest.raises(MisconfigurationException, match=r"`max_time` got .*DD:HH:MM:SS.*max_time='00:01:30:00'"):
        parse_duration("max_time", value)
