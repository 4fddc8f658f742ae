"""The selection in the address: what goes in comes out, and nothing put there does harm."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pano_analytics.dashboard.selection import (
    Selection,
    neighbour_ranges,
    parse_moment,
    quick_ranges,
    range_label,
    read,
    text_of,
    write,
)
from pano_analytics.model.upload import KINDS, STATES

CAMERAS = ("front_door", "Gärten & Hof", "<img src=x>", "a=b?c#d", "100%")
NOW = datetime(2026, 11, 22, 14, 37)

moments = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@st.composite
def chosen(draw: st.DrawFn) -> dict[str, object]:
    """Draw the values of a selection that a visitor can reach."""
    start = draw(st.none() | moments)
    end = draw(st.none() | moments.filter(lambda end: start is None or end > start))
    some = st.lists(st.sampled_from(CAMERAS), unique=True).map(tuple)
    return {
        "cameras": draw(some),
        "states": draw(st.lists(st.sampled_from(STATES), unique=True).map(tuple)),
        "kind": draw(st.none() | st.sampled_from(KINDS)),
        "mode": draw(st.sampled_from(["moments", "files"])),
        "start": start,
        "end": end,
        "until": draw(st.none() | st.dates(date(1971, 1, 1), date(9000, 1, 1))),
        "item": draw(st.none() | st.from_regex(r"[0-9a-f]{16}", fullmatch=True)),
        "at": draw(st.none() | st.integers(0, 36_000).map(lambda tenths: tenths / 10)),
    }


@given(chosen())
def test_what_is_written_is_read_again(values: dict[str, object]) -> None:
    """Every selection survives its own address, without a notice."""
    reading = read(write(values), CAMERAS)
    assert (reading.values, reading.notices) == (values, [])


@given(st.text(max_size=300))
def test_no_address_at_all_does_harm(search: str) -> None:
    """Whatever stands in the address, a valid selection comes out."""
    selection = Selection()
    selection.follow(search, CAMERAS)
    assert read(selection.search, CAMERAS).notices == []


@given(
    st.sampled_from(["camera", "from", "to", "kind", "state", "mode", "until", "item", "t"]),
    st.text(max_size=100),
)
def test_one_bad_value_leaves_the_others(name: str, value: str) -> None:
    """The rest of an address holds beside a value that means nothing."""
    other = "kind" if name != "kind" else "mode"
    good = {"kind": "clip", "mode": "files"}[other]
    reading = read(f"?{name}={quote(value)}&{other}={good}", CAMERAS)
    assert reading.values[other] == good


@pytest.mark.parametrize(
    ("search", "notice"),
    [
        ("?camera=nobody", "There is no camera named “nobody”."),
        ("?kind=x", "There is no kind named “x”."),
        ("?state=good", "There is no state named “good”."),
        ("?from=yesterday", "“yesterday” is not a valid time"),
        ("?from=2026-11-22T10:00%2B02:00", "is not a valid time"),
        ("?from=0001-01-01", "is not a valid time"),
        ("?from=2026-11-22&to=2026-11-21", "The time range ends before it begins"),
        ("?item=../../etc/passwd", "is not a valid item"),
        ("?t=-1", "is not a position in a clip"),
        ("?t=nan", "is not a position in a clip"),
        ("?camera=" + "x" * 5000, "x…”"),
        ("?" + "&".join(["a=b"] * 5000), "is too long"),
    ],
)
def test_each_sort_of_garbage_has_its_notice(search: str, notice: str) -> None:
    """A notice says which value was left out, and stays short."""
    notices = read(search, CAMERAS).notices
    assert len(notices) == 1
    assert notice in notices[0]
    assert len(notices[0]) < 150


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", datetime(2026, 11, 22)),
        ("2026-11-22T14", datetime(2026, 11, 22, 14)),
        ("2026-11-22T14:30", datetime(2026, 11, 22, 14, 30)),
        ("2026-11-22T14:30:05", datetime(2026, 11, 22, 14, 30, 5)),
    ],
)
def test_times_have_one_short_text(text: str, moment: datetime) -> None:
    """A day, an hour, a minute, a second: each time is written one way only."""
    assert parse_moment(text) == moment
    assert text_of(moment) == text


@pytest.mark.parametrize(
    ("start", "end", "label"),
    [
        (None, None, "All time"),
        ("2026-11-22T14", "2026-11-22T15", "Sun 22 Nov, 14:00 – 15:00"),
        ("2026-11-22T23", "2026-11-23", "Sun 22 Nov, 23:00 – 00:00"),
        ("2026-11-22", "2026-11-23", "Sun 22 Nov"),
        ("2026-11-16", "2026-11-23", "16 Nov – 22 Nov"),
        ("2025-12-30", "2026-01-03", "30 Dec 2025 – 2 Jan"),
        ("2026-11-21T15", None, "Since Sat 21 Nov, 15:00"),
        (None, "2025-11-21", "Until Fri 21 Nov 2025"),
        ("2026-11-20T22", "2026-11-21T04", "Fri 20 Nov, 22:00 – Sat 21 Nov, 04:00"),
    ],
)
def test_ranges_are_said_in_words(start: str | None, end: str | None, label: str) -> None:
    """The label of a range is what a person would say, the year only where it is another."""
    moments = [None if text is None else parse_moment(text) for text in (start, end)]
    assert range_label(*moments, year=2026) == label


def test_quick_ranges_reach_from_whole_hours_or_days() -> None:
    """Each quick range begins at a full hour; today and yesterday touch without overlap."""
    ranges = {one.name: one for one in quick_ranges(NOW)}
    assert ranges["Today"].start == ranges["Yesterday"].end == datetime(2026, 11, 22)
    assert ranges["24 h"].start == datetime(2026, 11, 21, 15)
    assert ranges["7 days"].start == datetime(2026, 11, 16)
    assert (ranges["All"].start, ranges["All"].end) == (None, None)


@given(moments, st.integers(1, 10_000))
def test_stepping_keeps_the_length_and_touches(start: datetime, minutes: int) -> None:
    """Earlier and later are as long as the range, and leave no gap to it."""
    end = start + timedelta(minutes=minutes)
    earlier, later = neighbour_ranges(start, end, datetime(9500, 1, 1))
    if earlier is not None:
        assert (earlier.end, earlier.start) == (start, start - (end - start))
    if later is not None:
        assert (later.start, later.end) == (end, end + (end - start))


def test_there_is_nothing_later_than_now() -> None:
    """A range that reaches to now or beyond has no later neighbour; an open one neither."""
    today = datetime(2026, 11, 22)
    assert neighbour_ranges(today, today + timedelta(days=1), NOW)[1] is None
    assert neighbour_ranges(today, None, NOW)[1] is None
    assert neighbour_ranges(None, None, NOW) == (None, None)
