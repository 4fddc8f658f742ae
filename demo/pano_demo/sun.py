"""Which light a moment has: sunrise and sunset told simply, and the plates to blend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

# The home stands at 45 degrees north, at the middle of its zone; nothing depends on more.
_LATITUDE = math.radians(45)
_TILT = math.radians(23.44)
_SOLAR_NOON_H = 12.25

# Infrared lamps come on about this long after sunset: the sensor is the judge, so at once.
_TWILIGHT = timedelta(minutes=26)
_LOW_SUN = timedelta(minutes=32)
_BLEND = timedelta(minutes=14)

DAYLIGHTS = ("morning", "noon", "afternoon")


@dataclass(frozen=True, slots=True)
class Look:
    """How bright and of what colour a moment is.

    `light` names a plate and `second` the one it is turning into, by `share`
    (0 to 0.5 before the turn, then the names change places). `dimming` is 1 in full
    light and falls towards the switch to infrared.
    """

    light: str
    second: str | None = None
    share: float = 0.0
    dimming: float = 1.0


def sun_times(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return sunrise and sunset of `day` as aware times of `zone`."""
    turn = 2 * math.pi * (day.timetuple().tm_yday + 10) / 365
    declination = -_TILT * math.cos(turn)
    half_day_h = math.degrees(math.acos(-math.tan(_LATITUDE) * math.tan(declination))) / 15
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    summer = midnight.replace(hour=12).dst() or timedelta(0)
    noon = midnight + timedelta(hours=_SOLAR_NOON_H) + summer
    half = timedelta(hours=half_day_h)
    return noon - half, noon + half


def _phases(day: date, zone: ZoneInfo) -> tuple[tuple[datetime, str], ...]:
    """Return when each light of the day begins, in order."""
    rise, fall = sun_times(day, zone)
    length = fall - rise
    return (
        (rise - _TWILIGHT, "dusk"),
        (rise + _LOW_SUN, "morning"),
        (rise + length * 0.38, "noon"),
        (rise + length * 0.62, "afternoon"),
        (fall - _LOW_SUN, "dusk"),
        (fall + _TWILIGHT, "night_ir"),
    )


def light_at(moment: datetime, zone: ZoneInfo, is_overcast: bool = False) -> str:
    """Return the name of the light at an aware `moment`."""
    local = moment.astimezone(zone)
    light = "night_ir"
    for begins, name in _phases(local.date(), zone):
        if local >= begins:
            light = name
    return "overcast" if is_overcast and light in DAYLIGHTS else light


def look_at(moment: datetime, zone: ZoneInfo, is_overcast: bool = False) -> Look:
    """Return the look of an aware `moment`: plates blend while one light turns into the next.

    Colour never blends into infrared, for the filter in front of a sensor switches at once.
    """
    light = light_at(moment, zone, is_overcast)
    for sign in (1, -1):
        near = light_at(moment + sign * _BLEND, zone, is_overcast)
        if near != light and "night_ir" not in (near, light):
            turn = _turn(moment, sign, light, zone, is_overcast)
            share = 0.5 * (1 - turn / _BLEND)
            return Look(light, near, share, _dimming(moment, zone, light))
    return Look(light, dimming=_dimming(moment, zone, light))


def _turn(moment: datetime, sign: int, light: str, zone: ZoneInfo, is_overcast: bool) -> timedelta:
    """Return how far from `moment` the light turns, to the minute."""
    step = timedelta(minutes=1)
    away = step
    while away < _BLEND and light_at(moment + sign * away, zone, is_overcast) == light:
        away += step
    return away


def _dimming(moment: datetime, zone: ZoneInfo, light: str) -> float:
    if light != "dusk":
        return 1.0
    local = moment.astimezone(zone)
    rise, fall = sun_times(local.date(), zone)
    dark = max(rise - local, local - fall) / _TWILIGHT
    return 1.0 - 0.16 * min(1.0, max(0.0, dark))
