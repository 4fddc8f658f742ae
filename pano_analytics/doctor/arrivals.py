"""Does what should come come, and whole? Silence, one kind lacking, uploads cut short."""

from __future__ import annotations

from datetime import datetime
from math import exp, lgamma, sqrt

import pandas as pd

from pano_analytics.doctor.case import Case
from pano_analytics.doctor.findings import Finding, span
from pano_analytics.wording import many

# A part of the file came, or nothing of use: how a camera that gives up leaves it.
_CUT = ("partial", "damaged", "empty")
OPENED = (*_CUT, "complete", "unsupported")
"""States of uploads that were opened."""
# Below these a share says nothing yet.
_FEWEST_CUT = 3
_FEWEST_RECENT = 20
_CHANCE = 0.001
_MANY = 0.05
_FEWEST_SEEN = 10
# What a camera sends at set times says nothing of motion.
_NOT_MOTION = ("scheduled", "manual")
_DAY_S = 86_400.0


# --- silence ----------------------------------------------------------------------------


def silent(case: Case, limit_h: float, now: datetime, looked: datetime | None) -> Finding:
    """Return what to say at `now` of a camera that is silent for more than `limit_h` hours.

    `looked` is when ingest last looked for uploads, None where that is not known.
    """
    arrived = case.uploads["arrived"].max()
    advice = (
        f"Is it switched on and connected, and does its web page open? Restart it, then check "
        f"{case.menu.upload}."
    )
    if pd.isna(arrived):
        evidence = "it is in the settings, but has never uploaded anything"
        told = (case.camera, "camera_silent", "problem", "certain", evidence, advice)
        return Finding(*told, None, limit_h * 3600)
    silent_s = (now - arrived).total_seconds()
    evidence, is_certain = _silence(case, silent_s, limit_h * 3600)
    unlooked_s = 0.0 if looked is None else (now - looked).total_seconds()
    if unlooked_s > limit_h * 3600:
        is_certain = False
        evidence += f"; but `pano ingest` last looked {span(unlooked_s)} ago"
        advice = f"Run `pano ingest` first: new uploads may have arrived. {advice}"
    confidence = "certain" if is_certain else "possible"
    told = (case.camera, "camera_silent", "problem", confidence, evidence, advice)
    return Finding(*told, silent_s, limit_h * 3600, arrived.to_pydatetime())


def _silence(case: Case, silent_s: float, limit_s: float) -> tuple[str, bool]:
    """Return the figures of a silence, and whether it is longer than any the camera had."""
    evidence = f"no uploads for {span(silent_s)}, longer than the {span(limit_s)} allowed"
    longest_s = _longest_silence_s(case)
    if longest_s:
        evidence += f"; its longest silence before that was {span(longest_s)}"
    return evidence, silent_s > 2 * longest_s


def _longest_silence_s(case: Case) -> float:
    gaps = case.uploads["arrived"].sort_values().diff().max()
    return 0.0 if pd.isna(gaps) else float(gaps.total_seconds())


# --- one kind lacks ---------------------------------------------------------------------


def lacking(case: Case) -> list[Finding]:
    """Return whether snapshots of motion come without clips for days, or clips without snapshots.

    Ten of the one kind, on as many days as `no_clips_days` says, since the last of the other.
    """
    return [*_lacks(case, "snapshot", "clip"), *_lacks(case, "clip", "snapshot")]


def _lacks(case: Case, there: str, lacking: str) -> list[Finding]:
    uploads = case.uploads
    last = uploads.loc[uploads["kind"] == lacking, "start"].max()
    told = uploads[(uploads["kind"] == there) & ~uploads["trigger"].isin(_NOT_MOTION)]
    since = told if pd.isna(last) else told[told["start"] > last]
    days = since["start"].dt.tz_convert(case.zone).dt.date.nunique()
    if len(since) < _FEWEST_SEEN or days < case.rules.no_clips_days:
        return []
    ever = case.clips if lacking == "clip" else case.snapshots
    evidence = (
        f"{many(len(since), there)} on {many(days, 'day')}, and no {lacking}; "
        f"{many(ever, lacking)} before"
    )
    return [
        Finding(
            *(case.camera, f"no_{lacking}s", "problem" if ever else "advice"),
            *("certain" if ever else "possible", evidence, _lacking_advice(case, ever, lacking)),
            value=days,
            limit=case.rules.no_clips_days,
            since=None if pd.isna(last) else last.to_pydatetime(),
        )
    ]


def _lacking_advice(case: Case, ever: int, lacking: str) -> str:
    if ever:
        return f"It used to send {lacking}s. {case.menu.recording}."
    return f"If you want {lacking}s as well: {case.menu.recording}. Otherwise add it to `ignore`."


# --- cut short --------------------------------------------------------------------------


def cut(case: Case) -> list[Finding]:
    """Return whether uploads are cut short: more of them than before, or always many.

    Rising is told by Fisher's exact test, one-sided: were the share of cut uploads
    the same in the newest days (at least the newest 20 uploads) as in those before,
    so many would fall among the newest by chance in less than 1 of 1,000 cases; three
    at least, and twice the share before. Many: Wilson's 95 % interval of the share
    lies above 5 %. Snapshots and clips are counted apart: long uploads fail first.
    """
    return [one for kind in ("clip", "snapshot") for one in _cut(case, kind)]


def _cut(case: Case, kind: str) -> list[Finding]:
    opened = case.uploads[(case.uploads["kind"] == kind) & case.uploads["state"].isin(OPENED)]
    if opened.empty:
        return []
    is_cut = opened["state"].isin(_CUT)
    recent = _is_recent(opened["start"], case.rules.recent_days)
    new, newly = int(recent.sum()), int((is_cut & recent).sum())
    old, before = int((~recent).sum()), int((is_cut & ~recent).sum())
    if is_rising(newly, new, before, old):
        evidence = (
            f"{newly} of the last {many(new, kind)} cut off; {before} of {old} in the days before"
        )
        return [_cut_finding(case, evidence, newly / new, max(before / old, _MANY))]
    if is_many(newly + before, new + old):
        evidence = f"{newly + before} of {many(new + old, kind)} cut off, as before"
        return [_cut_finding(case, evidence, (newly + before) / (new + old), _MANY)]
    return []


def _is_recent(start: pd.Series, days: int) -> pd.Series:
    """Tell which uploads are of the newest days, or among the newest few."""
    from_then = start >= start.iloc[-1] - pd.Timedelta(days=days)
    newest = pd.Series(range(len(start)), start.index) >= len(start) - _FEWEST_RECENT
    recent: pd.Series = from_then | newest
    return recent


def is_rising(newly: int, new: int, before: int, old: int) -> bool:
    """Tell whether `newly` of `new` is more than `before` of `old` by more than chance."""
    if newly < _FEWEST_CUT or not old or newly / new < 2 * before / old:
        return False
    return by_chance(newly, new, before, old) < _CHANCE


def by_chance(newly: int, new: int, before: int, old: int) -> float:
    """Return the probability of at least `newly` in `new` were both shares one (Fisher 1922)."""
    every, wrong = new + old, newly + before
    possible = range(newly, min(wrong, new) + 1)
    ways = (_log_ways(wrong, n) + _log_ways(every - wrong, new - n) for n in possible)
    return sum(exp(log_ways - _log_ways(every, new)) for log_ways in ways)


def _log_ways(every: int, chosen: int) -> float:
    return lgamma(every + 1) - lgamma(chosen + 1) - lgamma(every - chosen + 1)


def is_many(wrong: int, every: int) -> bool:
    """Tell whether the share is above 5 % for sure (Wilson 1927, 95 %), three at least."""
    if wrong < _FEWEST_CUT:
        return False
    z, share = 1.96, wrong / every
    middle = share + z * z / (2 * every)
    reach = z * sqrt(share * (1 - share) / every + z * z / (4 * every * every))
    return (middle - reach) / (1 + z * z / every) > _MANY


def _cut_finding(case: Case, evidence: str, share: float, limit: float) -> Finding:
    advice = (
        "The camera aborts uploads: check its Wi-Fi signal, the free space on the upload disk, "
        f"and the log of the upload server; a lower bit rate helps ({case.menu.video}: Bit Rate)."
    )
    told = (case.camera, "uploads_cut", "problem", "certain", evidence, advice)
    return Finding(*told, share, limit)
