"""Parts: immutable Parquet files, one per table and camera-day, and their statistics."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pano_analytics.model.tables import named, schema
from pano_analytics.model.upload import GONE_STATES, SCHEMA_VERSION

# The tree for other tools: between commits it has exactly the current parts.
TREE = "parts"
# The folder for parts that are not yet, or no longer, current.
UNLISTED = "unlisted"
# Columns with few distinct values: for others, a dictionary costs time and saves nothing.
_REPEATING = frozenset(
    ("kind", "trigger", "trigger_raw", "state", "layout", "time_source", "codec", "clip_id")
)


# First start and last start or end, microseconds since 1970 UTC; None without rows.
Span = tuple[int | None, int | None]


class CameraDay(NamedTuple):
    """A calendar day of a camera: the unit in which the catalog is written."""

    camera: str
    date: date


# Used as the camera-day of a table that is not partitioned by camera and day.
WHOLE = CameraDay("", date.min)


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file, and its statistics in the manifest.

    `first_us` and `last_us` are the range of its starts and ends, microseconds since 1970
    UTC. `unread` counts rows whose file was not opened yet, `held` those whose file is still
    in the upload tree; `held_bytes` is the size of these files, `size_bytes` that of all
    files; `states` counts rows by state. None if a part was written before these were
    counted.
    """

    path: str
    rows: int
    snapshots: int = 0
    clips: int = 0
    unread: int = 0
    first_us: int | None = None
    last_us: int | None = None
    schema_version: int = SCHEMA_VERSION
    size_bytes: int | None = None
    held: int | None = None
    held_bytes: int | None = None
    states: Mapping[str, int] | None = None


def summed(parts: Iterable[Part]) -> Part:
    """Return the totals of some parts of `media` as one part, whose path is empty.

    A value that is None for one of them is None in the totals.
    """
    chosen = list(parts)
    firsts = [part.first_us for part in chosen if part.first_us is not None]
    lasts = [part.last_us for part in chosen if part.last_us is not None]
    states = Counter[str]()
    for part in chosen:
        states.update(part.states or {})
    return Part(
        "",
        sum(part.rows for part in chosen),
        sum(part.snapshots for part in chosen),
        sum(part.clips for part in chosen),
        sum(part.unread for part in chosen),
        min(firsts, default=None),
        max(lasts, default=None),
        size_bytes=_total([part.size_bytes for part in chosen]),
        held=_total([part.held for part in chosen]),
        held_bytes=_total([part.held_bytes for part in chosen]),
        states=None if any(part.states is None for part in chosen) else dict(states),
    )


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def new_name(table: str, day: CameraDay, generation: int) -> str:
    """Return a new, unique name for a part, in the folder of its table and camera-day."""
    name = f"part-{generation:08d}-{secrets.token_hex(3)}.parquet"
    if day == WHOLE:
        return f"{TREE}/{table}/{name}"
    folder = f"camera={folder_name(day.camera)}/date={day.date.isoformat()}"
    return f"{TREE}/{table}/{folder}/{name}"


def unlisted(path: str) -> str:
    """Return the path of the part `path` while it is not current.

    The folder is flat, and part names of early versions were short: a digest of the whole
    path makes the name unique.
    """
    stem = path.rpartition("/")[2].removesuffix(".parquet")
    return f"{UNLISTED}/{stem}-{blake2b(path.encode(), digest_size=8).hexdigest()}.parquet"


def day_of_part(path: str) -> CameraDay:
    """Return the camera-day of the part at `path`, from its folder names."""
    camera, day = path.split("/")[-3:-1]
    return CameraDay(
        unquote(camera.removeprefix("camera=")), date.fromisoformat(day.removeprefix("date="))
    )


@dataclass(frozen=True, slots=True)
class Sealed:
    """A camera-day's rows as the bytes of a part, written by another process."""

    data: bytes
    part: Part

    @classmethod
    def of(cls, rows: pa.Table) -> Sealed:
        """Seal rows of the media table."""
        return cls(parquet(rows), measure("", rows, "media"))

    def rows(self) -> pa.Table:
        """Return the rows, read from the bytes."""
        return read_parquet(pa.BufferReader(self.data))


def parquet(rows: pa.Table) -> bytes:
    """Return rows as the bytes of a part."""
    # Snappy takes three fifths of zstd's time to write and read, and about 7 KB more per
    # camera-day; for grids, most of the size of frames, zstd pays off.
    compression = "zstd" if "grid" in rows.column_names else "snappy"
    repeating = [column for column in rows.column_names if column in _REPEATING]
    sink = pa.BufferOutputStream()
    pq.write_table(
        rows,
        sink,
        compression=compression,
        compression_level=1 if compression == "zstd" else None,
        use_dictionary=repeating,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def measure(name: str, rows: pa.Table, table: str) -> Part:
    """Return the part `name` with the statistics of `rows`."""
    if table != "media":
        return Part(name, rows.num_rows, schema_version=named(table).version)
    kinds, states = counts(rows["kind"]), counts(rows["state"])
    total, held, held_bytes = sizes(rows)
    return Part(
        name,
        rows.num_rows,
        kinds.get("snapshot", 0),
        kinds.get("clip", 0),
        states.get("unread", 0) + states.get("pending", 0),
        *span_us(rows),
        size_bytes=total,
        held=held,
        held_bytes=held_bytes,
        states=states,
    )


def counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs in a column of text."""
    pairs = pc.value_counts(column)
    return dict(zip(*(field.to_pylist() for field in pairs.flatten()), strict=True))


def sizes(rows: pa.Table) -> tuple[int, int, int]:
    """Return the bytes of all files, how many files still exist, and the bytes of these."""
    is_held = pc.invert(pc.is_in(rows["state"], pa.array(GONE_STATES)))
    held = rows["size_bytes"].filter(is_held)
    return pc.sum(rows["size_bytes"]).as_py() or 0, len(held), pc.sum(held).as_py() or 0


def span_us(rows: pa.Table) -> Span:
    """Return the first start and the last start or end of some rows."""
    ends = pc.coalesce(rows["end"], rows["start"]).cast(pa.int64())
    return pc.min(rows["start"].cast(pa.int64())).as_py(), pc.max(ends).as_py()


def complete(rows: pa.Table, table: str) -> pa.Table:
    """Return rows with the current columns of `table`; columns that they lack are null."""
    wanted = schema(table)
    if rows.schema.names == wanted.names:
        return rows
    columns = [
        rows[name]
        if name in rows.schema.names
        else pa.nulls(rows.num_rows, wanted.field(name).type)
        for name in wanted.names
    ]
    return pa.table(columns, schema=wanted)


def folder_name(camera: str) -> str:
    """Return a camera's name as a folder name that DuckDB reads back.

    Names with special meanings are escaped: leading dots, and the two leading underscores of
    Hive's name for "no value".
    """
    name = quote(camera, safe="")
    return f"%{ord(name[0]):02X}{name[1:]}" if name.startswith((".", "__")) else name


def read_parquet(source: pa.NativeFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the rows of a Parquet file, or some of its columns, using only this thread.

    If the system cannot start more threads, Arrow would wait for its own forever.
    """
    with pq.ParquetFile(source, pre_buffer=False) as file:
        return file.read(None if columns is None else list(columns), use_threads=False)
