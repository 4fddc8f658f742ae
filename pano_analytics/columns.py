"""The columns of the tables that everybody reads: a promise, versioned, only ever added to."""

from __future__ import annotations

from functools import cache

import pyarrow as pa

from pano_analytics.media import SCHEMA_VERSION, STATES

_UTC = pa.timestamp("us", tz="UTC")
_WALL = pa.timestamp("us")

# name, type, meaning. `camera` and `date` stand in the folder names (Hive
# partitions), not in the files: pandas refuses a column that stands in both.
MEDIA: tuple[tuple[str, pa.DataType, str], ...] = (
    ("media_id", pa.string(), "16 hex digits from upload root and path; stays when replaced"),
    ("kind", pa.string(), "snapshot or clip"),
    ("trigger", pa.string(), "why the camera recorded: motion, scheduled, alarm, smart, …"),
    ("trigger_raw", pa.string(), "the letter or word in the name"),
    ("start", _UTC, "the instant it shows; for a clip its beginning"),
    ("end", _UTC, "a clip's end; null where neither name nor file tells it"),
    ("wall_start", _WALL, "what the name says, on the camera's own clock"),
    ("time_source", pa.string(), "what start rests on: name, arrival, … (see docs/design/time.md)"),
    (
        "clock_offset_s",
        pa.float64(),
        "how far the camera's clock was ahead, where it was corrected",
    ),
    ("path", pa.string(), "below the upload root, POSIX; bytes that are no UTF-8 as %XX"),
    ("layout", pa.string(), "the form of the path (see `pano explain`)"),
    ("sequence", pa.string(), "what tells two files of one second apart"),
    ("size_bytes", pa.int64(), "size on disk"),
    ("mtime", _UTC, "the file's modification time"),
    ("arrived", _UTC, "the earlier of modification time and first seen, in UTC"),
    ("state", pa.string(), ", ".join(STATES)),
    ("state_reason", pa.string(), "why, in words; null for complete and unread"),
    ("clip_id", pa.string(), "media_id of the clip whose span holds this snapshot"),
    ("width", pa.int32(), "pixels across, once turned for display"),
    ("height", pa.int32(), "pixels down, once turned for display"),
    ("fps", pa.float64(), "frames a second of a clip"),
    ("duration_s", pa.float64(), "seconds of a clip that really decode"),
    ("codec", pa.string(), "jpeg, h264, hevc, …: what is in the file, whatever its name says"),
    ("camera_clock", _WALL, "the wall clock embedded in the file by the camera"),
    ("sha256", pa.string(), "of the whole file, lower-case hex"),
    ("thumb", pa.string(), "locator of the kept thumbnail; null where nothing decoded"),
    ("culled_at", _UTC, "when retention removed the file; the row outlives it"),
    ("same_name_as", pa.string(), "media_id of the upload that had its name first, if one had"),
    ("channel", pa.int32(), "the channel of a recorder, where the path has its number"),
)

FRAMES: tuple[tuple[str, pa.DataType, str], ...] = (
    ("media_id", pa.string(), "the file this picture is of"),
    ("offset_s", pa.float64(), "seconds after the file's first picture; 0 for a snapshot"),
    ("thumb", pa.string(), "locator of the kept thumbnail"),
    ("grid", pa.binary(), "luminance grid, plane by plane and row by row, one byte a cell"),
    ("grid_version", pa.int16(), "which content and shape the grid has"),
)

TABLES = {"media": MEDIA, "frames": FRAMES}


@cache
def schema(table: str) -> pa.Schema:
    """Return the Arrow schema of `media` or `frames`, its version in the metadata."""
    fields = [pa.field(name, kind) for name, kind, _ in TABLES[table]]
    return pa.schema(fields, metadata={"pano_schema_version": str(SCHEMA_VERSION)})
