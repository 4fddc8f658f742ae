"""A camera-day as it comes to rest: sorted, snapshots linked to clips, neighbours minded."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.catalog import Change, Day
from pano_analytics.columns import schema
from pano_analytics.ingest.link import Span, holders

Row = dict[str, Any]


def rows_of(change: Change, day: Day) -> list[Row]:
    """Return a camera-day's rows as dictionaries, with this change's own in them."""
    table = change.read(day)
    return [] if table is None else table.to_pylist()


def table_of(rows: Iterable[Row]) -> pa.Table:
    """Return rows as a media table."""
    return pa.Table.from_pylist(list(rows), schema=schema("media"))


def settle(change: Change, day: Day, table: pa.Table) -> None:
    """Write a camera-day sorted and linked, and link the next day's where a clip runs over."""
    ordered = table.sort_by([("start", "ascending"), ("path", "ascending")])
    change.write(day, _linked(ordered, _overhang(change, day, ordered)))
    after = Day(day.camera, day.date + timedelta(days=1))
    following = change.read(after) if after in change.days() else None
    if following is not None and following.num_rows and _reaches(ordered, following):
        change.write(after, _linked(following, _clips(ordered)))


def _overhang(change: Change, day: Day, table: pa.Table) -> list[Span]:
    """Return the clips of the day before that run into this one."""
    before = Day(day.camera, day.date - timedelta(days=1))
    if not table.num_rows or before not in change.days():
        return []
    earlier = change.read(before)
    if earlier is None or not _reaches(earlier, table):
        return []
    return _clips(earlier)


def _reaches(earlier: pa.Table, later: pa.Table) -> bool:
    last_end = pc.max(earlier["end"].cast(pa.int64())).as_py()
    first = pc.min(later["start"].cast(pa.int64())).as_py()
    return last_end is not None and first is not None and last_end >= first


def _clips(table: pa.Table) -> list[Span]:
    chosen = table.filter(
        pc.and_(pc.equal(table["kind"], "clip"), pc.is_valid(table["end"]))
    ).select(["start", "end", "media_id"])
    columns = [chosen["start"].cast(pa.int64()), chosen["end"].cast(pa.int64()), chosen["media_id"]]
    return [Span(*values) for values in zip(*(c.to_pylist() for c in columns), strict=True)]


def _linked(table: pa.Table, overhang: list[Span]) -> pa.Table:
    is_snapshot = pc.equal(table["kind"], "snapshot").to_pylist()
    starts = table["start"].cast(pa.int64()).to_pylist()
    clips = sorted([*overhang, *_clips(table)])
    moments = [start for start, wanted in zip(starts, is_snapshot, strict=True) if wanted]
    held = iter(holders(moments, clips))
    clip_ids = [next(held) if wanted else None for wanted in is_snapshot]
    position = table.schema.get_field_index("clip_id")
    return table.set_column(
        position, schema("media").field("clip_id"), pa.array(clip_ids, pa.string())
    )
