"""Amcrest and Dahua: times before letters in brackets, dates in the folders above.

Whole archives consist of this family's names. To be fast, a file costs one match and one
`datetime`, and each folder is read once.
"""

from __future__ import annotations

import re
from datetime import datetime, time
from functools import lru_cache
from typing import NamedTuple

from pano_analytics.layouts.folders import (
    Folder,
    camera_above,
    camera_of,
    channel_of_folder,
    is_below_a_day,
)
from pano_analytics.layouts.forms import DASHED_DATE, DATE, TIME
from pano_analytics.layouts.names import end_after, invalid_time, kind_of
from pano_analytics.model.upload import Kind, Reading

LAYOUTS = {
    "amcrest-hour": "DATE/10hour/mp4/10.22.28-10.22.55[M][0@0][0].mp4, …/jpg/10.22.28[M]….jpg",
    "dahua-deep": "DATE/001/jpg/09/50/04[M][0@0][0].jpg, …/dav/21/21.04.49-21.05.14[M]….dav",
    "dahua-flat": "Snapshot/DATE_001_12.59.55-12.59.55[R][0@0][0].jpg",
    "dahua-nnn": "001_20261007123325_[M][0@0][1].jpg",
    "dahua-nvr": "a recorder's disk: DATE/0/dav/01/1/0/2129/01.58.16-02.00.02[R][0@0][0].dav",
    "dahua-pic001": "DATE/pic_001/09/52/21[M][0@0][1].jpg",
    "dahua-sd": "the camera's own card: /mnt/sd/DATE/001/dav/06/06.05.00-06.13.00[M][0@0][0].mp4",
    "dahua-shallow": "DATE/001/jpg/09/30.20[R][0@0][0].jpg",
}

TRIGGERS = {"M": "motion", "R": "scheduled", "A": "alarm", "I": "smart", "F": "manual"}

# [letter][channel@stream][crop]; older firmware omits the last ones.
_BRACKETS = (
    r"\[(?P<letter>[A-Za-z]\w{0,7})\](?:\[(?P<stream_of>\d+)@\d+\])?(?:\[(?P<crop>\d+)\])?"
    r"\.(?P<ending>\w+)"
)
_END = r"(?:-(?P<end>\d\d\.\d\d\.\d\d))?"
# A larger number in the brackets is a position on a recorder's disk.
_MOST_CHANNELS = 64
_NAME = re.compile(r"(?:(?:(\d\d)\.)?(\d\d)\.)?(\d\d)" + _END + _BRACKETS, re.ASCII).fullmatch
_FLAT = re.compile(
    rf"{DASHED_DATE}_(?P<channel>\d+)_(?P<hour>\d\d)\.(?P<minute>\d\d)\.(?P<second>\d\d)"
    + _END
    + _BRACKETS,
    re.ASCII,
).fullmatch
_STAMPED = re.compile(
    rf"(?:(?P<channel>\d+)_)?{DATE}{TIME}(?P<end>)_?" + _BRACKETS, re.ASCII
).fullmatch
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII).fullmatch
_DATE_LENGTH = len("2026-11-22")
_HOUR_FOLDER = re.compile(r"\d\dhour", re.ASCII).fullmatch


class _FolderFacts(NamedTuple):
    """What a folder says about the files in it.

    `day` is None if no folder above is a date. `outer` and `inner` are the last two folders
    if they have two digits: an hour or a minute.
    """

    camera: str | None
    layout: str
    day: tuple[int, int, int] | None
    outer: int | None
    inner: int | None
    channel: int | None


@lru_cache(maxsize=4096)
def _folder_facts(folder: Folder) -> _FolderFacts:
    parts = folder.parts
    outer, inner = parts[-2:] if len(parts) > 1 else ("", "")
    if _is_two_digits(outer) and _is_two_digits(inner):
        # An archive has a folder for each minute: the folders above it are read once.
        facts = _facts_of_minutes(parts[:-2])
        if facts.day is not None:
            return _FolderFacts(
                facts.camera, facts.layout, facts.day, int(outer), int(inner), facts.channel
            )
    return _facts_of(folder)


@lru_cache(maxsize=4096)
def _facts_of_minutes(above: tuple[str, ...]) -> _FolderFacts:
    """Return the facts of any folder `HH/MM` in the folder `above`; only its digits differ."""
    return _facts_of(Folder((*above, "00", "00")))


def _facts_of(folder: Folder) -> _FolderFacts:
    parts = folder.parts
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if len(part) == _DATE_LENGTH and (date := _DATE(part)):
            day = (int(date[1]), int(date[2]), int(date[3]))
            return _dated_facts(parts, index, day, channel_of_folder(folder))
        if not is_below_a_day(part):
            break
    return _FolderFacts(
        camera_of(folder), "dahua-deep", None, None, None, channel_of_folder(folder)
    )


def _dated_facts(
    parts: tuple[str, ...], index: int, day: tuple[int, int, int], named_channel: int | None
) -> _FolderFacts:
    below = parts[index + 1 :]
    outer = int(below[-2]) if len(below) > 1 and _is_two_digits(below[-2]) else None
    inner = int(below[-1]) if below and _is_two_digits(below[-1]) else None
    layout = _layout(parts, index)
    channel = _channel(parts, index, layout)
    return _FolderFacts(
        camera_above(parts[:index]),
        layout,
        day,
        outer,
        inner,
        named_channel if channel is None else channel,
    )


def _channel(parts: tuple[str, ...], index: int, layout: str) -> int | None:
    """Return the channel of the folder below the date (001, pic_001, a disk's 0) or above it."""
    below = parts[index + 1] if index + 1 < len(parts) else ""
    number = below.removeprefix("pic_")
    if layout == "dahua-nvr" and len(number) < 3 and number.isdigit():
        return int(number) + 1
    if len(number) == 3 and number.isdigit():
        return int(number)
    above = parts[index - 1] if index else ""
    return int(above) if len(above) == 3 and above.isdigit() else None


def _is_two_digits(part: str) -> bool:
    return len(part) == 2 and part.isascii() and part.isdigit()


def _layout(parts: tuple[str, ...], index: int) -> str:
    below = parts[index + 1] if index + 1 < len(parts) else ""
    if below.endswith("hour") and _HOUR_FOLDER(below):
        return "amcrest-hour"
    if below.startswith("pic_"):
        return "dahua-pic001"
    if parts[:index] == ("mnt", "sd"):
        return "dahua-sd"
    return "dahua-nvr" if len(parts) - index > 5 else "dahua-deep"


class _NameFacts(NamedTuple):
    """What a name says by itself, independent of its folder."""

    kind: Kind
    hour: int | None
    minute: int | None
    second: int
    end: str | None
    letter: str
    trigger: str
    crop: str | None
    channel: int | None


# A camera's names repeat from minute to minute: `04[M][0@0][0].jpg`.
@lru_cache(maxsize=4096)
def _name_facts(name: str) -> _NameFacts | None:
    match = _NAME(name)
    kind = kind_of(match["ending"]) if match else None
    if match is None or kind is None:
        return None
    hour, minute, second, end, letter, stream_of, crop, _ = match.groups()
    trigger = TRIGGERS.get(letter) or TRIGGERS.get(letter.upper(), "other")
    channel = _bracket_channel(stream_of)
    clock = (_number(hour), _number(minute), int(second))
    return _NameFacts(kind, *clock, end, letter, trigger, crop, channel)


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def _bracket_channel(stream_of: str | None) -> int | None:
    """Return the channel of `[0@0]`, counted from 1 like the camera's folder 001."""
    is_channel = stream_of is not None and int(stream_of) < _MOST_CHANNELS
    return int(stream_of) + 1 if is_channel and stream_of is not None else None


def read(folder: Folder, name: str) -> Reading | None:
    """Return what the path says, or None if the name is not of this family."""
    name_facts = _name_facts(name)
    if name_facts is None:
        return _read_dated_name(folder, name) if "_" in name else None
    kind, hour, minute, second, end, letter, trigger, crop, channel = name_facts
    facts = _folder_facts(folder)
    if facts.channel is not None:
        channel = facts.channel
    layout = facts.layout
    if hour is None:
        hour, minute, layout = _from_folders(facts, minute)
    try:
        if facts.day is None or hour is None or minute is None:
            time(hour or 0, minute or 0, second)
            return _undated(kind, layout, facts.camera, trigger, letter, crop, channel)
        start = datetime(*facts.day, hour, minute, second)
        end_time = end_after(start, end) if end and kind == "clip" else None
    except (ValueError, OverflowError) as error:
        return invalid_time(layout, "/".join((*folder.parts[-5:], name)), error)
    return _dated(kind, layout, facts.camera, (start, end_time), (trigger, letter), crop, channel)


def _from_folders(facts: _FolderFacts, minute: int | None) -> tuple[int | None, int | None, str]:
    """Return hour, minute and layout of `30.20` in an hour folder or `04` in a minute folder."""
    if minute is None:
        return facts.outer, facts.inner, facts.layout
    is_deep = facts.layout == "dahua-deep"
    return facts.inner, minute, "dahua-shallow" if is_deep else facts.layout


def _dated(
    kind: Kind,
    layout: str,
    camera: str | None,
    span: tuple[datetime, datetime | None],
    cause: tuple[str, str],
    crop: str | None,
    channel: int | None,
) -> Reading:
    """Return what a name with date and time says; `cause` is the trigger and its letter."""
    # As `Reading(…)`, in half the time: an archive has a million names.
    fields = (kind, layout, camera, *span, "camera", None, *cause, crop, None, None, channel)
    return tuple.__new__(Reading, fields)


def _undated(
    kind: Kind,
    layout: str,
    camera: str | None,
    trigger: str,
    letter: str,
    crop: str | None,
    channel: int | None,
) -> Reading:
    return Reading(
        kind,
        layout,
        camera,
        trigger=trigger,
        trigger_raw=letter,
        sequence=crop,
        reason="its name has the time of day, but the folders with the date are missing",
        channel=channel,
    )


def _read_dated_name(folder: Folder, name: str) -> Reading | None:
    """Read names that contain the date."""
    match, layout = _FLAT(name), "dahua-flat"
    if match is None:
        match, layout = _STAMPED(name), "dahua-nnn"
    kind = kind_of(match["ending"]) if match else None
    if match is None or kind is None:
        return None
    end, letter, crop = match["end"], match["letter"], match["crop"]
    try:
        year, month, day, hour, minute, second = (int(match[part]) for part in _PARTS)
        start = datetime(year, month, day, hour, minute, second)
        end_time = end_after(start, end) if end and kind == "clip" else None
    except (ValueError, OverflowError) as error:
        return invalid_time(layout, name, error)
    trigger = TRIGGERS.get(letter.upper(), "other")
    channel_text = match["channel"]
    channel = _bracket_channel(match["stream_of"]) if channel_text is None else int(channel_text)
    camera = camera_of(folder)
    return _dated(kind, layout, camera, (start, end_time), (trigger, letter), crop, channel)
