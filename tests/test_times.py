"""Wall clocks and instants."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pano_analytics.errors import QueryError
from pano_analytics.model.times import WallClock, from_epoch_us, instant, wall_to_utc

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1)),
    st.sampled_from(ZONES),
    st.sampled_from([0, 1]),
)
def test_the_quick_way_equals_the_plain_way(wall: datetime, name: str, fold: int) -> None:
    """Offsets kept by the quarter hour give the very instant that zoneinfo gives."""
    zone = ZoneInfo(name)
    quick = from_epoch_us(WallClock(zone).to_utc_us(wall, fold))
    assert quick == wall_to_utc(wall, zone, fold)


def test_the_repeated_autumn_hour_is_told_by_fold() -> None:
    """02:30 exists twice on the last Sunday of October: an hour lies between."""
    zone, wall = ZoneInfo("Europe/Berlin"), datetime(2025, 10, 26, 2, 30)
    assert wall_to_utc(wall, zone, 1) - wall_to_utc(wall, zone, 0) == timedelta(hours=1)


@pytest.mark.parametrize(
    ("given_time", "meant"),
    [
        ("2026-11-17", datetime(2026, 11, 16, 23, tzinfo=UTC)),
        ("2026-11-17 14:00", datetime(2026, 11, 17, 13, tzinfo=UTC)),
        ("2026-11-17T14:00:00Z", datetime(2026, 11, 17, 14, tzinfo=UTC)),
        (date(2026, 7, 1), datetime(2026, 6, 30, 22, tzinfo=UTC)),
        (datetime(2026, 7, 1, 12), datetime(2026, 7, 1, 10, tzinfo=UTC)),
        (None, None),
    ],
)
def test_what_people_write_as_a_time(given_time: object, meant: datetime | None) -> None:
    """Naive times mean the library's zone, aware ones themselves, a date its first moment."""
    assert instant(given_time, ZoneInfo("Europe/Berlin")) == meant


@pytest.mark.parametrize("wrong", ["Tuesday", "2026-13-01", 12, [1]])
def test_what_is_no_time_is_told(wrong: object) -> None:
    """What is no time is refused with an example of one."""
    with pytest.raises(QueryError, match="2026-11-17"):
        instant(wrong, ZoneInfo("UTC"))
