"""From names to rows: what the paths of one unit say, gathered by camera-day in columns."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from functools import cache
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
READING_VERSION = 1


@dataclass
class Columns:
    """The rows of one camera-day that names and sizes alone can fill, column by column."""

    media_id: list[str] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    trigger: list[str | None] = field(default_factory=list)
    trigger_raw: list[str | None] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int | None] = field(default_factory=list)
    wall_start: list[int | None] = field(default_factory=list)
    time_source: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    layout: list[str | None] = field(default_factory=list)
    sequence: list[str | None] = field(default_factory=list)
    size_bytes: list[int] = field(default_factory=list)
    mtime: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)

    def table(self) -> pa.Table:
        """Return the rows as a media table; what names do not tell is null, the state unread."""
        rows = len(self.path)
        columns = []
        for wanted in schema("media"):
            values = getattr(self, wanted.name, None)
            if wanted.name == "state":
                columns.append(pa.repeat(pa.scalar("unread"), rows))
            elif values is None:
                columns.append(pa.nulls(rows, wanted.type))
            elif pa.types.is_timestamp(wanted.type):
                columns.append(pa.array(values, pa.int64()).cast(wanted.type))
            else:
                columns.append(pa.array(values, wanted.type))
        return pa.table(columns, schema=schema("media"))


NAMED = tuple(column.name for column in fields(Columns))


@dataclass
class Listing:
    """What the names of some files say: rows by camera-day, and what is no media."""

    days: dict[Day, Columns] = field(default_factory=lambda: defaultdict(Columns))
    unknown: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0

    @property
    def rows(self) -> int:
        return sum(len(columns.path) for columns in self.days.values())


class Reader:
    """Reads names by the settings of one library: whose camera, which layout, which zone."""

    def __init__(self, settings: Settings, root_id: str, root_name: str) -> None:
        self._settings = settings
        self._root_name = root_name
        self._digest = hashlib.blake2b(f"{root_id}\0".encode(), digest_size=8)
        self._folders = {camera.upload_folder: camera.name for camera in settings.cameras}
        self._clock = cache(self._make_clock)
        self._layout = cache(self._make_layout)
        self._utc = WallClock(ZoneInfo("UTC"))

    def key(self) -> str:
        """Return a text that changes when the same names would be read otherwise."""
        cameras = [
            (camera.name, camera.upload_folder, camera.layout, camera.zone)
            for camera in self._settings.cameras
        ]
        return repr((READING_VERSION, self._settings.zone, cameras))

    def _make_clock(self, camera: str) -> WallClock:
        return WallClock(self._settings.zone_of(camera))

    def _make_layout(self, camera: str) -> tuple[str | None, layouts.Template | None]:
        named = self._settings.camera(camera).layout
        if "{" in named:
            return None, layouts.Template.parse(named)
        return (None if named == "auto" else named), None

    def read(self, entries: Iterable[Entry], now_us: int, arrivals: dict[str, int]) -> Listing:
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
        # A sidecar or an upload in progress is no media under any scheme.
        usual = layouts.read(path)
        if usual.kind == "ignore":
            return usual
        misfit = Reading("unknown", reason=f"does not fit the template {template.text}")
        return template.read(path) or misfit

    def _add(
        self,
        listing: Listing,
        entry: Entry,
        reading: Reading,
        camera: str,
        now_us: int,
        arrivals: dict[str, int],
    ) -> None:
        media_id = self._media_id(entry.path)
        mtime_us = entry.mtime_ns // 1000
        arrived = min(mtime_us, arrivals.get(media_id, now_us))
        start, end, day = self._span(reading, camera, arrived)
        columns = listing.days[Day(camera, day)]
        columns.media_id.append(media_id)
        columns.kind.append(reading.kind)
        columns.trigger.append(reading.trigger)
        columns.trigger_raw.append(reading.trigger_raw)
        columns.start.append(start)
        columns.end.append(end)
        columns.wall_start.append(None if reading.start is None else epoch_us(reading.start))
        columns.time_source.append("arrival" if reading.start is None else "name")
        columns.path.append(entry.path)
        columns.layout.append(reading.layout)
        columns.sequence.append(reading.sequence)
        columns.size_bytes.append(entry.size_bytes)
        columns.mtime.append(mtime_us)
        columns.arrived.append(arrived)

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
