"""`open()`: the library that notebooks, faces and side rooms hold in the hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics import alike
from pano_analytics import settings as settings_room
from pano_analytics.analysis import activity
from pano_analytics.catalog import Catalog, Day, Part
from pano_analytics.columns import MEDIA
from pano_analytics.errors import LibraryError, MediaError, QueryError
from pano_analytics.home import Home
from pano_analytics.journal import Journal
from pano_analytics.media import KINDS, STATES, locate
from pano_analytics.queries import Queries
from pano_analytics.settings import Settings
from pano_analytics.storage import Storage
from pano_analytics.times import instant

if TYPE_CHECKING:
    from PIL.Image import Image

Names = str | Iterable[str] | None
Moment = Any  # text, date, datetime or Timestamp; naive means the library's zone

COLUMNS: tuple[str, ...] = ("media_id", "camera", "date", *(name for name, _, _ in MEDIA[1:]))


def open(where: str | os.PathLike[str] | None = None) -> Library:
    """Open the library at `where`: its folder, or the `pano.toml` that names it.

    Without `where` the settings file is looked for as the command line does.
    Raises LibraryError where there is no library, SettingsError for a bad file.
    """
    path = settings_room.find() if where is None else Path(where).expanduser()
    if path is None:
        raise LibraryError(
            "expected a library folder or a pano.toml; none was given and none is here. "
            "Make one with `pano ingest --uploads DIR --library LIB`."
        )
    if path.suffix == ".toml":
        return Library.of(settings_room.load(path), str(path))
    return Library(path, _known_settings(path))


def _known_settings(folder: Path) -> Settings:
    home = Home.read(Storage(folder))
    if home is None:
        raise LibraryError(
            f"{folder}: expected a library; there is none yet. "
            f"Make it with `pano ingest --uploads DIR --library {folder}`."
        )
    return home.settings


class Library:
    """A catalog of uploads and the questions one can ask of it.

    Frames come back with times aware in `zone`; naive times given mean `zone`.
    Ranges are half-open, [start, end), and select by overlap.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.storage = Storage(folder)
        self.catalog = Catalog(self.storage)
        self.zone = ZoneInfo(settings.zone)

    @classmethod
    def of(cls, settings: Settings, origin: str = "settings") -> Library:
        """Return the library that `settings` name; it may be empty still."""
        if settings.library is None:
            raise LibraryError(f"{origin}: expected `library`, the folder of the library; add it.")
        return cls(settings.library, settings)

    def __repr__(self) -> str:
        manifest = self.catalog.manifest()
        rows = sum(part.rows for part in manifest.media.values())
        return f"<Library {self.folder}: {rows} uploads of {len(manifest.cameras())} cameras>"

    @cached_property
    def _queries(self) -> Queries:
        return Queries(self.catalog, self.settings.zone)

    @property
    def uploads(self) -> Path | None:
        """The upload root, as last ingested or set."""
        return self.settings.uploads

    @property
    def generation(self) -> int:
        """A number that grows with each change of the catalog; asking costs one stat."""
        return self.catalog.manifest().generation

    def parts(self, table: str = "media") -> list[str]:
        """Return the paths of the current Parquet files of `media` or `frames`, for other tools."""
        parts = self.catalog.manifest().table(table).values()
        return [str(self.storage.path(part.path)) for part in parts]

    def media(
        self,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
        kind: Names = None,
        state: Names = None,
        *,
        columns: Sequence[str] | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Return the uploads that overlap [start, end), one row each, sorted by start.

        `camera`, `kind` and `state` take a name or several. The columns are
        those of `docs/columns.md`. Raises QueryError for a name that does not
        exist, saying which do.
        """
        chosen = self._columns(columns)
        cameras = self._cameras_named(camera)
        first, last = self._range(start, end)
        conditions, values = _overlap(first, last)
        for column, names, known in (("kind", kind, KINDS), ("state", state, STATES)):
            wanted = _named(names, column, known)
            if wanted is not None:
                conditions.append(f"list_contains(?::VARCHAR[], {column})")
                values.append(wanted)
        direction = "DESC" if newest_first else "ASC"
        statement = (
            f"SELECT {', '.join(_quoted(name) for name in chosen)} FROM {{source}} "
            f"{_where(conditions)} ORDER BY start {direction}, camera, path {direction}"
            + (f" LIMIT {int(limit)}" if limit is not None else "")
        )
        return self._queries.ask(statement, self._select(cameras, first, last), values)

    def _columns(self, columns: Sequence[str] | None) -> Sequence[str]:
        unknown = [name for name in columns or () if name not in COLUMNS]
        if unknown:
            raise QueryError(f"expected columns out of {', '.join(COLUMNS)}; came {unknown}.")
        return columns or COLUMNS

    def _select(
        self,
        cameras: Iterable[str] | None,
        first: datetime | None,
        last: datetime | None,
        table: str = "media",
    ) -> list[Part]:
        selected = self.catalog.manifest().select(table, cameras, _us(first), _us(last))
        return [part for _, part in selected]

    def _range(self, start: Moment, end: Moment) -> tuple[datetime | None, datetime | None]:
        first, last = instant(start, self.zone, "start"), instant(end, self.zone, "end")
        if first and last and last < first:
            raise QueryError(f"expected start before end; came start={start!r}, end={end!r}.")
        return first, last

    def _cameras_named(self, camera: Names) -> list[str] | None:
        known = self.camera_names()
        return _named(camera, "camera", known) if known else None

    def camera_names(self) -> list[str]:
        """Return the names of all cameras, those set but never heard of included."""
        told = [camera.name for camera in self.settings.cameras]
        known = self.catalog.manifest().cameras()
        return [*told, *(name for name in known if alike.find(name, told) is None)]

    def activity(
        self,
        by: str = "hour",
        *,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
    ) -> pd.DataFrame:
        """Return how many uploads began in each bucket: `camera, bucket, snapshots, clips`.

        `by` is "hour" or "day" (buckets along the timeline: the aware local time
        at which they begin) or "weekday" (its English name, Monday first). Every
        camera has every bucket, with zeros where nothing came: from `start` to
        `end`, or from the first to the last upload of the chosen cameras.
        """
        if by not in activity.BUCKETS:
            raise QueryError(f"by: expected one of {', '.join(activity.BUCKETS)}; came {by!r}.")
        cameras = self._cameras_named(camera) or self.camera_names()
        first, last = self._range(start, end)
        counts = self._counts(cameras, first, last)
        return activity.zero_filled(counts, by, cameras, first, last, self.zone)

    def _counts(
        self, cameras: list[str], first: datetime | None, last: datetime | None
    ) -> pd.DataFrame:
        """Return snapshots and clips by camera and quarter of an hour, which no zone splits."""
        conditions, values = [], []
        if first is not None:
            conditions.append("start >= ?")
            values.append(first)
        if last is not None:
            conditions.append("start < ?")
            values.append(last)
        statement = (
            "SELECT camera, to_timestamp(floor(epoch(start) / 900) * 900) AS quarter, "
            "count(*) FILTER (kind = 'snapshot') AS snapshots, "
            "count(*) FILTER (kind = 'clip') AS clips "
            f"FROM {{source}} {_where(conditions)} GROUP BY ALL"
        )
        return self._queries.ask(statement, self._select(cameras, first, last), values)

    def cameras(self) -> pd.DataFrame:
        """Return one row a camera: what is set for it, its latest picture, and if it is silent.

        `first`, `latest` and `arrived` are aware local times (NaT where nothing
        ever came), `today` counts the uploads since local midnight, `snapshots`
        and `clips` all rows. A camera is silent when its last upload arrived
        longer ago than `silent_after_hours`. Addresses hold no passwords.
        """
        now = datetime.now(UTC)
        rows = [self._camera(name, now) for name in self.camera_names()]
        frame = pd.DataFrame(rows, columns=list(_CAMERA_COLUMNS))
        for column in ("first", "latest", "arrived"):
            times = pd.to_datetime(frame[column], utc=True)
            frame[column] = times.dt.as_unit("us").dt.tz_convert(self.zone)
        return frame

    def _camera(self, name: str, now: datetime) -> dict[str, Any]:
        said = self.settings.camera(name)
        parts = sorted(
            self.catalog.manifest().select(cameras=[name]), key=lambda item: item[0].date
        )
        latest = self._latest([part for _, part in parts])
        arrived = latest.get("arrived")
        silent_s = self.settings.silent_after_hours_of(name) * 3600
        return {
            "camera": name,
            "description": said.description,
            "admin_url": said.admin_url,
            "live_url": said.live_url,
            "first": _from_us(
                min((p.first_us for _, p in parts if p.first_us is not None), default=None)
            ),
            **latest,
            "today": self._today(name, now),
            "snapshots": sum(part.snapshots for _, part in parts),
            "clips": sum(part.clips for _, part in parts),
            "is_silent": arrived is None or (now - arrived).total_seconds() > silent_s,
        }

    def _latest(self, parts: list[Part]) -> dict[str, Any]:
        """Return the newest upload and the newest picture, from the newest parts that have them."""
        found: dict[str, Any] = {}
        for part in reversed(parts[-_LOOK_BACK:]):
            for column, value in self._newest_of(part).items():
                found.setdefault(column, value)
            if "latest_thumb" in found:
                break
        return found

    def _newest_of(self, part: Part) -> dict[str, Any]:
        frame = self._queries.ask(
            "SELECT max(start) AS latest, max(arrived) AS arrived, "
            "arg_max(media_id, start) FILTER (thumb IS NOT NULL) AS latest_media_id, "
            "arg_max(date, start) FILTER (thumb IS NOT NULL) AS latest_date, "
            "arg_max(thumb, start) FILTER (thumb IS NOT NULL) AS latest_thumb FROM {source}",
            [part],
        )
        row = frame.iloc[0].to_dict()
        return {str(column): value for column, value in row.items() if not pd.isna(value)}

    def _today(self, camera: str, now: datetime) -> int:
        local = now.astimezone(self.zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        parts = self._select([camera], midnight, midnight + timedelta(days=1))
        counted = self._queries.ask(
            "SELECT count(*) AS today FROM {source} WHERE start >= ?", parts, [midnight]
        )
        return int(counted["today"].iloc[0])

    def item(self, media_id: str, camera: str | None = None, date: Any = None) -> dict[str, Any]:
        """Return one upload as a dictionary of its columns; times aware in `zone`, nulls None.

        Quick when `camera` and `date` (its partition) are given; where they are
        outdated the whole catalog is asked. Raises QueryError if there is none.
        """
        manifest = self.catalog.manifest()
        hinted = manifest.media.get(Day(camera, _as_date(date))) if camera and date else None
        for parts in ([hinted] if hinted else [], list(manifest.media.values())):
            found = self._queries.ask(
                f"SELECT {', '.join(_quoted(name) for name in COLUMNS)} FROM {{source}} "
                "WHERE media_id = ?",
                parts,
                [media_id],
            )
            if len(found):
                return _plain(found.iloc[0])
        raise QueryError(f"expected the media_id of an upload in the catalog, came {media_id!r}.")

    def frames(
        self,
        media_id: Names = None,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
    ) -> pd.DataFrame:
        """Return the pictures kept of files.

        Columns: `media_id, offset_s, thumb, grid, grid_version, camera, date`.

        A snapshot has one at offset 0, a clip one a key frame; `grid` holds
        luminance bytes, plane by plane and row by row, of the shape
        `pano_analytics.inspect.GRID_SHAPE` (planes, rows, columns).
        `start` and `end` choose whole camera-days.
        """
        cameras = self._cameras_named(camera)
        first, last = self._range(start, end)
        wanted = (
            None
            if media_id is None
            else [media_id]
            if isinstance(media_id, str)
            else list(media_id)
        )
        conditions = [] if wanted is None else ["list_contains(?::VARCHAR[], media_id)"]
        return self._queries.ask(
            "SELECT media_id, offset_s, thumb, grid, grid_version, camera, date "
            f"FROM {{source}} {_where(conditions)} ORDER BY camera, date, media_id, offset_s",
            self._select(cameras, first, last, "frames"),
            [] if wanted is None else [wanted],
            table="frames",
        )

    def history(self, media_id: str) -> pd.DataFrame:
        """Return what the journal noted of one upload, oldest first: what it was, and when.

        Columns: `media_id, path, size_bytes, mtime, arrived, noted, sha256`, one
        row each time it was new, changed or opened (`sha256` is null before it
        was); no row for an upload never seen. Times are aware in `zone`.
        """
        found: pd.DataFrame = Journal(self.storage).history(media_id).to_pandas().drop_duplicates()
        for column in ("mtime", "arrived", "noted"):
            found[column] = found[column].dt.tz_convert(self.zone)
        return found.reset_index(drop=True)

    def duplicates(
        self, camera: Names = None, start: Moment = None, end: Moment = None
    ) -> pd.DataFrame:
        """Return the uploads that have the same content as another: same SHA-256, same size.

        The columns of `media` and `original_id`, the media_id of the one that
        arrived first (its own row is there too); originals sorted by arrival.
        Empty files are duplicates of nothing. Only uploads that overlap
        [start, end) of the chosen cameras are held against each other.
        """
        first, last = self._range(start, end)
        conditions, values = _overlap(first, last)
        known = ["sha256 IS NOT NULL", "size_bytes > 0", *conditions]
        parts = self._select(self._cameras_named(camera), first, last)
        return self._queries.ask(_DUPLICATES.format(where=_where(known)), parts, values)

    def sql(self, statement: str) -> pd.DataFrame:
        """Answer a statement in DuckDB's SQL over the views `media` and `frames`."""
        return self._queries.sql(statement)

    def thumbnail(self, row: Mapping[str, Any] | pd.Series | str) -> Image:
        """Return the kept thumbnail of a row (or of a `media_id`) as a picture.

        Raises MediaError where nothing of the file could be decoded.
        """
        from PIL import Image

        if isinstance(row, str):
            row = self.item(row)
        locator = row["thumb"]
        if locator is None or pd.isna(locator):
            raise MediaError(
                f"{row['path']}: expected a kept thumbnail; there is none, "
                f"because the file is {row['state']}."
            )
        return Image.open(BytesIO(self.thumbnail_bytes(str(locator))))

    def thumbnail_bytes(self, locator: str) -> bytes:
        """Return the JPEG behind a `thumb` value; MediaError where it leads nowhere."""
        name, _, span = locator.rpartition("/")
        offset, _, size = span.partition("-")
        if not (
            name.endswith(".pack")
            and offset.isascii()
            and offset.isdigit()
            and size.isascii()
            and size.isdigit()
        ):
            raise MediaError(f"expected a locator out of the column thumb, came {locator!r}.")
        try:
            data = self.storage.read_range(f"thumbs/{name}", int(offset), int(size))
        except (OSError, LibraryError, OverflowError) as error:
            raise MediaError(f"{locator}: expected a kept thumbnail; {error}") from error
        if len(data) != int(size):
            raise MediaError(
                f"{locator}: expected {size} bytes, came {len(data)}; run `pano ingest`."
            )
        return data

    def source(self, row: Mapping[str, Any] | pd.Series) -> Path:
        """Return where the upload of a row lies; MediaError where it is gone."""
        if self.uploads is None:
            raise MediaError(f"{row['path']}: expected `uploads` in the settings to find it below.")
        path = locate(self.uploads, str(row["path"]))
        root = self.uploads.resolve()
        if not path.resolve().is_relative_to(root) or not path.is_file() or path.is_symlink():
            raise MediaError(
                f"{row['path']}: expected the upload below {self.uploads}; it is gone."
            )
        return path


# `FROM media WHERE sha256 IS NOT NULL AND size_bytes > 0` in SQL over the views.
_DUPLICATES = f"""
SELECT {", ".join(f'"{name}"' for name in COLUMNS)}, original.media_id AS original_id FROM (
    SELECT *,
        count(*) OVER (PARTITION BY sha256, size_bytes) AS copies,
        first_value(struct_pack(media_id := media_id, arrived := arrived)) OVER (
            PARTITION BY sha256, size_bytes ORDER BY arrived, start, path
        ) AS original
    FROM {{{{source}}}} {{where}}
)
WHERE copies > 1
ORDER BY original.arrived, original_id, arrived, start, path
"""
_LOOK_BACK = 30
_CAMERA_COLUMNS = (
    "camera",
    "description",
    "admin_url",
    "live_url",
    "first",
    "latest",
    "latest_media_id",
    "latest_date",
    "latest_thumb",
    "arrived",
    "today",
    "snapshots",
    "clips",
    "is_silent",
)


def _named(names: Names, what: str, known: Sequence[str]) -> list[str] | None:
    if names is None:
        return None
    wanted = [names] if isinstance(names, str) else list(names)
    meant = [alike.find(name, known) for name in wanted]
    unknown = [name for name, found in zip(wanted, meant, strict=True) if found is None]
    if unknown:
        raise QueryError(
            f"{what}: expected one of {', '.join(known)}; came {', '.join(map(repr, unknown))}."
        )
    return list(dict.fromkeys(name for name in meant if name is not None))


def _overlap(first: datetime | None, last: datetime | None) -> tuple[list[str], list[Any]]:
    """Return conditions for [first, last): a clip that ended just then does not overlap."""
    conditions: list[str] = []
    values: list[Any] = []
    if first is not None:
        conditions.append('(start >= ? OR "end" > ?)')
        values += [first, first]
    if last is not None:
        conditions.append("start < ?")
        values.append(last)
    return conditions, values


def _where(conditions: Iterable[str]) -> str:
    joined = " AND ".join(conditions)
    return f"WHERE {joined}" if joined else ""


def _quoted(name: str) -> str:
    return f'"{name}"'


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1_000_000)


def _from_us(value: int | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


def _as_date(value: Any) -> Any:
    return pd.Timestamp(value).date()


def _plain(row: pd.Series) -> dict[str, Any]:
    return {str(name): (None if _is_null(value) else value) for name, value in row.items()}


def _is_null(value: Any) -> bool:
    return (
        value is None
        or value is pd.NaT
        or (isinstance(value, float) and value != value)
        or value is pd.NA
    )
