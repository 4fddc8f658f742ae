"""A plan of culling carried out, from wherever it was left: mark rows, remove files, close it.

The plan lies in the journal, on the disk, before this begins; the whole rows with
all that belongs to them lie there before any is marked, and all are marked before a file
goes. Each step can be done again: a row that is marked stays so, a file that is
gone is gone. Whoever holds the library's lock next, another culling or an
ingest, finishes what a killed one left, before it looks at anything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.errors import UploadTreeError
from pano_analytics.model.tables import of_uploads
from pano_analytics.model.times import epoch_us
from pano_analytics.model.upload import GONE_STATES, decode_path
from pano_analytics.store import timekeeping
from pano_analytics.store.catalog import Catalog, Change, Day
from pano_analytics.store.journal import Journal, gone_schema
from pano_analytics.store.storage import Storage, stamp
from pano_analytics.store.tree import Doomed, Outcome, Tree, adopted

# The mark of a run that writes files which nothing names yet; the next ingest
# sweeps where it finds it.
AT_WORK = "state/at-work"

Row = dict[str, Any]


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
    plan = journal.read_plan(name).to_pylist()
    catalog = Catalog(storage)
    _mark(storage, catalog, journal, plan)
    files = {Doomed(row["path"], row["size_bytes"], _us(row["mtime"])): row for row in plan}
    outcomes = dict(tree.remove(files))
    went = [file for file, outcome in outcomes.items() if outcome in ("removed", "absent")]
    tree.tidy(went, frozenset(_folder(row["top"]) for row in plan))
    stayed = {file: outcome for file, outcome in outcomes.items() if file not in set(went)}
    _unmark(storage, catalog, [files[file] for file in stayed])
    journal.close_plan(name)
    told = tuple((file.path, outcome) for file, outcome in stayed.items())
    return Carried(len(went), sum(file.size_bytes for file in went), told)


def _folder(top: str) -> tuple[bytes, ...]:
    return tuple(decode_path(top).split(b"/")) if top else ()


def _us(moment: datetime) -> int:
    return epoch_us(moment.astimezone(UTC).replace(tzinfo=None))


def mark_at_work(storage: Storage) -> None:
    """Leave the mark before the first file that nothing names yet."""
    if not storage.exists(AT_WORK):
        # As packs are stamped: those of a killed run are known by it.
        storage.replace(AT_WORK, stamp().encode())


def _mark(storage: Storage, catalog: Catalog, journal: Journal, plan: Iterable[Row]) -> None:
    """Note the rows whole in the journal, then say that they are culled, in one change."""
    change, gone = catalog.begin(), list[Row]()
    for day, rows in _by_day(plan).items():
        by_id = {row["media_id"]: row for row in rows}
        table = change.read(day)
        if table is None:
            continue
        chosen = [
            row["media_id"]
            for row in table.select(["media_id", "size_bytes", "mtime", "state"]).to_pylist()
            if row["state"] not in GONE_STATES and _is_same(row, by_id.get(row["media_id"]))
        ]
        if chosen:
            marked = _with(table, chosen, by_id)
            change.write(day, marked)
            told = marked.filter(pc.is_in(marked["media_id"], pa.array(chosen, pa.string())))
            gone += whole(day, told.to_pylist(), change.belonging(day))
    if gone:
        noted = timekeeping.look(storage).now()
        rows = [{**row, "noted": noted} for row in gone]
        notes = pa.Table.from_pylist(rows, schema=gone_schema())
        storage.sync([journal.note_gone(notes)])
    _commit(storage, change)


def whole(day: Day, rows: Iterable[Row], belonging: Mapping[str, pa.Table]) -> Iterator[Row]:
    """Yield rows of a camera-day as the journal keeps them (`gone_schema`, but when noted).

    `belonging` is what other tables hold of the camera-day, by table.
    """
    rows = list(rows)
    ids = pa.array([row["media_id"] for row in rows], pa.string())
    kept = {table: _by_upload(there, ids) for table, there in belonging.items() if rows}
    for row in rows:
        own = {table.name: kept.get(table.name, {}) for table in of_uploads()}
        lists = {name: of.get(row["media_id"], []) for name, of in own.items()}
        yield {**row, "camera": day.camera, "date": day.date, **lists}


def _by_upload(table: pa.Table, ids: pa.Array) -> dict[str, list[Row]]:
    kept = defaultdict[str, list[Row]](list)
    for row in table.filter(pc.is_in(table["media_id"], ids)).to_pylist():
        kept[row.pop("media_id")].append(row)
    return kept


def _unmark(storage: Storage, catalog: Catalog, plan: Iterable[Row]) -> None:
    """Say of rows whose files stayed that these are still to be opened, as any other upload."""
    change = catalog.begin()
    for day, rows in _by_day(plan).items():
        culled_at = {row["media_id"]: row["culled_at"] for row in rows}
        table = change.read(day)
        if table is None:
            continue
        chosen = [
            row["media_id"]
            for row in table.select(["media_id", "state", "culled_at"]).to_pylist()
            if row["state"] == "culled" and row["culled_at"] == culled_at.get(row["media_id"])
        ]
        if chosen:
            change.write(day, _with(table, chosen, {}))
    _commit(storage, change)


def _commit(storage: Storage, change: Change) -> None:
    if change:
        mark_at_work(storage)
        change.commit()


def _by_day(plan: Iterable[Row]) -> dict[Day, list[Row]]:
    days = defaultdict[Day, list[Row]](list)
    for row in plan:
        if row["media_id"] is not None:
            days[Day(row["camera"], row["date"])].append(row)
    return days


def _is_same(row: Row, planned: Row | None) -> bool:
    measures = ("size_bytes", "mtime")
    return planned is not None and all(row[name] == planned[name] for name in measures)


def _with(table: pa.Table, chosen: Collection[str], culled: Mapping[str, Row]) -> pa.Table:
    """Return a camera-day with the rows `chosen` culled as said; unread where nothing is said."""
    is_chosen = pc.is_in(table["media_id"], pa.array(chosen, pa.string()))
    said = [culled.get(one) for one in table["media_id"].to_pylist()]
    new = {
        "state": [("culled" if one else "unread") for one in said],
        "state_reason": [one["reason"] if one else None for one in said],
        "culled_at": [one["culled_at"] if one else None for one in said],
    }
    for name, values in new.items():
        field = table.schema.field(name)
        column = pc.if_else(is_chosen, pa.array(values, field.type), table[name])
        table = table.set_column(table.schema.get_field_index(name), field, column)
    return table
