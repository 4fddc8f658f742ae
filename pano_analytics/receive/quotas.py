"""Limits per account: files and folders per hour and per day, and bytes per day.

They are far above what cameras upload, but prevent somebody with a stolen password from
filling the disk, or its inodes, before it is noticed. Counts survive restarts (`records`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pano_analytics.settings import Receive

What = Literal["files", "folders"]

_GB = 1e9


@dataclass(slots=True)
class Usage:
    """What one account uploaded in this hour and on this day (UTC)."""

    hour: str = ""
    day: str = ""
    files_per_hour: int = 0
    folders_per_hour: int = 0
    files_per_day: int = 0
    folders_per_day: int = 0
    bytes_per_day: int = 0

    def turn(self, now: datetime | None = None) -> Usage:
        """Reset the counts if an hour or a day has passed; return self."""
        time_text = (now or datetime.now(UTC)).isoformat()
        if time_text[:13] != self.hour:
            self.hour, self.files_per_hour, self.folders_per_hour = time_text[:13], 0, 0
        if time_text[:10] != self.day:
            self.day, self.files_per_day, self.folders_per_day = time_text[:10], 0, 0
            self.bytes_per_day = 0
        return self

    def add(self, what: What) -> None:
        """Count one more file or folder."""
        self.turn()
        for span in ("hour", "day"):
            name = f"{what}_per_{span}"
            setattr(self, name, getattr(self, name) + 1)

    def add_bytes(self, size_bytes: int) -> None:
        """Count received bytes, including those of uploads that were cut."""
        self.turn().bytes_per_day += size_bytes


class Over(NamedTuple):
    """Why an account is over its quota: the kind of refusal, and the reply."""

    kind: str
    reply: str


def over(usage: Usage, what: What, limits: Receive) -> Over | None:
    """Return why one more of `what` exceeds the limits, or None if it does not."""
    usage.turn()
    for span, kind, code in (("hour", "rate", "450"), ("day", "quota", "552")):
        most = getattr(limits, f"max_{what}_per_{span}")
        if getattr(usage, f"{what}_per_{span}") >= most:
            return Over(kind, f"{code} No more than {most} {what} in one {span}.")
    if what == "files" and usage.bytes_per_day >= limits.max_gb_per_day * _GB:
        return Over("quota", f"552 No more than {limits.max_gb_per_day:g} GB in one day.")
    return None
