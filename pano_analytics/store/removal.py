"""A plan of culling carried out, from wherever it was left: mark rows, remove files, close it.

The plan lies in the journal, on the disk, before this begins; the whole rows with
all that belongs to them lie there before any is marked, and all are marked before a file
goes. Each step can be done again: a row that is marked stays so, a file that is
gone is gone. Whoever holds the library's lock next, another culling or an
ingest, finishes what a killed one left, before it looks at anything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import UploadTreeError
from pano_analytics.model.tables import of_uploads, replaced, uploads_of
from pano_analytics.model.upload import Upload, culled, decode_path, to_open
from pano_analytics.store import timekeeping
from pano_analytics.store.catalog import CameraDay, Catalog, Change
from pano_analytics.store.journal import Fact, Journal, gone_schema
from pano_analytics.store.storage import Storage, stamp
from pano_analytics.store.tree import Doomed, Outcome, Tree, adopted

# The mark of a run that writes files which nothing names yet; the next ingest
# sweeps where it finds it.
AT_WORK = "state/at-work"


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of one plan: files and bytes removed, and the paths that had to stay."""

    files: int
    size_bytes: int
    stayed: tuple[tuple[str, Outcome], ...] = ()


def finish(storage: Storage, root: Path | None) -> list[Carried]:
    """Carry out what a killed culling left, if the upload root at `root` is the one meant.

    Where it is not (a disk that is not mounted), the plan waits, and so does one that is
    torn. Lock holder only.
    """
    journal = Journal(storage)
    plans = [name for name in journal.open_plans() if not journal.is_torn(name)]
    if not plans or root is None:
        return []
    try:
        with Tree.opened(root) as tree:
            tree.require(adopted(storage))
            return [carry_out(storage, journal, tree, name) for name in plans]
    except UploadTreeError:
        return []


def carry_out(storage: Storage, journal: Journal, tree: Tree, name: str) -> Carried:
    """Mark the rows of the plan `name`, remove its files, close it. Lock holder only.

    A file that is not what it was, or may not be removed, stays, and its row
    becomes that of an upload which waits to be opened.
    """
    plan = _read(journal.read_plan(name))
    catalog = Catalog(storage)
    _mark(storage, catalog, journal, plan)
    files = {one.file: one for one in plan}
    outcomes = dict(tree.remove(files))
    went = [file for file, outcome in outcomes.items() if outcome in ("removed", "absent")]
    tree.tidy(went, frozenset(_folder(one.top) for one in plan))
    stayed = {file: outcome for file, outcome in outcomes.items() if file not in set(went)}
    _unmark(storage, catalog, [files[file] for file in stayed])
    journal.close_plan(name)
    told = tuple((file.path, outcome) for file, outcome in stayed.items())
    return Carried(len(went), sum(file.size_bytes for file in went), told)


class _Planned(NamedTuple):
    """One file of a plan (schema PLAN); `media_id` is None for what is no upload."""

    file: Doomed
    media_id: str | None
    day: CameraDay
    top: str
    reason: str
    mtime: datetime
    culled_at: datetime

    def is_of(self, upload: Upload) -> bool:
        """Tell whether an upload is still the file that was planned."""
        measures = (upload.size_bytes, upload.mtime)
        return not upload.is_gone and measures == (self.file.size_bytes, self.mtime)


def _read(plan: pa.Table) -> list[_Planned]:
    # The file's time stays the number that the disk gave: no float, no zone in between.
    times_us = plan["mtime"].cast(pa.int64()).to_pylist()
    return [
        _Planned(
            Doomed(row["path"], row["size_bytes"], mtime_us),
            row["media_id"],
            CameraDay(row["camera"], row["date"]),
            *(row[name] for name in ("top", "reason", "mtime", "culled_at")),
        )
        for row, mtime_us in zip(plan.to_pylist(), times_us, strict=True)
    ]


def _folder(top: str) -> tuple[bytes, ...]:
    return tuple(decode_path(top).split(b"/")) if top else ()


def mark_at_work(storage: Storage) -> None:
    """Leave the mark before the first file that nothing names yet."""
    if not storage.exists(AT_WORK):
        # As packs are stamped: those of a killed run are known by it.
        storage.replace(AT_WORK, stamp().encode())


def _mark(storage: Storage, catalog: Catalog, journal: Journal, plan: Iterable[_Planned]) -> None:
    """Note the rows whole in the journal, then say that they are culled, in one change."""
    change, gone = catalog.begin(), list[Fact]()
    for day, planned in _by_day(plan).items():
        table = change.read(day)
        if table is None:
            continue
        marked = [
            culled(upload, one.reason, one.culled_at)
            for upload in _chosen(table, day, planned)
            if (one := planned[upload.media_id]).is_of(upload)
        ]
        if marked:
            change.write(day, replaced(table, marked))
            gone += whole(marked, change.belonging(day))
    if gone:
        noted = timekeeping.read_time(storage).now()
        rows = [{**row, "noted": noted} for row in gone]
        notes = pa.Table.from_pylist(rows, schema=gone_schema())
        storage.sync([journal.note_gone(notes)])
    _commit(storage, change)


def _chosen(table: pa.Table, day: CameraDay, planned: Mapping[str, _Planned]) -> list[Upload]:
    ids = pa.array(list(planned), pa.string())
    return uploads_of(table.filter(pc.is_in(table["media_id"], ids)), *day)


def whole(uploads: Sequence[Upload], belonging: Mapping[str, pa.Table]) -> Iterator[Fact]:
    """Yield uploads of a camera-day as the journal keeps them (`gone_schema`, but when noted).

    `belonging` is what other tables hold of the camera-day, by table.
    """
    ids = pa.array([upload.media_id for upload in uploads], pa.string())
    kept = {table: _by_upload(there, ids) for table, there in belonging.items() if uploads}
    for upload in uploads:
        own = {table.name: kept.get(table.name, {}) for table in of_uploads()}
        yield {**upload.to_row(), **{name: of.get(upload.media_id, []) for name, of in own.items()}}


def _by_upload(table: pa.Table, ids: pa.Array) -> dict[str, list[Fact]]:
    kept = defaultdict[str, list[Fact]](list)
    for row in table.filter(pc.is_in(table["media_id"], ids)).to_pylist():
        kept[row.pop("media_id")].append(row)
    return kept


def _unmark(storage: Storage, catalog: Catalog, plan: Iterable[_Planned]) -> None:
    """Say of rows whose files stayed that these are still to be opened, as any other upload."""
    change = catalog.begin()
    for day, planned in _by_day(plan).items():
        table = change.read(day)
        if table is None:
            continue
        stayed = [
            to_open(upload)
            for upload in _chosen(table, day, planned)
            if upload.state == "culled" and upload.culled_at == planned[upload.media_id].culled_at
        ]
        if stayed:
            change.write(day, replaced(table, stayed))
    _commit(storage, change)


def _commit(storage: Storage, change: Change) -> None:
    if change:
        mark_at_work(storage)
        change.commit()


def _by_day(plan: Iterable[_Planned]) -> dict[CameraDay, dict[str, _Planned]]:
    days = defaultdict[CameraDay, dict[str, _Planned]](dict)
    for one in plan:
        if one.media_id is not None:
            days[one.day][one.media_id] = one
    return days
