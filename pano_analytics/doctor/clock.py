"""Is a camera's clock right? Compare the times in its file names with the times of arrival.

An upload arrives after the recording that its name describes has ended: shortly after if
the clock is right, always late by the same amount if the clock is behind, and apparently
before the recording ended if the clock is ahead. `lag` is the time of arrival (by this
computer's clock) minus the end of the recording (by the camera's clock):

- Ahead: a quarter of the newest uploads arrived before their recording ended. Nothing
  else causes that, so this is certain.
- Behind: even the fastest twentieth arrived late, and half of all hardly later. A slow
  network also delays uploads, but by an amount that depends on size and queue; and files
  that were copied here arrive together, whatever their names say.

The fastest twentieth rather than the fastest one, because a single odd file proves nothing.
Only the newest uploads, so that a corrected clock is recognised within an hour.
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
# In a shorter span, a copy of a few files looks like a clock that is behind.
_LEAST_SPAN = pd.Timedelta(minutes=30)
_TIGHT_S = 120.0
_SAME_S = 600.0
_YEAR_S = 31_557_600.0
_DRIFT_S_A_DAY = 5.0
# Clocks of cameras that are wrong together differ by no more than this.
_COMMON_S = 120.0


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """What the newest uploads say about a clock.

    `ahead_s`: how far it is ahead (negative: behind) according to the fastest uploads;
    None if the arrivals say nothing. `is_slow`: uploads arrive late, by varying amounts.
    `quickest_s` and `middle_s` are the lags of the fastest twentieth and the median.
    `uploads` is the number of uploads examined.
    """

    ahead_s: float | None
    is_slow: bool
    quickest_s: float
    middle_s: float
    uploads: int


def judge(case: Case) -> ClockOffset | None:
    """Return what the newest uploads say about the camera's clock; None if they are too few."""
    lags = lags_of(case)
    newest = _newest(lags)
    if len(newest) < _FEWEST:
        return None
    quickest, quick, middle = (float(newest["lag_s"].quantile(part)) for part in (0.05, 0.25, 0.5))
    lags_and_count = (quickest, middle, len(newest))
    if quick < -case.rules.clock_off_minutes * 60:
        return ClockOffset(-quickest, False, *lags_and_count)
    if not _is_spread(newest):
        return ClockOffset(None, False, *lags_and_count)
    if middle - quickest > max(_TIGHT_S, quickest / 4):
        return ClockOffset(
            0.0 if quickest < _TIGHT_S else None, quickest > _SAME_S, *lags_and_count
        )
    return ClockOffset(-quickest, False, *lags_and_count)


def lags_of(case: Case) -> pd.DataFrame:
    """Return `start`, `arrived` and `lag_s` of uploads with a time in their name, by arrival."""
    uploads = case.uploads
    is_timed = uploads["wall_start"].notna() & ~uploads["time_source"].isin(("guess", "gap"))
    uploads = uploads[is_timed].sort_values("arrived", kind="stable")
    # Undo the correction that ingest made to impossible times.
    ended = uploads["end"].fillna(uploads["start"])
    moved_s = uploads["clock_offset_s"].fillna(0.0)
    lag_s = (uploads["arrived"] - ended).dt.total_seconds() - moved_s
    lags: pd.DataFrame = uploads[["start", "arrived"]].assign(lag_s=lag_s)
    return lags


def _newest(lags: pd.DataFrame) -> pd.DataFrame:
    """Return the newest arrivals: the last `_NEWEST`, and all of the last hour."""
    if len(lags) <= _NEWEST:
        return lags
    since = min(lags["arrived"].iloc[-_NEWEST], lags["arrived"].iloc[-1] - _NEWEST_SPAN)
    newest: pd.DataFrame = lags[lags["arrived"] >= since]
    return newest


def _is_spread(newest: pd.DataFrame) -> bool:
    """Return whether arrivals are spread like the recordings, unlike those of a copied tree."""
    recorded = newest["start"].max() - newest["start"].min()
    arrived = newest["arrived"].max() - newest["arrived"].min()
    return bool(recorded >= _LEAST_SPAN and arrived >= recorded / 2)


def common_ahead_s(clocks: Iterable[ClockOffset | None]) -> float:
    """Return how many seconds most of several clocks are ahead by the same amount, else 0."""
    ahead_s = [one.ahead_s for one in clocks if one is not None and one.ahead_s is not None]
    middle = median(ahead_s) if len(ahead_s) > 1 else 0.0
    together = [one for one in ahead_s if abs(one - middle) <= _COMMON_S]
    return middle if 2 * len(together) > len(ahead_s) > 1 else 0.0


def check(case: Case, clock: ClockOffset | None, common_s: float) -> list[Finding]:
    """Report what is wrong with the clock; most cameras are ahead by `common_s` seconds."""
    limit_s = case.rules.clock_off_minutes * 60
    if clock is not None and clock.ahead_s is not None and abs(clock.ahead_s) > limit_s:
        return [
            _clock_off(case, clock, clock.ahead_s, common_s if abs(common_s) > limit_s else 0.0)
        ]
    return [
        *_clock_in_pictures(case),
        *(_arriving_late(case, clock) if clock is not None and clock.is_slow else []),
    ]


def _clock_off(case: Case, clock: ClockOffset, ahead_s: float, common_s: float) -> Finding:
    days = _steady_days(case, ahead_s)
    is_common = bool(common_s) and abs(ahead_s - common_s) <= _COMMON_S
    offset = f"{span(ahead_s)} {_side(ahead_s)}"
    if common_s and not is_common:
        own_s = ahead_s - common_s
        offset += f", {span(own_s)} {_side(own_s)} against the other cameras"
    steady = f"; the same on {many(len(days), 'day')}{_drift(days)}" if len(days) else ""
    evidence = f"{offset}: {_arrivals(clock)}{steady}"
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


def _arrivals(clock: ClockOffset) -> str:
    low, high = map(span, sorted((clock.quickest_s, clock.middle_s), key=abs))
    side = "after" if clock.quickest_s >= 0 else "before"
    length = low if low == high else f"{low} to {high}"
    uploads = many(clock.uploads, "upload")
    return f"the newest {uploads} arrived {length} {side} the times in their names"


def _steady_days(case: Case, ahead_s: float) -> pd.Series:
    """Return how far ahead the clock was on each day of arrival, since it last jumped."""
    lags = lags_of(case)
    by_day = lags.groupby(lags["arrived"].dt.normalize())["lag_s"].quantile(0.05).mul(-1)
    others = by_day[(by_day - ahead_s).abs() > _SAME_S]
    return by_day if others.empty else by_day[by_day.index > others.index[-1]]


def _drift(days: pd.Series) -> str:
    """Return how fast a clock drifts, by the Theil-Sen estimator; "" if hardly at all."""
    if len(days) < 4:
        return ""
    at = (days.index - days.index[0]) / pd.Timedelta(days=1)
    first, later = np.triu_indices(len(days), 1)
    values = days.to_numpy()
    slope = float(np.median((values[later] - values[first]) / (at[later] - at[first])))
    if abs(slope) < _DRIFT_S_A_DAY:
        return ""
    return f", {'gaining' if slope > 0 else 'losing'} {abs(slope):.0f} s per day"


def _cause(case: Case, ahead_s: float) -> str:
    if abs(ahead_s) > _YEAR_S:
        return "The clock has not been set since the camera started: configure a time server."
    if not _is_step(ahead_s):
        return "Set the clock, and configure a time server."
    newest = case.uploads["start"].iloc[-1].tz_convert(case.zone).to_pydatetime()
    utc_s = -(newest.utcoffset() or timedelta()).total_seconds()
    if utc_s and _near(ahead_s, utc_s):
        return 'The camera uses UTC: set `zone = "UTC"` for it in pano.toml, or the camera\'s zone:'
    if _near(abs(ahead_s), 3600) and _has_dst(newest):
        return "Off by one hour: daylight saving time or the time zone is set incorrectly."
    return "Off by whole hours or quarter hours: the camera is set to another time zone."


def _is_step(ahead_s: float) -> bool:
    """Return whether two time zones could differ by this: about a multiple of 15 minutes."""
    quarters = round(ahead_s / 900)
    return quarters != 0 and _near(ahead_s, quarters * 900)


def _near(ahead_s: float, wanted_s: float) -> bool:
    # Even the fastest upload takes some seconds, which makes a clock seem slightly behind.
    return abs(ahead_s - wanted_s) <= 90


def _has_dst(newest: datetime) -> bool:
    months = (newest + timedelta(days=30 * month) for month in range(12))
    return len({moment.utcoffset() for moment in months}) > 1


def _clock_in_pictures(case: Case) -> list[Finding]:
    """Compare the clock shown in pictures with their names, which another device may choose."""
    shots = case.of("snapshot").dropna(subset=["camera_clock", "wall_start"]).tail(_NEWEST)
    offset_s = (shots["camera_clock"] - shots["wall_start"]).dt.total_seconds()
    middle_s = 0.0 if len(shots) < _FEWEST else float(offset_s.median())
    if abs(middle_s) <= case.rules.clock_off_minutes * 60:
        return []
    number = int((abs(offset_s - middle_s) <= _SAME_S).sum())
    where = "ahead of" if middle_s > 0 else "behind"
    evidence = (
        f"the clock in the picture is {span(middle_s)} {where} the file name in {number} of the "
        f"newest {many(len(shots), 'snapshot')}, though the names fit their arrival"
    )
    advice = f"The names do not use the camera's own clock, which is wrong. {case.menu.clock}."
    limit_s = case.rules.clock_off_minutes * 60
    fields = (case.camera, "clock_off", "problem", "likely", evidence, advice, middle_s, limit_s)
    return [Finding(*fields)]


def _arriving_late(case: Case, clock: ClockOffset) -> list[Finding]:
    evidence = (
        f"of the newest {many(clock.uploads, 'upload')}, the fastest arrived "
        f"{span(clock.quickest_s)} after its recording, half of them within {span(clock.middle_s)}"
    )
    advice = (
        "Delays that vary so much come from a slow network, a camera that delays its uploads, or "
        f"copied files; the clock cannot be checked. Check its Wi-Fi, and {case.menu.upload}."
    )
    fields = (case.camera, "uploads_late", "advice", "possible", evidence, advice)
    return [Finding(*fields, clock.quickest_s, _SAME_S)]
