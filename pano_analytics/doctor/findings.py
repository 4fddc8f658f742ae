"""What the doctor can find: the words, and the table of findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics.model.corrections import ClockCorrection

# word -> what it means. `value` and `limit` are in the unit that docs/doctor.md names.
WORDS: dict[str, str] = {
    "clock_off": "the camera's clock is wrong",
    "uploads_late": "uploads arrive long after their recording; the clock cannot be checked",
    "camera_silent": "the camera no longer uploads",
    "unread": "files arrive that pano does not read: their names or format are unknown",
    "unreadable": "files or folders of the upload tree cannot be read",
    "skipped": "links, pipes, sockets or devices in the upload tree are not read",
    "no_clips": "motion snapshots arrive, but no clips",
    "no_snapshots": "clips arrive, but no snapshots",
    "uploads_cut": "many uploads are cut off, or more than before",
    "overwrite_tried": "a client tried to replace or remove complete uploads; they were kept",
    "overwritten": "complete uploads were overwritten with different content",
    "format_unsupported": "uploads are in a format that pano does not read",
    "resolution_low": "pictures or clips have a lower resolution than configured",
    "frame_rate_low": "clips have fewer frames per second than wanted",
    "codec_h265": "clips are H.265, which not every browser plays",
    "ports_closed": "the upload server or its data ports cannot be reached",
    "login_refused": "the upload server refuses the login",
    "encryption_failed": "a client and the upload server cannot agree on encryption",
    "connection_refused": "the upload server closes connections of a camera",
    "upload_refused": "the upload server refuses files or folders of a camera",
    "clock_doubtful": "this computer's clock is implausible; nothing is deleted",
    "uploads_strange": "the upload tree does not belong to the library",
    "marker_missing": "the marker of the upload tree is missing; nothing is culled",
    "journal_torn": "a file of the journal has no end; nothing is culled",
    "disk_small": "the disk is too small for the configured days",
    "zone_rules_old": "this machine's time zone database differs from the one pano uses",
    "zone_rules_duckdb": "DuckDB's time zone rules differ from the database pano uses",
}
SEVERITIES = ("problem", "advice")
CONFIDENCES = ("certain", "likely", "possible")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, with its evidence and what to do about it.

    `camera` is None if it concerns all cameras; `value` and `limit` are what was measured
    and what is required; `since` is when it began (aware), within the examined days.
    `command` is a command that corrects the uploads of a wrong clock, `correction` what it
    stores.
    """

    camera: str | None
    word: str
    severity: str
    confidence: str
    evidence: str
    advice: str
    value: float | None = None
    limit: float | None = None
    since: datetime | None = None
    command: str | None = None
    correction: ClockCorrection | None = None


COLUMNS = tuple(Finding.__dataclass_fields__)


def table(findings: Iterable[Finding], zone: ZoneInfo) -> pd.DataFrame:
    """Return findings as a DataFrame, problems first, then by word and camera."""
    ranked = sorted(findings, key=_rank)
    frame = pd.DataFrame([asdict(one) for one in ranked], columns=list(COLUMNS))
    # pandas would turn None (a finding that concerns all cameras) into NaN.
    for name in ("camera", "command", "correction"):
        values = [getattr(one, name) for one in ranked]
        frame[name] = pd.Series(values, frame.index, dtype=object)
    since = pd.to_datetime(frame["since"], utc=True).dt.as_unit("us")
    return frame.astype({"value": "float64", "limit": "float64"}).assign(
        since=since.dt.tz_convert(zone)
    )


def _rank(one: Finding) -> tuple[int, int, str, str]:
    words = list(WORDS)
    return SEVERITIES.index(one.severity), words.index(one.word), one.advice, one.camera or ""
