"""A camera's clock that is known to have been wrong: corrected everywhere, and undone exactly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lived_in import run
from shared_files import clip_path, lay, snapshot_path

from pano_analytics.errors import SettingsError
from pano_analytics.ingest.clock import NameTimes, SettledTime, settle, time_from_name
from pano_analytics.library import Library
from pano_analytics.model.times import WallClock, epoch_us
from pano_analytics.settings import Settings, check

BERLIN = WallClock(ZoneInfo("Europe/Berlin"))
NOON = datetime(2026, 3, 3, 12)
BEHIND = -2820  # 47 minutes
_S = 1_000_000


def us(moment: datetime) -> int:
    return int(moment.timestamp() * _S)


# --- one name ---------------------------------------------------------------------


def by_either_way(name: NameTimes, clock: WallClock = BERLIN) -> SettledTime:
    """Return what a name gives, also if it is not in doubt, as `NameReader` does."""
    start = epoch_us(name.start)
    end = None if name.end is None else epoch_us(name.end)
    plain = time_from_name(start, end, name.arrived, clock, name.ahead)
    [settled] = settle([name], clock)
    assert plain in (None, settled)
    return settled


@pytest.mark.parametrize(
    ("wall", "ahead_s", "arrived", "start", "source"),
    [
        # 47 minutes behind, and arrived in time.
        ((2026, 3, 3, 12, 0), -2820, (3, 3, 11, 48), (3, 3, 11, 47), "name+correction"),
        # As a copy, days later.
        ((2026, 3, 3, 12, 0), -2820, (3, 9, 0, 0), (3, 3, 11, 47), "name+correction"),
        # Ahead, so that the name alone would be impossible.
        ((2026, 3, 3, 12, 47), 2820, (3, 3, 11, 1), (3, 3, 11, 0), "name+correction"),
        # Never set, and known by how much.
        ((2000, 1, 1, 1, 0), -825_764_400, (3, 3, 12, 0), (3, 2, 11, 0), "name+correction"),
        # The clock was right already: the correction would put it after its arrival.
        ((2026, 3, 3, 12, 0), -2820, (3, 3, 11, 1), (3, 3, 11, 0), "name"),
        # Impossible with and without the correction.
        ((2027, 3, 3, 12, 0), 2820, (3, 3, 11, 1), (3, 3, 11, 1), "arrival"),
        # 01:30 by a clock that is 47 minutes behind is after the step in spring.
        ((2026, 3, 29, 1, 30), -2820, (3, 29, 1, 18), (3, 29, 1, 17), "name+correction"),
        # It made the step itself, 47 minutes late.
        ((2026, 3, 29, 3, 5), -2820, (3, 29, 1, 53), (3, 29, 1, 52), "name+correction"),
        # It never makes the step.
        ((2026, 3, 29, 2, 30), -2820, (3, 29, 2, 18), (3, 29, 2, 17), "gap+correction"),
        # The hour that it repeats, 47 minutes late: each pass by its arrival.
        ((2026, 10, 25, 2, 30), -2820, (10, 25, 1, 18), (10, 25, 1, 17), "name+arrival+correction"),
        ((2026, 10, 25, 2, 30), -2820, (10, 25, 2, 18), (10, 25, 2, 17), "name+arrival+correction"),
        ((2026, 10, 25, 2, 30), -2820, (10, 27, 0, 0), (10, 25, 1, 17), "guess+correction"),
    ],
)
def test_a_known_error_is_taken_off(
    wall: tuple[int, ...],
    ahead_s: int,
    arrived: tuple[int, ...],
    start: tuple[int, ...],
    source: str,
) -> None:
    """Names are settled on the camera's own clock, steps included, and then shifted."""
    come = datetime(2026, *arrived, tzinfo=UTC)  # type: ignore[arg-type]
    name = NameTimes(datetime(*wall), None, us(come), ahead_s * _S)  # type: ignore[arg-type]
    settled = by_either_way(name)
    assert settled.start == us(datetime(2026, *start, tzinfo=UTC))  # type: ignore[arg-type]
    assert settled.source == source
    if source.endswith("+correction"):
        assert settled.offset_s == ahead_s


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)),
    st.integers(-90_000, 90_000),
    st.integers(0, 7200),
    st.integers(0, 5),
)
def test_a_clock_that_is_off_gives_what_a_right_one_gives(
    true: datetime, ahead_s: int, length_s: int, late_s: int
) -> None:
    """A timely upload of a camera with a known error starts when it truly did, in any hour."""
    began = true.replace(microsecond=0, tzinfo=UTC)
    ended = began + timedelta(seconds=length_s)
    zone = BERLIN.zone
    shown = [
        (one + timedelta(seconds=ahead_s)).astimezone(zone).replace(tzinfo=None)
        for one in (began, ended)
    ]
    name = NameTimes(shown[0], max(shown), us(ended + timedelta(seconds=late_s)), ahead_s * _S)
    settled = by_either_way(name)
    assert settled.start == us(began) or settled.source.startswith("guess")
    assert settled.offset_s == (ahead_s or None)
