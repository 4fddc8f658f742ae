"""The true time of an upload, from the camera's clock and the time of arrival.

Most names need none of this. Needed for the repeated autumn hour, the skipped spring hour,
clocks that were reset or run ahead, and clocks that are known to have been wrong (a name is
settled on the camera's own clock, then shifted). `docs/design/time.md` explains the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pano_analytics.model.corrections import CORRECTED
from pano_analytics.model.times import WallClock, epoch_us

_S = 1_000_000
# A camera's clock with an earlier time was never set: no camera of that time uploads.
_CLOCKS_BEGIN_US = epoch_us(datetime(2005, 1, 1))
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
    """The naive times in a name, and when the upload arrived (microseconds since 1970 UTC).

    `ahead` is how far the camera's clock is known to have been ahead, in microseconds.
    """

    start: datetime
    end: datetime | None
    arrived: int
    ahead: int = 0


class SettledTime(NamedTuple):
    """The true span (microseconds since 1970 UTC), its source, and how far the clock was ahead."""

    start: int
    end: int | None
    source: str
    offset_s: float | None = None


def time_from_name(
    start: int, end: int | None, arrived: int, clock: WallClock, ahead: int = 0
) -> SettledTime | None:
    """Return the span as given by the name, or None if that may be wrong.

    All in microseconds since 1970: `start` and `end` on the camera's clock, `arrived` UTC.
    `ahead` is how far that clock is known to have been ahead, in microseconds.
    """
    started = clock.plain_us(start)
    if started is None or started - ahead > arrived + AHEAD_US or start - ahead < _CLOCKS_BEGIN_US:
        return None
    ended = None if end is None else clock.plain_us(end)
    if end is not None and ended is None:
        return None
    settled = SettledTime(started, ended if ended is None else max(started, ended), "name")
    return _corrected(settled, ahead) if ahead else settled


def time_of_pass(times: NameTimes, fold: int, clock: WallClock) -> SettledTime:
    """Return the true span of a name that itself says which pass (0 or 1) is meant."""
    start = clock.to_utc_us(times.start, fold)
    end = None if times.end is None else clock.to_utc_us(times.end, fold)
    settled = SettledTime(start, end if end is None else max(start, end), "name")
    return _corrected(settled, _believed(times, clock).ahead)


def _corrected(settled: SettledTime, ahead: int) -> SettledTime:
    """Return a time settled on a clock that was `ahead` microseconds ahead as the true one."""
    if not ahead:
        return settled
    start, end, source, _ = settled
    end = None if end is None else end - ahead
    return SettledTime(start - ahead, end, source + CORRECTED, ahead / _S)


def settle(names: Sequence[NameTimes], clock: WallClock) -> list[SettledTime]:
    """Return the true span for each of the doubtful `names` of one camera, in their order."""
    names = [_believed(times, clock) for times in names]
    wrong = {n for n, times in enumerate(names) if _is_impossible(times, clock)}
    settled = dict(zip(wrong, _by_arrival([names[n] for n in wrong], clock), strict=True))
    passes = _passes([(n, times) for n, times in enumerate(names) if n not in wrong], clock)
    for n, fold, source in passes:
        settled[n] = _corrected(_at_step(names[n], fold, source, clock), names[n].ahead)
    return [settled[n] for n in range(len(names))]


def _believed(times: NameTimes, clock: WallClock) -> NameTimes:
    """Return a name without its correction if that gives an impossible time.

    The clock was then right already, or wrong in another way.
    """
    is_wrong = times.ahead != 0 and _is_impossible(times, clock)
    return times._replace(ahead=0) if is_wrong else times


def _is_impossible(times: NameTimes, clock: WallClock) -> bool:
    if epoch_us(times.start) - times.ahead < _CLOCKS_BEGIN_US:
        return True
    return clock.to_utc_us(times.start) - times.ahead > times.arrived + AHEAD_US


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
    # By the camera's own clock, as it was at the arrival.
    late = times.arrived + times.ahead - clock.to_utc_us(times.end or times.start, 1)
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
