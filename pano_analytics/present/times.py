"""Times, lengths and counts in words, of one zone, as the clock on the wall shows them."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from pano_analytics.model.times import WallClock
from pano_analytics.wording import many


def short_day(day: date) -> str:
    """Return `Sun 22 Nov`."""
    return f"{day:%a} {day.day} {day:%b}"


class ZoneClock:
    """Says times of one zone so that the two passes of an autumn hour are told apart.

    Times given are aware, of any zone.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._wall = WallClock(zone)

    def minute(self, moment: datetime) -> str:
        """Return `14:03`."""
        local = moment.astimezone(self.zone)
        return f"{local:%H:%M}{self._pass(local)}"

    def second(self, moment: datetime) -> str:
        """Return `14:03:11`."""
        local = moment.astimezone(self.zone)
        return f"{local:%H:%M:%S}{self._pass(local)}"

    def span(self, start: datetime, end: datetime) -> str:
        """Return `14:03 – 14:20`, or `14:03` where both are of one minute."""
        first, last = self.minute(start), self.minute(end)
        return first if first == last else f"{first} – {last}"

    def when(self, moment: datetime) -> str:
        """Return `Sun 22 Nov 2026, 14:03`."""
        local = moment.astimezone(self.zone)
        return f"{short_day(local)} {local.year}, {self.minute(local)}"

    def _pass(self, local: datetime) -> str:
        wall = local.replace(tzinfo=None)
        return f" {local:%Z}" if self._wall.is_repeated(wall) else ""


def counts(snapshots: int, clips: int) -> str:
    """Return `14 pictures, 3 clips`, without what there is none of."""
    said = [
        many(int(number), noun)
        for number, noun in ((snapshots, "picture"), (clips, "clip"))
        if number
    ]
    return ", ".join(said) or "nothing"


def clip_length(seconds: float) -> str:
    """Return `0:27`, or nothing where it is not known."""
    whole = round(seconds)
    if not whole:
        return ""
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
