"""A pasted or walked folder path, cut into its parts: whose camera it is, which day it holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from urllib.parse import unquote

from pano_analytics.model.alike import key, normal

# Longer than any file system allows for one name (255); what is longer is no file,
# and a hostile megabyte never reaches a pattern.
LONGEST_NAME = 255

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]:")

# Serials seen in the field: AMC0028V_795UUB, AMC0200KBE29V0X8B2, 3J07C6FPAU00272.
_SERIAL = re.compile(
    r"AMC(?=(?:[A-Z_]*\d){3})\d[0-9A-Z]{3,5}_?[0-9A-Z]{4,10}"
    r"|(?=[0-9A-Z]*[A-Z])(?=(?:[A-Z]*\d){4})\d[0-9A-Z]{13,17}"
)
# A network address, alone or after a model: 00-18-ae-a8-da-2a, FI9805E_00626E542693.
_DEVICE = re.compile(r"(?:\w{1,20}_)?(?:[0-9A-Fa-f]{12}|(?:[0-9A-Fa-f]{2}[-:]){5}[0-9A-Fa-f]{2})")

# Folders that cameras make by themselves inside their own folder.
_STORES = frozenset(("jpg", "dav", "mp4", "snapshot", "snap", "record", "mp4record"))
# Dahua's folder of one channel of a recorder: 001, 002.
_CHANNEL = re.compile(r"0\d\d", re.ASCII)

# Where cameras and recorders mount their own card and disk.
_CARDS = frozenset((("mnt", "sd"), ("mnt", "sda"), ("mnt", "dvr")))

_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)|(\d{4})(\d\d)(\d\d)", re.ASCII)
_HOUR_OF_DAY = re.compile(r"(\d{4})Y(\d\d)M(\d\d)D\d\dH|(\d{4})(\d\d)(\d\d)\d\d", re.ASCII)
_YEAR = re.compile(r"(?:19|20)\d\d", re.ASCII)
_YEAR_MONTH = re.compile(r"((?:19|20)\d\d)-(\d\d)", re.ASCII)
_ONE_OR_TWO = re.compile(r"\d{1,2}", re.ASCII)
_BELOW_A_DAY = re.compile(r"\d{1,7}|\d\dhour|pic_\d+|\d{8}-\d{6}", re.ASCII)

# Folders in which no file is an upload: thumbnails of a NAS, bins, what is hidden.
_PASSED_OVER = frozenset(
    ("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found")
)


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """A folder's parts, prefix cleaned away. Each is itself alone, so that caches find it fast."""

    parts: tuple[str, ...]


def plain(path: str) -> str:
    """Return `path` with `/` between its parts and without a URL's scheme and host."""
    path = path.replace("\\", "/")
    url = _URL.match(path) if "://" in path else None
    return unquote(path[url.end() :], errors="surrogateescape") if url else path


@lru_cache(maxsize=4096)
def folder_of(text: str) -> Folder:
    """Cut `text` (see `plain`) into its parts; doubled slashes and `.` go."""
    return Folder(tuple([part for part in text.split("/") if part and part != "."]))


@lru_cache(maxsize=4096)
def camera_of(folder: Folder) -> str | None:
    """Return the camera that a folder suggests: what stands right above its dates and serials."""
    return camera_above(folder.parts[: _start_of_dates(folder.parts)])


@lru_cache(maxsize=4096)
def camera_above(above: tuple[str, ...]) -> str | None:
    """Return the last folder of `above` that names a camera: no serial, no folder of its own.

    A folder named by a network address is taken only where nothing stands above it.
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

    `folders` maps a configured folder (relative to the root, POSIX, "" for the
    root) to its camera's name; the longest that holds `path` wins. Otherwise the
    camera is the first level, and where that is itself a date or a serial, or `path`
    lies directly in the root, the root is one camera: `root_name`. Only Frigate writes
    the camera below the date, and there it is read. Spellings that look alike are one
    (see `alike`); the name that is returned is composed (NFC).
    """
    holder = folder_holding(path, folders)
    if holder is not None:
        return folders[holder]
    first, slash, _ = path.partition("/")
    if slash and first and _names_a_camera(first):
        return normal(first)
    return normal(_camera_by_level(path, root_name))


def folder_holding(path: str, folders: Iterable[str]) -> str | None:
    """Return the longest of `folders` that holds `path`, in whatever spelling; None if none."""
    holding = (folder for folder in folders if _holds(folder, path))
    return max(
        holding, key=lambda folder: (len(_parts(folder)), path.startswith(folder)), default=None
    )


def same_folder(one: str, other: str) -> bool:
    """Whether two spellings mean one folder (see `alike`)."""
    return _parts(one) == _parts(other)


def _holds(folder: str, path: str) -> bool:
    own, parts = _parts(folder), _parts(path.rpartition("/")[0])
    return own == parts[: len(own)]


@lru_cache(maxsize=4096)
def _parts(folder: str) -> tuple[str, ...]:
    return tuple([key(part) for part in folder.split("/") if part and part != "."])


@lru_cache(maxsize=4096)
def _names_a_camera(first: str) -> bool:
    """Whether a first level is surely a camera's: no serial, no store, no part of a date."""
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
    """Whether a folder is named by a camera's serial number."""
    return _SERIAL.fullmatch(part) is not None


def passes_over(part: str) -> bool:
    """Whether no file below a folder of this name is an upload (hidden, bins, NAS thumbnails)."""
    return part.startswith(".") or part.lower() in _PASSED_OVER


@lru_cache(maxsize=4096)
def is_below_a_day(part: str) -> bool:
    """Whether a camera names folders within a day so: an hour, a channel, a store."""
    return _BELOW_A_DAY.fullmatch(part) is not None or _is_store(part)


def day_of_folder(parts: Sequence[str]) -> date | None:
    """Return the calendar day that the folder at `parts` holds by its own name, or None.

    `parts` are its components below the root. The day is as the camera spells
    it: for Frigate and Yi that is a day in UTC. A folder within a day folder
    is none itself, except an hour folder that names its whole date.
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
    """Return the index at which the folders that spell a date begin, else the length."""
    start = len(parts)
    for index in range(len(parts) - 1, -1, -1):
        if _starts_date(parts, index):
            start = index
        elif not is_below_a_day(parts[index]):
            break
    return start


# A folder or word that says "channel": ch2, CH02, Channel 3, channel_04.
_SAYS_CHANNEL = re.compile(
    r"(?<![A-Za-z0-9])(?:ch|chn|channel)[ _-]?(\d{1,3})(?![A-Za-z0-9])", re.ASCII | re.IGNORECASE
)


@lru_cache(maxsize=4096)
def channel_of_folder(folder: Folder) -> int | None:
    """Return the channel that a folder names by the word for it, the innermost one."""
    for part in reversed(folder.parts):
        said = _SAYS_CHANNEL.fullmatch(part)
        if said is not None:
            return int(said[1])
    return None


def channel_in(name: str) -> int | None:
    """Return the channel that a file's name has behind the word for it."""
    said = _SAYS_CHANNEL.search(name) if "h" in name or "H" in name else None
    return None if said is None else int(said[1])


def above_dates(path: str) -> str:
    """Return the folder `path` without the folders at its end that spell a date or lie below one.

    So that all days of a camera have one place: `porch/2026-11-27/001` is `porch`.
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
