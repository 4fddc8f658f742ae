"""Is the picture quality as configured? Resolution, frames per second, and codec."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd

from pano_analytics.doctor.arrivals import OPENED, is_many
from pano_analytics.doctor.case import Case
from pano_analytics.doctor.findings import Finding
from pano_analytics.wording import many

_NEWEST = 20
# A stream of nominally 15 frames per second delivers 14.9, which should pass a minimum of 15.
_NEARLY = 0.95
_KINDS = ("clip", "snapshot")


def resolution(case: Case) -> list[Finding]:
    """Report kinds of uploads that have too few lines.

    Lines are the shorter side, so that a camera mounted sideways is treated equally. The
    most frequent size of the newest 20 that decode counts.
    """
    return [one for kind in _KINDS for one in _resolution(case, kind)]


def _resolution(case: Case, kind: str) -> list[Finding]:
    decoded = case.of(kind).dropna(subset=["width", "height"])
    if decoded.empty:
        return []
    sizes = decoded[["width", "height"]].astype("int64")
    current = _usual(sizes.tail(_NEWEST))
    if min(current) >= case.rules.min_height:
        return []
    better = sizes[sizes.min(axis=1) >= case.rules.min_height]
    last_better = better.index[-1] if len(better) >= _NEWEST / 2 else None
    newest = sizes.tail(_NEWEST)
    number = int(((newest["width"] == current[0]) & (newest["height"] == current[1])).sum())
    evidence = f"{number} of the newest {many(len(newest), kind)} are {current[0]}x{current[1]}"
    if last_better is not None:
        previous = _usual(better.tail(_NEWEST))
        evidence += f"; {many(len(better), kind)} before were {previous[0]}x{previous[1]}"
    return [
        Finding(
            *(
                case.camera,
                "resolution_low",
                "advice" if last_better is None else "problem",
                "certain",
            ),
            *(evidence, _size_advice(case, kind, last_better is not None)),
            value=min(current),
            limit=case.rules.min_height,
            since=None if last_better is None else _after(decoded, last_better),
        )
    ]


def _usual(sizes: pd.DataFrame) -> tuple[int, int]:
    width, height = sizes.value_counts().index[0]
    return int(width), int(height)


def _after(uploads: pd.DataFrame, index: Any) -> datetime:
    later = uploads.loc[index:, "start"]
    first: datetime = later.iloc[min(1, len(later) - 1)].to_pydatetime()
    return first


def _size_advice(case: Case, kind: str, is_new: bool) -> str:
    note = "It may have switched to its sub stream. " if is_new else ""
    if kind == "snapshot":
        return f"{note}{case.menu.snapshot}. Or lower min_height in [doctor]."
    return f"{note}{case.menu.video}: Resolution. Or lower min_height in [doctor]."


def frame_rate(case: Case) -> list[Finding]:
    """Report if more than half of the newest 20 clips have too few frames per second."""
    rates = case.of("clip")["fps"].dropna()
    newest = rates.tail(_NEWEST)
    minimum = case.rules.min_fps * _NEARLY
    slow = int((newest < minimum).sum())
    if 2 * slow <= len(newest):
        return []
    earlier = rates.iloc[:-_NEWEST]
    is_new = len(earlier) >= _NEWEST / 2 and 2 * int((earlier < minimum).sum()) < len(earlier)
    evidence = (
        f"{slow} of the newest {many(len(newest), 'clip')} have {_rate(newest)} frames per second"
    )
    if is_new:
        evidence += f"; those before had {_rate(earlier)}"
    advice = (
        f"{case.menu.video}: Frame Rate (FPS), which needs more disk space; in the dark, a slow "
        "shutter lowers it too. Or lower min_fps in [doctor]."
    )
    severity = "problem" if is_new else "advice"
    fields = (case.camera, "frame_rate_low", severity, "certain", evidence, advice)
    return [Finding(*fields, float(newest.median()), case.rules.min_fps)]


def _rate(rates: pd.Series) -> str:
    return f"{rates.median():.1f}".removesuffix(".0")


def unsupported(case: Case) -> list[Finding]:
    """Report uploads in formats that pano does not read, or too large to examine."""
    return [one for kind in _KINDS for one in _unsupported(case, kind)]


def _unsupported(case: Case, kind: str) -> list[Finding]:
    opened = case.uploads[(case.uploads["kind"] == kind) & case.uploads["state"].isin(OPENED)]
    unread = opened[opened["state"] == "unsupported"]
    if unread.empty:
        return []
    number, total = len(unread), len(opened)
    evidence = f"{number} of {many(total, kind)} cannot be read"
    if "state_reason" in unread:
        evidence += f"; the newest of them: {unread['state_reason'].iloc[-1]}"
    advice = (
        "The files themselves may be intact: they are kept, and can be downloaded. To see them "
        f"here, let the camera upload JPEG pictures and H.264 clips in MP4 ({case.menu.video})."
    )
    severity = "problem" if is_many(number, total) else "advice"
    fields = (case.camera, "format_unsupported", severity, "certain", evidence, advice)
    return [Finding(*fields, number / total, 0.0)]


def codec(case: Case) -> list[Finding]:
    """Report if at least half of the newest 10 clips are H.265."""
    newest = case.of("clip")["codec"].dropna().tail(_NEWEST // 2)
    number = int((newest == "hevc").sum())
    if not number or 2 * number < len(newest):
        return []
    evidence = f"{number} of the newest {many(len(newest), 'clip')} are H.265"
    advice = (
        f"{case.menu.video}: Encode Mode H.264. Until then, the dashboard converts such clips "
        "when they are played, which takes a while."
    )
    fields = (case.camera, "codec_h265", "advice", "certain", evidence, advice)
    return [Finding(*fields, number / len(newest), 0.5)]
