"""Whose clock, and what happens at a step."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from shared_files import clip_path, lay, snapshot_path

from pano_analytics.ingest.clock import NameTimes, SettledTime, settle, time_from_name
from pano_analytics.ingest.run import ingest
from pano_analytics.library import Library
from pano_analytics.model.times import WallClock, epoch_us, from_epoch_us
from pano_analytics.settings import check

BERLIN = WallClock(ZoneInfo("Europe/Berlin"))
AUTUMN, SPRING = datetime(2025, 10, 26), datetime(2026, 3, 29)


def us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def one(start: datetime, arrived: datetime, end: datetime | None = None) -> SettledTime:
    return settle([NameTimes(start, end, us(arrived))], BERLIN)[0]


@pytest.mark.parametrize(
    ("wall", "arrived_utc", "start_utc", "source"),
    [
        # 02:30 CEST is 00:30 UTC, 02:30 CET is 01:30 UTC.
        ((2, 30), (0, 31), (0, 30), "name+arrival"),
        ((2, 30), (1, 31), (1, 30), "name+arrival"),
        ((2, 30), (1, 55), (1, 30), "name+arrival"),
        ((2, 30), (9, 0), (0, 30), "guess"),
    ],
)
def test_the_autumn_hour_is_settled_by_arrival(
    wall: tuple[int, int], arrived_utc: tuple[int, int], start_utc: tuple[int, int], source: str
) -> None:
    """The pass whose end the upload followed is meant; too late to tell is a guess, and says so."""
    settled = one(
        AUTUMN.replace(hour=wall[0], minute=wall[1]),
        AUTUMN.replace(hour=arrived_utc[0], minute=arrived_utc[1], tzinfo=UTC),
    )
    expected = AUTUMN.replace(hour=start_utc[0], minute=start_utc[1], tzinfo=UTC)
    assert from_epoch_us(settled.start) == expected
    assert settled.source == source


def test_neighbours_tell_what_came_too_late() -> None:
    """A late upload takes the pass of those of the same minutes that came in time."""
    soon, late = AUTUMN.replace(hour=1, minute=31, tzinfo=UTC), AUTUMN.replace(hour=9, tzinfo=UTC)
    names = [
        NameTimes(AUTUMN.replace(hour=2, minute=30), None, us(soon)),
        NameTimes(AUTUMN.replace(hour=2, minute=31), None, us(late)),
    ]
    settled = settle(names, BERLIN)
    assert [found.source for found in settled] == ["name+arrival", "name+neighbours"]
    assert settled[1].start - settled[0].start == 60_000_000


def test_a_clip_through_the_step_is_short() -> None:
    """02:59:50 to 02:00:20 is half a minute, not 23 hours: the clock was set back meanwhile."""
    start = AUTUMN.replace(hour=2, minute=59, second=50)
    end = AUTUMN.replace(hour=2, second=20) + timedelta(days=1)
    settled = one(start, AUTUMN.replace(hour=1, minute=1, tzinfo=UTC), end)
    assert settled.end is not None
    assert settled.end - settled.start == 30_000_000


def test_a_clip_that_runs_out_of_the_hour_is_of_the_second_pass() -> None:
    """02:59:50 to 03:00:10 can only be of the second pass, whenever it came."""
    start, end = AUTUMN.replace(hour=2, minute=59, second=50), AUTUMN.replace(hour=3, second=10)
    settled = one(start, AUTUMN.replace(day=28, tzinfo=UTC), end)
    assert from_epoch_us(settled.start) == AUTUMN.replace(hour=1, minute=59, second=50, tzinfo=UTC)
    assert settled.end is not None
    assert settled.end - settled.start == 20_000_000


def test_the_spring_gap_is_read_by_the_old_offset() -> None:
    """A camera that was not set names 02:30: an hour after 01:30 on its own clock."""
    settled = one(SPRING.replace(hour=2, minute=30), SPRING.replace(hour=1, minute=31, tzinfo=UTC))
    assert from_epoch_us(settled.start) == SPRING.replace(hour=1, minute=30, tzinfo=UTC)
    assert settled.source == "gap"


@pytest.mark.parametrize(
    "epoch", [datetime(2000, 1, 9), datetime(1970, 1, 1), datetime(2027, 1, 1)]
)
def test_a_wrong_clock_is_moved_as_a_whole(epoch: datetime) -> None:
    """Reset or ahead: times follow arrival, and keep the distances of the wrong clock."""
    truth = datetime(2026, 3, 3, 12, tzinfo=UTC)
    names = [
        NameTimes(epoch + timedelta(seconds=7), None, us(truth + timedelta(seconds=10))),
        NameTimes(epoch, epoch + timedelta(seconds=20), us(truth + timedelta(seconds=45))),
    ]
    shot, clip = settle(names, BERLIN)
    assert shot.source == clip.source == "arrival"
    assert shot.start - clip.start == 7_000_000
    assert clip.end is not None
    assert clip.end - clip.start == 20_000_000
    assert abs(shot.start - us(truth + timedelta(seconds=7))) <= 5_000_000
    assert shot.offset_s == clip.offset_s
    assert shot.offset_s is not None
    assert (shot.offset_s > 0) == (epoch.year > 2026)


def test_two_reboots_to_the_same_midnight_stay_apart() -> None:
    """Two pictures of the same false second that came a day apart are a day apart."""
    first, second = (datetime(2026, 3, day, 12, tzinfo=UTC) for day in (3, 4))
    names = [NameTimes(datetime(2000, 1, 1, 0, 0, 30), None, us(at)) for at in (first, second)]
    settled = settle(names, BERLIN)
    assert settled[1].start - settled[0].start == 24 * 3600 * 1_000_000


@given(st.datetimes(datetime(2006, 1, 1), datetime(2040, 1, 1)), st.integers(0, 86_400))
def test_a_plain_name_is_never_doubted(wall: datetime, delay_s: int) -> None:
    """Away from steps a name that came after its time stands as it is."""
    start = BERLIN.to_utc_us(wall)
    plain = time_from_name(epoch_us(wall), None, start + delay_s * 1_000_000, BERLIN)
    assert plain == (SettledTime(start, None, "name") if BERLIN.is_plain(wall) else None)


@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut"]),
    st.lists(st.datetimes(datetime(2005, 1, 1), datetime(2040, 1, 1)), min_size=1, max_size=20),
)
@example("Europe/Berlin", [datetime(2026, 10, 25, h, 30) for h in (0, 2, 12, 23)])
@example("Europe/Berlin", [datetime(2026, 3, 29, h, 30) for h in (0, 2, 12, 23)])
@example("America/Havana", [datetime(2026, 3, 8, 0, 30), datetime(2026, 3, 7, 23, 30)])
@example("America/Havana", [datetime(2026, 11, 1, 0, 30), datetime(2026, 10, 31, 23, 59)])
@example("Africa/Casablanca", [datetime(2026, 2, 15, 2, 30), datetime(2026, 2, 15, 1, 30)])
@example("Europe/Berlin", [datetime.max])
def test_a_clock_agrees_with_the_zone_in_any_order(name: str, walls: list[datetime]) -> None:
    """Offsets are stored for a whole day only if the zone has one offset all day."""
    zone = ZoneInfo(name)
    clock = WallClock(zone)
    for wall in walls:
        passes = {wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
        offset = passes.pop() if len(passes) == 1 else None
        known = clock.plain_us(epoch_us(wall))
        assert known == (None if offset is None else epoch_us(wall - offset))


@given(st.lists(st.integers(0, 7200), min_size=2, max_size=8, unique=True), st.randoms())
def test_the_order_of_names_does_not_matter(minutes: list[int], chance: object) -> None:
    """The same uploads settle the same whatever order they are listed in."""
    names = [
        NameTimes(
            datetime(2025, 10, 26, 1) + timedelta(seconds=second),
            None,
            us(datetime(2025, 10, 26, 1, 20, tzinfo=UTC)),
        )
        for second in minutes
    ]
    forward = dict(zip(names, settle(names, BERLIN), strict=True))
    shuffled = sorted(names, key=lambda said: hash((said.start, str(chance))))
    assert dict(zip(shuffled, settle(shuffled, BERLIN), strict=True)) == forward


def test_a_reset_clock_goes_the_whole_way(tmp_path: Path) -> None:
    """A camera back in 2000 lands on the day it uploaded, says so, and stays there."""
    (tmp_path / "uploads").mkdir()
    false = datetime(2000, 1, 9, 11, 54, 16)
    arrived = datetime(2026, 3, 3, 12, 0, 40)
    shot = tmp_path / "uploads" / snapshot_path("porch", false + timedelta(seconds=7))
    clip = tmp_path / "uploads" / clip_path("porch", false, false + timedelta(seconds=35))
    lay(b"x", shot, arrived - timedelta(seconds=25))
    lay(b"x", clip, arrived)
    settings = check({"zone": "UTC"}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )
    look = partial(ingest, settings, is_inspecting=False, is_full=True)
    look()
    library = Library.of(settings)
    media = library.media()
    assert set(media["time_source"]) == {"arrival"}
    assert {str(day.date()) for day in media["date"]} == {"2026-03-03"}
    assert {wall.year for wall in media["wall_start"]} == {2000}
    assert media["clock_offset_s"].notna().all()
    assert media["clip_id"].notna().sum() == 1
    before = library.generation
    assert look().tally.total == 0
    assert library.generation == before


def test_a_clock_carried_over_by_ftp_tells_no_arrival(tmp_path: Path) -> None:
    """Where even the file's time is of 2000, first sight stands, and is remembered."""
    (tmp_path / "uploads").mkdir()
    path = tmp_path / "uploads" / snapshot_path("porch", datetime(2000, 1, 9, 11, 54))
    lay(b"x", path)
    os.utime(path, (datetime(2000, 1, 9, 11, 54).timestamp(),) * 2)
    settings = check({"zone": "UTC"}).model_copy(
        update={"uploads": tmp_path / "uploads", "library": tmp_path / "library"}
    )
    ingest(settings, is_inspecting=False)
    first = Library.of(settings).media()
    lay(b"x", tmp_path / "uploads" / snapshot_path("porch", datetime(2000, 1, 9, 12)))
    ingest(settings, is_inspecting=False)
    again = Library.of(settings).media()
    assert abs(first["start"].iloc[0] - datetime.now(UTC)) < timedelta(minutes=5)
    assert first["start"].iloc[0] in list(again["start"])
