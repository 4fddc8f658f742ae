"""A layout as one pattern: how most families describe where a path contains the time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal

from pano_analytics.layouts.folders import (
    Folder,
    camera_above,
    camera_of,
    channel_in,
    channel_of_folder,
)
from pano_analytics.layouts.names import end_after, invalid_time, kind_of
from pano_analytics.model.upload import Kind, Reading, Zone

# Building blocks of patterns, with the group names that `Form` uses.
DATE = r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)"
DASHED_DATE = r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
TIME = r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)"
END_DATE = r"(?P<end_year>\d{4})(?P<end_month>\d\d)(?P<end_day>\d\d)"
END_TIME = r"(?P<end_hour>\d\d)(?P<end_minute>\d\d)(?P<end_second>\d\d)"
EXTENSION = r"\.(?P<extension>\w+)"

Groups = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which a path spells a time.

    `pattern` must match the last `depth` folders and the name, joined by `/`. It has these
    named groups: `year month day hour minute second fraction` of the start, the same after
    `end_` or a `length` in seconds, `extension`, `event` (the maker's word for the trigger),
    `daylight` (present in summer time), `sequence`, `channel`, and `camera`, or
    `else_camera` if a folder's name is preferred. `trigger` translates the event, "" if
    there is none. Without a `year` group the day is unknown: the reading then has no time,
    and `undated` as its reason. `spelled` converts other groups into these, or returns None
    if they contradict each other.
    """

    layout: str
    pattern: re.Pattern[str]
    depth: int = 0
    zone: Zone = "camera"
    trigger: Callable[[str], str | None] | None = None
    undated: str = "its name does not contain the day"
    spelled: Callable[[Groups], Groups | None] | None = None

    def read(self, folder: Folder, name: str) -> Reading | None:
        """Return what the path says, or None if it does not match this form."""
        if len(folder.parts) < self.depth:
            return None
        above = folder.parts[-self.depth :] if self.depth else ()
        tail = "/".join((*above, name)) if above else name
        match = self.pattern.fullmatch(tail)
        kind = kind_of(match["extension"]) if match else None
        if match is None or kind is None:
            return None
        groups = match.groupdict() if self.spelled is None else self.spelled(match.groupdict())
        return None if groups is None else self._reading(kind, groups, folder, tail)

    def _reading(self, kind: Kind, groups: Groups, folder: Folder, tail: str) -> Reading:
        try:
            start, end = times(groups)
        except (ValueError, OverflowError) as error:
            return invalid_time(self.layout, tail, error)
        event = groups.get("event")
        return Reading(
            kind=kind,
            layout=self.layout,
            camera=self._camera(groups, folder),
            start=start,
            end=end if kind == "clip" else None,
            zone=self.zone,
            fold=daylight_fold(groups),
            trigger=self.trigger(event or "") if self.trigger else None,
            trigger_raw=event,
            sequence=groups.get("sequence"),
            reason=None if start else self.undated,
            channel=_channel(groups, folder, tail),
        )

    def _camera(self, groups: Groups, folder: Folder) -> str | None:
        if groups.get("camera"):
            return groups["camera"]
        above = camera_above(folder.parts[: -self.depth]) if self.depth else camera_of(folder)
        return above or groups.get("else_camera")


def _channel(groups: Groups, folder: Folder, tail: str) -> int | None:
    digits = groups.get("channel")
    if digits is not None and digits.isdigit():
        return int(digits)
    in_name = channel_in(tail.rpartition("/")[2])
    return channel_of_folder(folder) if in_name is None else in_name


def read_forms(forms: Sequence[Form], folder: Folder, name: str) -> Reading | None:
    """Return the reading of the first form that matches, even if its time is invalid."""
    for form in forms:
        reading = form.read(folder, name)
        if reading is not None:
            return reading
    return None


def daylight_fold(groups: Groups) -> Literal[0] | None:
    """Return 0 (the first of a repeated hour) if the name marks summer time, else None.

    A missing mark means nothing: a camera whose summer time is switched off never writes it.
    """
    return 0 if groups.get("daylight") else None


def times(groups: Groups) -> tuple[datetime | None, datetime | None]:
    """Return start and end (naive) from matched groups; both None without a year.

    Raises ValueError or OverflowError if they are not a valid time.
    """
    if groups.get("year") is None:
        time(_number(groups, "hour"), _number(groups, "minute"), _number(groups, "second"))
        return None, None
    start = _moment(groups, "")
    if groups.get("length"):
        return start, start + timedelta(seconds=_number(groups, "length"))
    if groups.get("end_year"):
        end = _moment(groups, "end_")
        # If the end is before the start, the clock was set back meanwhile: the end is unknown.
        return start, end if end >= start else None
    if groups.get("end_hour"):
        end_parts = [groups.get(f"end_{part}") or "00" for part in ("hour", "minute", "second")]
        return start, end_after(start, ":".join(end_parts))
    return start, None


def _moment(groups: Groups, prefix: str) -> datetime:
    year, month, day, hour, minute, second = (
        _number(groups, prefix + part)
        for part in ("year", "month", "day", "hour", "minute", "second")
    )
    fraction = groups.get(prefix + "fraction") or ""
    return datetime(year, month, day, hour, minute, second, int(fraction[:6].ljust(6, "0")))


def _number(groups: Groups, name: str) -> int:
    return int(groups.get(name) or 0)
