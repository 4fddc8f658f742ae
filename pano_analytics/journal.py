"""The journal: what only we know, so that catalog = upload tree + journal, exactly.

Of every upload it keeps when it was first seen, when it arrived and, once it
was opened, its SHA-256; each change of a file adds a line, so that what a file
was before it was replaced is still told. Ingest writes whole columns at a time
(immutable Parquet files, folded when they become many): a line of text for
each of a million uploads would cost more than all else it does.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from pano_analytics.storage import Storage

FOLDER = "journal"
FOLD_ABOVE = 64

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
    ]
)
_FOLDED = b"pano_folded"


class Journal:
    """The journal of one library. Only the holder of the library's lock writes."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def note_seen(self, facts: pa.Table) -> str:
        """Write what is true of some uploads now; return the file's name, not yet synced."""
        return self._put(facts, ())

    def _put(self, facts: pa.Table, folded: Iterable[str]) -> str:
        name = f"{FOLDER}/seen-{time.time_ns():020d}-{secrets.token_hex(3)}.parquet"
        marked = facts.cast(SEEN).replace_schema_metadata({_FOLDED: json.dumps(list(folded))})
        self.storage.put(
            name, lambda file: pq.write_table(marked, file, compression="zstd", compression_level=1)
        )
        return name

    def seen(self) -> pa.Table:
        """Return all facts about uploads in the order they were noted."""
        tables = [pq.read_table(self.storage.path(name)).cast(SEEN) for name in self._files()]
        return pa.concat_tables([SEEN.empty_table(), *tables])

    def _files(self) -> list[str]:
        """Return the files to read: a killed fold leaves sources that its result already holds."""
        names = sorted(
            name
            for name in self.storage.files(FOLDER)
            if name.rpartition("/")[2].startswith("seen-") and name.endswith(".parquet")
        )
        superseded = {source for name in names for source in self._sources(name)}
        return [name for name in names if name not in superseded]

    def _sources(self, name: str) -> list[str]:
        metadata = pq.read_schema(self.storage.path(name)).metadata or {}
        return list(json.loads(metadata.get(_FOLDED, b"[]")))

    def arrivals(self) -> dict[str, int]:
        """Return media_id -> earliest arrival, microseconds since 1970 UTC."""
        facts = self.seen()
        if not facts.num_rows:
            return {}
        earliest = facts.group_by("media_id").aggregate([("arrived", "min")])
        arrived = earliest["arrived_min"].cast(pa.int64()).to_pylist()
        return dict(zip(earliest["media_id"].to_pylist(), arrived, strict=True))

    def fold(self) -> None:
        """Join the files into one when they have become many."""
        names = self._files()
        if len(names) <= FOLD_ABOVE:
            return
        folded = self._put(self.seen(), names)
        self.storage.sync([folded])
        for name in names:
            self.storage.path(name).unlink(missing_ok=True)
