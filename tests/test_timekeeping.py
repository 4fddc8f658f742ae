"""How much time has passed, whatever the clock of this computer is set to."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from clocks import Box, box_at, utc
from hypothesis import given
from hypothesis import strategies as st

from pano_analytics.errors import LibraryError
from pano_analytics.store import timekeeping
from pano_analytics.store.storage import Storage
from pano_analytics.store.timekeeping import (
    APART_US,
    OFF_US,
    Behind,
    ClockDoubt,
    ClockMemory,
    advance,
)

NOW = utc(2026, 3, 20, 12)
DAY_US = 86_400_000_000
OFF = timedelta(microseconds=OFF_US)


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    return box_at(monkeypatch, NOW)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    (tmp_path / "library").mkdir()
    return Storage(tmp_path / "library")


def passed(storage: Storage, since: timekeeping.Time) -> timedelta:
    return timedelta(microseconds=timekeeping.keep(storage).at_us - since.at_us)


def test_time_passes(box: Box, storage: Storage) -> None:
    """Within one run of the computer elapsed time is known exactly, however long nobody looked."""
    first = timekeeping.keep(storage)
    assert (first.doubt, abs(first.now() - NOW) < timedelta(seconds=1)) == (None, True)
    box.pass_by(days=90)
    assert abs(passed(storage, first) - timedelta(days=90)) < timedelta(seconds=1)
    assert timekeeping.read_time(storage).doubt is None


@pytest.mark.parametrize("days", [730, 40, 0.01, -0.01, -40, -4000])
def test_a_leap_is_told_and_no_time_passes_by_it(box: Box, storage: Storage, days: float) -> None:
    """Ahead or behind, the clock is in doubt until it is set right again."""
    first = timekeeping.keep(storage)
    box.pass_by(hours=1)
    box.leap(days=days)
    moment = passed(storage, first)
    is_half_a_day = timedelta() < box.wrong_by <= OFF
    expected = timedelta(hours=1) + (box.wrong_by if is_half_a_day else timedelta())
    assert abs(moment - expected) < timedelta(seconds=1)
    found = timekeeping.read_time(storage)
    if abs(days) < 1:  # as if the computer had been off: half a day needs no question
        assert (found.doubt is None) is (days > 0)
    else:
        assert found.doubt is not None
        assert f"{abs(days) / 365.25:.0f}" in found.doubt or f"{abs(days):.0f} days" in found.doubt
        assert ("ahead" in found.doubt) is (days > 0)
        assert "pano clock --confirm" in found.doubt
        with pytest.raises(ClockDoubt, match="nothing is deleted"):
            found.require()
    box.set_right()
    assert days > 0 or timekeeping.keep(storage).doubt is None


def test_a_clock_that_was_wrong_for_one_run_heals_by_itself(box: Box, storage: Storage) -> None:
    """Two years ahead once, then right: agreed again, and no time was lost or won."""
    first = timekeeping.keep(storage)
    box.leap(days=730)
    assert timekeeping.keep(storage).doubt
    box.pass_by(hours=2)
    box.set_right()
    found = timekeeping.keep(storage)
    assert found.doubt is None
    assert abs(passed(storage, first) - timedelta(hours=2)) < timedelta(seconds=1)
    assert found.behind() == ()


def test_what_the_owner_confirms_is_right(box: Box, storage: Storage) -> None:
    """A computer that was 40 days behind, set right: confirmed, and no time passed by it."""
    box.leap(days=-40)
    first = timekeeping.keep(storage)
    box.pass_by(days=2)
    timekeeping.keep(storage)
    box.set_right()
    assert timekeeping.keep(storage).doubt
    assert timekeeping.confirm(storage).doubt is None
    assert timekeeping.keep(storage).doubt is None
    assert abs(passed(storage, first) - timedelta(days=2)) < timedelta(seconds=1)
    [behind] = timekeeping.read_time(storage).behind()
    assert abs(behind.by_us - 40 * DAY_US) < APART_US
    assert behind.to_us - behind.from_us == pytest.approx(2 * DAY_US, abs=APART_US)


def test_off_for_a_night(box: Box, storage: Storage) -> None:
    """Half a day without power counts as passed; a holiday is asked about."""
    first = timekeeping.keep(storage)
    box.restart(hours=9)
    assert abs(passed(storage, first) - timedelta(hours=9)) < timedelta(minutes=1)
    box.restart(days=20)
    assert abs(passed(storage, first) - timedelta(hours=9)) < timedelta(minutes=1)
    assert "20 days ahead" in (timekeeping.read_time(storage).doubt or "")
    timekeeping.confirm(storage)
    assert timekeeping.keep(storage).doubt is None
    assert abs(passed(storage, first) - timedelta(hours=9)) < timedelta(minutes=1)


def test_a_computer_without_a_battery(box: Box, storage: Storage) -> None:
    """It starts at the time it went off, and a time server sets it: no question is asked."""
    first = timekeeping.keep(storage)
    box.restart(lost=timedelta(hours=6), hours=6)
    assert timekeeping.keep(storage).doubt is None
    box.pass_by(minutes=5)
    box.set_right()
    assert timekeeping.keep(storage).doubt is None
    assert abs(passed(storage, first) - timedelta(hours=6, minutes=5)) < timedelta(minutes=1)


def test_a_computer_that_starts_in_the_past(box: Box, storage: Storage) -> None:
    """In doubt from the first look, and known to have been behind once it was set right."""
    first = timekeeping.keep(storage)
    box.restart(lost=timedelta(days=40), minutes=1)
    found = timekeeping.keep(storage)
    assert "behind" in (found.doubt or "")
    assert len(found.behind()) == 1
    box.pass_by(hours=5)
    box.set_right()
    found = timekeeping.keep(storage)
    assert found.doubt is None
    [behind] = found.behind()
    assert abs(behind.by_us - 40 * DAY_US) < APART_US
    assert abs(passed(storage, first) - timedelta(hours=5)) < timedelta(minutes=2)


def test_it_drifts(box: Box, storage: Storage) -> None:
    """Small corrections need no word, even where they add up over years."""
    timekeeping.keep(storage)
    for _ in range(300):
        box.pass_by(days=7)
        box.leap(seconds=300)
        assert timekeeping.keep(storage).doubt is None


def test_many_small_steps_are_a_leap(box: Box, storage: Storage) -> None:
    """Nobody moves the clock by weeks in steps too small to notice."""
    timekeeping.keep(storage)
    for _ in range(200):
        box.pass_by(minutes=1)
        box.leap(minutes=9)
        timekeeping.keep(storage)
    assert "ahead" in (timekeeping.read_time(storage).doubt or "")


def test_without_a_page_the_journal_and_the_heartbeat_tell(box: Box, storage: Storage) -> None:
    """Of a library older than the page, or one that lost it, the last notes are what was known."""
    storage.replace(
        "state/heartbeat.json",
        b'{"format": 1, "finished": "%s"}' % (NOW - timedelta(hours=5)).isoformat().encode(),
    )
    found = timekeeping.read_time(storage)
    assert (found.doubt, abs(found.now() - NOW) < timedelta(seconds=1)) == (None, True)
    box.leap(days=300)
    assert "ahead" in (timekeeping.read_time(storage).doubt or "")
    box.leap(days=-600)
    assert "behind" in (timekeeping.read_time(storage).doubt or "")
    assert not storage.exists(timekeeping.PAGE)


def test_a_torn_page_says_so(box: Box, storage: Storage) -> None:
    timekeeping.keep(storage)
    storage.replace(timekeeping.PAGE, b'{"format": 1')
    with pytest.raises(LibraryError, match="pano restore"):
        timekeeping.read_time(storage)


# --- for any history --------------------------------------------------------------

_HOURS = st.floats(0, 2000)
_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), _HOURS),
        st.tuples(st.just("leap"), st.floats(-30_000, 30_000)),
        st.tuples(st.just("right"), st.just(0.0)),
        st.tuples(st.just("off"), _HOURS),
    ),
    max_size=12,
)


@given(_EVENTS)
def test_it_never_runs_backwards_nor_faster_than_time(events: list[tuple[str, float]]) -> None:
    """For any history: no more time passed than truly did, but for half a day for each start."""
    box = Box(NOW)
    known = ClockMemory.begun(0, box.clocks())
    for what, hours in events:
        was, before, starts = known.time_us, box.true, box.starts
        if what == "pass":
            box.pass_by(hours=hours)
        elif what == "leap":
            box.leap(hours=hours)
        elif what == "right":
            box.set_right()
        else:
            box.restart(hours=hours)
        known = advance(known, box.clocks())
        assert known.time_us >= was
        if what == "pass":
            assert known.time_us - was >= (box.true - before) // timedelta(microseconds=1) - 1
        assert box.starts - starts in (0, 1)
    awake = sum(hours for what, hours in events if what == "pass") * 3_600_000_000
    assert awake <= known.time_us + 1 <= awake + (box.starts + 1) * OFF_US + 1000


def test_names_are_held_against_the_right_time() -> None:
    """An arrival of a clock that was behind is corrected where the name agrees, and not else."""
    behind = (Behind(0, 100 * DAY_US, 40 * DAY_US),)

    def right(arrived: float, named: float) -> float:
        found = timekeeping.corrected_us(behind, int(arrived * DAY_US), int(named * DAY_US))
        return found / DAY_US

    assert right(50, 90) == 90
    assert right(50, 89.9) == pytest.approx(89.9)
    assert right(50, 91) == 50
    assert right(50, 60) == 50
    assert right(150, 190) == 150
    assert datetime.fromtimestamp(0).year <= 1970
