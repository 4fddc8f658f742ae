"""The record that travels: one uploaded file, and the table it becomes a row of."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from pano_analytics.errors import MediaError
from pano_analytics.model import alike

SCHEMA_VERSION = 3

Kind = Literal["snapshot", "clip"]
State = Literal[
    "unread",
    "pending",
    "complete",
    "partial",
    "damaged",
    "unsupported",
    "empty",
    "missing",
    "culled",
]
Zone = Literal["camera", "utc"]
GONE_STATES: tuple[State, ...] = ("missing", "culled")
"""Of rows that outlive their files."""

KINDS: tuple[str, ...] = get_args(Kind)
PICTURE_CODECS = frozenset(("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif"))
"""Codecs of still pictures; all others move."""
STATES: tuple[str, ...] = get_args(State)
TRIGGERS: tuple[str, ...] = (
    "motion",
    "scheduled",
    "alarm",
    "smart",
    "manual",
    "person",
    "vehicle",
    "plate",
    "other",
)


class Reading(NamedTuple):
    """What a path says, and nothing that only the file could tell.

    A tuple, since one is made for each of a million files.

    `start` and `end` are naive wall-clock times as the name spells them; `zone`
    says whose wall clock that is: the camera's own, or UTC. `fold` is 0 or 1
    where the name itself tells which half of the repeated autumn hour is meant
    (1 = the second, standard time), and None where it does not. `sequence`
    tells two files of one second apart (a crop index, a counter).
    `camera` is what the path suggests; settings and the upload root may
    overrule it. `reason` says why nothing was read (kind ignore or unknown).
    `later` is set where another file had the name first, and tells the two apart.
    `channel` is the number of a recorder's channel, as the path has it (Dahua's own
    numbers from 0 are counted from 1, as its folders are).
    """

    kind: Literal["snapshot", "clip", "ignore", "unknown"]
    layout: str | None = None
    camera: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    zone: Zone = "camera"
    fold: Literal[0, 1] | None = None
    trigger: str | None = None
    trigger_raw: str | None = None
    sequence: str | None = None
    reason: str | None = None
    later: str | None = None
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture kept of a file: a snapshot's only one, or a clip's key frame.

    `offset_s` counts from the file's first picture (0.0 for a snapshot).
    `grid` is the luminance grid, plane by plane and row by row, one unsigned
    byte a cell, of the shape that `inspect.GRID_SHAPE` gives; `thumbnail` is a whole JPEG.
    """

    offset_s: float
    grid: bytes
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is really in a file: its state with the reason, its measures and its frames.

    `camera_clock` is the naive wall clock embedded by the camera, if any;
    `duration_s` the length that really decodes (seconds), `sha256` of the whole
    file as lower-case hex. `frames` is empty where nothing decodes.
    """

    state: Literal["complete", "partial", "damaged", "unsupported", "empty"]
    state_reason: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration_s: float | None = None
    codec: str | None = None
    camera_clock: datetime | None = None
    sha256: str | None = None
    frames: tuple[Frame, ...] = ()


def is_moving(kind: str, codec: str | None) -> bool:
    """Tell whether an upload is to be played, or shown as a picture.

    What is in the file decides, where it was opened: `kind` is what its name says.
    """
    return codec not in PICTURE_CODECS if codec else kind == "clip"


def media_id(root_id: str, path: str) -> str:
    """Return the 16 hex digits that name the upload at `path` below the root `root_id`.

    Made from names alone, so that a file that is replaced keeps its id.
    """
    return hashlib.blake2b(f"{root_id}\0{path}".encode(), digest_size=8).hexdigest()


# A path column holds text. Bytes that are no UTF-8 stand as %XX (XX >= 80), and
# a percent sign that would be mistaken for one as %25, so that each text means
# one path and back.
_AMBIGUOUS = re.compile(r"%(?=[89A-Fa-f][0-9A-Fa-f]|25)")
_ESCAPED = re.compile(rb"%(25|[89A-F][0-9A-F])")


def encode_path(name: str) -> str:
    """Return a file system name (surrogates for stray bytes) as the text of the `path` column."""
    if name.isascii() and "%" not in name:
        return name
    escaped = _AMBIGUOUS.sub("%25", name)
    return "".join(
        f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in escaped
    )


def decode_path(path: str) -> bytes:
    """Return the file system's bytes of a `path` column's text."""
    raw = path.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), raw)


def locate(root: str | os.PathLike[str], path: str) -> Path:
    """Return where the upload `path` (as in the column) lies below `root`.

    Raises MediaError for anything but an upload root and the text of that column.
    """
    if not isinstance(root, (str, os.PathLike)) or not isinstance(path, str) or "\0" in path:
        raise MediaError(
            "expected an upload root and a path out of the column `path`, which is text; "
            f"got {root!r} and {path!r:.60}."
        )
    return Path(root) / os.fsdecode(decode_path(path))


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return `path` absolute and with its links followed, as `Path.resolve` does.

    A link loop is not an error here, as it is for `Path.resolve` before Python 3.13: whoever
    opens the path then reports it like any other that cannot be used.
    """
    return Path(os.path.realpath(path))


def as_on_disk(root: Path | None, path: str) -> str:
    """Return the folder `path` (as in the column) as it is spelled below `root`, if it is there.

    A folder that is there under another composition or letter case is the same folder
    (see `alike`): no second one is to be made beside it. What is not there stays as given.
    """
    found: list[str] = []
    for part in path.split("/"):
        spelled = "/".join([*found, part])
        is_there = root is None or locate(root, spelled).is_dir()
        found.append(part if is_there else _spelled_below(root, "/".join(found), part))
    return "/".join(found)


def _spelled_below(root: Path | None, folder: str, part: str) -> str:
    try:
        with os.scandir(root if root is None or not folder else locate(root, folder)) as listing:
            names = [encode_path(item.name) for item in listing if item.is_dir()]
    except OSError:
        return part
    return alike.find(part, names) or part
