"""The registry of tables and their columns: versioned, and only ever extended.

A new table is added only here. All code that handles tables in general (catalog, check,
rebuild, backup, respelling, culling, site, SQL) uses this registry and no table's name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import QueryError
from pano_analytics.model import alike
from pano_analytics.model.upload import SCHEMA_VERSION, STATES, Upload

_UTC = pa.timestamp("us", tz="UTC")
_WALL = pa.timestamp("us")


class Column(NamedTuple):
    """One column: its name, its type in Parquet, and what it means."""

    name: str
    kind: pa.DataType
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the catalog.

    `key` are the columns that identify a row. A table with `is_by_day` is partitioned by
    camera and day: Hive partitions `camera=` and `date=`, which are in the folder names and
    not in the files, because pandas rejects a column that is in both. Any other table has
    one file. A table with `is_derived` can be rebuilt from the upload tree and the journal;
    any other is copied when a catalog is rebuilt. `version` increases with each new column.
    """

    name: str
    about: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    version: int = SCHEMA_VERSION
    is_by_day: bool = True
    is_derived: bool = True

    @property
    def is_of_uploads(self) -> bool:
        """Whether its rows belong to uploads, and are moved and deleted with them."""
        is_keyed = any(column.name == "media_id" for column in self.columns)
        return self.is_by_day and is_keyed and self.name != "media"


MEDIA = Table(
    "media",
    "One row per uploaded file, sorted by `start`: `library.media()`, or `media` in SQL.",
    ("media_id",),
    (
        Column(
            "media_id",
            pa.string(),
            "16 hex digits, derived from upload root and path; unchanged when the file is replaced",
        ),
        Column("kind", pa.string(), "snapshot or clip"),
        Column(
            "trigger", pa.string(), "why the camera recorded: motion, scheduled, alarm, smart, …"
        ),
        Column("trigger_raw", pa.string(), "the letter or word in the name"),
        Column("start", _UTC, "when it was recorded; for a clip its beginning"),
        Column("end", _UTC, "end of a clip; null if neither name nor file gives it"),
        Column("wall_start", _WALL, "local time in the name, on the camera's own clock"),
        Column(
            "time_source",
            pa.string(),
            "where start comes from: name, arrival, … (see docs/design/time.md)",
        ),
        Column(
            "clock_offset_s",
            pa.float64(),
            "how far the camera's clock was ahead, if corrected",
        ),
        Column(
            "path", pa.string(), "POSIX path below the upload root; bytes that are not UTF-8 as %XX"
        ),
        Column("layout", pa.string(), "the form of the path (see `pano explain`)"),
        Column("sequence", pa.string(), "number that distinguishes files of the same second"),
        Column("size_bytes", pa.int64(), "size on disk"),
        Column("mtime", _UTC, "the file's modification time"),
        Column("arrived", _UTC, "the earlier of modification time and first seen, in UTC"),
        Column("state", pa.string(), ", ".join(STATES)),
        Column(
            "state_reason", pa.string(), "the reason for the state; null for complete and unread"
        ),
        Column("clip_id", pa.string(), "media_id of the clip that covers this snapshot"),
        Column("width", pa.int32(), "width in pixels, after rotation for display"),
        Column("height", pa.int32(), "height in pixels, after rotation for display"),
        Column("fps", pa.float64(), "frames per second of a clip"),
        Column("duration_s", pa.float64(), "seconds of a clip that actually decode"),
        Column(
            "codec",
            pa.string(),
            "jpeg, h264, hevc, …: actual codec of the file, whatever its name says",
        ),
        Column("camera_clock", _WALL, "local time embedded in the file by the camera"),
        Column("sha256", pa.string(), "SHA-256 of the whole file, lowercase hex"),
        Column("thumb", pa.string(), "locator of the thumbnail; null if nothing decoded"),
        Column("culled_at", _UTC, "when culling deleted the file; the row is kept"),
        Column(
            "same_name_as", pa.string(), "media_id of the upload that had this name first, if any"
        ),
        Column("channel", pa.int32(), "channel of a recorder, if the path has its number"),
    ),
)

FRAMES = Table(
    "frames",
    "The pictures stored for each upload, one per snapshot and several per clip: "
    "`library.frames()`, or `frames` in SQL.",
    ("media_id", "offset_s"),
    (
        Column("media_id", pa.string(), "the file that this picture is from"),
        Column(
            "offset_s", pa.float64(), "seconds after the file's first picture; 0 for a snapshot"
        ),
        Column("thumb", pa.string(), "locator of the thumbnail"),
        Column(
            "grid", pa.binary(), "luminance grid, plane by plane and row by row, one byte per cell"
        ),
        Column("grid_version", pa.int16(), "version of the content and shape of the grid"),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in (MEDIA, FRAMES)}


def named(name: object) -> Table:
    """Return the table `name`. Raises QueryError, with the known tables, for any other name."""
    if isinstance(name, str) and name in TABLES:
        return TABLES[name]
    raise QueryError(
        f"table: expected {' or '.join(TABLES)}; got {name!r}.{alike.hint(str(name), TABLES)}"
    )


def of_uploads() -> tuple[Table, ...]:
    """Return the tables whose rows belong to uploads: all by camera-day except `media`."""
    return tuple(table for table in TABLES.values() if table.is_of_uploads)


@cache
def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of a table, with its version in the metadata. Raises QueryError."""
    columns = named(table).columns
    fields = [pa.field(column.name, column.kind) for column in columns]
    return pa.schema(fields, metadata={"pano_schema_version": str(named(table).version)})


def uploads_of(rows: pa.Table, camera: str, day: date) -> list[Upload]:
    """Return the uploads of a media table in its order; all are of one camera-day."""
    columns = (rows[name].to_pylist() for name in schema("media").names if name != "media_id")
    ids = rows["media_id"].to_pylist()
    return [Upload(one, camera, day, *rest) for one, *rest in zip(ids, *columns, strict=True)]


def media_table(uploads: Iterable[Upload]) -> pa.Table:
    """Return uploads as a media table, without camera and date, which are in folder names."""
    every, wanted = list(uploads), schema("media")
    arrays = [pa.array([getattr(one, field.name) for one in every], field.type) for field in wanted]
    return pa.table(arrays, schema=wanted)


def replaced(rows: pa.Table, uploads: Iterable[Upload]) -> pa.Table:
    """Return a media table with `uploads` in place of their old rows, sorted by start and path."""
    new = media_table(uploads)
    others = rows.filter(pc.invert(pc.is_in(rows["media_id"], new["media_id"])))
    joined = pa.concat_tables([others, new])
    return joined.sort_by([("start", "ascending"), ("path", "ascending")])
