"""Rows in words: times, lengths, what is wrong with a file, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics.model.times import WallClock
from pano_analytics.wording import STATE_BADGES, TIME_BADGES, Badge, day_label, many, safe_link

Row = dict[str, Any]


def is_null(value: Any) -> bool:
    """Tell whether a value of a row is missing, of whatever type."""
    return value is None or value is pd.NaT or value is pd.NA or value != value


def text(value: Any) -> str:
    """Return a value as text; nothing for a missing one."""
    return "" if is_null(value) else str(value)


def short_day(day: date) -> str:
    """Return `Sun 22 Nov`."""
    return f"{day:%a} {day.day} {day:%b}"


class Clock:
    """Says times of one zone so that the two passes of an autumn hour are told apart."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._wall = WallClock(zone)

    def minute(self, moment: pd.Timestamp) -> str:
        """Return `14:03`."""
        return f"{moment:%H:%M}{self._pass(moment)}"

    def second(self, moment: pd.Timestamp) -> str:
        """Return `14:03:11`."""
        return f"{moment:%H:%M:%S}{self._pass(moment)}"

    def span(self, start: pd.Timestamp, end: pd.Timestamp) -> str:
        """Return `14:03 – 14:20`, or `14:03` where both are of one minute."""
        first, last = self.minute(start), self.minute(end)
        return first if first == last else f"{first} – {last}"

    def when(self, moment: pd.Timestamp) -> str:
        """Return `Sun 22 Nov 2026, 14:03`."""
        return f"{short_day(moment)} {moment.year}, {self.minute(moment)}"

    def _pass(self, moment: pd.Timestamp) -> str:
        wall = moment.tz_localize(None).to_pydatetime(warn=False)
        return f" {moment:%Z}" if self._wall.is_repeated(wall) else ""


def counts(snapshots: int, clips: int) -> str:
    """Return `14 pictures, 3 clips`, without what there is none of."""
    said = [
        many(int(number), noun)
        for number, noun in ((snapshots, "picture"), (clips, "clip"))
        if number
    ]
    return ", ".join(said) or "nothing"


def badges(row: Row) -> list[Badge]:
    """Return what must be known before trusting a row, with the reason."""
    found = []
    if row["state"] in STATE_BADGES:
        word, reason = STATE_BADGES[row["state"]]
        found.append((word, text(row["state_reason"]) or reason))
    source = text(row["time_source"]) or "name"
    if source != "name":
        found.append(TIME_BADGES.get(source, ("Time uncertain", f"Its time comes from: {source}.")))
    return found


def span_s(row: Row) -> float:
    """Return how many seconds a clip covers by its times, else how many of it decode."""
    start, end = row["start"], row["end"]
    if not is_null(end) and end > start:
        return float((end - start).total_seconds())
    return 0.0 if is_null(row["duration_s"]) else float(row["duration_s"])


def clip_length(seconds: float) -> str:
    """Return `0:27`, or nothing where it is not known."""
    whole = round(seconds)
    if not whole:
        return ""
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def facts(row: Row, clock: Clock, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Return what is known of an upload, name by name."""
    return [(name, said) for name, said in _facts(row, clock, zone) if said]


def _facts(row: Row, clock: Clock, zone: ZoneInfo) -> Iterable[tuple[str, str]]:
    start, end, arrived = row["start"], row["end"], row["arrived"]
    yield "Camera", row["camera"]
    yield "Time", f"{day_label(start)}, {clock.second(start)}"
    if row["kind"] == "clip":
        yield "Until", "" if is_null(end) else clock.second(end)
        yield "Length", _length(row)
    yield "Camera’s clock", _camera_clock(row)
    yield "Clock error", _clock_error(row["clock_offset_s"])
    yield "Arrived", "" if is_null(arrived) else f"{short_day(arrived)}, {clock.second(arrived)}"
    yield "Time zone", zone.key
    yield "Cause", text(row["trigger"])
    yield "Picture", _measures(row)
    yield "Codec", text(row["codec"])
    yield "Size", _size(row["size_bytes"])
    yield "File", row["path"]


def _camera_clock(row: Row) -> str:
    said = row["wall_start"]
    is_shown = is_null(said) or said == row["start"].tz_localize(None)
    return "" if is_shown else f"{said:%Y-%m-%d %H:%M:%S}"


def _clock_error(offset_s: Any) -> str:
    if is_null(offset_s) or not offset_s:
        return ""
    size = timedelta(seconds=round(abs(offset_s)))
    return f"{size} {'ahead' if offset_s > 0 else 'behind'}, corrected here"


def _length(row: Row) -> str:
    decoded = "" if is_null(row["duration_s"]) else f"{row['duration_s']:.1f} s in the file"
    return ", ".join(part for part in (f"{span_s(row):.0f} s by its times", decoded) if part)


def _measures(row: Row) -> str:
    if is_null(row["width"]) or is_null(row["height"]):
        return ""
    rate = "" if is_null(row["fps"]) else f", {row['fps']:.0f} frames per second"
    return f"{row['width']:.0f} × {row['height']:.0f}{rate}"


def _size(size_bytes: Any) -> str:
    if is_null(size_bytes):
        return ""
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def download_name(row: Row) -> str:
    """Return a name that says camera and time, such as `front_door_2026-11-20_14-23-11.jpg`."""
    said = f"{row['camera']}_{row['start']:%Y-%m-%d_%H-%M-%S}"
    name = re.sub(r"[^\w.-]+", "_", said).strip("._")
    ending = PurePosixPath(row["path"]).suffix.lower().rstrip("_")
    return name[:120] + (ending if re.fullmatch(r"\.[a-z0-9]{1,8}", ending) else ".bin")


def web(url: Any) -> str | None:
    """Return a camera's page as a link, None where there is none or it is not safe as one."""
    return safe_link(text(url))


def silent_from(arrived: Any, after_hours: float) -> datetime | None:
    """Return when a camera counts as silent whose last upload arrived then; None if none did."""
    if is_null(arrived):
        return None
    moment: datetime = (arrived + timedelta(hours=after_hours)).to_pydatetime()
    return moment


def seconds(number: float) -> timedelta:
    """Return so many seconds as a span of time."""
    return timedelta(seconds=number)
