"""The journal: what only we know, so that catalog = upload tree + journal, exactly.

Of every upload it keeps when it was first seen, when it arrived and, once it
was opened, its SHA-256; each change of a file adds a line, so that what a file
was before it was replaced is still told. Of every upload that went (missing or
culled) it keeps the whole row with its frames, since rows outlive their files.
Of a culling under way it keeps the plan, until all of it is done; of rows whose
time is over, that they are to be forgotten. Ingest writes whole columns at a time
(immutable Parquet files, folded when they become many): a line of text for each of
a million uploads would cost more than all else it does.
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
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pano_analytics.errors import JournalError
from pano_analytics.layouts.names import kind_of
from pano_analytics.model.tables import of_uploads, schema
from pano_analytics.store.parts import read_parquet
from pano_analytics.store.storage import Storage, naming

FOLDER = "journal"
FOLD_ABOVE = 64
# A gone row has its grids with it: what grew this large is not written anew again.
_FOLD_BELOW_BYTES = 32 << 20
# Facts of a hundred thousand uploads: a watching ingest folds every hour or so,
# and is not to write what it saw in years anew each time.
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
        # The folder above it that stays, empty or not.
        pa.field("top", pa.string()),
        pa.field("culled_at", _UTC),
    ]
)


def gone_schema() -> pa.Schema:
    """Return the schema of gone rows: a whole row of `media`, and a list for each other table.

    Each list has what that table (see `tables.of_uploads`) held of the upload.
    """
    belonging = [pa.field(table.name, pa.list_(_struct(table.name))) for table in of_uploads()]
    partitions = [pa.field("camera", pa.string()), pa.field("date", pa.date32())]
    return pa.schema([*schema("media"), *partitions, *belonging, pa.field("noted", _UTC)])


def _struct(table: str) -> pa.StructType:
    return pa.struct([field for field in schema(table) if field.name != "media_id"])


FORGOTTEN = pa.schema([pa.field("media_id", pa.string()), pa.field("noted", _UTC)])
_FOLDED = b"pano_folded"
_KINDS = ("seen", "gone", "plan", "forgotten")
# A Parquet file begins and ends so, with the length of its footer before the end.
_MAGIC, _FEWEST_BYTES = b"PAR1", 12
_TRIES = 3
_STAMP = re.compile(r"/[a-z]+-(\d{20})-\w+\.parquet$")
# A camera writes a clip for minutes; what replaces it comes later, or is not longer.
_GROWING = timedelta(minutes=15)

Fact = dict[str, Any]

Result = TypeVar("Result")


class Overwritten(NamedTuple):
    """A whole upload that was replaced: the SHA-256 of both, and when it was seen (UTC)."""

    media_id: str
    path: str
    before: str
    after: str
    noted: datetime


class Torn(NamedTuple):
    """A file of the journal that lacks its end: its name in the library, and what is there."""

    name: str
    why: str


class Journal:
    """The journal of one library. Only the holder of the library's lock writes.

    What reads a file raises JournalError, which names it, where it is torn.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def note_seen(self, facts: pa.Table) -> str:
        """Write what is true of some uploads now; return the file's name, not yet synced."""
        return self._put("seen", _shaped(facts, SEEN), ())

    def note_gone(self, rows: pa.Table) -> str:
        """Write whole rows (`gone_schema`) whose files went; return the name, not yet synced."""
        return self._put("gone", rows.cast(gone_schema()), ())

    def note_plan(self, files: pa.Table) -> str:
        """Write what is to be culled (schema PLAN); return the file's name, not yet synced."""
        return self._put("plan", files.cast(PLAN), ())

    def open_plans(self) -> list[str]:
        """Return the plans that were noted and not closed, oldest first."""
        return self._named("plan")

    def read_plan(self, name: str) -> pa.Table:
        """Return what is to be culled by one plan (schema PLAN)."""
        return _read(self.storage.path(name)).cast(PLAN)

    def close_plan(self, name: str) -> None:
        """Confirm that all of a plan is done, for good."""
        self.storage.unlink(name)
        self.storage.sync([FOLDER])

    def forget(self, media_ids: Sequence[str], noted: datetime) -> str:
        """Write that what was noted of some uploads up to `noted` is over; return the name.

        It is not yet synced. Nothing of it is told from then on; folding frees the space.
        """
        columns = [list(media_ids), [noted] * len(media_ids)]
        return self._put("forgotten", pa.table(columns, schema=FORGOTTEN), ())

    def torn(self) -> list[Torn]:
        """Return the files that a power cut or a full disk left without their end.

        Reads the last bytes of each file only.
        """
        found = ((name, self._why_torn(name)) for kind in _KINDS for name in self._named(kind))
        return [Torn(name, why) for name, why in found if why]

    def is_torn(self, name: str) -> bool:
        """Tell whether one file lacks its end."""
        return bool(self._why_torn(name))

    def require(self) -> None:
        """Raise JournalError where a file is torn."""
        for torn in self.torn():
            raise JournalError.of(self.storage.path(torn.name), torn.why)

    def _why_torn(self, name: str) -> str:
        path = self.storage.path(name)
        try:
            with naming(path), path.open("rb") as file:
                size_bytes = file.seek(0, os.SEEK_END)
                file.seek(max(0, size_bytes - len(_MAGIC)))
                is_ended = file.read() == _MAGIC
        except FileNotFoundError:
            return ""  # folded or closed since it was listed
        if not size_bytes:
            return "it is empty"
        is_whole = is_ended and size_bytes >= _FEWEST_BYTES
        return "" if is_whole else f"its end is missing ({size_bytes:,} bytes are there)"

    def _put(self, kind: str, facts: pa.Table, folded: Iterable[str]) -> str:
        name = f"{FOLDER}/{kind}-{time.time_ns():020d}-{secrets.token_hex(3)}.parquet"
        marked = facts.replace_schema_metadata({_FOLDED: json.dumps(list(folded))})

        def write(file: IO[bytes]) -> None:
            pq.write_table(marked, file, compression="zstd", compression_level=1)

        # Whatever has such a name is read: a power cut must not leave one without its bytes.
        self.storage.put(name, write, is_synced=True)
        return name

    def last_us(self) -> int:
        """Return when a note was last written (µs UTC, as its name tells), 0 if none ever was."""
        stamps = (_STAMP.search(name) for name in self.storage.files(FOLDER))
        return max((int(found[1]) // 1000 for found in stamps if found), default=0)

    def is_begun(self) -> bool:
        """Tell whether anything was ever noted."""
        return any(self._named("seen")) or any(self._named("gone"))

    def seen(self) -> pa.Table:
        """Return all facts about uploads (schema SEEN), oldest file first."""
        return _steady(lambda: self._read_seen(self._files("seen"), None))

    def history(self, media_id: str) -> pa.Table:
        """Return what was ever noted of one upload (schema SEEN), in that order."""
        return _steady(lambda: self._read_seen(self._files("seen"), media_id)).sort_by("noted")

    def _read_seen(self, names: Iterable[str], only: str | None) -> pa.Table:
        tables = [_shaped(_read(self.storage.path(name)), SEEN) for name in names]
        if only is not None:
            tables = [table.filter(pc.equal(table["media_id"], only)) for table in tables]
        return self._remembered(pa.concat_tables([SEEN.empty_table(), *tables]))

    def forgotten(self) -> pa.Table:
        """Return of which uploads all is over that was noted until then (schema FORGOTTEN)."""
        names = self._named("forgotten")
        tables = [_read(self.storage.path(name)) for name in names]
        return pa.concat_tables([FORGOTTEN.empty_table(), *tables])

    def _remembered(self, facts: pa.Table) -> pa.Table:
        """Return the rows (with `media_id` and `noted`) that are not forgotten, in their order."""
        forgotten = self.forgotten()
        if not forgotten.num_rows:
            return facts
        last = forgotten.group_by("media_id", use_threads=False).aggregate([("noted", "max")])
        until = last["noted_max"].take(pc.index_in(facts["media_id"], last["media_id"]))
        return facts.filter(pc.fill_null(pc.greater(facts["noted"], until), True))

    def gone_files(self) -> list[str]:
        """Return the files of gone rows: with their grids they are read one at a time."""
        return _steady(lambda: self._files("gone"))

    def read_gone(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return columns of one file of gone rows, all unless some are named.

        Those that it was written without are null.
        """
        path, whole = self.storage.path(name), gone_schema()
        columns = whole.names if columns is None else columns
        asked = list(dict.fromkeys([*columns, "media_id", "noted"]))
        with _reading(path):
            there = pq.read_schema(path).names
        found = _read(path, columns=[one for one in asked if one in there])
        rows = _shaped(found, pa.schema([whole.field(column) for column in asked]))
        return self._remembered(rows).select(list(columns))

    def overwritten(self) -> list[Overwritten]:
        """Return the uploads that were whole once and hold other bytes since, oldest first.

        A clip that only grew within minutes was still on its way, however whole it looked.
        """
        facts = self.seen()
        facts = facts.filter(pc.is_valid(facts["sha256"]))
        counts = facts.group_by("media_id", use_threads=False).aggregate(
            [("sha256", "count_distinct")]
        )
        several = counts.filter(pc.greater(counts["sha256_count_distinct"], 1))["media_id"]
        facts = facts.filter(pc.is_in(facts["media_id"], several)).sort_by("noted")
        whole: dict[str, Fact] = {}
        found: list[Overwritten] = []
        for fact in facts.to_pylist():
            was = whole.get(fact["media_id"])
            if was and was["sha256"] != fact["sha256"] and not _grew(was, fact):
                told = fact["media_id"], fact["path"], was["sha256"], fact["sha256"], fact["noted"]
                found.append(Overwritten(*told))
            if fact["state"] == "complete":
                whole[fact["media_id"]] = fact
        return found

    def _files(self, kind: str) -> list[str]:
        """Return the files to read: a killed fold leaves sources that its result already holds."""
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
        with _reading(self.storage.path(name)) as path:
            metadata = pq.read_schema(path).metadata or {}
        return list(json.loads(metadata.get(_FOLDED, b"[]")))

    def arrivals(self, *, is_lenient: bool = False) -> dict[str, int]:
        """Return media_id -> earliest arrival, microseconds since 1970 UTC.

        With `is_lenient` a torn journal is no error: what the rest of it tells is returned.
        """
        facts = self._whole_seen() if is_lenient and self.torn() else self.seen()
        if not facts.num_rows:
            return {}
        earliest = facts.group_by("media_id", use_threads=False).aggregate([("arrived", "min")])
        arrived = earliest["arrived_min"].cast(pa.int64()).to_pylist()
        return dict(zip(earliest["media_id"].to_pylist(), arrived, strict=True))

    def _whole_seen(self) -> pa.Table:
        """Return the facts that can be read, those that are forgotten included."""
        names = [name for name in self._named("seen") if not self.is_torn(name)]
        tables = [_shaped(_read(self.storage.path(name)), SEEN) for name in names]
        return pa.concat_tables([SEEN.empty_table(), *tables])

    def fold(self) -> None:
        """Join the files into one when they have become many; what is forgotten goes then.

        Nothing is joined while a file is torn: it may come back, from a backup.
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
        """Write the files of gone rows anew without what is forgotten, and sync them."""
        for name in self._files("gone"):
            rows = self.read_gone(name)
            if rows.num_rows == pq.read_metadata(self.storage.path(name)).num_rows:
                continue
            if rows.num_rows:
                self._swap([name], self._put("gone", rows, [name]))
            else:
                self.storage.unlink(name)
        self.storage.sync([FOLDER])

    def _fold_seen(self, is_forgetting: bool) -> None:
        """Join small files of facts, or all of them where some are forgotten."""
        limit = None if is_forgetting else _FOLD_SEEN_BELOW_BYTES
        names = self._small("seen", limit)
        if len(names) > FOLD_ABOVE or (is_forgetting and names):
            self._swap(names, self._put("seen", self._read_seen(names, None), names))

    def _small(self, kind: str, limit_bytes: int | None) -> list[str]:
        """Return the files below a size; none, without opening any, where they are too few."""
        if limit_bytes is None:
            return self._files(kind)
        if len(self._named(kind)) <= FOLD_ABOVE:
            return []
        return [name for name in self._files(kind) if self.storage.size_bytes(name) < limit_bytes]

    def _swap(self, names: list[str], folded: str) -> None:
        self.storage.sync([folded])
        for name in names:
            self.storage.unlink(name)


def _grew(was: Fact, fact: Fact) -> bool:
    if kind_of(fact["path"].rpartition(".")[2]) != "clip":
        return False
    is_soon: bool = fact["mtime"] - was["mtime"] < _GROWING
    return is_soon and fact["size_bytes"] > was["size_bytes"]


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    """Let an error of Arrow say which file it was, and what to do."""
    try:
        with naming(path):
            yield path
    except pa.ArrowException as error:
        raise JournalError.of(path, str(error).splitlines()[0]) from error
    except OSError as error:
        # Arrow has no class of its own for bytes that no decompression takes.
        if error.errno is None:
            raise JournalError.of(path, str(error).splitlines()[0]) from error
        raise


def _read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    with _reading(path):
        return read_parquet(path, columns)


def _shaped(found: pa.Table, wanted: pa.Schema) -> pa.Table:
    """Return the columns of a schema; those that were not written yet are null."""
    return pa.table(
        [
            found[field.name].cast(field.type)
            if field.name in found.column_names
            else pa.nulls(found.num_rows, field.type)
            for field in wanted
        ],
        schema=wanted,
    )


def _steady(read: Callable[[], Result]) -> Result:
    """Read again where a file went between listing and reading: its rows were folded."""
    for left in reversed(range(_TRIES)):
        try:
            return read()
        except FileNotFoundError:
            if not left:
                raise
    raise AssertionError("unreachable")
