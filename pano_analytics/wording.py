"""What people are told in the same words everywhere: states, doubtful times, days, safe links."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

Badge = tuple[str, str]
"""A word, and the reason in a sentence."""

STATE_BADGES: dict[str, Badge] = {
    "partial": ("Partial", "Only part of this file can be read."),
    "damaged": ("Unreadable", "Nothing in this file can be read."),
    "unsupported": (
        "Not supported",
        "This file is in a format that pano does not read. The file itself may be intact.",
    ),
    "empty": ("Empty", "The file has no content."),
    "pending": ("Still arriving", "The camera is still writing this file."),
    "unread": ("Not opened yet", "So far, only its name and size are known."),
    "missing": ("Gone", "The file is no longer in the upload folder."),
    "culled": ("Removed", "The file was removed to free space."),
}
# What a start rests on other than plainly the name (docs/design/time.md).
TIME_BADGES: dict[str, Badge] = {
    "name+arrival": (
        "Repeated hour",
        "The end of daylight saving time repeats this hour. The arrival of the file tells which "
        "of the two it was.",
    ),
    "name+neighbours": (
        "Repeated hour",
        "The end of daylight saving time repeats this hour. Other uploads of these minutes tell "
        "which of the two it was.",
    ),
    "guess": (
        "Time uncertain",
        "The end of daylight saving time repeats this hour, and nothing tells which of the two it "
        "was. The first is assumed.",
    ),
    "gap": (
        "Time uncertain",
        "The start of daylight saving time skips this hour: the camera had not changed its clock "
        "yet. Its time is converted with the old offset.",
    ),
    "arrival": (
        "Time from arrival",
        "The file name has no valid time. This is the time when the file arrived.",
    ),
}


def day_label(day: date) -> str:
    """Return `Sunday 22 November 2026`."""
    return f"{day:%A} {day.day} {day:%B %Y}"


def safe_link(url: str) -> str | None:
    """Return an address that is safe as a link; a script in disguise is none."""
    return url if urlsplit(url).scheme in ("http", "https", "rtsp", "rtsps") else None


def printable(text: str) -> str:
    """Return `text` on one line: nothing in it can move a terminal's cursor or split a log.

    Control characters, Unicode direction marks and other invisible ones are escaped.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def many(count: int, what: str) -> str:
    """Return a count in words: "1 clip", "3 clips", "1,200 clips"."""
    return f"{count:,} {plural(count, what)}"


def plural(count: float, what: str) -> str:
    """Return the noun `what` as it is said of so many: "clip" of 1, else "clips"."""
    return what if count == 1 else f"{what}s"
