"""The true time of an upload, from the camera's clock and the time of arrival.

Most names need none of this. Needed for the repeated autumn hour, the skipped spring hour,
and clocks that were reset or run ahead. `docs/design/time.md` explains the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pano_analytics.model.times import WallClock, epoch_us

_S = 1_000_000
# A camera's clock with an earlier time was never set: no camera of that time uploads.
_CLOCKS_BEGIN = datetime(2005, 1, 1)
_CLOCKS_BEGIN_US = epoch_us(_CLOCKS_BEGIN)
# Clocks drift by seconds per day; a name this far ahead of its own arrival must be wrong.
AHEAD_US = 600 * _S
# An upload arrives seconds to minutes after its end. Within these limits, its arrival shows
# which pass of the repeated hour is meant.
_EARLY_US, _LATE_US = 120 * _S, 1800 * _S
# Uploads of one wrong clock have the same offset; another offset means another reboot.
_SAME_CLOCK_US = 600 * _S
_NEAR = timedelta(minutes=2)
_HALF_A_DAY = timedelta(hours=12)


class NameTimes(NamedTuple):
    """The naive times in a name, and when the upload arrived (microseconds since 1970 UTC)."""

    start: datetime
    end: datetime | None
    arrived: int


class SettledTime(NamedTuple):
    """The true span (microseconds since 1970 UTC), its source, and how far the clock was ahead."""

    start: int
    end: int | None
    source: str
    offset_s: float | None = None


def time_from_name(
    start: int, end: int | None, arrived: int, clock: WallClock
) -> SettledTime | None:
    """Return the span as given by the name, or None if that may be wrong.

    All in microseconds since 1970: `start` and `end` on the camera's clock, `arrived` UTC.
    """
    started = clock.plain_us(start)
    if started is None or started > arrived + AHEAD_US or start < _CLOCKS_BEGIN_US:
        return None
    if end is None:
        return SettledTime(started, None, "name")
    ended = clock.plain_us(end)
    return None if ended is None else SettledTime(started, max(started, ended), "name")


def settle(names: Sequence[NameTimes], clock: WallClock) -> list[SettledTime]:
    """Return the true span for each of the doubtful `names` of one camera, in their order."""
    wrong = {n for n, times in enumerate(names) if _is_impossible(times, clock)}
    settled = dict(zip(wrong, _by_arrival([names[n] for n in wrong], clock), strict=True))
    passes = _passes([(n, times) for n, times in enumerate(names) if n not in wrong], clock)
    settled |= {n: _at_step(names[n], fold, source, clock) for n, fold, source in passes}
    return [settled[n] for n in range(len(names))]


def _is_impossible(times: NameTimes, clock: WallClock) -> bool:
    return times.start < _CLOCKS_BEGIN or clock.to_utc_us(times.start) > times.arrived + AHEAD_US


def _by_arrival(names: Sequence[NameTimes], clock: WallClock) -> Iterator[SettledTime]:
    """Yield times based on arrival that keep the intervals of the wrong clock.

    All uploads of one wrong clock are shifted by the same offset, that of the upload that
    arrived fastest, so that a snapshot stays inside its clip.
    """
    leads = [_lead(times, clock) for times in names]
    for times, lead in zip(names, leads, strict=True):
        offset = max(other for other in leads if abs(other - lead) <= _SAME_CLOCK_US)
        start = clock.to_utc_us(times.start) - offset
        end = None if times.end is None else clock.to_utc_us(times.end) - offset
        yield SettledTime(start, end, "arrival", offset / _S)


def _lead(times: NameTimes, clock: WallClock) -> int:
    return clock.to_utc_us(times.end or times.start) - times.arrived


def _passes(
    names: Sequence[tuple[int, NameTimes]], clock: WallClock
) -> Iterator[tuple[int, int, str]]:
    """Yield the index, the pass (0 before, 1 after the change) and its source."""
    known_passes = [(n, times, _pass_by_step(times, clock)) for n, times in names]
    known = [(times.start, fold[0]) for _, times, fold in known_passes if fold]
    for n, times, fold in known_passes:
        yield (n, *(fold or _pass_by_neighbours(times, known) or (0, "guess")))


def _pass_by_step(times: NameTimes, clock: WallClock) -> tuple[int, str] | None:
    if not clock.is_repeated(times.start):
        return 0, "name" if clock.is_plain(times.start) else "gap"
    if times.end is not None and not clock.is_repeated(times.end):
        # It ends after the repeated hour, so it began in the second pass.
        return 1, "name"
    late = times.arrived - clock.to_utc_us(times.end or times.start, 1)
    if late < -_EARLY_US:
        return 0, "name+arrival"
    return (1, "name+arrival") if late <= _LATE_US else None


def _pass_by_neighbours(
    times: NameTimes, known: Iterable[tuple[datetime, int]]
) -> tuple[int, str] | None:
    near = {fold for start, fold in known if abs(start - times.start) <= _NEAR}
    return (near.pop(), "name+neighbours") if len(near) == 1 else None


def _at_step(times: NameTimes, fold: int, source: str, clock: WallClock) -> SettledTime:
    start = clock.to_utc_us(times.start, fold)
    if times.end is None:
        return SettledTime(start, None, source)
    end = clock.to_utc_us(times.end, fold if clock.is_repeated(times.end) else 0)
    if times.end - times.start > _HALF_A_DAY and clock.is_repeated(times.end - timedelta(days=1)):
        # Not a clip of 23 hours: the clock was set back while it ran.
        start = clock.to_utc_us(times.start, 0)
        end = clock.to_utc_us(times.end - timedelta(days=1), 1)
    return SettledTime(start, max(start, end), source)
