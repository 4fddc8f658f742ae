"""The manifest: which parts are current, and what is known of them without opening any."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np

from pano_analytics.errors import LibraryError
from pano_analytics.model import alike
from pano_analytics.model.tables import named
from pano_analytics.store.parts import Day, Part

MANIFEST = "manifest.json"
FORMAT = 1

Retired = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Manifest:
    """Which parts are current: `tables[table][day]` is that camera-day's part.

    A table that is not kept by camera and day has one part at most, that of `WHOLE`.
    """

    generation: int = 0
    tables: Mapping[str, Mapping[Day, Part]] = field(default_factory=dict)
    retired: Retired = ()

    def table(self, table: str) -> Mapping[Day, Part]:
        """Return the parts of a table by camera-day. Raises QueryError for an unknown table."""
        return self.tables.get(named(table).name, {})

    @property
    def media(self) -> Mapping[Day, Part]:
        """The parts of `media`."""
        return self.table("media")

    def everything(self) -> Iterator[tuple[str, Day, Part]]:
        """Yield every part with its table and camera-day; also of tables unknown to this pano."""
        for table, parts in self.tables.items():
            for day, part in parts.items():
                yield table, day, part

    def cameras(self) -> list[str]:
        """Return the names of all cameras that have a row, sorted."""
        return sorted(self._spans)

    @cached_property
    def _spans(self) -> dict[str, _Spans]:
        by_camera: dict[str, list[Day]] = defaultdict(list)
        for day in self.media:
            by_camera[day.camera].append(day)
        return {camera: _Spans.of(days, self.media) for camera, days in by_camera.items()}

    def select(
        self,
        table: str = "media",
        cameras: Iterable[str] | None = None,
        start_us: int | None = None,
        end_us: int | None = None,
    ) -> list[tuple[Day, Part]]:
        """Return the parts that may hold rows of `cameras` within [start, end), by day.

        Only parts of media have a span: that of the same day decides for every table. A
        camera that the catalog spells otherwise (see `alike`) is found, too. Of a table that
        is not kept by camera and day, its one part.
        """
        parts = self.table(table)
        if not named(table).is_by_day:
            return list(parts.items())
        spans = self._spans
        wanted = spans if cameras is None else _spelled(cameras, spans)
        days = (day for name in wanted for day in spans[name].touching(start_us, end_us))
        return [(day, parts[day]) for day in days if day in parts]


def _spelled(cameras: Iterable[str], spans: Iterable[str]) -> list[str]:
    known = list(spans)
    found = (name if name in known else alike.find(name, known) for name in cameras)
    return list(dict.fromkeys(name for name in found if name is not None))


@dataclass(frozen=True)
class _Spans:
    """One camera's days with their spans as arrays: a question costs the same after years."""

    days: list[Day]
    first_us: np.ndarray
    last_us: np.ndarray

    @classmethod
    def of(cls, days: list[Day], parts: Mapping[Day, Part]) -> _Spans:
        # A part without any time in it answers every question about time with no row.
        first = [parts[day].first_us for day in days]
        last = [parts[day].last_us for day in days]
        return cls(
            days,
            np.array([2**62 if value is None else value for value in first], dtype=np.int64),
            np.array([-(2**62) if value is None else value for value in last], dtype=np.int64),
        )

    def touching(self, start_us: int | None, end_us: int | None) -> list[Day]:
        if start_us is None and end_us is None:
            return self.days
        chosen = np.ones(len(self.days), dtype=bool)
        if start_us is not None:
            chosen &= self.last_us >= start_us
        if end_us is not None:
            chosen &= self.first_us < end_us
        return [self.days[index] for index in np.flatnonzero(chosen)]


_PART_FIELDS = (
    "path",
    "rows",
    "snapshots",
    "clips",
    "unread",
    "first_us",
    "last_us",
    "schema_version",
    "size_bytes",
    "held",
    "held_bytes",
    "states",
)


# Every other key of the document is a table, be it known to this pano or not.
_OWN = ("format", "generation", "fields", "retired")


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as it lies on the disk."""
    document = {
        "format": FORMAT,
        "generation": manifest.generation,
        "fields": _PART_FIELDS,
        **{table: _by_camera(parts) for table, parts in manifest.tables.items()},
        "retired": manifest.retired,
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _by_camera(parts: Mapping[Day, Part]) -> dict[str, dict[str, list[Any]]]:
    nested: dict[str, dict[str, list[Any]]] = defaultdict(dict)
    for day, part in sorted(parts.items()):
        nested[day.camera][day.date.isoformat()] = [getattr(part, name) for name in _PART_FIELDS]
    return nested


def decode(data: bytes) -> Manifest:
    """Return the manifest that was read. Raises LibraryError where it is none."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise LibraryError(
                f"{MANIFEST}: expected format {FORMAT}, got {document['format']}; "
                f"this library was written by a newer pano. Upgrade pano."
            )
        return Manifest(
            document["generation"],
            {name: dict(_flat(document[name])) for name in document if name not in _OWN},
            tuple((path, since) for path, since in document["retired"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LibraryError(
            f"{MANIFEST}: expected a manifest written by pano ({error}). Rebuild the catalog with "
            f"`pano rebuild`."
        ) from error


def _flat(nested: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[tuple[Day, Part]]:
    for camera, days in nested.items():
        for day, values in days.items():
            yield Day(camera, date.fromisoformat(day)), Part(*values)
