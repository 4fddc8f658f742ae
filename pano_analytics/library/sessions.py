"""Session queries of the library: what it learned of its home, and sessions around a range.

Lags are learned from the whole days before the newest upload, so that they change once a day,
not with each upload. A session may extend beyond the requested range, and which events belong
to it depends on others around them. So events are fetched around the range, in growing steps,
until every session in question ends well within them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pandas as pd

from pano_analytics.analysis import sessions as analysis
from pano_analytics.analysis.marks import COLUMNS as MARKS
from pano_analytics.analysis.sessions import UNSEEN, TransitionLags, session_ids
from pano_analytics.analysis.transitions import true_times
from pano_analytics.errors import QueryError
from pano_analytics.library.events import overlapping
from pano_analytics.model import arguments

UNSEEN_NAMES = tuple(name for name, _, _ in UNSEEN)
COLUMNS = (*analysis.COLUMNS, *MARKS, *UNSEEN_NAMES)
# Lags are learned from so many days, and fewer if they have more uploads than that.
WINDOW_DAYS = 28
MOST_UPLOADS = 60_000
# How far around a range events are fetched first, and the factor by which that grows.
_MARGIN = timedelta(hours=2)
_GROWTH = 4
_MAX_MARGIN = timedelta(days=60)
# What happened further away does not change which events belong together.
_REACH = timedelta(minutes=75)
# A working camera is said to have missed a visit only if it saw this share of those before.
_UNSEEN_SHARE = 0.8

Ask = Callable[[datetime | None, datetime | None], pd.DataFrame]
"""Returns the events of all cameras that overlap a range, all of their members included."""


class Learned(NamedTuple):
    """What a library learned of its home, and from which parts (`key`).

    `usual` is as `analysis.usual_cameras` returns it; `arrivals` has `camera` and `arrived`
    of the first and the last upload of each hour of the window.
    """

    key: Hashable
    lags: TransitionLags
    usual: pd.DataFrame
    arrivals: pd.DataFrame


def learned(key: Hashable, events: pd.DataFrame, arrivals: pd.DataFrame) -> Learned:
    """Learn from the events and arrivals of a window of days."""
    lags = analysis.transition_lags(events)
    usual = analysis.usual_cameras(analysis.sessions(events, lags))
    return Learned(key, lags, usual, arrivals)


def chosen_columns(columns: Any) -> list[str] | None:
    """Return the requested columns of sessions; None for all."""
    chosen = arguments.names(columns, "columns", COLUMNS)
    if chosen == []:
        raise QueryError(f"columns: expected at least one of {', '.join(COLUMNS)}; got none.")
    return chosen


def ids_of(rows: pd.DataFrame, ask: Ask, lags: TransitionLags) -> pd.Series[Any]:
    """Return the `session_id` of each of the events `rows`, with their index."""
    if not len(rows):
        return pd.Series([], rows.index, "str", name="session_id")
    times = true_times(rows, lags)
    first, last = _moment(times["start"].min()), _moment(times["end"].max())

    def has_one(found: pd.DataFrame) -> pd.Series[Any]:
        ids: pd.Series[Any] = found.loc[found["event_id"].isin(rows["event_id"]), "session_id"]
        return ids

    members = _whole(ask, lags, first, last, has_one)
    ids = members.set_index("event_id")["session_id"]
    # An event that changed between the two queries may be missing in the second.
    found = rows["event_id"].map(ids).fillna(rows["event_id"])
    return found.astype("str").rename("session_id")


def within(
    ask: Ask, lags: TransitionLags, first: datetime | None, last: datetime | None
) -> pd.DataFrame:
    """Return all events of the sessions that overlap [first, last), with `session_id`."""

    def overlap(found: pd.DataFrame) -> pd.Index[Any]:
        times = true_times(found, lags).groupby(found["session_id"].to_numpy(object))
        spans = times.agg({"start": "min", "end": "max"})
        return overlapping(spans, first, last).index

    return _whole(ask, lags, first, last, overlap)


def _whole(
    ask: Ask,
    lags: TransitionLags,
    first: datetime | None,
    last: datetime | None,
    wanted: Callable[[pd.DataFrame], pd.Series[Any] | pd.Index[Any]],
) -> pd.DataFrame:
    """Return all events of the wanted sessions, with `session_id`.

    `wanted` returns the ids of those among all sessions of some events; they overlap
    [first, last) by their true times.
    """
    shift = timedelta(seconds=lags.longest_shift_s)
    margin = _MARGIN
    while True:
        low = None if first is None else first - margin
        high = None if last is None else last + margin
        found = ask(low and low - shift, high and high + shift)
        found = found.assign(session_id=session_ids(found, lags))
        members = found[found["session_id"].isin(wanted(found))]
        if margin > _MAX_MARGIN or _is_well_within(true_times(members, lags), low, high):
            return members
        margin *= _GROWTH


def _is_well_within(times: pd.DataFrame, low: datetime | None, high: datetime | None) -> bool:
    if not len(times):
        return True
    is_early = low is not None and times["start"].min() - low < _REACH
    is_late = high is not None and high - times["end"].max() < _REACH
    return not is_early and not is_late


def with_unseen(
    sessions: pd.DataFrame,
    home: Learned,
    arrivals: pd.DataFrame,
    silent_after: dict[str, timedelta],
    now: datetime,
) -> pd.DataFrame:
    """Return `sessions` with the columns of `UNSEEN`.

    `arrivals` are those around the sessions, as in `Learned`. A camera without uploads since
    a session that is not silent yet is in neither column.
    """
    known = pd.concat([home.arrivals, arrivals], ignore_index=True)
    covered = analysis.coverage(known, silent_after, now)
    expected = analysis.expected_cameras(sessions, home.usual, covered)
    is_silent = expected["is_silent"].fillna(False).astype(bool)
    is_working = ~expected["is_silent"].fillna(True).astype(bool)
    is_sure = expected["share"] >= _UNSEEN_SHARE
    return sessions.assign(
        unseen_by=_listed(sessions, expected[is_working & is_sure]),
        silent=_listed(sessions, expected[is_silent]),
    )


def without_unseen(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return `sessions` with the columns of `UNSEEN`, as if nobody was expected."""
    nobody = pd.Series(None, sessions.index, "str")
    return sessions.assign(unseen_by=nobody, silent=nobody)


def _listed(sessions: pd.DataFrame, expected: pd.DataFrame) -> pd.Series[Any]:
    texts = expected.groupby("session_id")["camera"].agg(", ".join)
    return sessions["session_id"].map(texts).astype("str")


def _moment(time: pd.Timestamp) -> datetime:
    moment: datetime = time.to_pydatetime()
    return moment
