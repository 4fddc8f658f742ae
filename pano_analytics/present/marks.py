"""Badges that warn about an upload: about its state, or about an uncertain time."""

from __future__ import annotations

from typing import NamedTuple
from zoneinfo import ZoneInfo

from pano_analytics.model.corrections import CORRECTED
from pano_analytics.model.upload import Upload
from pano_analytics.wording import clock_error


class Badge(NamedTuple):
    """A short label, and the reason as a sentence."""

    word: str
    reason: str


STATE_BADGES: dict[str, Badge] = {
    "partial": Badge("Partial", "Only part of this file can be read."),
    "damaged": Badge("Unreadable", "Nothing in this file can be read."),
    "unsupported": Badge(
        "Not supported",
        "This file is in a format that pano does not read. The file itself may be intact.",
    ),
    "empty": Badge("Empty", "The file has no content."),
    "pending": Badge("Still arriving", "The camera is still writing this file."),
    "unread": Badge("Not opened yet", "So far, only its name and size are known."),
    "missing": Badge("Gone", "The file is no longer in the upload folder."),
    "culled": Badge("Removed", "The file was removed to free space."),
}
STATE_COUNTS: dict[str, str] = {
    "partial": "{n} partial",
    "damaged": "{n} could not be read",
    "unsupported": "{n} in a format that is not supported",
    "empty": "{n} empty",
    "pending": "{n} still arriving",
    "unread": "{n} not opened yet",
    "missing": "{n} gone",
    "culled": "{n} removed to free space",
    "complete": "{n} complete",
}
"""Texts for the number of uploads in a state, to be formatted with `n`; worst first."""

# By `time_source`, for starts that do not come only from the name (docs/design/time.md).
TIME_BADGES: dict[str, Badge] = {
    "name+arrival": Badge(
        "Repeated hour",
        "The end of daylight saving time repeats this hour. The time of arrival shows "
        "which of the two it was.",
    ),
    "name+neighbours": Badge(
        "Repeated hour",
        "The end of daylight saving time repeats this hour. Other uploads from the same "
        "minutes show which of the two it was.",
    ),
    "guess": Badge(
        "Time uncertain",
        "The end of daylight saving time repeats this hour, and nothing shows which of the two it "
        "was. The first is assumed.",
    ),
    "gap": Badge(
        "Time uncertain",
        "The start of daylight saving time skips this hour: the camera had not changed its clock "
        "yet. Its time is converted with the old offset.",
    ),
    "arrival": Badge(
        "Time from arrival",
        "The file name has no valid time. This is the time when the file arrived.",
    ),
}
_SHOWN_RIGHT = "The time is shown without that error."
_TIME_SOURCES = {
    "name": "the file’s name",
    "name+arrival": "the file’s name, and its arrival",
    "name+neighbours": "the file’s name, and other uploads",
    "guess": "the file’s name, with a guess",
    "gap": "the file’s name, with the old offset",
    "arrival": "the file’s arrival",
}


def badges(upload: Upload) -> list[Badge]:
    """Return the warnings about an upload; usually none."""
    result = []
    if upload.state in STATE_BADGES:
        word, reason = STATE_BADGES[upload.state]
        result.append(Badge(word, upload.state_reason or reason))
    source, is_corrected = _source(upload)
    if source != "name":
        other = Badge("Time uncertain", f"Its time comes from: {source}.")
        result.append(TIME_BADGES.get(source, other))
    if is_corrected:
        error = clock_error(upload.clock_offset_s or 0.0)
        result.append(Badge("Clock corrected", f"The camera’s clock was {error}. {_SHOWN_RIGHT}"))
    return result


def time_source(upload: Upload) -> str:
    """Return where the start of an upload comes from, such as `the file’s name`."""
    source, is_corrected = _source(upload)
    text = _TIME_SOURCES.get(source, source)
    return f"{text}, with the clock corrected" if is_corrected else text


def _source(upload: Upload) -> tuple[str, bool]:
    """Return `time_source` without what says that the clock was corrected, and whether it was."""
    source = upload.time_source or "name"
    return source.removesuffix(CORRECTED), source.endswith(CORRECTED)


def culled_on(upload: Upload, zone: ZoneInfo) -> str:
    """Return `Culled on 20 November 2026`, or an empty text if it was not culled."""
    if upload.state != "culled" or upload.culled_at is None:
        return ""
    moment = upload.culled_at.astimezone(zone)
    return f"Culled on {moment.day} {moment:%B %Y}"
