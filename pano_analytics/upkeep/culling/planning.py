"""Plans a culling: what to delete and why, what stays although due, and what is left."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.layouts.later import split
from pano_analytics.layouts.sidecars import PART
from pano_analytics.model.corrections import CORRECTED
from pano_analytics.model.tables import uploads_of
from pano_analytics.model.times import from_epoch_us
from pano_analytics.model.upload import GONE_STATES, Upload, decode_path, encode_path
from pano_analytics.settings import Settings
from pano_analytics.store import own_tree, timekeeping
from pano_analytics.store.catalog import CameraDay, Catalog
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.journal import PLAN, Journal
from pano_analytics.store.split import with_cameras
from pano_analytics.store.storage import Storage
from pano_analytics.store.timekeeping import Time, latest_us
from pano_analytics.store.tree import Doomed, Tree, WrongRoot, adopted
from pano_analytics.upkeep.culling.expired import ExpiredFile
from pano_analytics.upkeep.culling.first_seen import FirstSeen
from pano_analytics.upkeep.culling.pins import Pins
from pano_analytics.upkeep.culling.places import clock, places, settings_of, tops
from pano_analytics.wording import many

if TYPE_CHECKING:
    import pandas as pd

    from pano_analytics.library import Library

# Earlier times are from clocks that were never set.
EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)

# A name this far ahead of its arrival is of a wrong clock, and ingest does not believe it.
_AHEAD_US = 600_000_000

_UTC = pa.timestamp("us", tz="UTC")


class Stays(NamedTuple):
    """A file that is past its retention time but stays, and why."""

    camera: str
    path: str
    media_id: str
    size_bytes: int
    reason: str
    is_pinned: bool = False


class Left(NamedTuple):
    """One camera: what the plan deletes, and what is left of it afterwards.

    `waiting_files` of those left are old by name and arrival, but were first seen less than
    `keep_days` ago; the first of these is due at `waiting_until` (UTC). `pinned_files` and
    `pinned_bytes` of those left are due, but protected by a pin.
    """

    camera: str
    keep_days: int | None
    files: int
    size_bytes: int
    left_files: int
    left_bytes: int
    left_since: datetime | None
    waiting_files: int = 0
    waiting_until: datetime | None = None
    pinned_files: int = 0
    pinned_bytes: int = 0


@dataclass(frozen=True)
class CullPlan:
    """What a culling at `now` (UTC) would delete; `trouble` says why it would not, else None.

    `time_us` is the library's time at `now`, in microseconds (see `timekeeping`).
    """

    now: datetime
    due: tuple[ExpiredFile, ...]
    stays: tuple[Stays, ...]
    cameras: tuple[Left, ...]
    trouble: str | None = None
    time_us: int = 0

    @property
    def size_bytes(self) -> int:
        """How many bytes would be deleted."""
        return sum(one.size_bytes for one in self.due)

    @property
    def uploads(self) -> int:
        """How many uploads would be deleted, not counting companions."""
        return sum(one.media_id is not None for one in self.due)

    def frame(self) -> pd.DataFrame:
        """Return the files to delete, one row each: `ExpiredFile`, and the column `age_days`."""
        rows = [one._asdict() for one in self.due]
        frame = _frame(rows, [*ExpiredFile._fields]).drop(columns="mtime_us")
        frame["age_days"] = [(self.now - one.since) / timedelta(days=1) for one in self.due]
        return frame

    def stays_frame(self) -> pd.DataFrame:
        """Return the files that are due but stay, one row each, with the columns of `Stays`."""
        return _frame([one._asdict() for one in self.stays], Stays._fields)

    def cameras_frame(self) -> pd.DataFrame:
        """Return what is deleted and left, one row per camera, with the columns of `Left`."""
        return _frame([one._asdict() for one in self.cameras], Left._fields)


def _frame(rows: list[dict[str, object]], columns: Iterable[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns))


def plan(where: Settings | Library, now: datetime | None = None) -> CullPlan:
    """Return what a culling would delete if this computer's clock said `now`.

    `now` is an aware datetime, by default the current time. An upload is due when its
    recording time (`start`), its arrival and the time when it was first seen are all
    `keep_days` of its camera ago. Times in the future or before 2005 are ignored; when an
    upload was first seen is measured in elapsed time (see `timekeeping`), independent of
    changes of the clock. A pinned upload stays, with all uploads of its event. Only files that
    are unchanged since they were catalogued are deleted, and no link is followed. Nothing is
    written. Raises UploadTreeError if there is no upload root, StrangeTree if most known
    uploads are not in it (a plan for another disk would be misleading), DecisionsError if it
    cannot be read what is pinned, LibraryError if there is no library, QueryError for invalid
    arguments.
    """
    settings, now = settings_of(where), clock(now)
    root, storage = places(settings)
    own_tree.require(storage, root)
    with Tree.opened(root) as tree:
        try:
            tree.require(adopted(storage))
            trouble = None
        except WrongRoot as error:
            trouble = str(error)
        time = timekeeping.read_time(storage, now)
        pins = Pins.of(settings, Decisions(storage))
        return make(settings, storage, tree, time, pins, trouble or time.doubt)


def make(
    settings: Settings,
    storage: Storage,
    tree: Tree,
    time: Time,
    pins: Pins,
    trouble: str | None = None,
) -> CullPlan:
    """Return the plan for a tree that is already open."""
    now = time.wall
    settings = with_cameras(settings, storage)
    aged = list(_aged(settings, Catalog(storage), now))
    sights = FirstSeen.of(Journal(storage), (one.media_id for each in aged for one in each.old))
    judged = [one for each in aged for one in _by_sight(each.old, sights, time)]
    waiting = [one for one in judged if not one.is_over(now)]
    over = [one for one in judged if one.is_over(now)]
    pinned = [one for one in over if one.media_id in pins.protected]
    due, stays = _split_by_file(tree, [one for one in over if one.media_id not in pins.protected])
    stays += [_pinned(one, pins) for one in pinned]
    due += [*_companions(tree, due), *_remains(tree, due, time)]
    due.sort(key=lambda one: (one.camera, one.date, one.path))
    stays.sort(key=lambda one: (one.camera, one.path))
    left = tuple(_left(settings, aged, due, stays, waiting, pinned))
    return CullPlan(now, tuple(due), tuple(stays), left, trouble, time.at_us)


# --- by age -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _CameraDay:
    """A camera-day: uploads that are old by name and arrival, and the totals of all others."""

    day: CameraDay
    old: list[ExpiredFile]
    files: int
    size_bytes: int
    since: datetime | None


def _aged(settings: Settings, catalog: Catalog, now: datetime) -> Iterator[_CameraDay]:
    for day, part in catalog.manifest().days_where(lambda part: part.held != 0):
        table = catalog.read(part)
        present = table.filter(pc.invert(pc.is_in(table["state"], pa.array(GONE_STATES))))
        if present.num_rows:
            yield _aged_day(day, present, settings.keep_days_of(day.camera), now)


def _aged_day(
    day: CameraDay, present: pa.Table, keep_days: int | None, now: datetime
) -> _CameraDay:
    since = ages(present, now)
    rows = present.append_column("since", since)
    cutoff = pa.scalar(None if keep_days is None else now - timedelta(days=keep_days), _UTC)
    # Without a plausible time, only the time when it was first seen counts.
    is_old = pc.or_(pc.less_equal(rows["since"], cutoff), pc.is_null(rows["since"]))
    is_old = pc.fill_null(is_old, keep_days is not None)
    if keep_days is None:
        is_old = pa.repeat(pa.scalar(False), rows.num_rows)
    young = rows.filter(pc.invert(is_old))
    return _CameraDay(
        day,
        list(_dues(rows.filter(is_old), day, keep_days)) if keep_days else [],
        young.num_rows,
        pc.sum(young["size_bytes"]).as_py() or 0,
        pc.min(young["since"]).as_py(),
    )


def ages(rows: pa.Table, now: datetime) -> pa.ChunkedArray:
    """Return the later of `start` and `arrived` of media rows, ignoring implausible times.

    Those are times in the future and before 2005; the result is null if all are. If a
    correction of the camera's clock was applied, what the clock showed counts, too: a
    correction makes nothing older.
    """

    def possible(times: pa.ChunkedArray) -> pa.ChunkedArray:
        first, last = pa.scalar(EARLIEST, _UTC), pa.scalar(now, _UTC)
        is_possible = pc.and_(pc.greater_equal(times, first), pc.less_equal(times, last))
        return pc.if_else(is_possible, times, pa.scalar(None, _UTC))

    times = (rows["start"], rows["arrived"], _shown(rows))
    return pc.max_element_wise(*(possible(one).cast(pa.int64()) for one in times)).cast(_UTC)


def _shown(rows: pa.Table) -> pa.ChunkedArray:
    """Return the start that a corrected clock showed; null if it was not or is implausible.

    It is implausible more than ten minutes after the arrival, as for every other upload.
    """
    is_corrected = pc.ends_with(rows["time_source"], CORRECTED)
    ahead_us = pc.cast(pc.multiply(rows["clock_offset_s"], 1e6), pa.int64(), safe=False)
    shown_us = pc.add(rows["start"].cast(pa.int64()), ahead_us)
    last_us = pc.add(rows["arrived"].cast(pa.int64()), _AHEAD_US)
    is_shown = pc.and_(is_corrected, pc.less_equal(shown_us, last_us))
    return pc.if_else(is_shown, shown_us, pa.scalar(None, pa.int64())).cast(_UTC)


def _by_sight(old: Iterable[ExpiredFile], sights: FirstSeen, time: Time) -> Iterator[ExpiredFile]:
    """Yield uploads that are old by name and arrival, with `since` raised to their first sight.

    An upload that the journal does not contain was first seen now.
    """
    for one in old:
        seen_us = sights.first_us(one)
        ago_us = 0 if seen_us is None else time.at_us - seen_us
        seen = time.wall - timedelta(microseconds=ago_us)
        yield one if seen <= one.since else _seen_later(one, seen)


def _seen_later(one: ExpiredFile, seen: datetime) -> ExpiredFile:
    late = seen - one.since
    is_late = late > timedelta(days=1)
    reason = _reason(one.keep_days, late, "it was first seen") if is_late else one.reason
    return one._replace(aged_by="seen", since=seen, reason=reason)


def _dues(old: pa.Table, day: CameraDay, keep_days: int) -> Iterator[ExpiredFile]:
    """Yield uploads that are old by `since`; null stands for an implausible time."""
    # Keep the file's time as the exact number from the disk, to compare before unlinking.
    mtimes_us = old["mtime"].cast(pa.int64()).to_pylist()
    uploads = uploads_of(old, *day)
    for upload, since, mtime_us in zip(uploads, old["since"].to_pylist(), mtimes_us, strict=True):
        yield _due(upload, since or EARLIEST, mtime_us, keep_days)


def _due(upload: Upload, since: datetime, mtime_us: int, keep_days: int) -> ExpiredFile:
    late = max(since - upload.start, timedelta())
    return ExpiredFile(
        upload.camera,
        upload.date,
        upload.path,
        "upload",
        upload.kind,
        upload.media_id,
        "arrived" if late or upload.time_source == "arrival" else "start",
        since,
        keep_days,
        upload.size_bytes,
        mtime_us,
        _reason(keep_days, late, "it arrived"),
    )


def _reason(keep_days: int, late: timedelta, what: str) -> str:
    """Return why an upload is due; a delay of up to a day is not mentioned."""
    text = f"kept for {many(keep_days, 'day')}"
    return text if late <= timedelta(days=1) else f"{text} since {what}"


# --- files on disk ------------------------------------------------------------


def _split_by_file(tree: Tree, old: Iterable[ExpiredFile]) -> tuple[list[ExpiredFile], list[Stays]]:
    """Return files that can be deleted, and files that stay because they differ on disk.

    Files that no longer exist are in neither; the next ingest marks them missing.
    """
    due: list[ExpiredFile] = []
    stays: list[Stays] = []
    by_file = {one.file: one for one in sorted(old, key=lambda one: one.path)}
    for file, found in tree.look(by_file):
        one = by_file[file]
        if found.is_still(file):
            due.append(one)
        elif not found.is_absent:
            assert one.media_id is not None, "an upload has an id"
            why = found.trouble or "it changed since it was catalogued"
            stays.append(Stays(one.camera, one.path, one.media_id, one.size_bytes, why))
    return due, stays


def _pinned(one: ExpiredFile, pins: Pins) -> Stays:
    assert one.media_id is not None, "an upload has an id"
    why = "it is pinned" if one.media_id in pins.pinned else "its event is pinned"
    return Stays(one.camera, one.path, one.media_id, one.size_bytes, why, is_pinned=True)


def _companions(tree: Tree, due: Iterable[ExpiredFile]) -> list[ExpiredFile]:
    """Return the companion files of clips, which are deleted with them."""
    folders = defaultdict[str, dict[bytes, ExpiredFile]](dict)
    for one in due:
        if one.kind == "clip":
            folder, _, name = one.path.rpartition("/")
            folders[folder][decode_path(name)] = one
    found: dict[Doomed, ExpiredFile] = {}
    for folder, clips in sorted(folders.items()):
        names = tree.names(tuple(decode_path(folder).split(b"/")) if folder else ())
        for own, clip in _beside(names, clips):
            path = encode_path(os.fsdecode(own))
            found[Doomed(f"{folder}/{path}" if folder else path, 0, 0)] = clip
    return [
        clip._replace(
            path=file.path,
            what="companion",
            media_id=None,
            size_bytes=seen.size_bytes,
            mtime_us=seen.mtime_us,
            reason=f"belongs to {clip.path.rpartition('/')[2]}",
        )
        for file, seen in tree.look(found)
        if seen.trouble is None
        for clip in [found[file]]
    ]


def _beside(
    names: Iterable[bytes], clips: Mapping[bytes, ExpiredFile]
) -> Iterator[tuple[bytes, ExpiredFile]]:
    """Yield `STEM.idx` and `NAME.thumb` of clips to delete, if no other file of that stem stays.

    A later upload (see `layouts.later`) counts under its original name: which of two indexes
    belongs to which of two clips is unknown, so they are deleted with the last of the clips.
    """
    going = {_first(name): clip for name, clip in clips.items()}
    stems = {_stem(name): clip for name, clip in going.items()}
    named = {name: _first(name) for name in names}
    staying = {
        first
        for name, first in named.items()
        if _ending(first) not in (b"idx", b"thumb") and name not in clips
    }
    stems_staying = {_stem(first) for first in staying}
    for name, first in named.items():
        stem, ending = _stem(first), _ending(first)
        if ending == b"thumb" and stem in going and stem not in staying:
            yield name, going[stem]
        elif ending == b"idx" and stem in stems and stem not in stems_staying:
            yield name, stems[stem]


def _first(name: bytes) -> bytes:
    return os.fsencode(split(os.fsdecode(name))[0])


def _stem(name: bytes) -> bytes:
    return name.rpartition(b".")[0]


def _ending(name: bytes) -> bytes:
    return name.rpartition(b".")[2].lower()


def _remains(tree: Tree, due: Iterable[ExpiredFile], time: Time) -> list[ExpiredFile]:
    """Return partial files of cut uploads that are as old as the uploads deleted beside them.

    `pano receive` leaves them, under names of its own; they are not catalogued.
    """
    folders = {one.path.rpartition("/")[0]: one for one in due}
    found: dict[Doomed, ExpiredFile] = {}
    for folder, upload in sorted(folders.items()):
        for own in tree.names(tuple(decode_path(folder).split(b"/")) if folder else ()):
            if own.startswith(b".") and own.endswith(PART.encode()):
                name = encode_path(os.fsdecode(own))
                found[Doomed(f"{folder}/{name}" if folder else name, 0, 0)] = upload
    return [
        found[file]._replace(
            path=file.path,
            what="cut upload",
            media_id=None,
            aged_by="arrived",
            since=arrived,
            size_bytes=seen.size_bytes,
            mtime_us=seen.mtime_us,
            reason=f"cut off, and kept for {many(found[file].keep_days, 'day')} since it arrived",
        )
        for file, seen in tree.look(found)
        if seen.trouble is None
        for arrived in [from_epoch_us(latest_us(time.behind(), seen.mtime_us))]
        if EARLIEST <= arrived <= time.wall - timedelta(days=found[file].keep_days)
    ]


# --- what is left -------------------------------------------------------------


def _left(
    settings: Settings,
    aged: Iterable[_CameraDay],
    due: Iterable[ExpiredFile],
    stays: Iterable[Stays],
    waiting: Iterable[ExpiredFile],
    pinned: Iterable[ExpiredFile],
) -> Iterator[Left]:
    going, old = _by_camera(due), _by_camera(one for each in aged for one in each.old)
    later, protected = _by_camera(waiting), _by_camera(pinned)
    staying = {one.media_id for one in stays}
    staying |= {one.media_id or "" for own in later.values() for one in own}
    days = defaultdict[str, list[_CameraDay]](list)
    for each in aged:
        days[each.day.camera].append(each)
    for camera, own in sorted(days.items()):
        kept = [one for one in old[camera] if one.media_id in staying]
        times = [*(each.since for each in own), *(one.since for one in kept)]
        until = [one.since + timedelta(days=one.keep_days) for one in later[camera]]
        yield Left(
            camera,
            settings.keep_days_of(camera),
            len(going[camera]),
            sum(one.size_bytes for one in going[camera]),
            sum(each.files for each in own) + len(kept),
            sum(each.size_bytes for each in own) + sum(one.size_bytes for one in kept),
            min((one for one in times if one is not None), default=None),
            len(later[camera]),
            min(until, default=None),
            len(protected[camera]),
            sum(one.size_bytes for one in protected[camera]),
        )


def _by_camera(files: Iterable[ExpiredFile]) -> defaultdict[str, list[ExpiredFile]]:
    found = defaultdict[str, list[ExpiredFile]](list)
    for one in files:
        found[one.camera].append(one)
    return found


def plan_table(due: Sequence[ExpiredFile], settings: Settings, culled_at: datetime) -> pa.Table:
    """Return the files to delete as the journal stores a plan (schema PLAN)."""
    top = tops(settings)
    columns = {
        **{name: [getattr(one, name) for one in due] for name in _PLAN_FIELDS},
        "mtime": pa.array([one.mtime_us for one in due], pa.int64()).cast(_UTC),
        "top": [top(one.path) for one in due],
        "culled_at": [culled_at] * len(due),
    }
    return pa.table({name: columns[name] for name in PLAN.names}, schema=PLAN)


_PLAN_FIELDS = ("media_id", "camera", "date", "path", "size_bytes", "reason")
