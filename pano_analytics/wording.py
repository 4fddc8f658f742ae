"""What people are told in the same words everywhere: states, doubtful times, days, safe links."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit

Badge = tuple[str, str]
"""A word, and the reason in a sentence."""

STATE_BADGES: dict[str, Badge] = {
    "partial": ("Partial", "Only part of this file could be read."),
    "damaged": ("Unreadable", "Nothing in this file could be read."),
    "unsupported": (
        "Not supported",
        "This file is in a format that pano does not read. It may well be whole.",
    ),
    "empty": ("Empty", "The file holds nothing."),
    "pending": ("Still arriving", "The camera is still writing this file."),
    "unread": ("Not opened yet", "Known by its name and size only, so far."),
    "missing": ("Gone", "The file is no longer in the upload folder."),
    "culled": ("Removed", "The file was removed to make room."),
}
# What a start rests on other than plainly the name (docs/design/time.md).
TIME_BADGES: dict[str, Badge] = {
    "name+arrival": (
        "Hour came twice",
        "Autumn repeats this hour. Which pass it was is told by when the file arrived.",
    ),
    "name+neighbours": (
        "Hour came twice",
        "Autumn repeats this hour. Which pass it was is told by other uploads of these minutes.",
    ),
    "guess": (
        "Time doubtful",
        "Autumn repeats this hour, and nothing tells the pass. The first is assumed.",
    ),
    "gap": (
        "Time doubtful",
        "Spring skips this hour: the camera had not set its clock. It is read by the old offset.",
    ),
    "arrival": (
        "Time from arrival",
        "The name tells no time, or one that cannot be. This is made from when the file arrived.",
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
