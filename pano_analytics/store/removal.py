"""Carrying out a plan of culling, or the rest of it: mark rows, remove files, close the plan.

The plan is in the journal and synced before this begins; the complete rows with everything
that belongs to them are there before any row is marked, and all rows are marked before any
file is removed. Each step can be repeated: a marked row stays marked, a removed file stays
removed. If a culling is killed, the next process that holds the library's lock, a culling or
an ingest, finishes its plan before it does anything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import DecisionsError, UploadTreeError
from pano_analytics.model.tables import of_uploads, replaced, uploads_of
from pano_analytics.model.upload import Upload, culled, decode_path, to_open
from pano_analytics.store import timekeeping
from pano_analytics.store.catalog import CameraDay, Catalog, Change
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.journal import Journal, gone_schema
from pano_analytics.store.storage import Storage, stamp
from pano_analytics.store.tree import Doomed, Outcome, Tree, adopted

# The mark of a run that writes files which nothing names yet; an ingest that finds it removes
# such files.
AT_WORK = "state/at-work"

Pinned = Literal["pinned"]
_PINNED: Pinned = "pinned"


@dataclass(frozen=True, slots=True)
class Carried:
    """The result of one plan: files and bytes removed, and the paths that were kept, with why."""

    files: int
    size_bytes: int
    stayed: tuple[tuple[str, Outcome | Pinned], ...] = ()


def finish(storage: Storage, root: Path | None) -> list[Carried]:
    """Finish the plans of a killed culling, if `root` is the library's upload root.

    If it is not (its disk is not mounted), or the decisions cannot be read, the plans wait, and
    so does a truncated plan. Lock holder only.
    """
    journal = Journal(storage)
    plans = [name for name in journal.open_plans() if not journal.is_torn(name)]
    if not plans or root is None:
        return []
    try:
        with Tree.opened(root) as tree:
            tree.require(adopted(storage))
            return [carry_out(storage, journal, tree, name) for name in plans]
    except (UploadTreeError, DecisionsError):
        return []


def carry_out(
    storage: Storage,
    journal: Journal,
    tree: Tree,
    name: str,
    protected: frozenset[str] | None = None,
) -> Carried:
    """Mark the rows of the plan `name`, remove its files, close it. Lock holder only.

    A file that has changed, or cannot be removed, is kept, and its row becomes that of an
    upload which is still to be opened. So is one that was pinned after the plan was made, or
    is one of `protected` (`media_id`s). Without these, it is unknown here which uploads share
    an event with a pinned one: all of the same camera from the day before to the day after
    are kept, as if they had arrived now. Raises DecisionsError if it cannot be known what is
    pinned; nothing is removed then.
    """
    planned = _read(journal.read_plan(name))
    pinned = _pinned(storage, planned, protected)
    plan = [one for one in planned if one.file not in pinned]
    catalog = Catalog(storage)
    _mark(storage, catalog, journal, plan)
    files = {one.file: one for one in planned}
    outcomes = dict(tree.remove(one.file for one in plan))
    removed = [file for file, outcome in outcomes.items() if outcome in ("removed", "absent")]
    tree.tidy(removed, frozenset(_folder(one.top) for one in plan))
    kept = {file: outcome for file, outcome in outcomes.items() if file not in set(removed)}
    _unmark(storage, catalog, [files[file] for file in (*kept, *pinned)])
    journal.close_plan(name)
    changed = ((file.path, outcome) for file, outcome in kept.items())
    left = (*changed, *((file.path, _PINNED) for file in pinned))
    return Carried(len(removed), sum(file.size_bytes for file in removed), left)


def _pinned(
    storage: Storage, plan: Sequence[_Planned], protected: frozenset[str] | None
) -> list[Doomed]:
    """Return the files of uploads that pins protect, and the files that exist only for these.

    Looked up here, too, because a plan may have been interrupted long ago.
    """
    decisions = Decisions(storage)
    decisions.require()
    pinned = decisions.pinned()
    if protected is None:
        protected = _near(Catalog(storage), plan, pinned) if pinned else frozenset()
    paths = {one.file.path for one in plan if one.media_id in pinned | protected}
    # `CLIP.mp4` has `CLIP.idx` and `CLIP.mp4.thumb`; see `layouts.sidecars`.
    names = paths | {path.rpartition(".")[0] for path in paths}

    def is_kept(one: _Planned) -> bool:
        own = one.file.path
        return own in paths if one.media_id else own.rpartition(".")[0] in names

    return [one.file for one in plan if is_kept(one)] if paths else []


def _near(catalog: Catalog, plan: Iterable[_Planned], pinned: frozenset[str]) -> frozenset[str]:
    """Return the uploads of a plan that may share an event with a pinned one."""
    change, ids = catalog.begin(), pa.array(list(pinned), pa.string())

    def has_pin(day: CameraDay) -> bool:
        table = change.read(day)
        return table is not None and bool(pc.any(pc.is_in(table["media_id"], ids)).as_py())

    around = [timedelta(days=days) for days in (-1, 0, 1)]
    return frozenset(
        media_id
        for day, planned in _by_day(plan).items()
        if any(has_pin(CameraDay(day.camera, day.date + apart)) for apart in around)
        for media_id in planned
    )


class _Planned(NamedTuple):
    """One file of a plan (schema PLAN); `media_id` is None for a file that is not an upload."""

    file: Doomed
    media_id: str | None
    day: CameraDay
    top: str
    reason: str
    mtime: datetime
    culled_at: datetime

    def is_of(self, upload: Upload) -> bool:
        """Return whether an upload is still the file in the plan."""
        measures = (upload.size_bytes, upload.mtime)
        return not upload.is_gone and measures == (self.file.size_bytes, self.mtime)


def _read(plan: pa.Table) -> list[_Planned]:
    # Keep the file's time as the exact integer from the file system, without conversions.
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
    """Write the mark, before the first file that nothing names yet."""
    if not storage.exists(AT_WORK):
        # The same stamp as in the names of packs: it identifies those of a killed run.
        storage.replace(AT_WORK, stamp().encode())


def _mark(storage: Storage, catalog: Catalog, journal: Journal, plan: Iterable[_Planned]) -> None:
    """Write the complete rows to the journal, then mark them as culled, in one change."""
    change, gone = catalog.begin(), list[GoneUpload]()
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
            gone += gone_uploads(marked, change.belonging(day))
    if gone:
        noted = timekeeping.read_time(storage).now()
        storage.sync([journal.note_gone(gone_table(gone, noted))])
    _commit(storage, change)


def _chosen(table: pa.Table, day: CameraDay, planned: Mapping[str, _Planned]) -> list[Upload]:
    ids = pa.array(list(planned), pa.string())
    return uploads_of(table.filter(pc.is_in(table["media_id"], ids)), *day)


class GoneUpload(NamedTuple):
    """An upload whose file is gone, and its rows of other tables, by table.

    These rows have the columns of their table but `media_id`.
    """

    upload: Upload
    belonging: Mapping[str, Sequence[Mapping[str, object]]]


def gone_table(gone: Iterable[GoneUpload], noted: datetime) -> pa.Table:
    """Return rows for the journal (`gone_schema`), stamped with the library's time `noted`."""
    rows = [{**one.upload.to_row(), **one.belonging, "noted": noted} for one in gone]
    return pa.Table.from_pylist(rows, schema=gone_schema())


def gone_of_table(notes: pa.Table) -> Iterator[GoneUpload]:
    """Yield the uploads of rows from the journal (`gone_schema`)."""
    for row in notes.to_pylist():
        # A row from before a table existed has no list.
        belonging = {table.name: row[table.name] or () for table in of_uploads()}
        yield GoneUpload(Upload.of(row), belonging)


def gone_uploads(
    uploads: Sequence[Upload], belonging: Mapping[str, pa.Table]
) -> Iterator[GoneUpload]:
    """Yield uploads of a camera-day with the rows that belong to each.

    `belonging` has the camera-day's rows of other tables, by table.
    """
    ids = pa.array([upload.media_id for upload in uploads], pa.string())
    kept = {table: _by_upload(rows, ids) for table, rows in belonging.items() if uploads}
    for upload in uploads:
        own = {table.name: kept.get(table.name, {}) for table in of_uploads()}
        yield GoneUpload(upload, {name: of.get(upload.media_id, []) for name, of in own.items()})


def _by_upload(table: pa.Table, ids: pa.Array) -> dict[str, list[Mapping[str, object]]]:
    kept = defaultdict[str, list[Mapping[str, object]]](list)
    for row in table.filter(pc.is_in(table["media_id"], ids)).to_pylist():
        kept[row.pop("media_id")].append(row)
    return kept


def _unmark(storage: Storage, catalog: Catalog, plan: Iterable[_Planned]) -> None:
    """Mark the rows of files that were kept as still to be opened, like any other upload."""
    change = catalog.begin()
    for day, planned in _by_day(plan).items():
        table = change.read(day)
        if table is None:
            continue
        reopened = [
            to_open(upload)
            for upload in _chosen(table, day, planned)
            if upload.state == "culled" and upload.culled_at == planned[upload.media_id].culled_at
        ]
        if reopened:
            change.write(day, replaced(table, reopened))
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
