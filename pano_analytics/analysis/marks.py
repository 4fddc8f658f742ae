"""Marks of events: reviewed, pinned, dismissed and notes, from the marks of their uploads.

Decisions name uploads, not events, so that they stay when events are split or merged. An
event has no state of its own: it follows from the states of its members.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa

from pano_analytics.model import arguments

# name, type, meaning.
MARKS: tuple[tuple[str, pa.DataType, str], ...] = (
    ("is_reviewed", pa.bool_(), "whether all its uploads are reviewed, by `who` or by anybody"),
    ("is_pinned", pa.bool_(), "whether one of its uploads is pinned, by anybody"),
    ("is_dismissed", pa.bool_(), "whether all its uploads are dismissed, by anybody"),
    ("note", pa.string(), "the latest note about one of its uploads; null if there is none"),
    (
        "new_files",
        pa.int64(),
        "number of its uploads that are not reviewed although others are: they came later",
    ),
)
COLUMNS = tuple(name for name, _, _ in MARKS)


def with_marks(events: pd.DataFrame, members: pd.DataFrame, marks: pd.DataFrame) -> pd.DataFrame:
    """Return `events` with the columns of `MARKS` at the end.

    `events` has `event_id` and `files`; `members` has the `media_id` and the `event_id` of
    their uploads; `marks` has one row per upload that people decided about: `media_id`,
    `is_reviewed`, `is_pinned`, `is_dismissed`, `note`, and `noted`, a number that is greater
    for later notes. Uploads without a row in `marks` are none of these. Raises QueryError for
    a frame without these columns.
    """
    arguments.frame(events, ("event_id", "files"), "library.events()")
    arguments.frame(members, ("media_id", "event_id"), "library.members()")
    marked = members[["media_id", "event_id"]].merge(marks, on="media_id")
    reviewed, dismissed = (
        _per_event(events, marked, name) for name in ("is_reviewed", "is_dismissed")
    )
    return events.assign(
        is_reviewed=reviewed == events["files"],
        is_pinned=_per_event(events, marked, "is_pinned") > 0,
        is_dismissed=dismissed == events["files"],
        note=_latest_notes(events, marked),
        new_files=(events["files"] - reviewed).where(reviewed > 0, 0),
    )


def without_marks(events: pd.DataFrame) -> pd.DataFrame:
    """Return `events` with the columns of `MARKS`, as if nobody had decided anything."""
    no_note = pd.Series(None, events.index, "str")
    marks = {"is_reviewed": False, "is_pinned": False, "is_dismissed": False}
    return events.assign(**marks, note=no_note, new_files=0)


def _per_event(events: pd.DataFrame, marked: pd.DataFrame, name: str) -> pd.Series[int]:
    """Return for each event how many of its uploads have the mark `name`."""
    counts = marked.loc[marked[name].astype(bool), "event_id"].value_counts()
    return events["event_id"].map(counts).fillna(0).astype("int64")


def _latest_notes(events: pd.DataFrame, marked: pd.DataFrame) -> pd.Series[str]:
    noted = marked.dropna(subset="note").sort_values("noted")
    latest = noted.drop_duplicates("event_id", keep="last").set_index("event_id")["note"]
    return events["event_id"].map(latest).astype("str")
