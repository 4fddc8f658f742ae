"""The record that travels: one uploaded file, its states, and the only ways to change them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

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
WAITING_STATES: tuple[State, ...] = ("unread", "pending")
"""Of uploads that are still to be opened."""
NOT_WHOLE_STATES: tuple[State, ...] = ("partial", "damaged", "unsupported")
"""Of uploads that were opened and could not be read whole."""
SHOWN_STATES: tuple[State, ...] = ("complete", "partial")
"""Of uploads of which something was decoded."""

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
    byte a cell, of the shape that `model.grid.GRID_SHAPE` gives; `thumbnail` is a whole JPEG.
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


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload: a row of the table `media`, whose columns docs/columns.md describes.

    Times are aware, in UTC; `wall_start` and `camera_clock` are naive, as the camera has them.
    What is not known is None. For many uploads use Arrow tables (see `model.tables`).
    The functions below are the only ones that change `state`.
    """

    media_id: str
    camera: str
    date: date
    kind: Kind
    trigger: str | None
    trigger_raw: str | None
    start: datetime
    end: datetime | None
    wall_start: datetime | None
    time_source: str
    clock_offset_s: float | None
    path: str
    layout: str | None
    sequence: str | None
    size_bytes: int
    mtime: datetime
    arrived: datetime
    state: State
    state_reason: str | None
    clip_id: str | None
    width: int | None
    height: int | None
    fps: float | None
    duration_s: float | None
    codec: str | None
    camera_clock: datetime | None
    sha256: str | None
    thumb: str | None
    culled_at: datetime | None
    same_name_as: str | None
    channel: int | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Upload:
        """Return the upload of a row: from `library.item()`, a frame, Arrow or DuckDB.

        Nulls of any kind become None, and so do columns that the row lacks. Aware times become
        UTC; an upload without a start has that of its arrival. Raises MediaError for a row
        without `media_id`.
        """
        if _known(row.get("media_id")) is None:
            raise MediaError("expected a row of the table media, with its media_id; it has none.")
        values = {name: _plain(kind, row.get(name)) for name, kind in _FIELDS.items()}
        values["start"] = values["start"] or values["arrived"]
        return cls(**values)

    def to_row(self) -> dict[str, Any]:
        """Return the upload as a dictionary of its columns."""
        return {name: getattr(self, name) for name in _FIELDS}

    @property
    def is_gone(self) -> bool:
        """Whether its file went: it is missing or was culled."""
        return self.state in GONE_STATES

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be opened."""
        return self.state in WAITING_STATES

    @property
    def is_moving(self) -> bool:
        """Whether it is to be played, or shown as a picture (see `is_moving`)."""
        return is_moving(self.kind, self.codec)

    @property
    def span_s(self) -> float:
        """How many seconds a clip covers by its times, else how many of it decode."""
        if self.end is not None and self.end > self.start:
            return (self.end - self.start).total_seconds()
        return self.duration_s or 0.0

    @property
    def file_s_per_s(self) -> float:
        """Seconds of the file in a second by its times: names and files disagree a little.

        Of a clip that was cut off only the beginning is there, and that runs as it was.
        """
        if self.state == "partial" or not self.span_s or not self.duration_s:
            return 1.0
        return self.duration_s / self.span_s


def _known(value: Any) -> Any:
    """Return a value, None for what pandas, NumPy and DuckDB have for a null."""
    # NaN and NaT differ from themselves; that of pandas.NA is neither true nor false.
    is_null = value is None or type(value).__name__ == "NAType" or value != value
    return None if is_null else value


def _plain(kind: str, value: Any) -> Any:
    known = _known(value)
    return None if known is None else _CASTS[kind](known)


def _time(value: Any) -> datetime:
    moment: datetime = value.to_pydatetime(warn=False) if hasattr(value, "nanosecond") else value
    return moment if moment.tzinfo is None else moment.astimezone(UTC)


def _day(value: Any) -> date:
    return value.date() if isinstance(value, datetime) else cast(date, value)


_CASTS: Mapping[str, Callable[[Any], Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "datetime": _time,
    "date": _day,
}
# The types as written above; a Literal is text.
_FIELDS = {
    one.name: kind if (kind := str(one.type).removesuffix(" | None")) in _CASTS else "str"
    for one in fields(Upload)
}


# --- The only changes of a state. ---------------------------------------------------------

_GONE = "no longer in the upload tree"
_CHANGED = "it changed while it was read"


def seen(named: Upload, known: Upload | None) -> Upload:
    """Return an upload that the tree has, as its name and size tell (`named`).

    Where it is another file than the one that is `known`, or was gone, it waits to be opened.
    """
    return named if known is None else replace(named, arrived=min(known.arrived, named.arrived))


def to_open(upload: Upload, reason: str | None = None) -> Upload:
    """Return the upload as one to be opened; `reason` tells why that did not work before."""
    return replace(upload, state="unread", state_reason=reason, culled_at=None)


def went_missing(upload: Upload) -> Upload:
    """Return the upload as one whose file went, and not by culling."""
    return replace(upload, state="missing", state_reason=_GONE)


def changed_meanwhile(upload: Upload) -> Upload:
    """Return the upload as one that the camera still writes: it changed while it was read."""
    return replace(upload, state="pending", state_reason=_CHANGED)


def still_arriving(upload: Upload, found: Inspection, quiet_s: float) -> Upload:
    """Return the upload as `opened`, but still to grow: written to less than `quiet_s` ago."""
    reason = f"not complete yet, and written to less than {quiet_s:g} s ago"
    return replace(_measured(upload, found), state="pending", state_reason=reason)


def opened(upload: Upload, found: Inspection) -> Upload:
    """Return the upload with what is in its file; a clip without an end gets one by its length."""
    return replace(_measured(upload, found), state=found.state, state_reason=found.state_reason)


def culled(upload: Upload, reason: str, at: datetime) -> Upload:
    """Return the upload as one whose file culling deletes."""
    return replace(upload, state="culled", state_reason=reason, culled_at=at)


def _measured(upload: Upload, found: Inspection) -> Upload:
    end = upload.end
    if end is None and upload.kind == "clip" and found.duration_s is not None:
        end = upload.start + timedelta(seconds=found.duration_s)
    return replace(
        upload,
        end=end,
        width=found.width,
        height=found.height,
        fps=found.fps,
        duration_s=found.duration_s,
        codec=found.codec,
        camera_clock=found.camera_clock,
        sha256=found.sha256,
    )


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
