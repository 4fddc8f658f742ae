"""The days of the story: their weather, and where the marked ones fall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

_TUESDAY = 1
# The weather of days that have no part in the story, drawn like cards.
_WEATHERS = ("sunny", "sunny", "overcast", "sunny")


@dataclass(frozen=True, slots=True)
class DemoDay:
    """One calendar day at home.

    `rain_hours` are wall-clock hours (from, to) or None; `has_spider` means the
    night that begins on this day.
    """

    date: date
    is_overcast: bool = False
    is_windy: bool = False
    rain_hours: tuple[float, float] | None = None
    has_spider: bool = False
    has_incident: bool = False

    @property
    def is_weekend(self) -> bool:
        """Whether it is a Saturday or Sunday."""
        return self.date.weekday() >= 5

    def is_rainy_at(self, local: datetime) -> bool:
        """Return whether it rains at the wall-clock time `local` of this day."""
        if self.rain_hours is None or local.date() != self.date:
            return False
        return self.rain_hours[0] <= local.hour + local.minute / 60 < self.rain_hours[1]


def all_days(seed: int, end: datetime, count: int) -> tuple[DemoDay, ...]:
    """Return the `count` days that end with the day of `end` (aware, in the home's zone)."""
    dates = [end.date() - timedelta(days=back) for back in range(count - 1, -1, -1)]
    incident = _incident_date(dates, end)
    quiet = [day for day in dates[:-1] if day != incident] or dates
    rng = Random(f"{seed} days")
    windy, rainy = _two(quiet[-8:], dates, rng)
    spider = _spider_dates(dates, rng)
    return tuple(
        DemoDay(
            day,
            is_overcast=day == rainy or (day not in (incident, windy) and _is_grey(seed, day)),
            is_windy=day == windy,
            rain_hours=(12.9, 17.4) if day == rainy else None,
            has_spider=day in spider,
            has_incident=day == incident,
        )
        for day in dates
    )


def _is_grey(seed: int, day: date) -> bool:
    return Random(f"{seed} weather {day}").choice(_WEATHERS) == "overcast"


def _incident_date(dates: list[date], end: datetime) -> date | None:
    """Return the last Tuesday whose afternoon is over at `end`."""
    for day in reversed(dates):
        evening = datetime(day.year, day.month, day.day, 18, tzinfo=end.tzinfo)
        if day.weekday() == _TUESDAY and evening <= end:
            return day
    return None


def _two(candidates: list[date], dates: list[date], rng: Random) -> tuple[date, date]:
    """Return two different dates where there are two, the wind before the rain where it can."""
    if len(candidates) >= 2:
        windy, rainy = sorted(rng.sample(candidates, 2))
        return windy, rainy
    return candidates[0], dates[-1]


def _spider_dates(dates: list[date], rng: Random) -> frozenset[date]:
    """Return the days on whose evening the spider comes: two in a row."""
    if len(dates) < 3:
        return frozenset(dates)
    first = rng.randrange(max(0, len(dates) - 9), len(dates) - 2)
    return frozenset(dates[first : first + 2])


def wall(day: DemoDay, hour: float, zone: ZoneInfo) -> datetime:
    """Return the aware time at `hour` (0 to 48, decimal) of the wall clock on `day`."""
    midnight = datetime(day.date.year, day.date.month, day.date.day)
    return (midnight + timedelta(seconds=round(hour * 3600))).replace(tzinfo=zone)
