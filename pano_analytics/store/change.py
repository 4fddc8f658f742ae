"""A change: rows of several camera-days and tables that become visible in one step."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.model.tables import named, of_uploads
from pano_analytics.store.manifest import Manifest, Written
from pano_analytics.store.parts import (
    CameraDay,
    Part,
    Sealed,
    Span,
    measure,
    new_name,
    parquet,
    span_us,
    unlisted,
)
from pano_analytics.store.storage import Storage

Waiting = dict[str, dict[CameraDay, pa.Table | Sealed]]


class ChangedCatalog(Protocol):
    """What a change needs from its catalog."""

    storage: Storage

    def manifest(self) -> Manifest: ...

    def read(self, part: Part, table: str) -> pa.Table: ...

    def publish(
        self,
        manifest: Manifest,
        new: Collection[str] = (),
        replaced: Collection[str] = (),
        unsynced: Iterable[str] = (),
    ) -> Manifest: ...


class Change:
    """Rows of several camera-days and tables that become visible in one step."""

    def __init__(self, catalog: ChangedCatalog) -> None:
        self._catalog = catalog
        self._base = catalog.manifest()
        self._new: Waiting = {}
        self._retired: list[str] = []

    def __bool__(self) -> bool:
        return any(self._new.values())

    def _uncommitted(self, table: str) -> dict[CameraDay, pa.Table | Sealed]:
        return self._new.get(named(table).name, {})

    def cameras(self) -> list[str]:
        """Return the names of all cameras that have committed or uncommitted rows, sorted."""
        return sorted({*self._base.cameras(), *(day.camera for day in self.touched())})

    def days(self, table: str = "media") -> set[CameraDay]:
        """Return every camera-day that has a committed or uncommitted part."""
        return set(self._base.table(table)) | set(self._uncommitted(table))

    def has(self, day: CameraDay) -> bool:
        """Return whether a camera-day has committed or uncommitted rows."""
        return day in self._uncommitted("media") or day in self._base.media

    def is_listed(self, day: CameraDay) -> bool:
        """Return whether a camera-day's uncommitted rows are still sealed, as read from names.

        None of their files is gone.
        """
        return isinstance(self._uncommitted("media").get(day), Sealed)

    def span_us(self, day: CameraDay) -> Span:
        """Return the span of a camera-day's rows, from the part unless the rows are new."""
        new = self._uncommitted("media").get(day)
        if isinstance(new, pa.Table):
            return span_us(new)
        part = self._base.media.get(day) if new is None else new.part
        return (None, None) if part is None else (part.first_us, part.last_us)

    def touched(self, table: str = "media") -> set[CameraDay]:
        """Return the camera-days that have uncommitted rows."""
        return set(self._uncommitted(table))

    def read(self, day: CameraDay, table: str = "media") -> pa.Table | None:
        """Return a camera-day's rows as this change leaves them; None if there are none."""
        new = self._uncommitted(table).get(day)
        if new is None:
            return self.before(day, table)
        return new.rows() if isinstance(new, Sealed) else new

    def before(self, day: CameraDay, table: str = "media") -> pa.Table | None:
        """Return a camera-day's committed rows; None if there are none."""
        part = self._base.table(table).get(day)
        return None if part is None else self._catalog.read(part, table)

    def write(self, day: CameraDay, rows: pa.Table | Sealed, table: str = "media") -> None:
        """Set all rows of a camera-day; without rows, the day is dropped."""
        self._new.setdefault(named(table).name, {})[day] = rows

    def retire(self, names: Iterable[str]) -> None:
        """Retire files with this change that nothing names any more; removed after a grace time."""
        self._retired += names

    def commit(self, extra: Iterable[str] = ()) -> Manifest:
        """Write the parts, sync them and the `extra` files, then replace the manifest."""
        base, generation = self._base, self._base.generation + 1
        written = {table: self._put_all(table, generation) for table in self._new}
        parts = [part.path for days in written.values() for part in days.values() if part]
        manifest = replace(base.changed(written), generation=generation)
        replaced = [*self._replaced(written), *self._retired]
        self._base = self._catalog.publish(manifest, parts, replaced, extra)
        self._new, self._retired = {}, []
        return self._base

    def _put_all(self, table: str, generation: int) -> dict[CameraDay, Part | None]:
        # In threads: compressing and writing release the interpreter lock.
        days = self._new[table]
        with ThreadPoolExecutor(max_workers=2) as pool:
            parts = pool.map(lambda day: self._put(table, day, days[day], generation), days)
            return dict(zip(days, parts, strict=True))

    def _put(
        self, table: str, day: CameraDay, rows: pa.Table | Sealed, generation: int
    ) -> Part | None:
        name = new_name(table, day, generation)
        if isinstance(rows, Sealed):
            data, part = rows.data, replace(rows.part, path=name)
        elif rows.num_rows:
            data, part = parquet(rows), measure(name, rows, table)
        else:
            return None
        self._catalog.storage.put(unlisted(name), lambda file: file.write(data))
        return part

    def _replaced(self, written: Written) -> Iterator[str]:
        for table, days in written.items():
            known = self._base.table(table)
            yield from (known[day].path for day in days if day in known)

    # --- rows that belong to uploads ----------------------------------------

    def belonging(self, day: CameraDay) -> dict[str, pa.Table]:
        """Return a camera-day's rows of each table of uploads (see `tables.of_uploads`)."""
        tables = {table.name: self.read(day, table.name) for table in of_uploads()}
        return {name: rows for name, rows in tables.items() if rows is not None and rows.num_rows}

    def move_belonging(self, ids: Iterable[str], was_day: CameraDay, day: CameraDay) -> None:
        """Move the rows that belong to some uploads to another camera-day."""
        chosen = pa.array(ids, pa.string())
        for table, kept in self.belonging(was_day).items():
            is_moved = pc.is_in(kept["media_id"], chosen)
            moved = kept.filter(is_moved)
            if moved.num_rows:
                self.write(was_day, kept.filter(pc.invert(is_moved)), table)
                self.write(day, self._joined(day, moved, table), table)

    def drop_belonging(self, ids: pa.Array | pa.ChunkedArray, day: CameraDay) -> None:
        """Drop the rows that belong to some uploads of a camera-day."""
        for table, kept in self.belonging(day).items():
            is_dropped = pc.is_in(kept["media_id"], ids)
            if pc.any(is_dropped).as_py():
                self.write(day, kept.filter(pc.invert(is_dropped)), table)

    def put_belonging(self, day: CameraDay, rows: pa.Table, table: str) -> None:
        """Replace all rows in `table` that belong to some uploads by `rows`."""
        existing = self.read(day, table)
        if existing is not None:
            is_replaced = pc.is_in(existing["media_id"], rows["media_id"])
            rows = pa.concat_tables([existing.filter(pc.invert(is_replaced)), rows])
        self.write(day, rows, table)

    def _joined(self, day: CameraDay, rows: pa.Table, table: str) -> pa.Table:
        existing = self.read(day, table)
        return rows if existing is None else pa.concat_tables([existing, rows])
