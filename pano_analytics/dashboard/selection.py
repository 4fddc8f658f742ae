"""The visitor's selection, stored in the address: cameras, range, kind, states, open item.

Each value of an address is checked separately: an invalid one is ignored with a notice, and
the others apply. Range bounds are wall-clock times of the library's zone, so a link means the
same hours wherever it is opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import param

from pano_analytics.model import alike
from pano_analytics.model.upload import KINDS, STATES

MODES = ("moments", "files")
_MEDIA_ID = re.compile(r"[0-9a-f]{16}")
_MOST_VALUES = 200
_QUOTED_LENGTH = 60


class Selection(param.Parameterized):
    """The state of one visitor's page.

    `start` and `end` are naive wall-clock times of the library's zone, and `end` is
    exclusive. `until` is the last day that the heatmaps show. `item` is a `media_id`, and
    `at` a position in its clip, in seconds.
    """

    cameras = param.ClassSelector(class_=tuple, default=())
    start = param.ClassSelector(class_=datetime, allow_None=True)
    end = param.ClassSelector(class_=datetime, allow_None=True)
    kind: Any = param.Selector(default=None, objects=[None, *KINDS])
    states = param.ClassSelector(class_=tuple, default=())
    mode: Any = param.Selector(default="moments", objects=list(MODES))
    until = param.ClassSelector(class_=date, allow_None=True)
    item = param.String(default=None, allow_None=True)
    at = param.Number(default=None, allow_None=True)
    notices = param.ClassSelector(class_=tuple, default=())

    def follow(self, search: str, cameras: Sequence[str]) -> None:
        """Apply the query string `search`; `cameras` are the names that exist."""
        reading = read(search, cameras)
        self.param.update(**reading.values, notices=tuple(reading.notices))

    @property
    def search(self) -> str:
        """The query string of this selection, with its `?`; empty if nothing is selected."""
        return write(self.param.values())

    def key(self) -> tuple[Any, ...]:
        """Return the values that determine which uploads the gallery shows."""
        return (self.cameras, self.start, self.end, self.kind, self.states)


@dataclass(slots=True)
class SearchReading:
    """The values in an address, and a notice for each one that was ignored."""

    values: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


def read(search: str, cameras: Sequence[str]) -> SearchReading:
    """Parse a query string value by value; invalid values become notices, not errors."""
    reading = SearchReading()
    given = _parse_query(search, reading.notices)
    reading.values = {
        "cameras": _known(given, "camera", cameras, reading.notices),
        "states": _known(given, "state", STATES, reading.notices),
        "kind": _one(given, "kind", KINDS, reading.notices),
        "mode": _one(given, "mode", MODES, reading.notices) or "moments",
        "start": _moment(given, "from", reading.notices),
        "end": _moment(given, "to", reading.notices),
        "until": _day(given, reading.notices),
        "item": _item(given, reading.notices),
        "at": _offset(given, reading.notices),
    }
    _drop_reversed_range(reading)
    return reading


def _parse_query(search: str, notices: list[str]) -> dict[str, list[str]]:
    try:
        return parse_qs(search.lstrip("?"), max_num_fields=_MOST_VALUES, errors="replace")
    except ValueError:
        notices.append("The address is too long and was ignored.")
        return {}


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED_LENGTH else f"{text[:_QUOTED_LENGTH]}…"


def _known(
    given: dict[str, list[str]], name: str, known: Iterable[str], notices: list[str]
) -> tuple[str, ...]:
    matches = {text: alike.find(text, known) for text in given.get(name, ())}
    notices += [
        f"There is no {name} named “{_short(text)}”."
        for text, match in matches.items()
        if not match
    ]
    return tuple(dict.fromkeys(match for match in matches.values() if match))


def _one(
    given: dict[str, list[str]], name: str, known: Sequence[str], notices: list[str]
) -> str | None:
    matches = _known(given, name, known, notices)
    return matches[0] if matches else None


def _moment(given: dict[str, list[str]], name: str, notices: list[str]) -> datetime | None:
    text = given.get(name, [""])[-1]
    if not text:
        return None
    moment = parse_moment(text)
    if moment is None:
        notices.append(
            f"“{_short(text)}” is not a valid time; expected one such as 2026-11-22T14:30."
        )
    return moment


def parse_moment(text: str) -> datetime | None:
    """Parse `2026-11-22`, `2026-11-22T14` or `2026-11-22T14:30` as a naive wall-clock time.

    Returns None for anything else.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    # An offset would contradict the library's zone. Years near the ends of the calendar leave
    # no room for a step or an offset.
    if moment.tzinfo is not None or not 1971 <= moment.year <= 9000:
        return None
    return moment.replace(microsecond=0)


def _day(given: dict[str, list[str]], notices: list[str]) -> date | None:
    moment = _moment({"until": given.get("until", [])[-1:] or [""]}, "until", notices)
    return None if moment is None else moment.date()


def _item(given: dict[str, list[str]], notices: list[str]) -> str | None:
    text = given.get("item", [""])[-1]
    if not text or _MEDIA_ID.fullmatch(text):
        return text or None
    notices.append(f"“{_short(text)}” is not a valid item; expected 16 digits and letters a to f.")
    return None


def _offset(given: dict[str, list[str]], notices: list[str]) -> float | None:
    text = given.get("t", [""])[-1]
    if not text:
        return None
    if re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text, re.ASCII):
        return float(text)
    notices.append(f"“{_short(text)}” is not a position in a clip; expected seconds such as 12.5.")
    return None


def _drop_reversed_range(reading: SearchReading) -> None:
    start, end = reading.values["start"], reading.values["end"]
    if start and end and end <= start:
        reading.notices.append("The time range ends before it begins; its end was ignored.")
        reading.values["end"] = None


def write(values: dict[str, Any]) -> str:
    """Return the query string of Selection's `values`: the inverse of `read`."""
    pairs: list[tuple[str, str]] = [("camera", name) for name in values["cameras"]]
    pairs += [("from", text_of(values["start"])), ("to", text_of(values["end"]))]
    pairs += [("kind", values["kind"] or "")]
    pairs += [("state", state) for state in values["states"]]
    pairs += [("mode", "" if values["mode"] == "moments" else values["mode"])]
    pairs += [("until", "" if values["until"] is None else values["until"].isoformat())]
    pairs += [("item", values["item"] or "")]
    pairs += [("t", "" if values["at"] is None else f"{values['at']:g}")]
    text = urlencode([pair for pair in pairs if pair[1]], safe=":")
    return f"?{text}" if text else ""


def text_of(moment: datetime | None) -> str:
    """Return a wall-clock time as ISO text, as short as possible: a day, an hour, a minute."""
    if moment is None:
        return ""
    if moment.second:
        return f"{moment:%Y-%m-%dT%H:%M:%S}"
    if moment.minute:
        return f"{moment:%Y-%m-%dT%H:%M}"
    return f"{moment:%Y-%m-%dT%H}" if moment.hour else f"{moment:%Y-%m-%d}"


# --- Ranges in words, and the ranges beside them.


def range_label(start: datetime | None, end: datetime | None, year: int | None = None) -> str:
    """Return the range as text, such as `Sun 22 Nov, 14:00 – 15:00`; `year` is omitted."""
    if start is None and end is None:
        return "All time"
    if start is None:
        return f"Until {_moment_text(end, year)}"
    if end is None:
        return f"Since {_moment_text(start, year)}"
    if _is_midnight(start) and _is_midnight(end):
        return _days_label(start.date(), end.date() - timedelta(days=1), year)
    if start.date() == end.date() or end == _midnight(start.date() + timedelta(days=1)):
        return f"{_day_text(start, year)}, {start:%H:%M} – {end:%H:%M}"
    return f"{_moment_text(start, year)} – {_moment_text(end, year)}"


def _days_label(first: date, last: date, year: int | None) -> str:
    if first == last:
        return _day_text(first, year)
    begin = f"{first.day} {first:%b}{_year_text(first, last.year)}"
    return f"{begin} – {last.day} {last:%b}{_year_text(last, year)}"


def _moment_text(moment: datetime | None, year: int | None) -> str:
    if moment is None:
        return ""
    return _day_text(moment, year) + ("" if _is_midnight(moment) else f", {moment:%H:%M}")


def _day_text(day: date, year: int | None) -> str:
    return f"{day:%a} {day.day} {day:%b}{_year_text(day, year)}"


def _year_text(day: date, known: int | None) -> str:
    return "" if day.year == known else f" {day.year}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _is_midnight(moment: datetime) -> bool:
    return moment.time() == time()


@dataclass(frozen=True, slots=True)
class Range:
    """A named range of wall-clock times; `end` is exclusive, and None means unbounded."""

    name: str
    start: datetime | None = None
    end: datetime | None = None

    def is_of(self, selection: Selection) -> bool:
        """Return whether this range is the selected one."""
        return (self.start, self.end) == (selection.start, selection.end)


def quick_ranges(now: datetime) -> list[Range]:
    """Return the ranges of the quick buttons; those that reach to `now` have no end."""
    today = _midnight(now.date())
    days = [today - timedelta(days=count) for count in (1, 6, 13)]
    hour = now.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    return [
        Range("Today", today, today + timedelta(days=1)),
        Range("Yesterday", days[0], today),
        Range("24 h", hour - timedelta(hours=23)),
        Range("7 days", days[1]),
        Range("14 days", days[2]),
        Range("All"),
    ]


def neighbour_ranges(
    start: datetime | None, end: datetime | None, now: datetime
) -> tuple[Range | None, Range | None]:
    """Return the ranges of the same length before and after; None if there is none."""
    if start is None:
        return None, None
    stop = end or _after(now, start)
    length = stop - start
    earlier = _stepped("earlier", start - length, start)
    later = None if end is None or end > now else _stepped("later", end, end + length)
    return earlier, later


def _after(now: datetime, start: datetime) -> datetime:
    stop = now.replace(minute=0, second=0, microsecond=0, tzinfo=None) + timedelta(hours=1)
    if _is_midnight(start):
        stop = _midnight(now.date() + timedelta(days=1))
    return max(stop, start + timedelta(hours=1))


def _stepped(name: str, start: datetime, end: datetime) -> Range | None:
    return Range(name, start, end) if start.year > 1971 and end.year < 9000 else None


def wall_now(zone: ZoneInfo) -> datetime:
    """Return the current wall-clock time of `zone`, naive."""
    return datetime.now(zone).replace(tzinfo=None)
