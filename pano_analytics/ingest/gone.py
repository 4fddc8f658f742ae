"""Rows of files that are gone: written to the journal, and restored into a rebuilt catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.ingest.days import settle
from pano_analytics.ingest.listing import NameReader, now_us, table_of_named
from pano_analytics.ingest.walk import FileEntry
from pano_analytics.model.tables import media_table, of_uploads, schema, uploads_of
from pano_analytics.model.times import epoch_us
from pano_analytics.model.upload import GONE_STATES, Upload, went_missing, with_times
from pano_analytics.store.catalog import CameraDay, Change
from pano_analytics.store.journal import SEEN, Fact, Journal, facts_of
from pano_analytics.store.removal import GoneUpload, gone_of_table, gone_table, gone_uploads
from pano_analytics.store.storage import Storage

_MARK = "state/anew"


def note(
    journal: Journal, facts: Iterable[pa.Table], gone: Iterable[GoneUpload], noted_us: int
) -> list[str]:
    """Write facts and complete gone rows to the journal, stamped `noted_us`.

    That is the library's time, in microseconds since 1970 UTC. Return the names of the files
    written, not yet synced.
    """
    moment = pa.scalar(noted_us, pa.int64()).cast(SEEN.field("noted").type)
    seen = pa.concat_tables([SEEN.remove(SEEN.get_field_index("noted")).empty_table(), *facts])
    rows = gone_table(gone, moment.as_py())
    noted = []
    if seen.num_rows:
        stamped = seen.append_column(SEEN.field("noted"), pa.repeat(moment, seen.num_rows))
        noted.append(journal.note_seen(stamped.select(SEEN.names)))
    if rows.num_rows:
        noted.append(journal.note_gone(rows))
    return noted


def newly_gone(change: Change, known: frozenset[str] = frozenset()) -> list[GoneUpload]:
    """Return the uploads whose file is gone since this change, except ids `known`."""
    days = sorted(day for day in change.touched() if not change.is_listed(day))
    return [row for day in days for row in _gone(change, day, known)]


def _gone(change: Change, day: CameraDay, known: frozenset[str]) -> Iterator[GoneUpload]:
    was = {(one.media_id, one.state) for one in _uploads_gone(change.before(day), day)}
    newly = [
        one
        for one in _uploads_gone(change.read(day), day)
        if (one.media_id, one.state) not in was and one.media_id not in known
    ]
    yield from gone_uploads(newly, change.belonging(day))


def _uploads_gone(table: pa.Table | None, day: CameraDay) -> list[Upload]:
    if table is None:
        return []
    return uploads_of(table.filter(pc.is_in(table["state"], pa.array(GONE_STATES))), *day)


class Rebuilding:
    """Rebuilding a catalog: first the uploads in the tree, then the gone ones in the journal.

    A mark in the library remains until the journal is included: a run that was killed before
    has a catalog, but not a complete one.
    """

    def __init__(self, storage: Storage, journal: Journal, generation: int) -> None:
        self._storage, self._journal = storage, journal
        if generation == 0 and journal.is_begun():
            storage.replace(_MARK, b"")
        self.is_on = storage.exists(_MARK)
        self._present: list[pa.Array] = []
        self.brought: frozenset[str] = frozenset()

    def arrivals(self) -> dict[str, int]:
        """Return first arrivals (µs since 1970 UTC) by media_id; none unless rebuilding."""
        return self._journal.arrivals() if self.is_on else {}

    def add_present(self, tables: Iterable[pa.Table]) -> None:
        """Remember which uploads are in the tree."""
        if self.is_on:
            self._present += [chunk for table in tables for chunk in table["media_id"].chunks]

    def bring_back(self, change: Change, reader: NameReader) -> None:
        """Add to `change` the uploads that are in the journal but not in the tree.

        Complete rows for uploads that were recorded as gone and not seen again after that;
        for others, as after the loss of a catalog, what their names and sizes say.
        """
        if not self.is_on:
            return
        present = pa.chunked_array(self._present, pa.string())
        lacking = _lacking(self._journal.seen(), present)
        noted = _last_notes(self._journal, present, lacking)
        for name in self._journal.gone_files():
            notes = list(_rows_of_notes(self._journal.read_gone(name), noted))
            times = {one.media_id: one for one in _retimed(reader, [one.upload for one in notes])}
            now = (one._replace(upload=times.get(one.upload.media_id, one.upload)) for one in notes)
            _put_all(change, now)
        self.brought = frozenset(noted)
        _put_all(change, _named(reader, [lacking[one] for one in set(lacking) - self.brought]))

    def end(self) -> None:
        """Finish the rebuild; called after it was committed."""
        if self.is_on:
            self._storage.remove(_MARK)
            self.is_on, self._present = False, []


def retime(change: Change, reader: NameReader, days: Iterable[CameraDay]) -> int:
    """Settle again the times of uploads that are gone; return how many have another time.

    Only times that the corrections of a camera's clock affect, or did affect. `days` are the
    camera-days to look through.
    """
    moves = defaultdict[tuple[CameraDay, CameraDay], list[Upload]](list)
    for day in days:
        known = {one.media_id: one for one in _uploads_gone(change.read(day), day)}
        for upload in _retimed(reader, list(known.values())):
            if upload != known[upload.media_id]:
                moves[day, CameraDay(day.camera, upload.date)].append(upload)
    removed, added = (defaultdict[CameraDay, list[Upload]](list) for _ in range(2))
    for (was_day, day), uploads in moves.items():
        removed[was_day] += uploads
        added[day] += uploads
        if was_day != day:
            change.move_belonging([one.media_id for one in uploads], was_day, day)
    for day in {*removed, *added}:
        _put(change, day, removed[day], added[day])
    return sum(map(len, moves.values()))


def _put(change: Change, day: CameraDay, removed: list[Upload], added: list[Upload]) -> None:
    """Write a camera-day without the uploads `removed`, and with those `added`."""
    table, new = change.read(day), media_table(added)
    if table is not None:
        old = pa.array([one.media_id for one in removed], pa.string())
        new = pa.concat_tables([table.filter(pc.invert(pc.is_in(table["media_id"], old))), new])
    settle(change, day, new)


def _retimed(reader: NameReader, uploads: Sequence[Upload]) -> Iterator[Upload]:
    """Yield the uploads whose times depend on corrections of clocks, with those in force now."""
    affected = {one.media_id: one for one in uploads if reader.may_correct(one)}
    if not affected:
        return
    entries = [
        FileEntry(one.path, one.size_bytes, _us(one.mtime) * 1000) for one in affected.values()
    ]
    arrivals = {one.media_id: _us(one.arrived) for one in affected.values()}
    for day, rows in reader.read(entries, now_us(), arrivals).days.items():
        for named in uploads_of(table_of_named(rows), *day):
            upload = affected.get(named.media_id)
            if upload is not None and upload.camera == named.camera:
                yield with_times(upload, named)


def _lacking(seen: pa.Table, present: pa.ChunkedArray) -> dict[str, Fact]:
    """Return, by media_id, the last fact about each upload that is not in the tree."""
    latest: dict[str, Fact] = {}
    facts = seen.filter(pc.invert(pc.is_in(seen["media_id"], present))).sort_by("noted")
    for fact in facts_of(facts):
        was = latest.get(fact.media_id)
        latest[fact.media_id] = fact if was is None else _joined(was, fact)
    return latest


def _joined(was: Fact, fact: Fact) -> Fact:
    is_same = (was.size_bytes, was.mtime) == (fact.size_bytes, fact.mtime)
    sha256 = fact.sha256 or (was.sha256 if is_same else None)
    return fact._replace(arrived=min(was.arrived, fact.arrived), sha256=sha256)


def _last_notes(
    journal: Journal, present: pa.ChunkedArray, lacking: Mapping[str, Fact]
) -> dict[str, datetime]:
    """Return, by media_id, when a row was last recorded as gone, unless it was seen later."""
    latest: dict[str, datetime] = {}
    for name in journal.gone_files():
        notes = journal.read_gone(name, ("media_id", "noted"))
        notes = notes.filter(pc.invert(pc.is_in(notes["media_id"], present)))
        for media_id, noted in zip(*(column.to_pylist() for column in notes.columns), strict=True):
            latest[media_id] = max(noted, latest.get(media_id, noted))
    return {
        media_id: noted
        for media_id, noted in latest.items()
        if media_id not in lacking or noted >= lacking[media_id].noted
    }


def _rows_of_notes(notes: pa.Table, noted: Mapping[str, datetime]) -> Iterator[GoneUpload]:
    moments = zip(notes["media_id"].to_pylist(), notes["noted"].to_pylist(), strict=True)
    is_last = pa.array([noted.get(media_id) == moment for media_id, moment in moments], pa.bool_())
    return gone_of_table(notes.filter(is_last))


def _named(reader: NameReader, facts: Iterable[Fact]) -> Iterator[GoneUpload]:
    """Yield uploads, from names only, of files that are gone without a complete row."""
    by_path = {fact.path: fact for fact in facts}
    entries = [
        FileEntry(path, fact.size_bytes, _us(fact.mtime) * 1000) for path, fact in by_path.items()
    ]
    arrivals = {fact.media_id: _us(fact.arrived) for fact in by_path.values()}
    for day, rows in reader.read(entries, now_us(), arrivals).days.items():
        for named in uploads_of(table_of_named(rows), *day):
            upload = replace(named, sha256=by_path[named.path].sha256)
            yield GoneUpload(went_missing(upload), {})


def _us(moment: datetime) -> int:
    return epoch_us(moment.astimezone(UTC).replace(tzinfo=None))


def _put_all(change: Change, gone: Iterable[GoneUpload]) -> None:
    # By id: a journal that was merged with an older copy of itself has duplicates.
    by_day = defaultdict[CameraDay, dict[str, GoneUpload]](dict)
    for one in gone:
        by_day[CameraDay(one.upload.camera, one.upload.date)][one.upload.media_id] = one
    for day, own in by_day.items():
        for table in of_uploads():
            kept = _belonging(own.values(), table.name)
            if kept.num_rows:
                change.put_belonging(day, kept, table.name)
        uploads = media_table(one.upload for one in own.values())
        settle(change, day, _with_rows(change.read(day), uploads))


def _belonging(own: Iterable[GoneUpload], table: str) -> pa.Table:
    """Return the rows of one table that belong to uploads that are gone."""
    rows = [
        {**row, "media_id": one.upload.media_id}
        for one in own
        for row in one.belonging.get(table, ())
    ]
    return pa.Table.from_pylist(rows, schema=schema(table))


def _with_rows(known: pa.Table | None, rows: pa.Table) -> pa.Table:
    """Return `known` with `rows` in place of those with the same ids."""
    if known is None:
        return rows
    others = known.filter(pc.invert(pc.is_in(known["media_id"], rows["media_id"])))
    return pa.concat_tables([others, rows])
