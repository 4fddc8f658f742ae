"""Writing a camera-day: sorted, snapshots linked to clips, also across midnight."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.ingest.link import Clip, SnapshotTime, holders
from pano_analytics.model.tables import schema, uploads_of
from pano_analytics.model.upload import Upload
from pano_analytics.store.catalog import CameraDay, Change, Sealed, Span

FACTS = ["media_id", "path", "size_bytes", "mtime", "arrived", "sha256", "state"]


def uploads_in(change: Change, day: CameraDay) -> list[Upload]:
    """Return the uploads of a camera-day, including those of this change."""
    table = change.read(day)
    return [] if table is None else uploads_of(table, *day)


def facts_of(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the facts for the journal about the uploads in some media tables."""
    empty = schema("media").empty_table()
    return pa.concat_tables([table.select(FACTS) for table in (empty, *tables)])


def settle(change: Change, day: CameraDay, table: pa.Table) -> None:
    """Write a camera-day sorted and linked; also link the next day if a clip extends into it."""
    ordered = table.sort_by([("start", "ascending"), ("path", "ascending")])
    write_linked(change, day, _linked(ordered, []))


def write_linked(change: Change, day: CameraDay, ordered: pa.Table | Sealed) -> None:
    """Write a camera-day that is sorted and linked in itself; link it with adjacent days.

    Clips of the day before may cover snapshots of this day. Clips of this day may cover
    snapshots of the day after, or did before this change.
    """
    before, after = (CameraDay(day.camera, day.date + timedelta(days=n)) for n in (-1, 1))
    was = change.span_us(day)
    change.write(day, ordered)
    new = change.span_us(day)
    if _reaches(change.span_us(before), new):
        _link(change, day, _clips(change, before))
    following = change.span_us(after)
    if _reaches(new, following) or _reaches(was, following):
        _link(change, after, _clips(change, day))


def _link(change: Change, day: CameraDay, overhang: list[Clip]) -> None:
    table = change.read(day)
    if table is not None:
        change.write(day, _linked(table, overhang))


def _reaches(earlier: Span, later: Span) -> bool:
    last_end, first = earlier[1], later[0]
    return last_end is not None and first is not None and last_end >= first


def _clips(change: Change, day: CameraDay) -> list[Clip]:
    table = change.read(day)
    return [] if table is None else _clips_of(table)


def _clips_of(table: pa.Table) -> list[Clip]:
    chosen = table.filter(pc.and_(pc.equal(table["kind"], "clip"), pc.is_valid(table["end"])))
    columns = [chosen["start"].cast(pa.int64()), chosen["end"].cast(pa.int64())]
    columns += [chosen["media_id"], chosen["channel"]]
    return [Clip(*values) for values in zip(*(c.to_pylist() for c in columns), strict=True)]


def _linked(table: pa.Table, overhang: list[Clip]) -> pa.Table:
    is_snapshot = pc.equal(table["kind"], "snapshot").to_pylist()
    starts = table["start"].cast(pa.int64()).to_pylist()
    clips = sorted([*overhang, *_clips_of(table)])
    columns = zip(starts, table["channel"].to_pylist(), is_snapshot, strict=True)
    moments = [SnapshotTime(start, channel) for start, channel, wanted in columns if wanted]
    covering = iter(holders(moments, clips))
    clip_ids = [next(covering) if wanted else None for wanted in is_snapshot]
    position = table.schema.get_field_index("clip_id")
    return table.set_column(
        position, schema("media").field("clip_id"), pa.array(clip_ids, pa.string())
    )
