"""When a camera counts as silent: one rule for every page, command and notebook.

A camera is silent when its last upload arrived longer ago than `silent_after_hours`, or if it
has no uploads. Whether the file still exists does not matter: deleting files does not make a
camera silent.
"""

from __future__ import annotations

from datetime import datetime, timedelta


def silent_from(arrived: datetime | None, after_hours: float) -> datetime | None:
    """Return when a camera becomes or became silent; None if it always was.

    `arrived` is when its last upload arrived (aware), or None if it has no uploads.
    """
    return None if arrived is None else arrived + timedelta(hours=after_hours)


def is_silent(arrived: datetime | None, after_hours: float, now: datetime) -> bool:
    """Return whether a camera whose last upload arrived at `arrived` is silent at `now` (aware)."""
    since = silent_from(arrived, after_hours)
    return since is None or since <= now
