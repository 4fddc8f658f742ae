"""Text for several modules: counts, days, links, and text that is safe to print."""

from __future__ import annotations

from datetime import date
from urllib.parse import urlsplit


def day_label(day: date) -> str:
    """Return `Sunday 22 November 2026`."""
    return f"{day:%A} {day.day} {day:%B %Y}"


def safe_link(url: str) -> str | None:
    """Return `url` if it is safe as a link, else None (a `javascript:` URL, for instance)."""
    return url if urlsplit(url).scheme in ("http", "https", "rtsp", "rtsps") else None


def printable(text: str) -> str:
    """Return `text` on one line: it cannot move a terminal's cursor or split a log line.

    Control characters, Unicode direction marks and other invisible ones are escaped.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def many(count: int, what: str) -> str:
    """Return a count in words: "1 clip", "3 clips", "1,200 clips"."""
    return f"{count:,} {plural(count, what)}"


def plural(count: float, what: str) -> str:
    """Return the noun `what` for a count: "clip" for 1, else "clips"."""
    return what if count == 1 else f"{what}s"


def span(seconds: float) -> str:
    """Return a duration in everyday words, without its sign."""
    size = abs(seconds)
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("h", 3600), ("min", 60)):
        if size >= 2 * length or (unit in ("h", "min") and size >= length):
            return f"{size / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{size:.0f} s"


def clock_error(seconds: float) -> str:
    """Return how wrong a clock is that is `seconds` ahead: "47 min behind"."""
    return f"{span(seconds)} {'ahead' if seconds > 0 else 'behind'}"
