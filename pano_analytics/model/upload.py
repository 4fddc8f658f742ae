"""The record of one uploaded file, its states, and the only functions that change them."""

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
"""States of rows whose file is gone."""
WAITING_STATES: tuple[State, ...] = ("unread", "pending")
"""States of uploads that are still to be opened."""
NOT_WHOLE_STATES: tuple[State, ...] = ("partial", "damaged", "unsupported")
"""States of uploads that were opened and could not be read completely."""
SHOWN_STATES: tuple[State, ...] = ("complete", "partial")
"""States of uploads of which something was decoded."""

KINDS: tuple[str, ...] = get_args(Kind)
PICTURE_CODECS = frozenset(("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif"))
"""Codecs of still pictures; all others are video."""
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
    """What a layout reads from a path, without opening the file.

    A tuple, because one is created for each of a million files.

    `start` and `end` are naive wall-clock times from the name; `zone` is the clock that they
    are of: the camera's own, or UTC. `fold` is 0 or 1 if the name itself says which pass of
    the repeated autumn hour is meant (1 = the second, standard time), otherwise None.
    `sequence` distinguishes files of the same second (a crop index, a counter). `camera` is
    the name in the path; settings and the upload root may override it. `reason` is why
    nothing was read (kind ignore or unknown). `later` is set if another file had the name
    first, and distinguishes the two. `channel` is the channel number of a recorder, from the
    path (Dahua's own numbers from 0 are counted from 1, as in its folders).
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
    """One stored picture of a file: the only one of a snapshot, or a key frame of a clip.

    `offset_s` is seconds after the file's first picture (0.0 for a snapshot). `grid` is the
    luminance grid, plane by plane and row by row, one unsigned byte per cell, in the shape
    `model.grid.GRID_SHAPE`; `thumbnail` is a complete JPEG file.
    """

    offset_s: float
    grid: bytes
    thumbnail: bytes


@dataclass(frozen=True, slots=True)
class Inspection:
    """What opening a file found: its state with the reason, its properties and its frames.

    `camera_clock` is the naive wall-clock time that the camera embedded, if any; `duration_s`
    is how much decodes, in seconds; `sha256` is of the whole file, as lowercase hex. `frames`
    is empty if nothing decodes.
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

    Times are aware, in UTC; `wall_start` and `camera_clock` are naive, on the camera's clock.
    Unknown values are None. For many uploads use Arrow tables (see `model.tables`). Only the
    functions below change `state`.
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

        Nulls of any kind and missing columns become None. Aware times are converted to UTC; an
        upload without a start starts when it arrived. Raises MediaError for a row without
        `media_id`.
        """
        if _known(row.get("media_id")) is None:
            raise MediaError("expected a row of the table media, with its media_id; it has none.")
        values = {name: _plain(kind, row.get(name)) for name, kind in _FIELDS.items()}
        values["start"] = values["start"] or values["arrived"]
        return cls(**values)

    def to_row(self) -> Mapping[str, object]:
        """Return the upload as a mapping of its columns."""
        return {name: getattr(self, name) for name in _FIELDS}

    @property
    def is_gone(self) -> bool:
        """Whether its file is gone: it is missing or was culled."""
        return self.state in GONE_STATES

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be opened."""
        return self.state in WAITING_STATES

    @property
    def is_moving(self) -> bool:
        """Whether it is video, or else a picture (see the function `is_moving`)."""
        return is_moving(self.kind, self.codec)

    @property
    def span_s(self) -> float:
        """The seconds from start to end; if there is no end, the seconds that decode."""
        if self.end is not None and self.end > self.start:
            return (self.end - self.start).total_seconds()
        return self.duration_s or 0.0

    @property
    def file_s_per_s(self) -> float:
        """Seconds of the file per second from start to end: names and files differ slightly.

        1.0 for a clip that was cut off: what is there of it plays at its own speed.
        """
        if self.state == "partial" or not self.span_s or not self.duration_s:
            return 1.0
        return self.duration_s / self.span_s


def _known(value: Any) -> Any:
    """Return a value; None for the nulls of pandas, NumPy and DuckDB."""
    # NaN and NaT do not equal themselves; comparing pandas.NA gives neither True nor False.
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
# The types as annotated above; a Literal is text.
_FIELDS = {
    one.name: kind if (kind := str(one.type).removesuffix(" | None")) in _CASTS else "str"
    for one in fields(Upload)
}


# --- The only functions that change a state. ----------------------------------------------

_GONE = "no longer in the upload tree"
_CHANGED = "it changed while it was read"


def seen(named: Upload, known: Upload | None) -> Upload:
    """Return a new or changed upload in the tree, as its name and size describe it (`named`).

    It is still to be opened. Of the row in the catalog (`known`), only an earlier arrival is
    kept.
    """
    return named if known is None else replace(named, arrived=min(known.arrived, named.arrived))


def with_times(upload: Upload, named: Upload) -> Upload:
    """Return the upload with the times that its name gives now (`named`), in the same state.

    An end that is known only from the opened file moves with the start.
    """
    end = named.end
    if end is None and upload.end is not None:
        end = named.start + (upload.end - upload.start)
    return replace(
        upload,
        date=named.date,
        start=named.start,
        end=end,
        time_source=named.time_source,
        clock_offset_s=named.clock_offset_s,
    )


def to_open(upload: Upload, reason: str | None = None) -> Upload:
    """Return the upload as one to be opened; `reason` is why that failed before."""
    return replace(upload, state="unread", state_reason=reason, culled_at=None)


def went_missing(upload: Upload) -> Upload:
    """Return the upload as one whose file is gone, but not culled."""
    return replace(upload, state="missing", state_reason=_GONE)


def changed_meanwhile(upload: Upload) -> Upload:
    """Return the upload as one that the camera is still writing: it changed while it was read."""
    return replace(upload, state="pending", state_reason=_CHANGED)


def still_arriving(upload: Upload, inspection: Inspection, quiet_s: float) -> Upload:
    """Return the upload as `opened` does, but pending: written to less than `quiet_s` s ago."""
    reason = f"not complete yet, and written to less than {quiet_s:g} s ago"
    return replace(_measured(upload, inspection), state="pending", state_reason=reason)


def opened(upload: Upload, inspection: Inspection) -> Upload:
    """Return the upload with what was found in its file.

    A clip without an end gets one from its duration.
    """
    return replace(
        _measured(upload, inspection), state=inspection.state, state_reason=inspection.state_reason
    )


def culled(upload: Upload, reason: str, at: datetime) -> Upload:
    """Return the upload as one whose file culling deletes at `at`."""
    return replace(upload, state="culled", state_reason=reason, culled_at=at)


def _measured(upload: Upload, inspection: Inspection) -> Upload:
    end = upload.end
    if end is None and upload.kind == "clip" and inspection.duration_s is not None:
        end = upload.start + timedelta(seconds=inspection.duration_s)
    return replace(
        upload,
        end=end,
        width=inspection.width,
        height=inspection.height,
        fps=inspection.fps,
        duration_s=inspection.duration_s,
        codec=inspection.codec,
        camera_clock=inspection.camera_clock,
        sha256=inspection.sha256,
    )


def is_moving(kind: str, codec: str | None) -> bool:
    """Return whether an upload is video, or else a picture.

    `codec` decides if the file was opened; otherwise `kind`, which comes from the name.
    """
    return codec not in PICTURE_CODECS if codec else kind == "clip"


def media_id(root_id: str, path: str) -> str:
    """Return the 16 hex digits that identify the upload at `path` below the root `root_id`.

    They depend on the names only, so that a replaced file keeps its id.
    """
    return hashlib.blake2b(f"{root_id}\0{path}".encode(), digest_size=8).hexdigest()


# A path column holds text. Bytes that are not UTF-8 are written as %XX (XX >= 80), and a
# percent sign that could be mistaken for one as %25, so that texts and paths correspond one
# to one.
_AMBIGUOUS = re.compile(r"%(?=[89A-Fa-f][0-9A-Fa-f]|25)")
_ESCAPED = re.compile(rb"%(25|[89A-F][0-9A-F])")


def encode_path(name: str) -> str:
    """Return a file name (with surrogates for other bytes) as the text of the `path` column."""
    if name.isascii() and "%" not in name:
        return name
    escaped = _AMBIGUOUS.sub("%25", name)
    return "".join(
        f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char for char in escaped
    )


def decode_path(path: str) -> bytes:
    """Return the bytes on disk of the text of a `path` column."""
    raw = path.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), raw)


def locate(root: str | os.PathLike[str], path: str) -> Path:
    """Return the path on disk of the upload `path` (as in the column) below `root`.

    Raises MediaError for anything other than an upload root and text of that column.
    """
    if not isinstance(root, (str, os.PathLike)) or not isinstance(path, str) or "\0" in path:
        raise MediaError(
            "expected an upload root and a path out of the column `path`, which is text; "
            f"got {root!r} and {path!r:.60}."
        )
    return Path(root) / os.fsdecode(decode_path(path))


def resolved(path: str | os.PathLike[str]) -> Path:
    """Return `path` absolute and with symbolic links resolved, as `Path.resolve` does.

    Unlike `Path.resolve` before Python 3.13, this does not raise for a loop of links: opening
    the path then fails like that of any other unusable path.
    """
    return Path(os.path.realpath(path))


def as_on_disk(root: Path | None, path: str) -> str:
    """Return the folder `path` (as in the column) as it is spelled below `root`, if it exists.

    A folder with another composition or letter case is the same folder (see `alike`), and no
    second one must be created beside it. Parts that do not exist are returned as given.
    """
    spelled_parts: list[str] = []
    for part in path.split("/"):
        spelled = "/".join([*spelled_parts, part])
        is_there = root is None or locate(root, spelled).is_dir()
        spelled_parts.append(
            part if is_there else _spelled_below(root, "/".join(spelled_parts), part)
        )
    return "/".join(spelled_parts)


def _spelled_below(root: Path | None, folder: str, part: str) -> str:
    try:
        with os.scandir(root if root is None or not folder else locate(root, folder)) as listing:
            names = [encode_path(item.name) for item in listing if item.is_dir()]
    except OSError:
        return part
    return alike.find(part, names) or part
