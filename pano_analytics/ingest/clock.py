"""When was it really: what a camera's clock said, held against when the upload arrived.

Most names need none of this. What does is the hour that autumn repeats, the
hour that spring skips, and clocks that were reset or run ahead. The rules and
their reasons stand in `docs/design/time.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pano_analytics.model.times import WallClock, epoch_us

_S = 1_000_000
# A camera's clock that says less was never set; no such camera uploads.
_CLOCKS_BEGIN = datetime(2005, 1, 1)
_CLOCKS_BEGIN_US = epoch_us(_CLOCKS_BEGIN)
# Clocks drift by seconds a day; so far ahead of its own arrival no name can be right.
AHEAD_US = 600 * _S
# An upload comes seconds to minutes after its end. Within this it tells the pass.
_EARLY_US, _LATE_US = 120 * _S, 1800 * _S
# Uploads of one clock keep their distance to it; another distance is another reboot.
_SAME_CLOCK_US = 600 * _S
_NEAR = timedelta(minutes=2)
_HALF_A_DAY = timedelta(hours=12)


class Said(NamedTuple):
    """What a name said, naive, and when the upload arrived (microseconds, UTC)."""

    start: datetime
    end: datetime | None
    arrived: int


class SettledTime(NamedTuple):
    """The settled span (microseconds, UTC), what it rests on, how far the clock was ahead."""

    start: int
    end: int | None
    source: str
    offset_s: float | None = None


def plainly(start: int, end: int | None, arrived: int, clock: WallClock) -> SettledTime | None:
    """Return the span as the name says it, or None where that may be wrong.

    All in microseconds: `start` and `end` on the camera's clock, `arrived` UTC.
    """
    started = clock.plain_us(start)
    if started is None or started > arrived + AHEAD_US or start < _CLOCKS_BEGIN_US:
        return None
    if end is None:
        return SettledTime(started, None, "name")
    ended = clock.plain_us(end)
    return None if ended is None else SettledTime(started, max(started, ended), "name")


def settle(names: Sequence[Said], clock: WallClock) -> list[SettledTime]:
    """Return what is settled for each of the doubtful `names` of one camera, in their order."""
    wrong = {n for n, said in enumerate(names) if _is_impossible(said, clock)}
    settled = dict(zip(wrong, _by_arrival([names[n] for n in wrong], clock), strict=True))
    passes = _passes([(n, said) for n, said in enumerate(names) if n not in wrong], clock)
    settled |= {n: _at_step(names[n], fold, source, clock) for n, fold, source in passes}
    return [settled[n] for n in range(len(names))]


def _is_impossible(said: Said, clock: WallClock) -> bool:
    return said.start < _CLOCKS_BEGIN or clock.to_utc_us(said.start) > said.arrived + AHEAD_US


def _by_arrival(names: Sequence[Said], clock: WallClock) -> Iterator[SettledTime]:
    """Yield times by arrival, keeping the distances that the wrong clock itself kept.

    All uploads of one wrong clock are moved by one offset, that of the upload
    that came quickest, so that a snapshot stays inside its clip.
    """
    leads = [_lead(said, clock) for said in names]
    for said, lead in zip(names, leads, strict=True):
        offset = max(other for other in leads if abs(other - lead) <= _SAME_CLOCK_US)
        start = clock.to_utc_us(said.start) - offset
        end = None if said.end is None else clock.to_utc_us(said.end) - offset
        yield SettledTime(start, end, "arrival", offset / _S)


def _lead(said: Said, clock: WallClock) -> int:
    return clock.to_utc_us(said.end or said.start) - said.arrived


def _passes(names: Sequence[tuple[int, Said]], clock: WallClock) -> Iterator[tuple[int, int, str]]:
    """Yield index, pass (0 before, 1 after the step) and what told it."""
    told = [(n, said, _pass_by_step(said, clock)) for n, said in names]
    known = [(said.start, fold[0]) for _, said, fold in told if fold]
    for n, said, fold in told:
        yield (n, *(fold or _pass_by_neighbours(said, known) or (0, "guess")))


def _pass_by_step(said: Said, clock: WallClock) -> tuple[int, str] | None:
    if not clock.is_repeated(said.start):
        return 0, "name" if clock.is_plain(said.start) else "gap"
    if said.end is not None and not clock.is_repeated(said.end):
        # It runs out of the repeated hour on its own: that is the second pass.
        return 1, "name"
    late = said.arrived - clock.to_utc_us(said.end or said.start, 1)
    if late < -_EARLY_US:
        return 0, "name+arrival"
    return (1, "name+arrival") if late <= _LATE_US else None


def _pass_by_neighbours(
    said: Said, known: Iterable[tuple[datetime, int]]
) -> tuple[int, str] | None:
    near = {fold for start, fold in known if abs(start - said.start) <= _NEAR}
    return (near.pop(), "name+neighbours") if len(near) == 1 else None


def _at_step(said: Said, fold: int, source: str, clock: WallClock) -> SettledTime:
    start = clock.to_utc_us(said.start, fold)
    if said.end is None:
        return SettledTime(start, None, source)
    end = clock.to_utc_us(said.end, fold if clock.is_repeated(said.end) else 0)
    if said.end - said.start > _HALF_A_DAY and clock.is_repeated(said.end - timedelta(days=1)):
        # Not a clip of 23 hours: the clock was set back while it ran.
        start = clock.to_utc_us(said.start, 0)
        end = clock.to_utc_us(said.end - timedelta(days=1), 1)
    return SettledTime(start, max(start, end), source)
