"""Event queries of the library: events are computed from the uploads on each call.

An event may extend beyond the requested range. So uploads are fetched around the range, in
growing steps, until every event that overlaps it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from pano_analytics.analysis.events import COLUMNS as OWN_COLUMNS
from pano_analytics.analysis.events import Rule, event_ids, events
from pano_analytics.analysis.marks import COLUMNS as MARKS
from pano_analytics.errors import QueryError
from pano_analytics.model import arguments

COLUMNS = (*OWN_COLUMNS, *MARKS, "session_id")
# The columns needed to compute events from uploads.
NEEDED = (
    *("media_id", "camera", "kind", "trigger", "start", "end", "arrived", "state"),
    *("clip_id", "thumb", "channel"),
)
# How far around a range uploads are fetched first, and the factor by which that grows.
_MARGIN = timedelta(hours=1)
_GROWTH = 4
_MAX_MARGIN = timedelta(days=40_000)

Fetch = Callable[[datetime | None, datetime | None], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of events and sessions: cameras, range, whose marks, filters and order."""

    cameras: list[str] | None
    first: datetime | None
    last: datetime | None
    person: str | None
    marks: Mapping[str, bool]
    is_reversed: bool
    max_rows: int | None

    def marked(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the wanted marks."""
        for name, value in self.marks.items():
            rows = rows[rows[name] == value]
        return rows

    def in_order(self, rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
        """Return the first rows in the order of the columns `by`; only the first is reversed."""
        ascending = [not self.is_reversed, *[True] * (len(by) - 1)]
        ordered = rows.sort_values(by, ascending=ascending, kind="stable")
        return ordered if self.max_rows is None else ordered.head(self.max_rows)


def chosen_columns(columns: Any) -> list[str] | None:
    """Return the requested columns of events; None for all."""
    chosen = arguments.names(columns, "columns", COLUMNS)
    if chosen == []:
        raise QueryError(f"columns: expected at least one of {', '.join(COLUMNS)}; got none.")
    return chosen


def chosen_marks(**wanted: Any) -> dict[str, bool]:
    """Return the columns of marks to filter by, with the value that is wanted.

    None means that a column does not matter. Raises QueryError for any other value that is
    not True or False.
    """
    return {
        name: arguments.yes_or_no(value, name)
        for name, value in wanted.items()
        if value is not None
    }


def chosen_ids(event_id: Any) -> list[str]:
    """Return the requested ids of events."""
    wanted = arguments.names(event_id, "event_id")
    if wanted is None:
        raise QueryError(
            "event_id: expected the id of an event, or rows of library.events(); got None."
        )
    return wanted


def place_of(given: Any) -> tuple[list[str], datetime, datetime] | None:
    """Return the cameras, first and last moment of rows of uploads or events; None for ids.

    It only makes a search shorter: rows that are not understood have no place.
    """
    rows = given.to_frame().T if isinstance(given, pd.Series) else given
    if not isinstance(rows, pd.DataFrame) or not {"camera", "start"}.issubset(rows.columns):
        return None
    try:
        start = pd.to_datetime(rows["start"], utc=True)
        end = pd.to_datetime(rows.get("end", rows["start"]), utc=True).fillna(start)
    except (TypeError, ValueError, OverflowError):
        return None
    if not len(rows) or start.isna().any():
        return None
    cameras = [str(name) for name in rows["camera"].unique()]
    return cameras, start.min(), end.max() + timedelta(microseconds=1)


def around(
    fetch: Fetch, rules: Mapping[str, Rule], first: datetime | None, last: datetime | None
) -> pd.DataFrame:
    """Return uploads that include all members of each event that overlaps [first, last).

    `fetch` returns the uploads that overlap a range, with the columns `NEEDED`, without
    those that form no event. Events that do not overlap the range may be incomplete.
    """
    longest = [rule.longest_us for rule in (Rule(), *rules.values())]
    low = None if first is None else first - _MARGIN
    high = None if last is None else last + timedelta(microseconds=max(longest))
    margin = _MARGIN
    while True:
        uploads = fetch(low, high)
        runs = _runs(uploads, rules, first, last)
        is_late = high is not None and len(runs) and runs["end"].max() >= high
        is_early = low is not None and bool((runs["start"] - runs["gap"] <= low).any())
        if not is_late and not is_early:
            return uploads
        margin *= _GROWTH
        if is_early and first is not None:
            low = None if margin > _MAX_MARGIN else first - margin
        if is_late:
            high = runs["end"].max().to_pydatetime() + margin


def _runs(
    uploads: pd.DataFrame,
    rules: Mapping[str, Rule],
    first: datetime | None,
    last: datetime | None,
) -> pd.DataFrame:
    """Return `start, end, gap` of the unlimited runs of uploads that overlap the range.

    Where an event is cut because of its length depends on where the whole run begins.
    """
    endless = {name: Rule(rule.gap, None, rule.scheduled) for name, rule in rules.items()}
    runs = overlapping(events(uploads, endless), first, last)
    gaps = {name: pd.Timedelta(rule.gap) for name, rule in endless.items()}
    gap = runs["camera"].astype(object).map(gaps).fillna(pd.Timedelta(Rule().gap))
    return runs.assign(gap=pd.to_timedelta(gap))[["start", "end", "gap"]]


def overlapping(rows: pd.DataFrame, first: datetime | None, last: datetime | None) -> pd.DataFrame:
    """Return the events that overlap [first, last), as uploads do."""
    keep = pd.Series(True, rows.index)
    if first is not None:
        keep &= (rows["start"] >= first) | (rows["end"] > first)
    if last is not None:
        keep &= rows["start"] < last
    return rows[keep]


def with_ids(uploads: pd.DataFrame, rules: Mapping[str, Rule]) -> pd.DataFrame:
    """Return the uploads with a column `event_id`, without those that form no event."""
    return uploads.assign(event_id=event_ids(uploads, rules)).dropna(subset="event_id")


def members(wanted: Sequence[str], seeds: pd.DataFrame, numbered: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `numbered` that share an event with one of the uploads `wanted`.

    `seeds` are the rows of those uploads; `numbered` has uploads with their `event_id`.
    Raises QueryError for an unknown id, and for an upload that belongs to no event.
    """
    missing = [name for name in wanted if name not in set(seeds["media_id"])]
    if missing:
        raise QueryError(
            "event_id: expected ids of events of this library, as library.events() gives them; "
            f"got {_listed(missing)}."
        )
    is_wanted = numbered["media_id"].isin(list(wanted))
    alone = [name for name in wanted if name not in set(numbered.loc[is_wanted, "media_id"])]
    if alone:
        raise QueryError(
            "event_id: expected ids of events; got uploads that form none, because nothing "
            f"triggered them: {_listed(alone)}."
        )
    ids = numbered.loc[is_wanted, "event_id"].unique()
    return numbered[numbered["event_id"].isin(ids)]


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(map(repr, names[:3]))
    return few if len(names) <= 3 else f"{few} and {len(names) - 3} more"
