"""Comparing a unit's names with the catalog: which uploads are new, changed, moved or gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.ingest.days import facts_of, settle, uploads_in, write_linked
from pano_analytics.ingest.walk import WalkUnit
from pano_analytics.model.tables import media_table, uploads_of
from pano_analytics.model.upload import GONE_STATES, Upload, seen, went_missing
from pano_analytics.store.catalog import CameraDay, Change, Sealed

# Columns that are read from names in each scan; all others come from opening the file, and
# are kept as long as its size and time stay the same.
_FROM_NAME = (
    "kind",
    "trigger",
    "trigger_raw",
    "start",
    "wall_start",
    "time_source",
    "clock_offset_s",
    "layout",
    "sequence",
    "same_name_as",
    "channel",
)
_COMPARED = ["path", "size_bytes", "mtime", *_FROM_NAME]

# What the names of one unit say: rows by camera-day, sorted and linked.
Listing = Mapping[CameraDay, Sealed]
# What the catalog knows: rows by camera-day and path.
Known = dict[CameraDay, dict[str, Upload]]


@dataclass
class RowCounts:
    """How many rows were new, changed and gone."""

    new: int = 0
    changed: int = 0
    missing: int = 0

    def __iadd__(self, other: RowCounts) -> RowCounts:
        self.new += other.new
        self.changed += other.changed
        self.missing += other.missing
        return self

    @property
    def total(self) -> int:
        return self.new + self.changed + self.missing


def merge(
    change: Change,
    unit: WalkUnit,
    listing: Listing,
    facts: pa.Table,
    fed: Iterable[CameraDay],
    is_whole: bool,
) -> tuple[RowCounts, pa.Table]:
    """Put what the names of `unit` say into `change`; return the tally and facts to record.

    `facts` are those of the whole listing. `fed` are the camera-days that the unit's rows
    were in before. Rows of the unit that are not in the listing become missing, but only if
    the unit could be read completely: an unreadable folder does not prove that files are gone.
    """
    days = {*fed, *listing}
    if not any(change.has(day) for day in days):
        return _all_new(change, listing), facts
    tables = {day: sealed.rows() for day, sealed in listing.items()}
    same = {day for day, table in tables.items() if _is_same(change, day, table)}
    listed = {day: table for day, table in tables.items() if day not in same}
    known = {
        day: {one.path: one for one in uploads_in(change, day)}
        for day in days - same
        if change.has(day)
    }
    return _merge_known(change, unit, listed, known, is_whole)


def _is_same(change: Change, day: CameraDay, table: pa.Table) -> bool:
    """Return whether all rows of a camera-day still agree with the names; compares columns."""
    known = change.read(day)
    if known is None or known.num_rows != table.num_rows:
        return False
    known, listed = known.sort_by("path"), table.sort_by("path")
    if not known.select(_COMPARED).equals(listed.select(_COMPARED)):
        return False
    has_same_end = pc.or_kleene(pc.is_null(listed["end"]), pc.equal(listed["end"], known["end"]))
    return bool(
        pc.all(pc.fill_null(has_same_end, False)).as_py()
        and pc.all(pc.less_equal(known["arrived"], listed["arrived"])).as_py()
        and not pc.any(pc.is_in(known["state"], pa.array(GONE_STATES))).as_py()
    )


def _all_new(change: Change, listing: Listing) -> RowCounts:
    for day, sealed in listing.items():
        write_linked(change, day, sealed)
    return RowCounts(new=sum(sealed.part.rows for sealed in listing.values()))


def _merge_known(
    change: Change,
    unit: WalkUnit,
    listed: Mapping[CameraDay, pa.Table],
    known: Known,
    is_whole: bool,
) -> tuple[RowCounts, pa.Table]:
    by_path = {path: (day, row) for day, rows in known.items() for path, row in rows.items()}
    tally, touched, changed = RowCounts(), set[CameraDay](), list[Upload]()
    for day, table in listed.items():
        for named in uploads_of(table, *day):
            was_day, was = by_path.pop(named.path, (day, None))
            merged = _update(was, named)
            if merged is was and was_day == day:
                continue
            tally += RowCounts(new=was is None, changed=was is not None)
            changed.append(merged)
            touched |= {day, was_day}
            _replace(known, was_day, was, day, merged)
            if was is not None and was_day != day:
                change.move_belonging([merged.media_id], was_day, day)
    if is_whole:
        gone = [(day, one) for day, one in by_path.values() if _is_gone(unit, one)]
        for day, one in gone:
            touched.add(day)
            _replace(known, day, one, day, went_missing(one))
        tally += RowCounts(missing=len(gone))
    for day in touched:
        settle(change, day, media_table(known.get(day, {}).values()))
    return tally, facts_of([media_table(changed)])


def _is_gone(unit: WalkUnit, upload: Upload) -> bool:
    return not upload.is_gone and _is_of(unit, upload.path)


def _is_of(unit: WalkUnit, path: str) -> bool:
    """Return whether `path` is of the unit: below a day folder, or directly in another folder."""
    if unit.day is not None:
        return path.startswith(f"{unit.path}/")
    return path.rpartition("/")[0] == unit.path


def _update(was: Upload | None, named: Upload) -> Upload:
    """Return the upload as it is now; the same object if nothing changed."""
    if was is None or _is_another(was, named):
        return seen(named, was)
    values = {name: getattr(named, name) for name in _FROM_NAME}
    values["arrived"] = min(was.arrived, named.arrived)
    if named.end is not None or was.start != named.start:
        values["end"] = named.end or _end_by_length(was, named)
    is_same = all(getattr(was, name) == value for name, value in values.items())
    return was if is_same else replace(was, camera=named.camera, date=named.date, **values)


def _is_another(was: Upload, named: Upload) -> bool:
    return was.is_gone or (was.size_bytes, was.mtime) != (named.size_bytes, named.mtime)


def _end_by_length(was: Upload, named: Upload) -> datetime | None:
    # An end that is known only from the opened file moves with a corrected start.
    return None if was.end is None else named.start + (was.end - was.start)


def _replace(
    known: Known, was_day: CameraDay, was: Upload | None, day: CameraDay, upload: Upload
) -> None:
    if was is not None:
        del known[was_day][was.path]
    known.setdefault(day, {})[upload.path] = upload
