"""A file to delete, and why."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import NamedTuple

from pano_analytics.store.tree import Doomed


class ExpiredFile(NamedTuple):
    """A file to delete: an upload past its retention time, or a companion file of one.

    `since` (UTC) is the latest of the times that must all be old enough, and `aged_by` says
    which one it is: `start` (when it was recorded), `arrived`, or `seen` (when it was first
    seen). A companion has those of its clip. `media_id` is None for companions and cut uploads.
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
        """Return whether its retention time is over at `now`."""
        return self.since <= now - timedelta(days=self.keep_days)

    @property
    def file(self) -> Doomed:
        """The file in the state that it must still have."""
        return Doomed(self.path, self.size_bytes, self.mtime_us)
