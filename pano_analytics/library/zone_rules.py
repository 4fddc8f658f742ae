"""Where two zone databases disagree about one zone, and SQL made to agree all the same.

DuckDB brings a zone database of its own, which nothing can replace. Where its rules for the
library's zone are not those that the rest of pano uses, the instants that SQL sees are
shifted such that DuckDB shows the clock that the newer rules show, and answers are shifted
back. A statement that names instants in another way would be wrong then, and is refused.
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

# No camera uploaded before; and what is planned for later may still be changed.
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
_YEARS_AHEAD = 2
_DAY, _QUARTER = 86_400, 900
_US = 1_000_000
# Instants that are not of the library's own clock.
_OTHER_CLOCK = re.compile(
    r"\bepoch\w*\s*\(|\bto_timestamp\s*\(|\bnow\s*\(|\bcurrent_|\bget_current_|\bmake_timestamptz\b"
    r"|\btimezone\s*\(|\btransaction_timestamp\b|\btoday\s*\(|\d\d:\d\d\S*([zZ]|[+-]\d\d(:?\d\d)?)'",
    re.IGNORECASE,
)
_AT_ZONE = re.compile(r"\bAT\s+TIME\s+ZONE\s+(?P<zone>'[^']*'|\S+)", re.IGNORECASE)


class Shift(NamedTuple):
    """By how many microseconds to shift instants: `by[i]` from `begins[i]` (µs since 1970) on."""

    begins: np.ndarray
    by: np.ndarray

    def there(self, moments: np.ndarray) -> np.ndarray:
        """Return instants (µs) as DuckDB is to see them."""
        by = np.asarray(self.by[np.searchsorted(self.begins, moments, side="right") - 1])
        return np.asarray(moments + by)

    def back(self, moments: np.ndarray) -> np.ndarray:
        """Return what DuckDB answered as the instants that are meant."""
        seen = np.maximum.accumulate(self.begins + self.by)
        seen[0] = self.begins[0]
        by = np.asarray(self.by[np.searchsorted(seen, moments, side="right") - 1])
        return np.asarray(moments - by)

    def sql(self, column: str) -> str:
        """Return SQL for a column of instants as DuckDB is to see them."""
        steps = zip(self.begins[1:].tolist(), self.by[:-1].tolist(), strict=True)
        cases = " ".join(f"WHEN epoch_us({column}) < {end} THEN {by}" for end, by in steps)
        return f"{column} + to_microseconds(CASE {cases} ELSE {self.by[-1]} END)"

    def frame(self, answer: pd.DataFrame) -> pd.DataFrame:
        """Return an answer with its instants as they are meant."""
        columns = [self.column(answer.iloc[:, at]) for at in range(answer.shape[1])]
        return pd.concat(columns, axis=1) if columns else answer

    def values(self, values: Any) -> Any:
        """Return the parameters of a statement as DuckDB is to see them."""
        if isinstance(values, dict):
            return {name: self.value(value) for name, value in values.items()}
        return self.value(values)

    def column(self, series: pd.Series[Any]) -> pd.Series[Any]:
        """Return a column of an answer as the instants that are meant."""
        if not isinstance(series.dtype, pd.DatetimeTZDtype):
            return series
        known = series.notna().to_numpy()
        moments = series.dt.as_unit("us").astype("int64").to_numpy().copy()
        moments[known] = self.back(moments[known])
        utc = pd.Series(
            moments.view("datetime64[us]"), series.index, name=series.name
        ).dt.tz_localize("UTC")
        return utc.dt.tz_convert(series.dt.tz)

    def value(self, value: Any) -> Any:
        """Return a parameter of a statement as DuckDB is to see it."""
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, datetime) or value.tzinfo is None:
            return value
        seconds = np.array([int(value.timestamp()) * _US])
        return value + timedelta(microseconds=int((self.there(seconds) - seconds)[0]))


def shift(database: duckdb.DuckDBPyConnection, name: str) -> Shift | None:
    """Return how instants must be shifted for DuckDB in the zone `name`; None where it agrees."""
    zone = ZoneInfo(name)

    def by_at(moments: np.ndarray) -> np.ndarray:
        return _sought(database, name, moments, _offsets(zone, moments))

    moments = _grid(lambda days: by_at(days) + _offsets(zone, days))
    by = by_at(moments)
    if not by.any():
        return None
    changes = np.flatnonzero(np.diff(by, prepend=by[0] + 1))
    return Shift(moments[changes] * _US, by[changes] * _US)


def _grid(value_at: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return moments (seconds): each day, and each quarter of an hour about days with a change."""
    until = int((datetime.now(UTC) + timedelta(days=366 * _YEARS_AHEAD)).timestamp())
    days = np.arange(int(_FIRST.timestamp()), until, _DAY)
    changed = days[1:][np.diff(value_at(days)) != 0]
    around = (changed[:, None] + np.arange(-2 * _DAY, _DAY, _QUARTER)[None, :]).ravel()
    return np.unique(np.concatenate([days, around]))


def _offsets(zone: ZoneInfo, moments: np.ndarray) -> np.ndarray:
    found = (datetime.fromtimestamp(one, zone).utcoffset() for one in moments.tolist())
    return np.array([int((one or timedelta()).total_seconds()) for one in found])


def _sought(
    database: duckdb.DuckDBPyConnection, name: str, moments: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return how far from each moment the one lies at which DuckDB's clock shows the same."""
    frame = pd.DataFrame({"moment": moments, "wall": (moments + offsets) * _US})
    cursor = database.cursor()
    cursor.register("walls", frame)
    # The repeated hour of autumn is two moments: the moment itself is kept where it may be.
    found = cursor.sql(
        f"SELECT CASE WHEN timezone('{name}', to_timestamp(moment)) = make_timestamp(wall) "
        f"THEN moment ELSE epoch_us(timezone('{name}', make_timestamp(wall))) // {_US} END "
        "AS seen FROM walls"
    ).to_arrow_table()
    cursor.unregister("walls")
    return np.asarray(found["seen"].to_numpy() - moments)


def expect_own_clock(statement: str, zone: str) -> None:
    """Raise QueryError for a statement that names instants by another clock than `zone`'s."""
    other = _OTHER_CLOCK.search(statement)
    at = (found["zone"] for found in _AT_ZONE.finditer(statement))
    if other or any(one.strip("'") != zone for one in at):
        raise QueryError(
            f"expected a statement that uses no time zone other than {zone}: DuckDB's rules for "
            f"this zone are older than the newest zone database, and pano can correct only this "
            f"zone. "
            f"Leave out {other[0] if other else 'AT TIME ZONE'!r}; give aware times in params."
        )


def differing(name: str, folder: Path) -> tuple[datetime, datetime] | None:
    """Return the first and last day, a year about now, on which a database in `folder` differs.

    None where it agrees about the zone `name`, or does not have it.
    """
    try:
        with (folder / name).open("rb") as file:
            other = ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError):
        return None
    return _ends(day for day in _days_about_now() if _at(ZoneInfo(name), day) != _at(other, day))


def differing_in_duckdb(name: str) -> tuple[datetime, datetime] | None:
    """Return the first and last day, a year about now, on which DuckDB's own rules differ.

    None where they agree about the zone `name`.
    """
    with duckdb.connect() as database:
        found = shift(database, name)
    if found is None:
        return None
    days = _days_about_now()
    moments = np.array([int(day.timestamp()) * _US for day in days])
    by = (found.there(moments) - moments).tolist()
    return _ends(day for day, shifted in zip(days, by, strict=True) if shifted)


def _days_about_now() -> list[datetime]:
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return [today + timedelta(days=count) for count in range(-366, 367)]


def _at(zone: ZoneInfo, moment: datetime) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _ends(days: Iterable[datetime]) -> tuple[datetime, datetime] | None:
    found = list(days)
    return (found[0], found[-1]) if found else None
