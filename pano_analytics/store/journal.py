"""The journal: what the upload tree cannot tell. The catalog can be rebuilt from both.

For every upload it stores when it was first seen, when it arrived and, once it was opened,
its SHA-256. Each change of a file adds an entry, so that the history of a replaced file is
kept. For every upload whose file is gone (missing or culled) it stores the complete row with
its frames, because rows outlive their files. It also stores the plan of a culling until that
is finished, and which rows are to be forgotten. Ingest writes whole columns at a time, as
immutable Parquet files that are merged when there are many: a line of text for each of a
million uploads would take longer than the rest of the ingest.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import IO, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pano_analytics.errors import JournalError, NoProcess
from pano_analytics.layouts.names import kind_of
from pano_analytics.model.tables import of_uploads, schema
from pano_analytics.store.parts import read_parquet
from pano_analytics.store.storage import Storage, naming

FOLDER = "journal"
FOLD_ABOVE = 64
# Gone rows include their grids: files that have grown this large are not rewritten.
_FOLD_BELOW_BYTES = 32 << 20
# Facts of a hundred thousand uploads: `--watch` folds about every hour, and must not rewrite
# the facts of years each time.
_FOLD_SEEN_BELOW_BYTES = 8 << 20

_UTC = pa.timestamp("us", tz="UTC")
SEEN = pa.schema(
    [
        pa.field("media_id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("mtime", _UTC),
        pa.field("arrived", _UTC),
        pa.field("noted", _UTC),
        pa.field("sha256", pa.string()),
        pa.field("state", pa.string()),
    ]
)
PLAN = pa.schema(
    [
        pa.field("media_id", pa.string()),
        pa.field("camera", pa.string()),
        pa.field("date", pa.date32()),
        pa.field("path", pa.string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("mtime", _UTC),
        pa.field("reason", pa.string()),
        # The folder above it that is kept, even if it becomes empty.
        pa.field("top", pa.string()),
        pa.field("culled_at", _UTC),
    ]
)


def gone_schema() -> pa.Schema:
    """Return the schema of gone rows: a complete row of `media`, and a list per other table.

    Each list has the rows of that table (see `tables.of_uploads`) that belong to the upload.
    """
    belonging = [pa.field(table.name, pa.list_(_struct(table.name))) for table in of_uploads()]
    partitions = [pa.field("camera", pa.string()), pa.field("date", pa.date32())]
    return pa.schema([*schema("media"), *partitions, *belonging, pa.field("noted", _UTC)])


def _struct(table: str) -> pa.StructType:
    return pa.struct([field for field in schema(table) if field.name != "media_id"])


FORGOTTEN = pa.schema([pa.field("media_id", pa.string()), pa.field("noted", _UTC)])
_FOLDED = b"pano_folded"
_KINDS = ("seen", "gone", "plan", "forgotten")
# A Parquet file begins and ends with this; the length of its footer precedes the end.
_MAGIC, _FEWEST_BYTES = b"PAR1", 12
_TRIES = 3
_STAMP = re.compile(r"/[a-z]+-(\d{20})-\w+\.parquet$")
# A camera writes a clip for minutes; a file that replaces it comes later, or is not longer.
_GROWING = timedelta(minutes=15)

Result = TypeVar("Result")


class Fact(NamedTuple):
    """What one entry says of an upload, with the columns of SEEN; times are aware, in UTC.

    `sha256` and `state` are None until the file was opened, `state` also in old entries.
    """

    media_id: str
    path: str
    size_bytes: int
    mtime: datetime
    arrived: datetime
    noted: datetime
    sha256: str | None
    state: str | None


def facts_of(seen: pa.Table) -> Iterator[Fact]:
    """Yield the entries of a table of the schema SEEN, in its order."""
    columns = (column.to_pylist() for column in seen.select(SEEN.names).columns)
    return map(Fact._make, zip(*columns, strict=True))


class Overwritten(NamedTuple):
    """A complete upload that was replaced: the SHA-256 of both, and when that was seen (UTC)."""

    media_id: str
    path: str
    before: str
    after: str
    noted: datetime


class Torn(NamedTuple):
    """A truncated file of the journal: its name in the library, and what is wrong with it."""

    name: str
    why: str


class Journal:
    """The journal of one library. Only the holder of the library's lock may write.

    Methods that read a file raise JournalError, which names it, if it is truncated.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def note_seen(self, facts: pa.Table) -> str:
        """Write the current facts about some uploads; return the file's name, not yet synced."""
        return self._put("seen", _with_schema(facts, SEEN), ())

    def note_gone(self, rows: pa.Table) -> str:
        """Write complete rows (`gone_schema`) of gone files; return the name, not yet synced."""
        return self._put("gone", rows.cast(gone_schema()), ())

    def note_plan(self, files: pa.Table) -> str:
        """Write the files to cull (schema PLAN); return the file's name, not yet synced."""
        return self._put("plan", files.cast(PLAN), ())

    def open_plans(self) -> list[str]:
        """Return the names of the plans that are not closed yet, oldest first."""
        return self._named("plan")

    def read_plan(self, name: str) -> pa.Table:
        """Return the files to cull of one plan (schema PLAN)."""
        return self._read(name).cast(PLAN)

    def close_plan(self, name: str) -> None:
        """Remove a plan that is completely done, and sync that."""
        self.storage.unlink(name)
        self.storage.sync([FOLDER])

    def forget(self, media_ids: Sequence[str], noted: datetime) -> str:
        """Write that the entries of some uploads up to `noted` are forgotten; return the name.

        The file is not yet synced. Forgotten entries are no longer returned; folding frees
        their space.
        """
        columns = [list(media_ids), [noted] * len(media_ids)]
        return self._put("forgotten", pa.table(columns, schema=FORGOTTEN), ())

    def torn(self) -> list[Torn]:
        """Return the files that a power cut or a full disk left truncated.

        Only the last bytes of each file are read.
        """
        problems = (
            (name, self._torn_reason(name)) for kind in _KINDS for name in self._named(kind)
        )
        return [Torn(name, why) for name, why in problems if why]

    def is_torn(self, name: str) -> bool:
        """Return whether a file is truncated."""
        return bool(self._torn_reason(name))

    def require(self) -> None:
        """Raise JournalError if a file is truncated."""
        for torn in self.torn():
            raise JournalError.of(self.storage.address(torn.name), torn.why)

    def _torn_reason(self, name: str) -> str:
        try:
            with naming(self.storage.address(name)), self.storage.open(name) as file:
                size_bytes = file.seek(0, os.SEEK_END)
                file.seek(max(0, size_bytes - len(_MAGIC)))
                is_ended = file.read() == _MAGIC
        except FileNotFoundError:
            return ""  # merged or closed since it was listed
        if not size_bytes:
            return "it is empty"
        is_whole = is_ended and size_bytes >= _FEWEST_BYTES
        return "" if is_whole else f"its end is missing ({size_bytes:,} bytes are there)"

    def _put(self, kind: str, facts: pa.Table, folded: Iterable[str]) -> str:
        name = f"{FOLDER}/{kind}-{time.time_ns():020d}-{secrets.token_hex(3)}.parquet"
        marked = facts.replace_schema_metadata({_FOLDED: json.dumps(list(folded))})

        def write(file: IO[bytes]) -> None:
            pq.write_table(marked, file, compression="zstd", compression_level=1)

        # Every file with such a name is read: a power cut must not leave one without its bytes.
        self.storage.put(name, write, is_synced=True)
        return name

    def last_us(self) -> int:
        """Return when an entry was last written (µs since 1970 UTC, from file names), or 0."""
        stamps = (_STAMP.search(name) for name in self.storage.files(FOLDER))
        return max((int(match[1]) // 1000 for match in stamps if match), default=0)

    def is_begun(self) -> bool:
        """Return whether the journal has any entry about uploads."""
        return any(self._named("seen")) or any(self._named("gone"))

    def seen(self) -> pa.Table:
        """Return all facts about uploads (schema SEEN), oldest file first."""
        return _retried(lambda: self._read_seen(self._files("seen"), None))

    def history(self, media_id: str) -> pa.Table:
        """Return all facts about one upload (schema SEEN), oldest first."""
        return _retried(lambda: self._read_seen(self._files("seen"), media_id)).sort_by("noted")

    def _read_seen(self, names: Iterable[str], only: str | None) -> pa.Table:
        tables = [_with_schema(self._read(name), SEEN) for name in names]
        if only is not None:
            tables = [table.filter(pc.equal(table["media_id"], only)) for table in tables]
        return self._without_forgotten(pa.concat_tables([SEEN.empty_table(), *tables]))

    def forgotten(self) -> pa.Table:
        """Return which uploads are forgotten, and up to which time (schema FORGOTTEN)."""
        names = self._named("forgotten")
        tables = [self._read(name) for name in names]
        return pa.concat_tables([FORGOTTEN.empty_table(), *tables])

    def _without_forgotten(self, facts: pa.Table) -> pa.Table:
        """Return the rows (with `media_id` and `noted`) that are not forgotten, in their order."""
        forgotten = self.forgotten()
        if not forgotten.num_rows:
            return facts
        last = forgotten.group_by("media_id", use_threads=False).aggregate([("noted", "max")])
        until = last["noted_max"].take(pc.index_in(facts["media_id"], last["media_id"]))
        return facts.filter(pc.fill_null(pc.greater(facts["noted"], until), True))

    def gone_files(self) -> list[str]:
        """Return the files of gone rows, to be read one at a time: their grids are large."""
        return _retried(lambda: self._files("gone"))

    def read_gone(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return some columns, by default all, of one file of gone rows.

        Columns that the file does not have are null.
        """
        whole = gone_schema()
        columns = whole.names if columns is None else columns
        wanted = list(dict.fromkeys([*columns, "media_id", "noted"]))
        with self._opened(name) as source:
            available = pq.read_schema(source).names
        table = self._read(name, columns=[one for one in wanted if one in available])
        rows = _with_schema(table, pa.schema([whole.field(column) for column in wanted]))
        return self._without_forgotten(rows).select(list(columns))

    def overwritten(self) -> list[Overwritten]:
        """Return the uploads that were complete and whose content changed later, oldest first.

        A clip that only grew within minutes was still being uploaded, even if it seemed
        complete.
        """
        facts = self.seen()
        facts = facts.filter(pc.is_valid(facts["sha256"]))
        counts = facts.group_by("media_id", use_threads=False).aggregate(
            [("sha256", "count_distinct")]
        )
        several = counts.filter(pc.greater(counts["sha256_count_distinct"], 1))["media_id"]
        facts = facts.filter(pc.is_in(facts["media_id"], several)).sort_by("noted")
        whole: dict[str, Fact] = {}
        changed: list[Overwritten] = []
        for fact in facts_of(facts):
            last = whole.get(fact.media_id)
            if last and last.sha256 != fact.sha256 and not _is_growth(last, fact):
                hashes = str(last.sha256), str(fact.sha256)  # only entries with one were chosen
                changed.append(Overwritten(fact.media_id, fact.path, *hashes, fact.noted))
            if fact.state == "complete":
                whole[fact.media_id] = fact
        return changed

    def _files(self, kind: str) -> list[str]:
        """Return the files to read, without those that an interrupted fold already merged."""
        names = self._named(kind)
        superseded = {source for name in names for source in self._sources(name)}
        return [name for name in names if name not in superseded]

    def _named(self, kind: str) -> list[str]:
        return sorted(
            name
            for name in self.storage.files(FOLDER)
            if name.rpartition("/")[2].startswith(f"{kind}-") and name.endswith(".parquet")
        )

    def _sources(self, name: str) -> list[str]:
        with self._opened(name) as source:
            metadata = pq.read_schema(source).metadata or {}
        return list(json.loads(metadata.get(_FOLDED, b"[]")))

    def arrivals(self, *, is_lenient: bool = False) -> dict[str, int]:
        """Return media_id -> earliest arrival, microseconds since 1970 UTC.

        With `is_lenient`, truncated files are skipped instead of raising JournalError.
        """
        facts = self._whole_seen() if is_lenient and self.torn() else self.seen()
        if not facts.num_rows:
            return {}
        earliest = facts.group_by("media_id", use_threads=False).aggregate([("arrived", "min")])
        arrived = earliest["arrived_min"].cast(pa.int64()).to_pylist()
        return dict(zip(earliest["media_id"].to_pylist(), arrived, strict=True))

    def _whole_seen(self) -> pa.Table:
        """Return the facts of all files that are not truncated, including forgotten facts."""
        names = [name for name in self._named("seen") if not self.is_torn(name)]
        tables = [_with_schema(self._read(name), SEEN) for name in names]
        return pa.concat_tables([SEEN.empty_table(), *tables])

    def fold(self) -> None:
        """Merge the files into one if there are many, and drop forgotten entries.

        Nothing is merged while a file is truncated: it may be restored from a backup.
        """
        if self.torn():
            return
        forgotten = self._named("forgotten")
        is_forgetting = len(forgotten) > FOLD_ABOVE
        self._fold_seen(is_forgetting)
        if is_forgetting:
            self._drop_gone()
            for name in forgotten:
                self.storage.unlink(name)
        gone = self._small("gone", _FOLD_BELOW_BYTES)
        if len(gone) > FOLD_ABOVE:
            rows = pa.concat_tables([self.read_gone(name) for name in gone])
            self._swap(gone, self._put("gone", rows, gone))

    def _drop_gone(self) -> None:
        """Rewrite the files of gone rows without forgotten rows, and sync them."""
        for name in self._files("gone"):
            rows = self.read_gone(name)
            if rows.num_rows == self._rows(name):
                continue
            if rows.num_rows:
                self._swap([name], self._put("gone", rows, [name]))
            else:
                self.storage.unlink(name)
        self.storage.sync([FOLDER])

    def _fold_seen(self, is_forgetting: bool) -> None:
        """Merge small files of facts, or all of them if some facts are forgotten."""
        limit = None if is_forgetting else _FOLD_SEEN_BELOW_BYTES
        names = self._small("seen", limit)
        if len(names) > FOLD_ABOVE or (is_forgetting and names):
            self._swap(names, self._put("seen", self._read_seen(names, None), names))

    def _small(self, kind: str, limit_bytes: int | None) -> list[str]:
        """Return the files below a size, or none, without opening any, if there are few files."""
        if limit_bytes is None:
            return self._files(kind)
        if len(self._named(kind)) <= FOLD_ABOVE:
            return []
        return [name for name in self._files(kind) if self.storage.size_bytes(name) < limit_bytes]

    def _rows(self, name: str) -> int:
        """Return the number of rows in a file, forgotten ones included."""
        with self._opened(name) as source:
            rows: int = pq.read_metadata(source).num_rows
        return rows

    def _read(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        with self._opened(name) as source:
            return read_parquet(source, columns)

    @contextmanager
    def _opened(self, name: str) -> Iterator[pa.NativeFile]:
        with _reading(self.storage.address(name)), self.storage.source(name) as source:
            yield source

    def _swap(self, names: list[str], folded: str) -> None:
        self.storage.sync([folded])
        for name in names:
            self.storage.unlink(name)


def _is_growth(was: Fact, fact: Fact) -> bool:
    if kind_of(fact.path.rpartition(".")[2]) != "clip":
        return False
    return fact.mtime - was.mtime < _GROWING and fact.size_bytes > was.size_bytes


@contextmanager
def _reading(address: str) -> Iterator[None]:
    """Turn an error of Arrow into a JournalError that names the file and says what to do."""
    try:
        with naming(address):
            yield
    except pa.ArrowException as error:
        NoProcess.check(error)
        raise JournalError.of(address, str(error).splitlines()[0]) from error
    except OSError as error:
        # Arrow raises a plain OSError for bytes that cannot be decompressed.
        if error.errno is None:
            raise JournalError.of(address, str(error).splitlines()[0]) from error
        raise


def _with_schema(rows: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return the rows with the columns of a schema; missing columns are null."""
    return pa.table(
        [
            rows[field.name].cast(field.type)
            if field.name in rows.column_names
            else pa.nulls(rows.num_rows, field.type)
            for field in wanted
        ],
        schema=wanted,
    )


def _retried(read: Callable[[], Result]) -> Result:
    """Return `read()`; repeated if a file was merged into another after it was listed."""
    for left in reversed(range(_TRIES)):
        try:
            return read()
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError("unreachable")
