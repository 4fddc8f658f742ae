"""The manifest: which parts are current, and their statistics.

Its root names one immutable file per camera and month. The root has the totals of each month,
which are enough for most queries; a month's file is read when its camera-days are needed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pano_analytics.errors import LibraryError
from pano_analytics.model import alike
from pano_analytics.model.tables import named
from pano_analytics.store import months
from pano_analytics.store.months import CameraMonth, Content, Month
from pano_analytics.store.parts import CameraDay, Part, summed

MANIFEST = "manifest.json"
FORMAT = 2

Retired = tuple[tuple[str, float], ...]
# Parts by table and camera-day; None for a camera-day that no longer has one.
Written = Mapping[str, Mapping[CameraDay, Part | None]]


def _at_hand(month: Month) -> Content:
    assert month.content is not None, "a manifest that was read can read its months"
    return month.content


@dataclass(frozen=True)
class Manifest:
    """The current parts: `months`, sorted by camera and month, and the parts of each.

    A table that is not partitioned by camera and day has at most one part, that of `WHOLE`.
    Methods that read camera-days raise OSError or LibraryError if a month's file cannot be
    read.
    """

    generation: int = 0
    months: Mapping[CameraMonth, Month] = field(default_factory=dict)
    retired: Retired = ()
    content: Callable[[Month], Content] = field(default=_at_hand, repr=False, compare=False)

    # --- without reading months ---------------------------------------------

    def cameras(self) -> list[str]:
        """Return the names of all cameras that have a row, sorted."""
        return sorted(self._by_camera)

    def total(self, cameras: Iterable[str] | None = None) -> Part:
        """Return the totals of all parts of `media`, or those of some cameras (see `summed`)."""
        return summed(month.media for month in self._of(cameras))

    @cached_property
    def _by_camera(self) -> dict[str, list[Month]]:
        by_camera: dict[str, list[Month]] = defaultdict(list)
        for month in self.months.values():
            if month.days.get("media"):
                by_camera[month.key.camera].append(month)
        return dict(by_camera)

    def _of(self, cameras: Iterable[str] | None) -> Iterator[Month]:
        """Yield the months that have rows; cameras match in any spelling (see `alike`)."""
        wanted = self._by_camera if cameras is None else _spelled(cameras, self._by_camera)
        for name in wanted:
            yield from self._by_camera[name]

    # --- camera-days --------------------------------------------------------

    def table(self, table: str) -> Mapping[CameraDay, Part]:
        """Return the parts of a table by camera-day. Raises QueryError for an unknown table."""
        return _Parts(self, named(table).name)

    @property
    def media(self) -> Mapping[CameraDay, Part]:
        """The parts of `media`."""
        return self.table("media")

    def everything(self) -> Iterator[tuple[str, CameraDay, Part]]:
        """Yield every part with table and camera-day, including tables unknown to this version."""
        for month in self.months.values():
            for table, parts in self.content(month).items():
                for day, part in parts.items():
                    yield table, day, part

    def days_where(self, is_wanted: Callable[[Part], bool]) -> Iterator[tuple[CameraDay, Part]]:
        """Yield the camera-days whose parts of `media` are wanted, by camera and day.

        `is_wanted` is first called with the totals of each month: if it returns False, the
        days of that month are not read.
        """
        for month in self._of(None):
            if is_wanted(month.media):
                days = self.content(month)["media"].items()
                yield from ((day, part) for day, part in days if is_wanted(part))

    def newest_first(
        self, cameras: Iterable[str] | None = None
    ) -> Iterator[tuple[CameraDay, Part]]:
        """Yield camera-days and parts of `media`, newest day first; months are read as needed."""
        by_month: dict[str, list[Month]] = defaultdict(list)
        for month in self._of(cameras):
            by_month[month.key.month].append(month)
        for _, chosen in sorted(by_month.items(), reverse=True):
            days = [item for month in chosen for item in self.content(month)["media"].items()]
            yield from sorted(days, key=lambda item: (item[0].date, item[0].camera), reverse=True)

    def select(
        self,
        table: str = "media",
        cameras: Iterable[str] | None = None,
        start_us: int | None = None,
        end_us: int | None = None,
    ) -> list[tuple[CameraDay, Part]]:
        """Return the parts that may have rows of `cameras` within [start, end).

        `start_us` and `end_us` are microseconds since 1970 UTC. Only parts of `media` have a
        span: for other tables, that of the same day is used. Cameras match in any spelling
        (see `alike`). For a table that is not partitioned by camera and day, return its one
        part.
        """
        if not named(table).is_by_day:
            return list(self.table(table).items())
        selected: list[tuple[CameraDay, Part]] = []
        for month in self._of(cameras):
            if month.days.get(table) and _touches(month.media, start_us, end_us):
                content = self.content(month)
                parts = content[table]
                days = (d for d, p in content["media"].items() if _touches(p, start_us, end_us))
                selected += [(day, parts[day]) for day in days if day in parts]
        return selected

    # --- the next one -------------------------------------------------------

    def changed(self, written: Written) -> Manifest:
        """Return a manifest with changed parts; the changed months are not yet on disk."""
        parts = (
            (table, day, part) for table, days in written.items() for day, part in days.items()
        )
        new = dict(self.months)
        for key, changes in months.by_month(parts).items():
            old = self.content(self.months[key]) if key in self.months else {}
            content = {
                table: _merged(old.get(table, {}), changes.get(table, {}))
                for table in dict.fromkeys((*old, *changes))
            }
            new[key] = Month.of(key, content)
        kept = {key: month for key, month in sorted(new.items()) if month.days}
        return replace(self, months=kept)

    def files(self) -> list[str]:
        """Return the names of the files of its months."""
        return [month.file for month in self.months.values() if month.file is not None]


class _Parts(Mapping[CameraDay, Part]):
    """The parts of one table by camera-day; months are read when they are needed."""

    def __init__(self, manifest: Manifest, table: str) -> None:
        self._manifest, self._table = manifest, table

    def _of(self, month: Month) -> Mapping[CameraDay, Part]:
        if not month.days.get(self._table):
            return {}
        return self._manifest.content(month)[self._table]

    def __getitem__(self, day: CameraDay) -> Part:
        return self._of(self._manifest.months[CameraMonth.of(day)])[day]

    def __iter__(self) -> Iterator[CameraDay]:
        for month in self._manifest.months.values():
            yield from self._of(month)

    def __len__(self) -> int:
        return sum(month.days.get(self._table, 0) for month in self._manifest.months.values())


def _touches(part: Part, start_us: int | None, end_us: int | None) -> bool:
    # A part without any times has no rows in any range.
    if start_us is not None and (part.last_us is None or part.last_us < start_us):
        return False
    return end_us is None or (part.first_us is not None and part.first_us < end_us)


def _spelled(cameras: Iterable[str], among: Mapping[str, object]) -> list[str]:
    matches = (name if name in among else alike.find(name, among) for name in cameras)
    return list(dict.fromkeys(name for name in matches if name is not None))


def _merged(
    old: Mapping[CameraDay, Part], new: Mapping[CameraDay, Part | None]
) -> dict[CameraDay, Part]:
    merged: dict[CameraDay, Part | None] = {**old, **new}
    return {day: part for day, part in sorted(merged.items()) if part is not None}


# --- on the disk ------------------------------------------------------------

# The totals of each month in the root, besides the numbers of its days: one list per field,
# which JSON reads twice as fast as one object per month.
_SUMS = tuple(name for name in months.PART_FIELDS if name not in ("path", "schema_version"))


def encode(manifest: Manifest) -> bytes:
    """Return the root as the bytes of its file; its months must have files."""
    chosen = list(manifest.months.values())
    tables = dict.fromkeys(table for month in chosen for table in month.days)
    document = {
        "format": FORMAT,
        "generation": manifest.generation,
        "cameras": [month.key.camera for month in chosen],
        "months": [month.key.month for month in chosen],
        "files": [month.file for month in chosen],
        "days": {table: [month.days.get(table, 0) for month in chosen] for table in tables},
        "media": {name: [getattr(month.media, name) for month in chosen] for name in _SUMS},
        "retired": manifest.retired,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decode(data: bytes, content: Callable[[Month], Content]) -> Manifest:
    """Return the manifest of a root file; `content` reads its months.

    Raises LibraryError if the file is invalid, or from a newer version of pano.
    """
    with months.naming_trouble(MANIFEST):
        document = json.loads(data)
        if document["format"] not in (1, FORMAT):
            raise LibraryError(
                f"{MANIFEST}: expected format {FORMAT}, got {document['format']}; "
                f"this library was written by a newer pano. Upgrade pano."
            )
        by_month = _of_one_file(document) if document["format"] == 1 else dict(_months(document))
        retired = tuple((path, since) for path, since in document["retired"])
        return Manifest(document["generation"], by_month, retired, content)


def _months(document: Mapping[str, Any]) -> Iterator[tuple[CameraMonth, Month]]:
    sums = (document["media"][name] for name in _SUMS)
    days = document["days"]
    columns = (document["cameras"], document["months"], document["files"])
    for at, (camera, month, file, *values) in enumerate(zip(*columns, *sums, strict=True)):
        key = CameraMonth(camera, month)
        counts = {table: of[at] for table, of in days.items() if of[at]}
        yield key, Month(key, file, counts, Part("", **dict(zip(_SUMS, values, strict=True))))


def _of_one_file(document: Mapping[str, Any]) -> dict[CameraMonth, Month]:
    """Return the months of a manifest of format 1, which has one file for all."""
    parts = (
        (table, day, part)
        for table in document
        if table not in ("format", "generation", "fields", "retired")
        for camera, days in document[table].items()
        for day, part in months.parts_of_days(camera, days)
    )
    return {key: Month.of(key, content) for key, content in sorted(months.by_month(parts).items())}
