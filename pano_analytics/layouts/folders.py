"""Split a folder path into its parts: which camera it belongs to, and which day it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from urllib.parse import unquote

from pano_analytics.model.alike import key, normal

# The longest name that file systems allow. Longer text is not a file's name, and must not
# reach a pattern: it may be hostile.
LONGEST_NAME = 255

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]:")

# Serial numbers of real cameras: AMC0028V_795UUB, AMC0200KBE29V0X8B2, 3J07C6FPAU00272.
_SERIAL = re.compile(
    r"AMC(?=(?:[A-Z_]*\d){3})\d[0-9A-Z]{3,5}_?[0-9A-Z]{4,10}"
    r"|(?=[0-9A-Z]*[A-Z])(?=(?:[A-Z]*\d){4})\d[0-9A-Z]{13,17}"
)
# A MAC address, alone or after a model: 00-18-ae-a8-da-2a, FI9805E_00626E542693.
_DEVICE = re.compile(r"(?:\w{1,20}_)?(?:[0-9A-Fa-f]{12}|(?:[0-9A-Fa-f]{2}[-:]){5}[0-9A-Fa-f]{2})")

# Folders that cameras create in their own folder.
_STORES = frozenset(("jpg", "dav", "mp4", "snapshot", "snap", "record", "mp4record"))
# Dahua's folder for one channel of a recorder: 001, 002.
_CHANNEL = re.compile(r"0\d\d", re.ASCII)

# Where cameras and recorders mount their own card and disk.
_CARDS = frozenset((("mnt", "sd"), ("mnt", "sda"), ("mnt", "dvr")))

_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)|(\d{4})(\d\d)(\d\d)", re.ASCII)
_HOUR_OF_DAY = re.compile(r"(\d{4})Y(\d\d)M(\d\d)D\d\dH|(\d{4})(\d\d)(\d\d)\d\d", re.ASCII)
_YEAR = re.compile(r"(?:19|20)\d\d", re.ASCII)
_YEAR_MONTH = re.compile(r"((?:19|20)\d\d)-(\d\d)", re.ASCII)
_ONE_OR_TWO = re.compile(r"\d{1,2}", re.ASCII)
_BELOW_A_DAY = re.compile(r"\d{1,7}|\d\dhour|pic_\d+|\d{8}-\d{6}", re.ASCII)

# Folders without uploads: thumbnails of a NAS, recycle bins, system folders.
_PASSED_OVER = frozenset(
    ("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found")
)


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """The parts of a folder's path; compared by identity, so that caches are fast."""

    parts: tuple[str, ...]


def plain(path: str) -> str:
    """Return `path` with `/` between its parts and without a URL's scheme and host."""
    path = path.replace("\\", "/")
    url = _URL.match(path) if "://" in path else None
    return unquote(path[url.end() :], errors="surrogateescape") if url else path


@lru_cache(maxsize=4096)
def folder_of(text: str) -> Folder:
    """Split `text` (see `plain`) into its parts, without doubled slashes and `.`."""
    return Folder(tuple([part for part in text.split("/") if part and part != "."]))


@lru_cache(maxsize=4096)
def camera_of(folder: Folder) -> str | None:
    """Return the camera that a folder suggests: the part right above its dates and serials."""
    return camera_above(folder.parts[: _start_of_dates(folder.parts)])


@lru_cache(maxsize=4096)
def camera_above(above: tuple[str, ...]) -> str | None:
    """Return the last part of `above` that is a camera's name, not a serial or a store.

    A folder named by a MAC address is used only if no folder above it is a name.
    """
    device = None
    for length in range(len(above), 0, -1):
        part = above[length - 1]
        if _DEVICE.fullmatch(part):
            device = device or part
        elif not (is_serial(part) or _is_store(part)):
            return device if _is_no_name(part) or above[:length] in _CARDS else part
    return device


def _is_store(part: str) -> bool:
    return part.lower() in _STORES or _CHANNEL.fullmatch(part) is not None


def _is_no_name(part: str) -> bool:
    return part == ".." or _DRIVE.fullmatch(part) is not None


def camera_below(path: str, folders: Mapping[str, str], root_name: str) -> str:
    """Return the camera of the file at `path`, relative to a known upload root.

    `folders` maps each configured folder (relative to the root, POSIX, "" for the root) to
    its camera's name; the longest one that contains `path` is used. Otherwise the camera is
    the first level of the path. If that is a date or a serial, or `path` is directly in the
    root, the root is one camera: `root_name`; except for Frigate, which writes the camera
    below the date. Spellings that look alike are the same (see `alike`); the name returned
    is composed (NFC).
    """
    holder = folder_holding(path, folders)
    if holder is not None:
        return folders[holder]
    first, slash, _ = path.partition("/")
    if slash and first and names_a_camera(first):
        return normal(first)
    return normal(_camera_by_level(path, root_name))


def folder_holding(path: str, folders: Iterable[str]) -> str | None:
    """Return the longest of `folders` that contains `path` in any spelling, or None."""
    holding = (folder for folder in folders if _holds(folder, path))
    return max(
        holding, key=lambda folder: (len(_parts(folder)), path.startswith(folder)), default=None
    )


def same_folder(one: str, other: str) -> bool:
    """Return whether two spellings mean the same folder (see `alike`)."""
    return _parts(one) == _parts(other)


def _holds(folder: str, path: str) -> bool:
    own, parts = _parts(folder), _parts(path.rpartition("/")[0])
    return own == parts[: len(own)]


@lru_cache(maxsize=4096)
def _parts(folder: str) -> tuple[str, ...]:
    return tuple([key(part) for part in folder.split("/") if part and part != "."])


@lru_cache(maxsize=4096)
def names_a_camera(first: str) -> bool:
    """Return whether a first level is certainly a camera: no serial, store or part of a date."""
    is_own = is_serial(first) or _is_store(first) or first in (".", "..")
    return not is_own and not first[:4].isdigit()


def _camera_by_level(path: str, root_name: str) -> str:
    parts = [part for part in path.split("/") if part and part != "."][:-1]
    if not parts or is_serial(parts[0]) or _is_store(parts[0]):
        return root_name
    if _starts_date(parts, 0):
        return _frigate_camera(parts) or root_name
    return parts[0]


def _frigate_camera(parts: Sequence[str]) -> str | None:
    dates = 2 if _YEAR_MONTH.fullmatch(parts[0]) else 1
    hour_and_camera = parts[dates:]
    if "-" not in parts[0] or len(hour_and_camera) != 2:
        return None
    hour, camera = hour_and_camera
    is_name = not (_BELOW_A_DAY.fullmatch(camera) or _is_store(camera))
    return camera if is_name and len(hour) == 2 and _ONE_OR_TWO.fullmatch(hour) else None


def is_serial(part: str) -> bool:
    """Return whether a folder's name is a camera's serial number."""
    return _SERIAL.fullmatch(part) is not None


def passes_over(part: str) -> bool:
    """Return whether a folder of this name holds no uploads (hidden, bins, NAS thumbnails)."""
    return part.startswith(".") or part.lower() in _PASSED_OVER


@lru_cache(maxsize=4096)
def is_below_a_day(part: str) -> bool:
    """Return whether cameras use this name for folders within a day: hour, channel or store."""
    return _BELOW_A_DAY.fullmatch(part) is not None or _is_store(part)


def day_of_folder(parts: Sequence[str]) -> date | None:
    """Return the calendar day in the name of the folder at `parts`, or None.

    `parts` are its components below the root. The day is in the zone of the camera's names:
    UTC for Frigate and Yi. A folder within a day folder is not a day itself, unless its name
    is an hour with the whole date.
    """
    if not parts:
        return None
    spelled = _DAY.fullmatch(parts[-1]) or _HOUR_OF_DAY.fullmatch(parts[-1])
    if spelled:
        return _date_or_none([group for group in spelled.groups() if group])
    if _ONE_OR_TWO.fullmatch(parts[-1]):
        return _day_of_two_or_three(parts)
    return None


def _day_of_two_or_three(parts: Sequence[str]) -> date | None:
    year_month = _YEAR_MONTH.fullmatch(parts[-2]) if len(parts) > 1 else None
    if year_month:
        return _date_or_none([*year_month.groups(), parts[-1]])
    if len(parts) > 2 and _YEAR.fullmatch(parts[-3]) and _ONE_OR_TWO.fullmatch(parts[-2]):
        return _date_or_none(parts[-3:])
    return None


def _date_or_none(digits: Sequence[str]) -> date | None:
    try:
        return date(*map(int, digits))
    except ValueError:
        return None


def _start_of_dates(parts: Sequence[str]) -> int:
    """Return the index of the first folder of a date, or the length if there is no date."""
    start = len(parts)
    for index in range(len(parts) - 1, -1, -1):
        if _starts_date(parts, index):
            start = index
        elif not is_below_a_day(parts[index]):
            break
    return start


# A folder or word for a channel: ch2, CH02, Channel 3, channel_04.
_CHANNEL_WORD = re.compile(
    r"(?<![A-Za-z0-9])(?:ch|chn|channel)[ _-]?(\d{1,3})(?![A-Za-z0-9])", re.ASCII | re.IGNORECASE
)


@lru_cache(maxsize=4096)
def channel_of_folder(folder: Folder) -> int | None:
    """Return the channel of the innermost folder that is called `ch2` or similar, or None."""
    for part in reversed(folder.parts):
        match = _CHANNEL_WORD.fullmatch(part)
        if match is not None:
            return int(match[1])
    return None


def channel_in(name: str) -> int | None:
    """Return the channel of a file's name that contains `ch2` or similar, or None."""
    match = _CHANNEL_WORD.search(name) if "h" in name or "H" in name else None
    return None if match is None else int(match[1])


def above_dates(path: str) -> str:
    """Return the folder `path` without dates at its end and folders below them.

    All days of a camera then have the same folder: `porch/2026-11-27/001` becomes `porch`.
    """
    parts = path.split("/")
    return "/".join(parts[: _start_of_dates(parts)])


def _starts_date(parts: Sequence[str], index: int) -> bool:
    part = parts[index]
    if not part[:4].isdigit():
        return False
    if _DAY.fullmatch(part):
        return "-" in part or day_of_folder((part,)) is not None
    if _HOUR_OF_DAY.fullmatch(part):
        return day_of_folder((part,)) is not None
    below = parts[index + 1] if index + 1 < len(parts) else ""
    is_year = _YEAR_MONTH.fullmatch(part) or _YEAR.fullmatch(part)
    return is_year is not None and _ONE_OR_TWO.fullmatch(below) is not None
