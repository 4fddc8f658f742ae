"""The catalog: immutable Parquet parts by camera and day, and one manifest that names them.

Invariants. A part is written once under a new name and never changed. The
manifest is swapped in one step, after every part it names is on the disk. So a
reader that read the manifest once sees one generation and no mixture; parts
that are no longer named stay for a grace period, for readers still at them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pano_analytics.errors import LibraryError, PartError, refused
from pano_analytics.model import alike
from pano_analytics.model.tables import schema
from pano_analytics.model.upload import GONE_STATES, SCHEMA_VERSION
from pano_analytics.store.storage import TEMPORARY, Storage

MANIFEST = "manifest.json"
FORMAT = 1
GRACE_S = 600.0


# Columns of few values: a dictionary of any other costs time and saves nothing.
_REPEATING = frozenset(
    ("kind", "trigger", "trigger_raw", "state", "layout", "time_source", "codec", "clip_id")
)


# First start and last start or end, microseconds since 1970 UTC; None without any row.
Span = tuple[int | None, int | None]


class Day(NamedTuple):
    """A camera's calendar day: the unit in which the catalog is written."""

    camera: str
    date: date


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable Parquet file, and what the manifest knows of it without opening it.

    `first_us` and `last_us` span the starts and ends in it, microseconds since
    1970 UTC; `unread` counts rows whose file was not opened yet, `held` those whose
    file is still in the upload tree, and `held_bytes` are theirs; `size_bytes` are
    those of all rows; `states` counts rows by state. None where a part was written
    before these were counted.
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


@dataclass(frozen=True)
class Manifest:
    """Which parts are current. `days[table][day]` is that camera-day's part."""

    generation: int = 0
    media: Mapping[Day, Part] = field(default_factory=dict)
    frames: Mapping[Day, Part] = field(default_factory=dict)
    retired: tuple[tuple[str, float], ...] = ()

    def table(self, table: str) -> Mapping[Day, Part]:
        return self.media if table == "media" else self.frames

    def cameras(self) -> list[str]:
        """Return the names of all cameras that have a row, sorted."""
        return sorted(self._spans)

    @cached_property
    def _spans(self) -> dict[str, _Spans]:
        by_camera: dict[str, list[Day]] = defaultdict(list)
        for day in self.media:
            by_camera[day.camera].append(day)
        return {camera: _Spans.of(days, self.media) for camera, days in by_camera.items()}

    def select(
        self,
        table: str = "media",
        cameras: Iterable[str] | None = None,
        start_us: int | None = None,
        end_us: int | None = None,
    ) -> list[tuple[Day, Part]]:
        """Return the parts that may hold rows of `cameras` within [start, end), by day.

        Frames have no span of their own: the media part of the same day decides. A camera
        that the catalog spells otherwise (see `alike`) is found, too.
        """
        parts = self.table(table)
        spans = self._spans
        wanted = spans if cameras is None else _spelled(cameras, spans)
        days = (day for name in wanted for day in spans[name].touching(start_us, end_us))
        return [(day, parts[day]) for day in days if day in parts]


def _spelled(cameras: Iterable[str], spans: Iterable[str]) -> list[str]:
    known = list(spans)
    found = (name if name in known else alike.find(name, known) for name in cameras)
    return list(dict.fromkeys(name for name in found if name is not None))


@dataclass(frozen=True)
class _Spans:
    """One camera's days with their spans as arrays: a question costs the same after years."""

    days: list[Day]
    first_us: np.ndarray
    last_us: np.ndarray

    @classmethod
    def of(cls, days: list[Day], parts: Mapping[Day, Part]) -> _Spans:
        # A part without any time in it answers every question about time with no row.
        first = [parts[day].first_us for day in days]
        last = [parts[day].last_us for day in days]
        return cls(
            days,
            np.array([2**62 if value is None else value for value in first], dtype=np.int64),
            np.array([-(2**62) if value is None else value for value in last], dtype=np.int64),
        )

    def touching(self, start_us: int | None, end_us: int | None) -> list[Day]:
        if start_us is None and end_us is None:
            return self.days
        chosen = np.ones(len(self.days), dtype=bool)
        if start_us is not None:
            chosen &= self.last_us >= start_us
        if end_us is not None:
            chosen &= self.first_us < end_us
        return [self.days[index] for index in np.flatnonzero(chosen)]


class Catalog:
    """The parts and the manifest of one library."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._seen: tuple[tuple[int, int, int], Manifest] | None = None

    def manifest(self) -> Manifest:
        """Return the current manifest; read anew only when the file has changed.

        Raises LibraryError where it may not be read, or is none.
        """
        try:
            stamp = self._stamp()
            if stamp is None:
                return Manifest()
            if self._seen is None or self._seen[0] != stamp:
                self._seen = (stamp, _decode(self.storage.read(MANIFEST)))
        except OSError as error:
            raise refused(error, None, self.storage.root) or error from error
        return self._seen[1]

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.storage.path(MANIFEST).stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def read(self, part: Part, table: str = "media") -> pa.Table:
        """Return a part's rows with today's columns, those it lacks as nulls.

        Raises PartError where it is torn or may not be read, FileNotFoundError where it went.
        """
        path = self.storage.path(part.path)
        try:
            return _complete(pq.read_table(path, partitioning=None), table)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise PartError.of(path, error) from error

    def adopt(self, manifest: Manifest) -> None:
        """Swap in a manifest whose parts are in place and synced. Lock holder only."""
        self.storage.replace(MANIFEST, _encode(manifest))

    def begin(self) -> Change:
        """Start a change; only the holder of the library's lock may commit it."""
        return Change(self)

    def sweep(self) -> list[str]:
        """Remove what a killed writer left: files that no manifest names. Lock holder only."""
        manifest = self.manifest()
        named = {
            part.path for table in (manifest.media, manifest.frames) for part in table.values()
        }
        named |= {path for path, _ in manifest.retired}
        stray = [name for name in self.storage.files("parts") if name not in named]
        for name in stray:
            self.storage.remove(name)
        for folder in ("parts", "thumbs", "journal"):
            for name in list(self.storage.files(folder)):
                if name.endswith(TEMPORARY):
                    self.storage.remove(name)
        return stray


@dataclass(frozen=True, slots=True)
class Sealed:
    """A camera-day's rows as the bytes of a part: made in another process, handed on unread."""

    data: bytes
    part: Part

    @classmethod
    def of(cls, rows: pa.Table) -> Sealed:
        """Seal rows of the media table."""
        return cls(_parquet(rows), _measure("", rows, "media"))

    def rows(self) -> pa.Table:
        """Return the rows, read from the bytes."""
        return pq.read_table(pa.BufferReader(self.data), partitioning=None)


class Change:
    """Rows and frames of several camera-days that become visible in one step."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._base = catalog.manifest()
        self._new: dict[str, dict[Day, pa.Table | Sealed]] = {"media": {}, "frames": {}}
        self._given_up: list[str] = []

    def __bool__(self) -> bool:
        return any(self._new.values())

    def days(self, table: str = "media") -> set[Day]:
        """Return every camera-day that has a part or waits to get one."""
        return set(self._base.table(table)) | set(self._new[table])

    def has(self, day: Day) -> bool:
        """Tell whether a camera-day has rows or waits to get some."""
        return day in self._new["media"] or day in self._base.media

    def is_listed(self, day: Day) -> bool:
        """Tell whether a camera-day waits as it was sealed, all from names: none of it is gone."""
        return isinstance(self._new["media"].get(day), Sealed)

    def span_us(self, day: Day) -> Span:
        """Return the span of a camera-day's rows without reading them, if they are committed."""
        new = self._new["media"].get(day)
        if isinstance(new, pa.Table):
            return span_us(new)
        part = self._base.media.get(day) if new is None else new.part
        return (None, None) if part is None else (part.first_us, part.last_us)

    def touched(self, table: str = "media") -> set[Day]:
        """Return the camera-days that wait to be committed."""
        return set(self._new[table])

    def read(self, day: Day, table: str = "media") -> pa.Table | None:
        """Return a camera-day's rows with this change's own in it; None if there are none."""
        new = self._new[table].get(day)
        if new is None:
            return self.before(day, table)
        return new.rows() if isinstance(new, Sealed) else new

    def before(self, day: Day, table: str = "media") -> pa.Table | None:
        """Return a camera-day's rows as they are committed; None if there are none."""
        part = self._base.table(table).get(day)
        return None if part is None else self._catalog.read(part, table)

    def write(self, day: Day, rows: pa.Table | Sealed, table: str = "media") -> None:
        """Put a camera-day's new whole content; no row at all drops the day."""
        self._new[table][day] = rows

    def give_up(self, names: Iterable[str]) -> None:
        """Let files go with this change that nothing names any more; readers get their time."""
        self._given_up += names

    def commit(self, extra: Iterable[str] = ()) -> Manifest:
        """Write the parts, sync them and `extra` files, then swap the manifest."""
        base = self._base
        generation = base.generation + 1
        written = {table: self._put_all(table, generation) for table in self._new}
        parts = [part.path for days in written.values() for part in days.values() if part]
        self._catalog.storage.sync([*parts, *extra])
        manifest = Manifest(
            generation,
            _merged(base.media, written["media"]),
            _merged(base.frames, written["frames"]),
            self._retired(written),
        )
        manifest = self._purge(manifest)
        self._catalog.storage.replace(MANIFEST, _encode(manifest))
        self._base, self._new = manifest, {"media": {}, "frames": {}}
        self._given_up = []
        return manifest

    def _put_all(self, table: str, generation: int) -> dict[Day, Part | None]:
        # Side by side: compressing and writing leave the interpreter alone.
        days = self._new[table]
        with ThreadPoolExecutor(max_workers=2) as pool:
            parts = pool.map(lambda day: self._put(table, day, days[day], generation), days)
            return dict(zip(days, parts, strict=True))

    def _put(self, table: str, day: Day, rows: pa.Table | Sealed, generation: int) -> Part | None:
        name = (
            f"parts/{table}/camera={_folder_name(day.camera)}/date={day.date.isoformat()}/"
            f"part-{generation:08d}-{secrets.token_hex(3)}.parquet"
        )
        if isinstance(rows, Sealed):
            data, part = rows.data, replace(rows.part, path=name)
        elif rows.num_rows:
            data, part = _parquet(rows), _measure(name, rows, table)
        else:
            return None
        self._catalog.storage.put(name, lambda file: file.write(data))
        return part

    def _retired(self, written: Mapping[str, Mapping[Day, Part | None]]) -> tuple[Any, ...]:
        now = time.time()
        old = [
            (self._base.table(table)[day].path, now)
            for table, days in written.items()
            for day in days
            if day in self._base.table(table)
        ]
        return (*self._base.retired, *old, *((name, now) for name in self._given_up))

    def _purge(self, manifest: Manifest) -> Manifest:
        # Unlinked before the swap: no reader may still be at them, and a killed
        # run at worst names a retired file twice. Only what the manifest now in
        # force has retired: a clock that jumps must not reach what it still names.
        old = self._base.retired
        due = {path for path, since in old if time.time() - since > GRACE_S}
        for path in due:
            self._catalog.storage.remove(path)
        kept = tuple(entry for entry in manifest.retired if entry[0] not in due)
        return replace(manifest, retired=kept)


def _merged(old: Mapping[Day, Part], new: Mapping[Day, Part | None]) -> dict[Day, Part]:
    merged: dict[Day, Part | None] = {**old, **new}
    return {day: part for day, part in merged.items() if part is not None}


def _parquet(rows: pa.Table) -> bytes:
    # Snappy takes three fifths of zstd's time to write and to read, for some 7 KB
    # more a camera-day; grids, the bulk of frames, are worth zstd.
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


def _measure(name: str, rows: pa.Table, table: str) -> Part:
    if table != "media":
        return Part(name, rows.num_rows)
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
    """Return how often each value stands in a column of text."""
    found = pc.value_counts(column)
    return dict(zip(*(field.to_pylist() for field in found.flatten()), strict=True))


def sizes(rows: pa.Table) -> tuple[int, int, int]:
    """Return the bytes of all rows, how many still have their file, and the bytes of those."""
    is_held = pc.invert(pc.is_in(rows["state"], pa.array(GONE_STATES)))
    held = rows["size_bytes"].filter(is_held)
    return pc.sum(rows["size_bytes"]).as_py() or 0, len(held), pc.sum(held).as_py() or 0


def span_us(rows: pa.Table) -> Span:
    """Return the first start and the last start or end of some rows."""
    ends = pc.coalesce(rows["end"], rows["start"]).cast(pa.int64())
    return pc.min(rows["start"].cast(pa.int64())).as_py(), pc.max(ends).as_py()


def _complete(found: pa.Table, table: str) -> pa.Table:
    wanted = schema(table)
    if found.schema.names == wanted.names:
        return found
    columns = [
        found[name]
        if name in found.schema.names
        else pa.nulls(found.num_rows, wanted.field(name).type)
        for name in wanted.names
    ]
    return pa.table(columns, schema=wanted)


def thumb_folder(day: Day) -> str:
    """Return the folder of this camera-day's thumbnail packs, below `thumbs/`."""
    return f"{_folder_name(day.camera)}/{day.date.isoformat()}"


def _folder_name(camera: str) -> str:
    """Return a camera's name as one that a folder can have and DuckDB reads back.

    Two names mean something else there: dots lead elsewhere, and Hive spells
    "no value" with two underscores in front.
    """
    name = quote(camera, safe="")
    return f"%{ord(name[0]):02X}{name[1:]}" if name.startswith((".", "__")) else name


_PART_FIELDS = (
    "path",
    "rows",
    "snapshots",
    "clips",
    "unread",
    "first_us",
    "last_us",
    "schema_version",
    "size_bytes",
    "held",
    "held_bytes",
    "states",
)


def _encode(manifest: Manifest) -> bytes:
    document = {
        "format": FORMAT,
        "generation": manifest.generation,
        "fields": _PART_FIELDS,
        "media": _by_camera(manifest.media),
        "frames": _by_camera(manifest.frames),
        "retired": manifest.retired,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _by_camera(parts: Mapping[Day, Part]) -> dict[str, dict[str, list[Any]]]:
    nested: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    for day, part in sorted(parts.items()):
        nested[day.camera][day.date.isoformat()] = [getattr(part, name) for name in _PART_FIELDS]
    return nested


def _decode(data: bytes) -> Manifest:
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise LibraryError(
                f"{MANIFEST}: expected format {FORMAT}, got {document['format']}; "
                f"this library was written by a newer pano. Upgrade pano."
            )
        return Manifest(
            document["generation"],
            dict(_flat(document["media"])),
            dict(_flat(document["frames"])),
            tuple((path, since) for path, since in document["retired"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryError(
            f"{MANIFEST}: expected a manifest written by pano ({error}). Rebuild the catalog with "
            f"`pano rebuild`."
        ) from error


def _flat(nested: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[Day, Part]]:
    for camera, days in nested.items():
        for day, values in days.items():
            yield Day(camera, date.fromisoformat(day)), Part(*values)


def day_of_part(path: str) -> Day:
    """Return the camera-day whose part lies at `path`, read from its folder names."""
    camera, day = path.split("/")[-3:-1]
    return Day(
        unquote(camera.removeprefix("camera=")), date.fromisoformat(day.removeprefix("date="))
    )
