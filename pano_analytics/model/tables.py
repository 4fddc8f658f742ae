"""The columns of the tables that everybody reads: a promise, versioned, only ever added to."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from pano_analytics.model.upload import SCHEMA_VERSION, STATES

_UTC = pa.timestamp("us", tz="UTC")
_WALL = pa.timestamp("us")

# name, type, meaning. `camera` and `date` stand in the folder names (Hive
# partitions), not in the files: pandas refuses a column that stands in both.
MEDIA: tuple[tuple[str, pa.DataType, str], ...] = (
    (
        "media_id",
        pa.string(),
        "16 hex digits, derived from upload root and path; unchanged when the file is replaced",
    ),
    ("kind", pa.string(), "snapshot or clip"),
    ("trigger", pa.string(), "why the camera recorded: motion, scheduled, alarm, smart, …"),
    ("trigger_raw", pa.string(), "the letter or word in the name"),
    ("start", _UTC, "when it was recorded; for a clip its beginning"),
    ("end", _UTC, "end of a clip; null if neither name nor file gives it"),
    ("wall_start", _WALL, "local time in the name, on the camera's own clock"),
    (
        "time_source",
        pa.string(),
        "where start comes from: name, arrival, … (see docs/design/time.md)",
    ),
    (
        "clock_offset_s",
        pa.float64(),
        "how far the camera's clock was ahead, if corrected",
    ),
    ("path", pa.string(), "POSIX path below the upload root; bytes that are not UTF-8 as %XX"),
    ("layout", pa.string(), "the form of the path (see `pano explain`)"),
    ("sequence", pa.string(), "number that distinguishes files of the same second"),
    ("size_bytes", pa.int64(), "size on disk"),
    ("mtime", _UTC, "the file's modification time"),
    ("arrived", _UTC, "the earlier of modification time and first seen, in UTC"),
    ("state", pa.string(), ", ".join(STATES)),
    ("state_reason", pa.string(), "the reason for the state; null for complete and unread"),
    ("clip_id", pa.string(), "media_id of the clip that covers this snapshot"),
    ("width", pa.int32(), "width in pixels, after rotation for display"),
    ("height", pa.int32(), "height in pixels, after rotation for display"),
    ("fps", pa.float64(), "frames per second of a clip"),
    ("duration_s", pa.float64(), "seconds of a clip that actually decode"),
    ("codec", pa.string(), "jpeg, h264, hevc, …: actual codec of the file, whatever its name says"),
    ("camera_clock", _WALL, "local time embedded in the file by the camera"),
    ("sha256", pa.string(), "SHA-256 of the whole file, lowercase hex"),
    ("thumb", pa.string(), "locator of the thumbnail; null if nothing decoded"),
    ("culled_at", _UTC, "when culling deleted the file; the row is kept"),
    ("same_name_as", pa.string(), "media_id of the upload that had this name first, if any"),
    ("channel", pa.int32(), "channel of a recorder, if the path has its number"),
)

FRAMES: tuple[tuple[str, pa.DataType, str], ...] = (
    ("media_id", pa.string(), "the file that this picture is from"),
    ("offset_s", pa.float64(), "seconds after the file's first picture; 0 for a snapshot"),
    ("thumb", pa.string(), "locator of the thumbnail"),
    ("grid", pa.binary(), "luminance grid, plane by plane and row by row, one byte per cell"),
    ("grid_version", pa.int16(), "version of the content and shape of the grid"),
)

TABLES = {"media": MEDIA, "frames": FRAMES}


@cache
def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of `media` or `frames`, its version in the metadata."""
    fields = [pa.field(name, kind) for name, kind, _ in TABLES[table]]
    return pa.schema(fields, metadata={"pano_schema_version": str(SCHEMA_VERSION)})
