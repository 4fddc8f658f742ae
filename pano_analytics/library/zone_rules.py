"""Differences between zone databases, and their correction in SQL.

DuckDB has its own built-in zone database, which cannot be replaced. If its rules for the
library's zone differ from those that the rest of pano uses, the instants that SQL sees are
shifted so that DuckDB shows the clock time of the newer rules, and results are shifted back.
A statement that uses instants in any other way would then be wrong, and is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd

from pano_analytics.errors import QueryError

# No camera uploaded before 2000; and zone rules for later years may still change.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_YEARS_AHEAD = 2
_DAY, _QUARTER = 86_400, 900
_US = 1_000_000
# SQL that uses instants other than by the library's own clock.
_OTHER_CLOCK = re.compile(
    r"\bepoch\w*\s*\(|\bto_timestamp\s*\(|\bnow\s*\(|\bcurrent_|\bget_current_|\bmake_timestamptz\b"
    r"|\btimezone\s*\(|\btransaction_timestamp\b|\btoday\s*\(|\d\d:\d\d\S*([zZ]|[+-]\d\d(:?\d\d)?)'",
    re.IGNORECASE,
)
_AT_ZONE = re.compile(r"\bAT\s+TIME\s+ZONE\s+(?P<zone>'[^']*'|\S+)", re.IGNORECASE)


class Shift(NamedTuple):
    """A shift of instants: `by[i]` microseconds from `begins[i]` (µs since 1970) on."""

    begins: np.ndarray
    by: np.ndarray

    def to_duckdb(self, moments: np.ndarray) -> np.ndarray:
        """Return instants (µs since 1970) shifted for DuckDB."""
        by = np.asarray(self.by[np.searchsorted(self.begins, moments, side="right") - 1])
        return np.asarray(moments + by)

    def from_duckdb(self, moments: np.ndarray) -> np.ndarray:
        """Return shifted instants (µs since 1970) shifted back."""
        seen = np.maximum.accumulate(self.begins + self.by)
        seen[0] = self.begins[0]
        by = np.asarray(self.by[np.searchsorted(seen, moments, side="right") - 1])
        return np.asarray(moments - by)

    def sql(self, column: str) -> str:
        """Return SQL for a column of instants, shifted for DuckDB."""
        steps = zip(self.begins[1:].tolist(), self.by[:-1].tolist(), strict=True)
        cases = " ".join(f"WHEN epoch_us({column}) < {end} THEN {by}" for end, by in steps)
        return f"{column} + to_microseconds(CASE {cases} ELSE {self.by[-1]} END)"

    def frame(self, answer: pd.DataFrame) -> pd.DataFrame:
        """Return a result with its instants shifted back."""
        columns = [self.column(answer.iloc[:, at]) for at in range(answer.shape[1])]
        return pd.concat(columns, axis=1) if columns else answer

    def values(self, values: Any) -> Any:
        """Return the parameters of a statement, shifted for DuckDB."""
        if isinstance(values, dict):
            return {name: self.value(value) for name, value in values.items()}
        return self.value(values)

    def column(self, series: pd.Series[Any]) -> pd.Series[Any]:
        """Return a column of a result with its instants shifted back."""
        if not isinstance(series.dtype, pd.DatetimeTZDtype):
            return series
        known = series.notna().to_numpy()
        moments = series.dt.as_unit("us").astype("int64").to_numpy().copy()
        moments[known] = self.from_duckdb(moments[known])
        utc = pd.Series(
            moments.view("datetime64[us]"), series.index, name=series.name
        ).dt.tz_localize("UTC")
        return utc.dt.tz_convert(series.dt.tz)

    def value(self, value: Any) -> Any:
        """Return a parameter of a statement, shifted for DuckDB if it is an aware time."""
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, datetime) or value.tzinfo is None:
            return value
        seconds = np.array([int(value.timestamp()) * _US])
        return value + timedelta(microseconds=int((self.to_duckdb(seconds) - seconds)[0]))


def shift(database: duckdb.DuckDBPyConnection, name: str) -> Shift | None:
    """Return how to shift instants for DuckDB in the zone `name`; None if its rules agree."""
    zone = ZoneInfo(name)

    def by_at(moments: np.ndarray) -> np.ndarray:
        return _distances(database, name, moments, _offsets(zone, moments))

    moments = _grid(lambda days: by_at(days) + _offsets(zone, days))
    by = by_at(moments)
    if not by.any():
        return None
    changes = np.flatnonzero(np.diff(by, prepend=by[0] + 1))
    return Shift(moments[changes] * _US, by[changes] * _US)


def _grid(value_at: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return moments (seconds since 1970): every day, and every quarter hour near changes."""
    until = int((datetime.now(UTC) + timedelta(days=366 * _YEARS_AHEAD)).timestamp())
    days = np.arange(int(_FIRST.timestamp()), until, _DAY)
    changed = days[1:][np.diff(value_at(days)) != 0]
    around = (changed[:, None] + np.arange(-2 * _DAY, _DAY, _QUARTER)[None, :]).ravel()
    return np.unique(np.concatenate([days, around]))


def _offsets(zone: ZoneInfo, moments: np.ndarray) -> np.ndarray:
    offsets = (datetime.fromtimestamp(one, zone).utcoffset() for one in moments.tolist())
    return np.array([int((one or timedelta()).total_seconds()) for one in offsets])


def _distances(
    database: duckdb.DuckDBPyConnection, name: str, moments: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return seconds from each moment to the one at which DuckDB shows the same clock time."""
    frame = pd.DataFrame({"moment": moments, "wall": (moments + offsets) * _US})
    cursor = database.cursor()
    cursor.register("walls", frame)
    # A time in the repeated autumn hour is two moments: keep the moment itself if it fits.
    result = cursor.sql(
        f"SELECT CASE WHEN timezone('{name}', to_timestamp(moment)) = make_timestamp(wall) "
        f"THEN moment ELSE epoch_us(timezone('{name}', make_timestamp(wall))) // {_US} END "
        "AS seen FROM walls"
    ).to_arrow_table()
    cursor.unregister("walls")
    return np.asarray(result["seen"].to_numpy() - moments)


def expect_own_clock(statement: str, zone: str) -> None:
    """Raise QueryError for a statement that uses instants by a clock other than that of `zone`."""
    other = _OTHER_CLOCK.search(statement)
    zones = (match["zone"] for match in _AT_ZONE.finditer(statement))
    if other or any(one.strip("'") != zone for one in zones):
        raise QueryError(
            f"expected a statement that uses no time zone other than {zone}: DuckDB's rules for "
            f"this zone are older than the newest zone database, and pano can correct only this "
            f"zone. "
            f"Leave out {other[0] if other else 'AT TIME ZONE'!r}; give aware times in params."
        )


def differing(name: str, folder: Path) -> tuple[datetime, datetime] | None:
    """Return the first and last day on which the zone database in `folder` differs.

    Days (aware, UTC) up to a year before and after now are compared. None if the database
    agrees about the zone `name`, or does not have it.
    """
    try:
        with (folder / name).open("rb") as file:
            other = ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError):
        return None
    return _first_and_last(
        day for day in _days_about_now() if _at(ZoneInfo(name), day) != _at(other, day)
    )


def differing_in_duckdb(name: str) -> tuple[datetime, datetime] | None:
    """Return the first and last day on which DuckDB's own rules for the zone `name` differ.

    Days (aware, UTC) up to a year before and after now are compared. None if they agree.
    """
    with duckdb.connect() as database:
        difference = shift(database, name)
    if difference is None:
        return None
    days = _days_about_now()
    moments = np.array([int(day.timestamp()) * _US for day in days])
    by = (difference.to_duckdb(moments) - moments).tolist()
    return _first_and_last(day for day, shifted in zip(days, by, strict=True) if shifted)


def _days_about_now() -> list[datetime]:
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return [today + timedelta(days=count) for count in range(-366, 367)]


def _at(zone: ZoneInfo, moment: datetime) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _first_and_last(days: Iterable[datetime]) -> tuple[datetime, datetime] | None:
    chosen = list(days)
    return (chosen[0], chosen[-1]) if chosen else None
