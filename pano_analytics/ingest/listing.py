"""From names to rows: reads the paths of one unit, and gathers rows by camera-day."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property, lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pyarrow as pa

from pano_analytics import layouts
from pano_analytics.ingest.clock import (
    NameTimes,
    SettledTime,
    settle,
    time_from_name,
    time_of_pass,
)
from pano_analytics.ingest.link import Clip, SnapshotTime, holders
from pano_analytics.ingest.unread import Unread
from pano_analytics.ingest.walk import FileEntry
from pano_analytics.layouts.later import split
from pano_analytics.model import alike
from pano_analytics.model.corrections import (
    CORRECTED,
    AheadSpan,
    ClockCorrection,
    ahead_at,
    ahead_spans,
)
from pano_analytics.model.tables import schema
from pano_analytics.model.times import WallClock, epoch_us, from_epoch_us, local_date
from pano_analytics.model.upload import Reading, Upload
from pano_analytics.settings import Settings
from pano_analytics.settings.owners import Owner, Owners
from pano_analytics.store import timekeeping
from pano_analytics.store.catalog import CameraDay
from pano_analytics.store.timekeeping import Behind, corrected_us

# Increase it when `layouts` reads names differently, or `inspection` reads more formats: the next
# ingest then reads all names again, and opens again the files that could not be read whole.
READING_VERSION = 6


class Named(NamedTuple):
    """An upload as its name and size describe it.

    Times are in microseconds since 1970 UTC; `wall_start` is on the camera's clock.
    """

    start: int
    path: str
    media_id: str
    kind: str
    trigger: str | None
    trigger_raw: str | None
    end: int | None
    wall_start: int | None
    time_source: str
    clock_offset_s: float | None
    layout: str | None
    sequence: str | None
    size_bytes: int
    mtime: int
    arrived: int
    same_name_as: str | None
    channel: int | None


def table_of_named(rows: Sequence[Named]) -> pa.Table:
    """Return rows as a media table: sorted, snapshots linked to the clips that cover them.

    Columns that do not come from names are null; the state is unread.
    """
    ordered = sorted(rows)
    columns = zip(*ordered, strict=True)
    values: dict[str, Sequence[Any]] = dict(zip(Named._fields, columns, strict=True))
    values["clip_id"] = _clip_ids(ordered)
    return pa.table(
        [_column(wanted, values.get(wanted.name), len(rows)) for wanted in schema("media")],
        schema=schema("media"),
    )


def _clip_ids(ordered: Sequence[Named]) -> list[str | None]:
    clips = sorted(
        Clip(row.start, row.end, row.media_id, row.channel)
        for row in ordered
        if row.kind == "clip" and row.end is not None
    )
    if not clips:
        return [None] * len(ordered)
    moments = [SnapshotTime(row.start, row.channel) for row in ordered if row.kind == "snapshot"]
    held = iter(holders(moments, clips))
    return [next(held) if row.kind == "snapshot" else None for row in ordered]


def _column(wanted: pa.Field, values: Sequence[Any] | None, rows: int) -> pa.Array:
    if wanted.name == "state":
        return pa.repeat(pa.scalar("unread"), rows)
    if values is None:
        return pa.nulls(rows, wanted.type)
    return pa.array(values, wanted.type)


@dataclass
class Listing:
    """What the names of some files say: rows by camera-day, and files that are not media."""

    days: dict[CameraDay, list[Named]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[Unread] = field(default_factory=list)
    ignored: int = 0
    parents: dict[str, str] = field(default_factory=dict)
    _camera: str = ""
    _day: date = date.min
    _rows: list[Named] = field(default_factory=list)

    @property
    def rows(self) -> int:
        return sum(map(len, self.days.values()))

    def add(self, camera: str, day: date, row: Named) -> None:
        """Add a row to a camera-day, which is usually that of the previous row."""
        if day != self._day or camera != self._camera:
            self._camera, self._day = camera, day
            self._rows = self.days[CameraDay(camera, day)]
        self._rows.append(row)


class NameReader:
    """Reads names with the settings of one library: which camera, layout and zone.

    `behind` is when this computer's own clock was behind: names are not compared with the
    arrivals that it stamped then. `decided` are the corrections of cameras' clocks that people
    decided on; those in the settings take precedence, then the earlier ones in the sequence.
    `parents` maps cameras that a template has created to the name of its table.
    """

    def __init__(
        self,
        settings: Settings,
        root_id: str,
        root_name: str,
        behind: tuple[Behind, ...] = (),
        decided: tuple[ClockCorrection, ...] = (),
        parents: Mapping[str, str] | None = None,
    ) -> None:
        self._settings, self._behind, self._decided = settings, behind, decided
        self._root_id, self._root_name = root_id, root_name
        self._digest = hashlib.blake2b(f"{root_id}\0".encode(), digest_size=8)
        self._owners = Owners(settings, root_name)
        self._parents = dict(parents or {})
        self._clock = cache(self._make_clock)
        self._spans = cache(self._make_spans)
        self._utc = WallClock(ZoneInfo("UTC"))

    def __reduce__(self) -> tuple[Any, ...]:
        # Caches and digests cannot be pickled for other processes.
        known = (self._behind, self._decided, self._parents)
        return NameReader, (self._settings, self._root_id, self._root_name, *known)

    def key_of(self, cameras: Iterable[str]) -> str:
        """Return a text that changes when names of `cameras` would be read differently."""
        found = {alike.key(name): spans for name in cameras if (spans := self._spans(name))}
        return f"{self.key}{sorted(found.items())!r}" if found else self.key

    def corrections_of(self, camera: str) -> tuple[ClockCorrection, ...]:
        """Return the corrections of a camera's clock; the first that has a time applies to it."""
        name = self._parents.get(camera, camera)
        table = self._settings.table(name)
        own = () if table is None else table.clock_corrections
        decided = (one for one in self._decided if alike.key(one.camera) == alike.key(camera))
        return tuple(one._replace(camera=camera) for one in (*own, *decided))

    def may_correct(self, upload: Upload) -> bool:
        """Return whether a correction of its camera's clock applies to an upload, or did before."""
        if upload.time_source.endswith(CORRECTED):
            return True
        spans = self._spans(upload.camera)
        wall = upload.wall_start
        return bool(spans) and wall is not None and ahead_at(spans, epoch_us(wall)) != 0

    def _make_spans(self, camera: str) -> tuple[AheadSpan, ...]:
        return ahead_spans(self.corrections_of(camera))

    @cached_property
    def key(self) -> str:
        """A text that changes when the same names would be read differently.

        But for the corrections of clocks, which are in `key_of`.
        """
        cameras = [
            (camera.name, camera.upload_folders, camera.channel, camera.layout, camera.zone)
            for camera in self._settings.cameras
        ]
        return repr((READING_VERSION, self._root_id, self._settings.zone, cameras, *self._behind))

    def _make_clock(self, camera: str) -> WallClock:
        return WallClock(self._settings.zone_of(self._parents.get(camera, camera)))

    def read(
        self, entries: Iterable[FileEntry], now_us: int, arrivals: Mapping[str, int]
    ) -> Listing:
        """Return what the names of `entries` say.

        `arrivals` are the known arrivals by media_id; `now_us` is that of new uploads. Both
        are in microseconds since 1970 UTC.
        """
        listing = Listing()
        doubtful: dict[str, list[_DoubtfulName]] = defaultdict(list)
        of_folder, place = "", self._place("")
        for entry in entries:
            folder, _, name = entry.path.rpartition("/")
            if folder != of_folder:  # the entries of a folder follow each other
                of_folder, place = folder, self._place(folder)
            reading = place.read(name)
            if reading.kind == "ignore":
                listing.ignored += 1
            elif reading.kind == "unknown":
                arrived = arrival(entry, now_us)
                listing.unknown.append(Unread(entry.path, arrived, reading.reason or ""))
            else:
                own = place if place.owner is None else self._split(place, reading, listing)
                camera = own.camera
                media_id = self._media_id(entry.path)
                arrived = arrival(entry, arrivals.get(media_id, now_us))
                name_start = None if reading.start is None else epoch_us(reading.start)
                ahead = ahead_at(own.spans, name_start) if own.spans and name_start else 0
                settled = self._time_from_name(reading, name_start, arrived, own.clock, ahead)
                if settled is None:
                    unclear = _DoubtfulName(
                        entry, reading, name_start, camera, media_id, arrived, ahead
                    )
                    doubtful[camera].append(unclear)
                else:
                    later = None if reading.later is None else self._first_with_name(entry)
                    row = _row(entry, reading, name_start, media_id, arrived, settled, later)
                    listing.add(camera, self._day(reading, settled, camera), row)
        for camera, names in doubtful.items():
            for unclear, settled in zip(names, self._settled(camera, names), strict=True):
                entry, reading, name_start, _, media_id, arrived, _ = unclear
                later = None if reading.later is None else self._first_with_name(entry)
                row = _row(entry, reading, name_start, media_id, arrived, settled, later)
                listing.add(camera, self._day(reading, settled, camera), row)
        return listing

    def _place(self, folder: str) -> _NamePlace:
        owner = self._owners.of(folder)
        read = layouts.reader_of(folder, owner.layout)
        camera = _named(owner.camera)
        is_split = bool(owner.by_channel) or owner.is_split
        shared = owner if is_split else None
        return _NamePlace(camera, self._clock(camera), read, shared, self._spans(camera))

    def _split(self, place: _NamePlace, reading: Reading, listing: Listing) -> _NamePlace:
        """Return the place of one upload in a folder that several cameras share."""
        assert place.owner is not None
        camera = _named(self._settings.called(place.owner.of(reading)))
        if camera == place.camera:
            return place
        if place.owner.is_split and self._settings.table(camera) is None:
            # It has the rules and the clock of the table whose template created it.
            listing.parents[camera] = self._parents[camera] = place.camera
        clock, spans = self._clock(camera), self._spans(camera)
        return place._replace(camera=camera, clock=clock, spans=spans)

    def _time_from_name(
        self,
        reading: Reading,
        name_start: int | None,
        arrived: int,
        camera_clock: WallClock,
        ahead: int,
    ) -> SettledTime | None:
        """Return the span as given by the name (`name_start` is its start), or None if in doubt.

        `ahead` is how far the clock is known to have been ahead (µs).
        """
        if name_start is None or reading.start is None:
            return SettledTime(arrived, None, "arrival")
        clock = camera_clock if reading.zone == "camera" else self._utc
        arrived = self._arrived(reading, arrived, clock, ahead)
        end = None if reading.end is None else epoch_us(reading.end)
        settled = time_from_name(name_start, end, arrived, clock, ahead)
        if settled is None and reading.fold is not None:
            times = NameTimes(reading.start, reading.end, arrived, ahead)
            return time_of_pass(times, reading.fold, clock)
        return settled

    def _arrived(self, reading: Reading, arrived: int, clock: WallClock, ahead: int) -> int:
        """Return when an upload arrived, corrected if this computer's clock was behind.

        Otherwise a wrong arrival would shift the upload's own time.
        """
        if not self._behind or reading.start is None:
            return arrived
        return corrected_us(self._behind, arrived, clock.to_utc_us(reading.start) - ahead)

    def _clock_of(self, name: _DoubtfulName) -> WallClock:
        return self._utc if name.reading.zone == "utc" else self._clock(name.camera)

    def _settled(self, camera: str, names: Sequence[_DoubtfulName]) -> list[SettledTime]:
        # All names of a camera are on the same clock.
        clock = self._clock_of(names[0])
        times = [
            NameTimes(start, name.reading.end, self._arrived_of(name, clock), name.ahead)
            for name in names
            if (start := name.reading.start) is not None
        ]
        return settle(times, clock)

    def _arrived_of(self, name: _DoubtfulName, clock: WallClock) -> int:
        return self._arrived(name.reading, name.arrived, clock, name.ahead)

    def _day(self, reading: Reading, settled: SettledTime, camera: str) -> date:
        """Return the camera's own calendar day of the true start."""
        if reading.start is not None and reading.zone == "camera" and settled.offset_s is None:
            return reading.start.date()
        return local_date(from_epoch_us(settled.start), self._clock(camera).zone)

    def _first_with_name(self, entry: FileEntry) -> str:
        """Return the media_id of the upload that had the name first."""
        folder, slash, name = entry.path.rpartition("/")
        return self._media_id(f"{folder}{slash}{split(name)[0]}")

    def _media_id(self, path: str) -> str:
        digest = self._digest.copy()
        digest.update(path.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _row(
    entry: FileEntry,
    reading: Reading,
    name_start: int | None,
    media_id: str,
    arrived: int,
    settled: SettledTime,
    same_name_as: str | None,
) -> Named:
    path, size_bytes, mtime_ns = entry
    start, end, source, offset_s = settled
    kind, layout, _, _, _, _, _, trigger, trigger_raw, sequence, _, _, channel = reading
    row = (
        start,
        path,
        media_id,
        kind,
        trigger,
        trigger_raw,
        end,
        name_start,
        source,
        offset_s,
        layout,
        sequence,
        size_bytes,
        mtime_ns // 1000,
        arrived,
        same_name_as,
        channel,
    )
    # As `Named(…)`, in half the time.
    return tuple.__new__(Named, row)


class _NamePlace(NamedTuple):
    """What all files directly in one folder have in common."""

    camera: str
    clock: WallClock
    read: Callable[[str], Reading]
    owner: Owner | None
    spans: tuple[AheadSpan, ...]


# A camera's name becomes part of a folder name, percent-encoded; file systems allow 255 bytes
# for both.
_LONGEST_CAMERA = 200


@lru_cache(maxsize=4096)
def _named(camera: str) -> str:
    """Return the camera's name; a name too long for a folder is cut and gets a digest."""
    if len(quote(camera, safe="")) <= _LONGEST_CAMERA:
        return camera
    digest = hashlib.blake2b(camera.encode(), digest_size=4).hexdigest()
    cut = camera
    while len(quote(cut, safe="")) > _LONGEST_CAMERA - 10:
        cut = cut[:-1]
    return f"{cut}~{digest}"


class _DoubtfulName(NamedTuple):
    """An upload and what its name says; `ahead` is the correction of its camera's clock (µs)."""

    entry: FileEntry
    reading: Reading
    name_start: int | None
    camera: str
    media_id: str
    arrived: int
    ahead: int


# With FTP, the modification time may come from the camera's own clock: if that was never set
# (see `clock`), it does not show when the file arrived.
_CLOCKS_BEGIN_US = 1_104_537_600 * 1_000_000


def tells_arrival(entry: FileEntry) -> bool:
    """Return whether the file's modification time can be when it arrived."""
    return entry.mtime_ns // 1000 >= _CLOCKS_BEGIN_US


def arrival(entry: FileEntry, seen_us: int) -> int:
    """Return when an upload arrived: the earlier of its modification time and `seen_us`."""
    mtime_us = entry.mtime_ns // 1000
    return mtime_us if _CLOCKS_BEGIN_US <= mtime_us < seen_us else seen_us


def now_us() -> int:
    """Return the time of this computer's clock, in microseconds since 1970 UTC."""
    return timekeeping.clocks().wall_us
