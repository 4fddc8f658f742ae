"""Times, lengths and counts as text, in the wall-clock time of one zone."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from pano_analytics.model.times import WallClock
from pano_analytics.wording import many


def short_day(day: date) -> str:
    """Return `Sun 22 Nov`."""
    return f"{day:%a} {day.day} {day:%b}"


class ZoneClock:
    """Formats times in one zone; in a repeated autumn hour, the text includes the zone.

    The times passed in are aware, in any zone.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._wall = WallClock(zone)

    def minute(self, moment: datetime) -> str:
        """Return `14:03`."""
        local = moment.astimezone(self.zone)
        return f"{local:%H:%M}{self._zone_suffix(local)}"

    def second(self, moment: datetime) -> str:
        """Return `14:03:11`."""
        local = moment.astimezone(self.zone)
        return f"{local:%H:%M:%S}{self._zone_suffix(local)}"

    def span(self, start: datetime, end: datetime) -> str:
        """Return `14:03 – 14:20`, or `14:03` if both are in the same minute."""
        first, last = self.minute(start), self.minute(end)
        return first if first == last else f"{first} – {last}"

    def when(self, moment: datetime) -> str:
        """Return `Sun 22 Nov 2026, 14:03`."""
        local = moment.astimezone(self.zone)
        return f"{short_day(local)} {local.year}, {self.minute(local)}"

    def _zone_suffix(self, local: datetime) -> str:
        wall = local.replace(tzinfo=None)
        return f" {local:%Z}" if self._wall.is_repeated(wall) else ""


def counts(snapshots: int, clips: int) -> str:
    """Return `14 pictures, 3 clips`, omitting zero counts."""
    parts = [
        many(int(number), noun)
        for number, noun in ((snapshots, "picture"), (clips, "clip"))
        if number
    ]
    return ", ".join(parts) or "nothing"


def clip_length(seconds: float) -> str:
    """Return `0:27`, or an empty text if the length is unknown."""
    whole = round(seconds)
    if not whole:
        return ""
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
