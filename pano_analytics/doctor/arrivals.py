"""Do all expected uploads arrive, and complete? Silence, one kind missing, uploads cut off."""

from __future__ import annotations

from datetime import datetime
from math import exp, lgamma, sqrt

import pandas as pd

from pano_analytics.doctor.case import Case
from pano_analytics.doctor.findings import Finding
from pano_analytics.wording import many, span

# What a camera leaves behind when it aborts an upload.
_CUT = ("partial", "damaged", "empty")
OPENED = (*_CUT, "complete", "unsupported")
"""States of uploads that were opened."""
# With fewer uploads than these, a share means nothing.
_FEWEST_CUT = 3
_FEWEST_RECENT = 20
_CHANCE = 0.001
_MANY = 0.05
_FEWEST_SEEN = 10
# Uploads at fixed times say nothing about motion.
_NOT_MOTION = ("scheduled", "manual")


# --- silence ----------------------------------------------------------------------------


def silent(case: Case, limit_h: float, now: datetime, last_run: datetime | None) -> Finding:
    """Return the finding for a camera that has been silent for more than `limit_h` hours.

    `now` is the current time, and `last_run` is when ingest last looked for uploads, None
    if unknown; both are aware.
    """
    arrived = case.uploads["arrived"].max()
    advice = (
        f"Is it switched on and connected, and does its web page open? Restart it, then check "
        f"{case.menu.upload}."
    )
    if pd.isna(arrived):
        evidence = "it is in the settings, but has never uploaded anything"
        fields = (case.camera, "camera_silent", "problem", "certain", evidence, advice)
        return Finding(*fields, None, limit_h * 3600)
    silent_s = (now - arrived).total_seconds()
    evidence, is_certain = _silence(case, silent_s, limit_h * 3600)
    idle_s = 0.0 if last_run is None else (now - last_run).total_seconds()
    if idle_s > limit_h * 3600:
        is_certain = False
        evidence += f"; but `pano ingest` last looked {span(idle_s)} ago"
        advice = f"Run `pano ingest` first: new uploads may have arrived. {advice}"
    confidence = "certain" if is_certain else "possible"
    fields = (case.camera, "camera_silent", "problem", confidence, evidence, advice)
    return Finding(*fields, silent_s, limit_h * 3600, arrived.to_pydatetime())


def _silence(case: Case, silent_s: float, limit_s: float) -> tuple[str, bool]:
    """Return a silence as text, and whether it is more than twice as long as any before."""
    evidence = f"no uploads for {span(silent_s)}, longer than the {span(limit_s)} allowed"
    longest_s = _longest_silence_s(case)
    if longest_s:
        evidence += f"; its longest silence before that was {span(longest_s)}"
    return evidence, silent_s > 2 * longest_s


def _longest_silence_s(case: Case) -> float:
    gaps = case.uploads["arrived"].sort_values().diff().max()
    return 0.0 if pd.isna(gaps) else float(gaps.total_seconds())


# --- one kind is missing ----------------------------------------------------------------


def missing_kind(case: Case) -> list[Finding]:
    """Report motion snapshots without clips for days, or clips without snapshots.

    That is at least ten uploads of one kind, on at least `no_clips_days` days, since the
    last upload of the other kind.
    """
    return [*_missing(case, "snapshot", "clip"), *_missing(case, "clip", "snapshot")]


def _missing(case: Case, present: str, missing: str) -> list[Finding]:
    uploads = case.uploads
    last = uploads.loc[uploads["kind"] == missing, "start"].max()
    motion = uploads[(uploads["kind"] == present) & ~uploads["trigger"].isin(_NOT_MOTION)]
    since = motion if pd.isna(last) else motion[motion["start"] > last]
    days = since["start"].dt.tz_convert(case.zone).dt.date.nunique()
    if len(since) < _FEWEST_SEEN or days < case.rules.no_clips_days:
        return []
    ever = case.clips if missing == "clip" else case.snapshots
    evidence = (
        f"{many(len(since), present)} on {many(days, 'day')}, and no {missing}; "
        f"{many(ever, missing)} before"
    )
    return [
        Finding(
            *(case.camera, f"no_{missing}s", "problem" if ever else "advice"),
            *("certain" if ever else "possible", evidence, _missing_advice(case, ever, missing)),
            value=days,
            limit=case.rules.no_clips_days,
            since=None if pd.isna(last) else last.to_pydatetime(),
        )
    ]


def _missing_advice(case: Case, ever: int, missing: str) -> str:
    if ever:
        return f"It used to send {missing}s. {case.menu.recording}."
    return f"If you want {missing}s as well: {case.menu.recording}. Otherwise add it to `ignore`."


# --- cut off ----------------------------------------------------------------------------


def cut(case: Case) -> list[Finding]:
    """Report uploads that were cut off, if there are more than before, or always many.

    Rising: Fisher's exact test, one-sided. If the share of cut uploads in the newest days
    (at least the newest 20 uploads) were the same as before, so many would fall among the
    newest by chance in less than 1 of 1,000 cases; and there are at least three, and at
    least twice the share before. Many: Wilson's 95 % interval of the share lies above 5 %.
    Snapshots and clips are counted separately, because long uploads fail first.
    """
    return [one for kind in ("clip", "snapshot") for one in _cut(case, kind)]


def _cut(case: Case, kind: str) -> list[Finding]:
    opened = case.uploads[(case.uploads["kind"] == kind) & case.uploads["state"].isin(OPENED)]
    if opened.empty:
        return []
    is_cut = opened["state"].isin(_CUT)
    is_recent = _recent(opened["start"], case.rules.recent_days)
    recent_total, recent_cut = int(is_recent.sum()), int((is_cut & is_recent).sum())
    earlier_total, earlier_cut = int((~is_recent).sum()), int((is_cut & ~is_recent).sum())
    if is_rising(recent_cut, recent_total, earlier_cut, earlier_total):
        evidence = (
            f"{recent_cut} of the last {many(recent_total, kind)} cut off; "
            f"{earlier_cut} of {earlier_total} in the days before"
        )
        return [
            _cut_finding(
                case, evidence, recent_cut / recent_total, max(earlier_cut / earlier_total, _MANY)
            )
        ]
    if is_many(recent_cut + earlier_cut, recent_total + earlier_total):
        total, cut_total = recent_total + earlier_total, recent_cut + earlier_cut
        evidence = f"{cut_total} of {many(total, kind)} cut off, as before"
        return [_cut_finding(case, evidence, cut_total / total, _MANY)]
    return []


def _recent(start: pd.Series, days: int) -> pd.Series:
    """Return which uploads are from the newest days, or among the newest few."""
    in_time = start >= start.iloc[-1] - pd.Timedelta(days=days)
    newest = pd.Series(range(len(start)), start.index) >= len(start) - _FEWEST_RECENT
    recent: pd.Series = in_time | newest
    return recent


def is_rising(recent_cut: int, recent: int, earlier_cut: int, earlier: int) -> bool:
    """Return whether the share of cut uploads has risen, and not by chance."""
    if recent_cut < _FEWEST_CUT or not earlier or recent_cut / recent < 2 * earlier_cut / earlier:
        return False
    return by_chance(recent_cut, recent, earlier_cut, earlier) < _CHANCE


def by_chance(recent_cut: int, recent: int, earlier_cut: int, earlier: int) -> float:
    """Return the chance of at least `recent_cut` if both shares were equal (Fisher 1922)."""
    total, cut_total = recent + earlier, recent_cut + earlier_cut
    possible = range(recent_cut, min(cut_total, recent) + 1)
    ways = (
        _log_binomial(cut_total, n) + _log_binomial(total - cut_total, recent - n) for n in possible
    )
    return sum(exp(log_ways - _log_binomial(total, recent)) for log_ways in ways)


def _log_binomial(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)


def is_many(wrong: int, total: int) -> bool:
    """Return whether the share is certainly above 5 % (Wilson 1927, 95 %), and at least three."""
    if wrong < _FEWEST_CUT:
        return False
    z, share = 1.96, wrong / total
    middle = share + z * z / (2 * total)
    margin = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return (middle - margin) / (1 + z * z / total) > _MANY


def _cut_finding(case: Case, evidence: str, share: float, limit: float) -> Finding:
    advice = (
        "The camera aborts uploads: check its Wi-Fi signal, the free space on the upload disk, "
        f"and the log of the upload server; a lower bit rate helps ({case.menu.video}: Bit Rate)."
    )
    fields = (case.camera, "uploads_cut", "problem", "certain", evidence, advice)
    return Finding(*fields, share, limit)
