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
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import median

import numpy as np
import pandas as pd

from pano_analytics.analysis import lags
from pano_analytics.analysis.lags import ClockOffset, Lags
from pano_analytics.doctor.case import Case
from pano_analytics.doctor.findings import Finding
from pano_analytics.model.corrections import CORRECTED, ClockCorrection
from pano_analytics.wording import clock_error, many, span

_FEWEST = 5
_YEAR_S = 31_557_600.0
_DRIFT_S_A_DAY = 5.0
# Clocks of cameras that are wrong together differ by no more than this.
_COMMON_S = 120.0


def judge(case: Case) -> ClockOffset | None:
    """Return what the newest uploads say about the camera's clock; None if they are too few."""
    return lags.judge(_as_lags(lags_of(case)), _limit_s(case))


def _judge_shown(case: Case) -> ClockOffset | None:
    """Return what they say about the times that are shown, with corrections."""
    return lags.judge(_as_lags(lags_of(case, is_shown=True)), _limit_s(case))


def _limit_s(case: Case) -> float:
    return case.rules.clock_off_minutes * 60


def _as_lags(found: pd.DataFrame) -> Lags:
    start, arrived = (found[name].dt.as_unit("us").astype("int64") for name in ("start", "arrived"))
    return Lags(start.to_numpy(), arrived.to_numpy(), found["lag_s"].to_numpy())


def lags_of(case: Case, is_shown: bool = False) -> pd.DataFrame:
    """Return `start`, `arrived` and `lag_s` of uploads with a time in their name, by arrival.

    By the camera's own clock, or with `is_shown` by the times that are shown.
    """
    uploads = case.uploads
    source = uploads["time_source"].str.partition("+")[0]
    is_timed = uploads["wall_start"].notna() & ~source.isin(lags.UNSETTLED)
    uploads = uploads[is_timed].sort_values("arrived", kind="stable")
    ended = uploads["end"].fillna(uploads["start"])
    lag_s = (uploads["arrived"] - ended).dt.total_seconds()
    if not is_shown:
        # Undo the correction that ingest made to impossible times, or was told to make.
        lag_s -= uploads["clock_offset_s"].fillna(0.0)
    found: pd.DataFrame = uploads[["start", "arrived", "wall_start"]].assign(lag_s=lag_s)
    return found


def common_ahead_s(clocks: Iterable[ClockOffset | None]) -> float:
    """Return how many seconds most of several clocks are ahead by the same amount, else 0."""
    ahead_s = [one.ahead_s for one in clocks if one is not None and one.ahead_s is not None]
    middle = median(ahead_s) if len(ahead_s) > 1 else 0.0
    together = [one for one in ahead_s if abs(one - middle) <= _COMMON_S]
    return middle if 2 * len(together) > len(ahead_s) > 1 else 0.0


def check(case: Case, clock: ClockOffset | None, common_s: float) -> list[Finding]:
    """Report what is wrong with the clock; most cameras are ahead by `common_s` seconds."""
    limit_s = _limit_s(case)
    ahead_s = None if clock is None else clock.ahead_s
    if clock is not None and ahead_s is not None and abs(ahead_s) > limit_s:
        return [_clock_off(case, clock, ahead_s, common_s if abs(common_s) > limit_s else 0.0)]
    if ahead_s is not None and _is_corrected(case) and _is_shown_wrong(case):
        return [_corrected_in_vain(case)]
    return [
        *_clock_in_pictures(case),
        *(_arriving_late(case, clock) if clock is not None and clock.is_slow else []),
    ]


def _clock_off(case: Case, clock: ClockOffset, ahead_s: float, common_s: float) -> Finding:
    days = _steady_days(case, ahead_s)
    is_common = bool(common_s) and abs(ahead_s - common_s) <= _COMMON_S
    offset = clock_error(ahead_s)
    if common_s and not is_common:
        own_s = ahead_s - common_s
        offset += f", {clock_error(own_s)} against the other cameras"
    steady = f"; the same on {many(len(days), 'day')}{_drift(days)}" if len(days) else ""
    evidence = f"{offset}: {_arrivals(clock)}{steady}"
    is_certain = ahead_s > 0 or len(days) > 2
    own_advice = f"{_cause(case, ahead_s - common_s)} {case.menu.clock}."
    found = Finding(
        *(case.camera, "clock_off", "problem", "certain" if is_certain else "likely"),
        *(evidence, _COMMON if is_common else own_advice, ahead_s),
        limit=_limit_s(case),
        since=days.index[0].to_pydatetime() if len(days) else None,
    )
    if is_common or _is_utc(case, ahead_s - common_s):
        return found  # `zone` corrects it
    return _with_correction(case, found, ahead_s, days)


def _with_correction(case: Case, found: Finding, ahead_s: float, days: pd.Series) -> Finding:
    """Return the finding with what corrects the uploads, or that they are corrected."""
    if _is_corrected(case):
        if _is_shown_wrong(case):
            return replace(found, advice=f"{found.advice} {_OTHER_CORRECTION}")
        evidence = f"{found.evidence}; its uploads are corrected by `pano clock`"
        return replace(found, severity="advice", evidence=evidence)
    timed = lags_of(case)
    affected = timed[timed["arrived"] >= days.index[0]] if len(days) else timed.tail(lags.NEWEST)
    begun = affected["wall_start"].min().to_pydatetime()
    correction = ClockCorrection(case.camera, begun, None, float(round(ahead_s)))
    advice = f"{found.advice} {_CORRECT}\n{correction.command}"
    return replace(found, advice=advice, command=correction.command, correction=correction)


_CORRECT = (
    "Uploads that came with the wrong time can be corrected; `pano undo` takes it back. Once the "
    "clock is right, give the correction an end (--end):"
)
_OTHER_CORRECTION = (
    "A correction of its clock is in force that no longer fits: take it back with `pano undo` "
    "(`pano clock list` shows its id), then run `pano ingest` and `pano doctor`."
)


def _is_corrected(case: Case) -> bool:
    """Return whether corrections apply to the newest uploads."""
    newest = case.uploads.sort_values("arrived").tail(_FEWEST)
    return bool(newest["time_source"].str.endswith(CORRECTED).any())


def _is_shown_wrong(case: Case) -> bool:
    shown = _judge_shown(case)
    return shown is not None and shown.ahead_s is not None and abs(shown.ahead_s) > _limit_s(case)


def _corrected_in_vain(case: Case) -> Finding:
    newest = case.uploads["clock_offset_s"].dropna()
    by_s = float(newest.iloc[-1])
    evidence = f"its clock is right, but its uploads are corrected by {span(by_s)}"
    advice = (
        "Let the correction end when the clock was set: take it back with `pano undo` (`pano "
        "clock list` shows its id), and store it again with an end (--end)."
    )
    fields = (case.camera, "clock_off", "problem", "likely", evidence, advice, -by_s)
    return Finding(*fields, _limit_s(case))


_COMMON = (
    "Most cameras are off by the same amount, so the cause is probably not the cameras: check "
    "`zone` in pano.toml, and this computer's own clock and time zone (timedatectl)."
)


def _arrivals(clock: ClockOffset) -> str:
    low, high = map(span, sorted((clock.quickest_s, clock.middle_s), key=abs))
    side = "after" if clock.quickest_s >= 0 else "before"
    length = low if low == high else f"{low} to {high}"
    uploads = many(clock.uploads, "upload")
    return f"the newest {uploads} arrived {length} {side} the times in their names"


def _steady_days(case: Case, ahead_s: float) -> pd.Series:
    """Return how far ahead the clock was on each day of arrival, since it last jumped."""
    found = lags_of(case)
    by_day = found.groupby(found["arrived"].dt.normalize())["lag_s"].quantile(0.05).mul(-1)
    others = by_day[(by_day - ahead_s).abs() > lags.SAME_S]
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
    if _is_utc(case, ahead_s):
        return 'The camera uses UTC: set `zone = "UTC"` for it in pano.toml, or the camera\'s zone:'
    if _near(abs(ahead_s), 3600) and _has_dst(_newest_start(case)):
        return "Off by one hour: daylight saving time or the time zone is set incorrectly."
    return "Off by whole hours or quarter hours: the camera is set to another time zone."


def _newest_start(case: Case) -> datetime:
    newest: datetime = case.uploads["start"].iloc[-1].tz_convert(case.zone).to_pydatetime()
    return newest


def _is_utc(case: Case, ahead_s: float) -> bool:
    """Return whether the clock seems to be set to UTC, in a zone that differs from it."""
    utc_s = -(_newest_start(case).utcoffset() or timedelta()).total_seconds()
    return bool(utc_s) and _near(ahead_s, utc_s)


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
    shots = case.of("snapshot").dropna(subset=["camera_clock", "wall_start"]).tail(lags.NEWEST)
    offset_s = (shots["camera_clock"] - shots["wall_start"]).dt.total_seconds()
    middle_s = 0.0 if len(shots) < _FEWEST else float(offset_s.median())
    if abs(middle_s) <= case.rules.clock_off_minutes * 60:
        return []
    number = int((abs(offset_s - middle_s) <= lags.SAME_S).sum())
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
    return [Finding(*fields, clock.quickest_s, lags.SAME_S)]
