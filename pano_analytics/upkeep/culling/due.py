"""A file that is to go, and why."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from pano_analytics.store.tree import Doomed


class Due(NamedTuple):
    """A file to go: an upload that was kept long enough, or what lies beside one only for it.

    `since` is the latest of the times that must all be old, and `aged_by` says which
    it is: `start` (the time it shows), `arrived` or `seen` (when it was first seen). A
    companion has its clip's; neither it nor a cut upload has a `media_id`.
    """

    camera: str
    date: date
    path: str
    what: str
    kind: str
    media_id: str | None
    aged_by: str
    since: datetime
    keep_days: int
    size_bytes: int
    mtime_us: int
    reason: str

    def is_over(self, now: datetime) -> bool:
        """Whether its time is over at `now`."""
        return self.since <= now - timedelta(days=self.keep_days)

    @property
    def file(self) -> Doomed:
        """The file as it must still be."""
        return Doomed(self.path, self.size_bytes, self.mtime_us)
