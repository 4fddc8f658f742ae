"""When a camera counts as silent: one rule for every page, command and notebook.

A camera is silent when its last upload arrived longer ago than `silent_after_hours`, or when
nothing ever came. Whether that upload still exists does not matter: what somebody deletes
does not silence a camera.
"""

from __future__ import annotations

from datetime import datetime, timedelta


def silent_from(arrived: datetime | None, after_hours: float) -> datetime | None:
    """Return when a camera falls or fell silent whose last upload `arrived` then; None if always.

    `arrived` is aware, and None where nothing ever came: then it is silent all along.
    """
    return None if arrived is None else arrived + timedelta(hours=after_hours)


def is_silent(arrived: datetime | None, after_hours: float, now: datetime) -> bool:
    """Tell whether a camera is silent at `now` (aware) whose last upload `arrived` then."""
    since = silent_from(arrived, after_hours)
    return since is None or since <= now
