"""From names to rows: what the paths of one unit say, gathered by camera-day in columns."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache, cached_property
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from pano_analytics import layouts
from pano_analytics.catalog import Day
from pano_analytics.columns import schema
from pano_analytics.ingest.walk import Entry
from pano_analytics.media import Reading
from pano_analytics.settings import Settings
from pano_analytics.times import WallClock, epoch_us, from_epoch_us, local_date

# Raise it when `layouts` reads names otherwise than before: known trees are then read anew.
READING_VERSION = 2


class Named(NamedTuple):
    """What names and sizes alone tell of one upload; times in microseconds (UTC, wall: naive)."""

    media_id: str
    kind: str
    trigger: str | None
    trigger_raw: str | None
    start: int
    end: int | None
    wall_start: int | None
    time_source: str
    path: str
    layout: str | None
    sequence: str | None
    size_bytes: int
    mtime: int
    arrived: int


def table_of_named(rows: Sequence[Named]) -> pa.Table:
    """Return rows as a media table; what names do not tell is null, the state unread."""
    told = dict(zip(Named._fields, zip(*rows, strict=True), strict=True))
    return pa.table(
        [_column(wanted, told.get(wanted.name), len(rows)) for wanted in schema("media")],
        schema=schema("media"),
    )


def _column(wanted: pa.Field, values: Sequence[Any] | None, rows: int) -> pa.Array:
    if wanted.name == "state":
        return pa.repeat(pa.scalar("unread"), rows)
    if values is None:
        return pa.nulls(rows, wanted.type)
    if pa.types.is_timestamp(wanted.type):
        return pa.array(values, pa.int64()).cast(wanted.type)
    return pa.array(values, wanted.type)


@dataclass
class Listing:
    """What the names of some files say: rows by camera-day, and what is no media."""

    days: dict[Day, list[Named]] = field(default_factory=lambda: defaultdict(list))
    unknown: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0

    @property
    def rows(self) -> int:
        return sum(map(len, self.days.values()))


class Reader:
    """Reads names by the settings of one library: whose camera, which layout, which zone."""

    def __init__(self, settings: Settings, root_id: str, root_name: str) -> None:
        self._settings = settings
        self._root_id, self._root_name = root_id, root_name
        self._digest = hashlib.blake2b(f"{root_id}\0".encode(), digest_size=8)
        self._folders = {camera.upload_folder: camera.name for camera in settings.cameras}
        self._clock = cache(self._make_clock)
        self._layout = cache(self._make_layout)
        self._utc = WallClock(ZoneInfo("UTC"))

    def __reduce__(self) -> tuple[Any, ...]:
        # Caches and digests do not travel to other processes.
        return Reader, (self._settings, self._root_id, self._root_name)

    @cached_property
    def key(self) -> str:
        """A text that changes when the same names would be read otherwise."""
        cameras = [
            (camera.name, camera.upload_folder, camera.layout, camera.zone)
            for camera in self._settings.cameras
        ]
        return repr((READING_VERSION, self._root_id, self._settings.zone, cameras))

    def _make_clock(self, camera: str) -> WallClock:
        return WallClock(self._settings.zone_of(camera))

    def _make_layout(self, camera: str) -> tuple[str | None, layouts.Template | None]:
        named = self._settings.camera(camera).layout
        if "{" in named:
            return None, layouts.Template.parse(named)
        return (None if named == "auto" else named), None

    def read(self, entries: Iterable[Entry], now_us: int, arrivals: Mapping[str, int]) -> Listing:
        """Return what the names of `entries` say; `arrivals` (by id) were known before."""
        listing = Listing()
        for entry in entries:
            camera = layouts.camera_below(entry.path, self._folders, self._root_name)
            reading = self._reading(entry.path, camera)
            if reading.kind == "ignore":
                listing.ignored += 1
            elif reading.kind == "unknown":
                listing.unknown.append((entry.path, reading.reason or ""))
            else:
                self._add(listing, entry, reading, camera, now_us, arrivals)
        return listing

    def _reading(self, path: str, camera: str) -> Reading:
        layout, template = self._layout(camera)
        if template is None:
            return layouts.read(path, layout)
        misfit = Reading("unknown", reason=f"does not fit the template {template.text}")
        return template.read(path) or misfit

    def _add(
        self,
        listing: Listing,
        entry: Entry,
        reading: Reading,
        camera: str,
        now_us: int,
        arrivals: Mapping[str, int],
    ) -> None:
        media_id = self._media_id(entry.path)
        mtime_us = entry.mtime_ns // 1000
        arrived = min(mtime_us, arrivals.get(media_id, now_us))
        start, end, day = self._span(reading, camera, arrived)
        listing.days[Day(camera, day)].append(
            Named(
                media_id,
                reading.kind,
                reading.trigger,
                reading.trigger_raw,
                start,
                end,
                None if reading.start is None else epoch_us(reading.start),
                "arrival" if reading.start is None else "name",
                entry.path,
                reading.layout,
                reading.sequence,
                entry.size_bytes,
                mtime_us,
                arrived,
            )
        )

    def _media_id(self, path: str) -> str:
        digest = self._digest.copy()
        digest.update(path.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def _span(self, reading: Reading, camera: str, arrived: int) -> tuple[int, int | None, date]:
        """Return start and end (microseconds, UTC) and the camera's own calendar day."""
        clock = self._clock(camera)
        if reading.start is None:
            return arrived, None, local_date(from_epoch_us(arrived), clock.zone)
        clock_said = self._utc if reading.zone == "utc" else clock
        fold = reading.fold or 0
        start = clock_said.to_utc_us(reading.start, fold)
        end = None if reading.end is None else clock_said.to_utc_us(reading.end, fold)
        if end is not None and end < start:
            end = start  # the autumn step lies between the two: the length is not known
        if reading.zone == "utc":
            return start, end, local_date(from_epoch_us(start), clock.zone)
        return start, end, reading.start.date()


def now_us() -> int:
    """Return the present in microseconds since 1970 UTC."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)
