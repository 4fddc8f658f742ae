"""Wall-clock times and instants: conversion between them, also when clocks change.

A camera writes the time of its own wall clock, without a zone, into names. Everything after
`layouts` uses instants in UTC; only `wall_start` keeps the time from the name.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pano_analytics.errors import QueryError
from pano_analytics.model import zones

# Two wall-clock times in the same quarter of an hour have the same offset from UTC: no zone
# in the database changes within one (Lord Howe changes by half an hour).
_QUARTER_US = 15 * 60 * 1_000_000
# Quarter hours of a day. No zone in the database changes twice within three days.
_QUARTERS = 96
_EPOCH = datetime(1970, 1, 1)


CLOCKS_END_NS = 7_258_118_400 * 1_000_000_000
"""The year 2200 in Unix nanoseconds: later times are wrong, and could overflow a table."""
_UTC_NAMES = ("Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu")


def system_zone() -> str:
    """Return the IANA name of this computer's zone, or UTC if it has none."""
    candidates = [os.environ.get("TZ", ""), os.path.realpath("/etc/localtime"), _zone_of_file()]
    plain = (zones.plain_name(candidate) for candidate in candidates)
    name = next((name for name in plain if is_zone(name)), "UTC")
    return "UTC" if name in _UTC_NAMES else name


def _zone_of_file() -> str:
    try:
        return Path("/etc/timezone").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def is_zone(name: str) -> bool:
    """Return whether `name` is a zone that all parts of pano know, in IANA's spelling."""
    if name not in zones.names():
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def wall_to_utc(wall: datetime, zone: ZoneInfo, fold: int | None = None) -> datetime:
    """Return the instant (aware, UTC) of a naive wall-clock time in `zone`.

    In the repeated autumn hour, `fold` 1 means the second pass. A time in the skipped spring
    hour is taken as if the clock had not been changed.
    """
    return wall.replace(tzinfo=zone, fold=fold or 0).astimezone(UTC)


class WallClock:
    """Converts many wall-clock times of one zone to UTC, with few look-ups in the zone's rules."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._offsets: dict[tuple[int, int], int] = {}
        self._plain: dict[int, int | None] = {}

    def to_utc_us(self, wall: datetime, fold: int = 0) -> int:
        """Return the naive time `wall` as microseconds since 1970 UTC."""
        wall_us = epoch_us(wall)
        return wall_us - self._offset_us(wall_us // _QUARTER_US, fold)

    def is_plain(self, wall: datetime) -> bool:
        """Return whether the clock shows `wall` exactly once.

        It shows times of the repeated autumn hour twice, and skips those of a spring hour.
        """
        return self.plain_us(epoch_us(wall)) is not None

    def plain_us(self, wall_us: int) -> int | None:
        """Return a wall-clock time that is shown once as microseconds since 1970 UTC, else None.

        `wall_us` are microseconds since 1970 on the same clock (see `epoch_us`).
        """
        quarter = wall_us // _QUARTER_US
        try:
            offset = self._plain[quarter]
        except KeyError:
            offset = self._look_up(quarter)
        return None if offset is None else wall_us - offset

    def _look_up(self, quarter: int) -> int | None:
        """Store and return the offset of a quarter hour, or of its day if that has only one."""
        first = quarter - quarter % _QUARTERS
        offset = self._offset_once(first)
        if offset is not None and offset == self._offset_once(first + _QUARTERS):
            self._plain.update(dict.fromkeys(range(first, first + _QUARTERS), offset))
        else:
            self._plain[quarter] = self._offset_once(quarter)
        return self._plain[quarter]

    def _offset_once(self, quarter: int) -> int | None:
        """Return the offset of a quarter hour that the clock shows exactly once, else None."""
        try:
            before, after = self._offset_us(quarter, 0), self._offset_us(quarter, 1)
        except OverflowError:  # the day after the last one of the calendar
            return None
        return before if before == after else None

    def is_repeated(self, wall: datetime) -> bool:
        """Return whether the clock shows `wall` twice, before and after it is set back."""
        quarter = epoch_us(wall) // _QUARTER_US
        return self._offset_us(quarter, 0) > self._offset_us(quarter, 1)

    def _offset_us(self, quarter: int, fold: int) -> int:
        known = self._offsets.get((quarter, fold))
        if known is None:
            moment = _EPOCH + timedelta(microseconds=quarter * _QUARTER_US)
            offset = moment.replace(tzinfo=self.zone, fold=fold).utcoffset() or timedelta()
            known = self._offsets[quarter, fold] = offset // timedelta(microseconds=1)
        return known


def epoch_us(wall: datetime) -> int:
    """Return the microseconds from 1970-01-01 00:00 to the naive time `wall` on the same clock."""
    since = wall - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_epoch_us(value: int) -> datetime:
    """Return the aware UTC instant of microseconds since 1970 UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=value)


def sane(mtime_ns: int) -> int:
    """Return `mtime_ns` limited to 1970 until 2200.

    File systems store any number, and FTP clients may send any.
    """
    return min(max(mtime_ns, 0), CLOCKS_END_NS)


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """Return the calendar day of an aware `instant` in `zone`."""
    return instant.astimezone(zone).date()


def instant(value: Any, zone: ZoneInfo, name: str = "time") -> datetime | None:
    """Return a time given by a user as an aware UTC instant; None for None.

    Accepts text in ISO format, a date (its first moment), a datetime, a pandas Timestamp or a
    NumPy datetime64; naive times mean `zone`. Raises QueryError, which calls the argument
    `name`, for anything else, including NaT: a missing time does not mean "no limit".
    """
    if value is None:
        return None
    try:
        return _aware(_as_datetime(value, name), zone)
    except OverflowError:
        raise QueryError(
            f"{name}: expected a time between the years 2 and 9998; got {value!r}."
        ) from None


def _aware(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else wall_to_utc(moment, zone)


def wall_time(value: Any, name: str = "time") -> datetime:
    """Return a time given by a user as a naive time on some wall clock.

    Accepts what `instant` does, without a zone. Raises QueryError, which calls the argument
    `name`, for anything else.
    """
    moment = _as_datetime(value, name)
    if moment.tzinfo is not None:
        raise QueryError(f"{name}: expected a time without a time zone; got {value!r}.")
    return moment


def is_day(value: Any) -> bool:
    """Return whether a time was given as a calendar day, without a time of day."""
    if isinstance(value, str):
        return bool(re.fullmatch(r"[\d-]{8,10}", value.strip()))
    return isinstance(value, date) and not isinstance(value, datetime)


def _as_datetime(value: Any, name: str) -> datetime:
    if isinstance(value, str):
        return _parse(value, name)
    # Compared by name, so that reading file names does not import NumPy and pandas.
    if type(value).__module__ == "numpy" and type(value).__name__ == "datetime64":
        value = value.astype("datetime64[us]").item()
    # NaT is a datetime that equals nothing, itself included.
    if isinstance(value, datetime) and value == value:
        # A Timestamp has nanoseconds, which no upload has.
        plain = getattr(value, "to_pydatetime", None)
        return plain(warn=False) if plain else value
    if isinstance(value, date) and value == value:
        return datetime.combine(value, time())
    is_missing = value is None or type(value).__name__ in ("NaTType", "NAType")
    shown = f"{value!r}, a missing time" if is_missing else f"{value!r} ({type(value).__name__})"
    advice = " Leave the argument out for no limit." if is_missing else ""
    raise QueryError(
        f"{name}: expected a time such as '2026-11-17 14:00', a date or a datetime; "
        f"got {shown}.{advice}"
    )


def _parse(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise QueryError(
            f"{name}: expected a time such as '2026-11-17' or '2026-11-17 14:00', got {text!r}."
        ) from None
