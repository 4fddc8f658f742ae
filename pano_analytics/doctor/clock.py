"""Is a camera's clock right? What its names say, held against when the uploads arrived.

An upload arrives after what it names is over: a little after by a right clock, always
the same time too late by one that is behind, before it happened by one that is ahead.
`lag` is arrival less the end that the name tells, both by clocks that we trust or not:

- Ahead: a quarter of the newest uploads came before what they name was over. Nothing
  else does that, so one is certain.
- Behind: even the quickest twentieth of them came late, and half of all came hardly
  later. A slow network also delays, but by the size and the queue, never by the same
  for all; and files that were copied here arrive together, whatever they name.

The quickest twentieth, not the quickest: one odd file proves nothing. The newest
uploads, so that a clock that was set is believed within an hour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

import numpy as np
import pandas as pd

from pano_analytics.doctor.case import Case
from pano_analytics.doctor.findings import Finding, span
from pano_analytics.wording import many

_NEWEST = 40
_FEWEST = 5
_NEWEST_SPAN = pd.Timedelta(hours=1)
# Shorter than this, a copy of a few files looks like a clock that is behind.
_LEAST_SPAN = pd.Timedelta(minutes=30)
_TIGHT_S = 120.0
_SAME_S = 600.0
_YEAR_S = 31_557_600.0
_DRIFT_S_A_DAY = 5.0
# Clocks of cameras that are wrong together differ by no more than this.
_COMMON_S = 120.0


@dataclass(frozen=True, slots=True)
class Clock:
    """What the newest uploads tell of a clock.

    `ahead_s`: by how much it is ahead (below 0: behind), as the quickest uploads
    tell; None where arrivals tell nothing. `is_slow`: uploads come late, each by
    another time. `quickest_s` and `middle_s` are lags of the `uploads` looked at.
    """

    ahead_s: float | None
    is_slow: bool
    quickest_s: float
    middle_s: float
    uploads: int


def judge(case: Case) -> Clock | None:
    """Return what the newest uploads tell of the camera's clock; None where they are too few."""
    lags = lags_of(case)
    newest = _newest(lags)
    if len(newest) < _FEWEST:
        return None
    quickest, quick, middle = (float(newest["lag_s"].quantile(part)) for part in (0.05, 0.25, 0.5))
    told = (quickest, middle, len(newest))
    if quick < -case.rules.clock_off_minutes * 60:
        return Clock(-quickest, False, *told)
    if not _moves(newest):
        return Clock(None, False, *told)
    if middle - quickest > max(_TIGHT_S, quickest / 4):
        return Clock(0.0 if quickest < _TIGHT_S else None, quickest > _SAME_S, *told)
    return Clock(-quickest, False, *told)


def lags_of(case: Case) -> pd.DataFrame:
    """Return `start`, `arrived` and `lag_s` of the uploads whose names tell a time, by arrival."""
    told = case.uploads
    plain = told["wall_start"].notna() & ~told["time_source"].isin(("guess", "gap"))
    told = told[plain].sort_values("arrived", kind="stable")
    # Where ingest moved a time that could not be, the name said so much more.
    named = told["end"].fillna(told["start"])
    moved_s = told["clock_offset_s"].fillna(0.0)
    lag_s = (told["arrived"] - named).dt.total_seconds() - moved_s
    lags: pd.DataFrame = told[["start", "arrived"]].assign(lag_s=lag_s)
    return lags


def _newest(lags: pd.DataFrame) -> pd.DataFrame:
    """Return the newest to arrive: so many, and all of the last hour."""
    if len(lags) <= _NEWEST:
        return lags
    since = min(lags["arrived"].iloc[-_NEWEST], lags["arrived"].iloc[-1] - _NEWEST_SPAN)
    newest: pd.DataFrame = lags[lags["arrived"] >= since]
    return newest


def _moves(newest: pd.DataFrame) -> bool:
    """Tell whether arrivals follow what happened, as those of a copied tree do not."""
    shown = newest["start"].max() - newest["start"].min()
    came = newest["arrived"].max() - newest["arrived"].min()
    return bool(shown >= _LEAST_SPAN and came >= shown / 2)


def common_ahead_s(clocks: Iterable[Clock | None]) -> float:
    """Return by how much most of several clocks are ahead together, in seconds; else 0."""
    ahead_s = [one.ahead_s for one in clocks if one is not None and one.ahead_s is not None]
    middle = median(ahead_s) if len(ahead_s) > 1 else 0.0
    together = [one for one in ahead_s if abs(one - middle) <= _COMMON_S]
    return middle if 2 * len(together) > len(ahead_s) > 1 else 0.0


def check(case: Case, clock: Clock | None, common_s: float) -> list[Finding]:
    """Return what is wrong with the clock; most cameras' are ahead by `common_s` seconds."""
    limit_s = case.rules.clock_off_minutes * 60
    if clock is not None and clock.ahead_s is not None and abs(clock.ahead_s) > limit_s:
        return [_off(case, clock, clock.ahead_s, common_s if abs(common_s) > limit_s else 0.0)]
    return [*_inner(case), *(_late(case, clock) if clock is not None and clock.is_slow else [])]


def _off(case: Case, clock: Clock, ahead_s: float, common_s: float) -> Finding:
    days = _steady_days(case, ahead_s)
    is_common = bool(common_s) and abs(ahead_s - common_s) <= _COMMON_S
    apart = f"{span(ahead_s)} {_side(ahead_s)}"
    if common_s and not is_common:
        own_s = ahead_s - common_s
        apart += f", {span(own_s)} {_side(own_s)} against the other cameras"
    steady = f"; the same on {many(len(days), 'day')}{_drift(days)}" if len(days) else ""
    evidence = f"{apart}: {_came(clock)}{steady}"
    is_certain = ahead_s > 0 or len(days) > 2
    advice = _COMMON if is_common else f"{_cause(case, ahead_s - common_s)} {case.menu.clock}."
    return Finding(
        *(case.camera, "clock_off", "problem", "certain" if is_certain else "likely"),
        *(evidence, advice, ahead_s),
        limit=case.rules.clock_off_minutes * 60,
        since=days.index[0].to_pydatetime() if len(days) else None,
    )


_COMMON = (
    "Most cameras are off by the same amount, so the cause is probably not the cameras: check "
    "`zone` in pano.toml, and this computer's own clock and time zone (timedatectl)."
)


def _side(ahead_s: float) -> str:
    return "ahead" if ahead_s > 0 else "behind"


def _came(clock: Clock) -> str:
    low, high = map(span, sorted((clock.quickest_s, clock.middle_s), key=abs))
    side = "after" if clock.quickest_s >= 0 else "before"
    length = low if low == high else f"{low} to {high}"
    uploads = many(clock.uploads, "upload")
    return f"the newest {uploads} arrived {length} {side} the times in their names"


def _steady_days(case: Case, ahead_s: float) -> pd.Series:
    """Return how far ahead the clock was on each day since it is as it is, by day of arrival."""
    lags = lags_of(case)
    by_day = lags.groupby(lags["arrived"].dt.normalize())["lag_s"].quantile(0.05).mul(-1)
    others = by_day[(by_day - ahead_s).abs() > _SAME_S]
    return by_day if others.empty else by_day[by_day.index > others.index[-1]]


def _drift(days: pd.Series) -> str:
    """Return how fast a clock runs away, by Theil and Sen's median of slopes; "" if hardly."""
    if len(days) < 4:
        return ""
    at = (days.index - days.index[0]) / pd.Timedelta(days=1)
    first, later = np.triu_indices(len(days), 1)
    values = days.to_numpy()
    slope = float(np.median((values[later] - values[first]) / (at[later] - at[first])))
    if abs(slope) < _DRIFT_S_A_DAY:
        return ""
    return f", {'gaining' if slope > 0 else 'losing'} {abs(slope):.0f} s a day"


def _cause(case: Case, ahead_s: float) -> str:
    if abs(ahead_s) > _YEAR_S:
        return "The clock has not been set since the camera started: configure a time server."
    if not _is_step(ahead_s):
        return "Set the clock, and configure a time server."
    then = case.uploads["start"].iloc[-1].tz_convert(case.zone).to_pydatetime()
    utc_s = -(then.utcoffset() or timedelta()).total_seconds()
    if utc_s and _near(ahead_s, utc_s):
        return 'The camera uses UTC: set `zone = "UTC"` for it in pano.toml, or the camera\'s zone:'
    if _near(abs(ahead_s), 3600) and _has_steps(then):
        return "Off by one hour: daylight saving time or the time zone is set incorrectly."
    return "Off by whole hours or quarter hours: the camera is set to another time zone."


def _is_step(ahead_s: float) -> bool:
    """Tell whether zones may differ by so much: whole quarters of an hour, within uploads' pace."""
    quarters = round(ahead_s / 900)
    return quarters != 0 and _near(ahead_s, quarters * 900)


def _near(ahead_s: float, wanted_s: float) -> bool:
    # The quickest upload is still some seconds late, so that a clock seems to be behind.
    return abs(ahead_s - wanted_s) <= 90


def _has_steps(then: datetime) -> bool:
    months = (then + timedelta(days=30 * month) for month in range(12))
    return len({moment.utcoffset() for moment in months}) > 1


def _inner(case: Case) -> list[Finding]:
    """Hold the clock inside pictures against their names: somebody else may have named them."""
    shots = case.of("snapshot").dropna(subset=["camera_clock", "wall_start"]).tail(_NEWEST)
    apart_s = (shots["camera_clock"] - shots["wall_start"]).dt.total_seconds()
    middle_s = 0.0 if len(shots) < _FEWEST else float(apart_s.median())
    if abs(middle_s) <= case.rules.clock_off_minutes * 60:
        return []
    number = int((abs(apart_s - middle_s) <= _SAME_S).sum())
    where = "ahead of" if middle_s > 0 else "behind"
    evidence = (
        f"{span(middle_s)} {where} their names is the clock inside {number} of the newest "
        f"{many(len(shots), 'snapshot')}, though the names fit their arrival"
    )
    advice = f"The names do not use the camera's own clock, which is wrong. {case.menu.clock}."
    limit_s = case.rules.clock_off_minutes * 60
    told = (case.camera, "clock_off", "problem", "likely", evidence, advice, middle_s, limit_s)
    return [Finding(*told)]


def _late(case: Case, clock: Clock) -> list[Finding]:
    evidence = (
        f"of the newest {many(clock.uploads, 'upload')}, the fastest arrived "
        f"{span(clock.quickest_s)} after its recording, half of them within {span(clock.middle_s)}"
    )
    advice = (
        "Delays that vary so much come from a slow network, a camera that delays its uploads, or "
        f"copied files; the clock cannot be checked. Check its Wi-Fi, and {case.menu.upload}."
    )
    told = (case.camera, "uploads_late", "advice", "possible", evidence, advice)
    return [Finding(*told, clock.quickest_s, _SAME_S)]
