"""How much one account may upload: files and folders in an hour and a day, and bytes in a day.

Far more than cameras upload; less than somebody with a stolen password needs to fill a disk,
or its table of files, before anybody looks. Counts are kept over restarts (`records`).
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
    """What one account made in this hour and on this day (UTC), as far as it counts."""

    hour: str = ""
    day: str = ""
    files_per_hour: int = 0
    folders_per_hour: int = 0
    files_per_day: int = 0
    folders_per_day: int = 0
    bytes_per_day: int = 0

    def turn(self, now: datetime | None = None) -> Usage:
        """Begin to count again where an hour or a day has passed; return self."""
        at = (now or datetime.now(UTC)).isoformat()
        if at[:13] != self.hour:
            self.hour, self.files_per_hour, self.folders_per_hour = at[:13], 0, 0
        if at[:10] != self.day:
            self.day, self.files_per_day, self.folders_per_day = at[:10], 0, 0
            self.bytes_per_day = 0
        return self

    def add(self, what: What) -> None:
        """Count one more."""
        self.turn()
        for span in ("hour", "day"):
            name = f"{what}_per_{span}"
            setattr(self, name, getattr(self, name) + 1)

    def add_bytes(self, size_bytes: int) -> None:
        """Count what came, also of an upload that was cut."""
        self.turn().bytes_per_day += size_bytes


class Over(NamedTuple):
    """Why an account may not make any more for now: a kind of refusal, and the reply."""

    kind: str
    reply: str


def over(usage: Usage, what: What, limits: Receive) -> Over | None:
    """Return why one more of `what` is too many; None where it is not."""
    usage.turn()
    for span, kind, code in (("hour", "rate", "450"), ("day", "quota", "552")):
        most = getattr(limits, f"max_{what}_per_{span}")
        if getattr(usage, f"{what}_per_{span}") >= most:
            return Over(kind, f"{code} No more than {most} {what} in one {span}.")
    if what == "files" and usage.bytes_per_day >= limits.max_gb_per_day * _GB:
        return Over("quota", f"552 No more than {limits.max_gb_per_day:g} GB in one day.")
    return None
