"""What the last run found in each folder, so that a run without changes has nothing to do.

It can be deleted: without it, a run scans everything again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from pano_analytics.ingest.obstacles import NONE, Obstacle, Obstacles
from pano_analytics.ingest.unread import Heap, heap_from
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.store.catalog import CameraDay
from pano_analytics.store.storage import Storage

NAME = "state/walk.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """One unit as of its last scan: its fingerprint, counts and the camera-days of its rows.

    `unread` are files that no layout reads, `obstacles` entries that could not be read.
    """

    fingerprint: str
    files: int
    unknown: int
    ignored: int
    days: tuple[CameraDay, ...]
    unread: Heap | None = None
    obstacles: Obstacles = NONE

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras of its uploads."""
        return tuple({day.camera: None for day in self.days})

    def after(self, before: Seen | None) -> Seen:
        """Return it with what is known from `before`: since when entries are not read."""
        if before is None:
            return self
        unread = self.unread and self.unread.since(before.unread)
        seen = replace(self, unread=unread, obstacles=self.obstacles.since(before.obstacles))
        if self.obstacles.unreadable is None:
            return seen
        # What could not be read now may still be where it was.
        return replace(seen, days=tuple(dict.fromkeys((*self.days, *before.days))))


@dataclass
class Memory:
    """All units as of their last scan, and when all of them were last scanned (Unix seconds).

    `reading` is the version of `layouts` that read all of them; `closed` are the files that
    could not be opened, by folder. `clocks` are the corrections of cameras' clocks with which
    all units were read.
    """

    full_at: float = 0.0
    reading: int = 0
    units: dict[str, Seen] = field(default_factory=dict)
    closed: dict[str, Obstacle] = field(default_factory=dict)
    clocks: tuple[ClockCorrection, ...] = ()

    @property
    def files(self) -> int:
        """How many files the tree had at the last scan."""
        return sum(seen.files for seen in self.units.values())

    @property
    def unread(self) -> dict[str, Heap]:
        """The files that no layout reads, by unit."""
        return {path: seen.unread for path, seen in self.units.items() if seen.unread}

    @property
    def obstacles(self) -> dict[str, Obstacles]:
        """The entries that could not be read, by unit."""
        return {path: seen.obstacles for path, seen in self.units.items() if any(seen.obstacles)}

    def respell(self, spell: Callable[[str], str]) -> None:
        """Rename the cameras in the camera-days of each unit by `spell`."""
        for path, seen in self.units.items():
            days = tuple(CameraDay(spell(day.camera), day.date) for day in seen.days)
            if days != seen.days:
                self.units[path] = replace(seen, days=days)


def load(storage: Storage) -> Memory:
    """Return the stored memory; an empty one if it is missing, damaged or of another format."""
    try:
        document = json.loads(storage.read(NAME))
        if document["format"] != _FORMAT:
            return Memory()
        units = {path: _seen(values) for path, values in document["units"].items()}
        closed = {path: Obstacle(*one) for path, one in document.get("closed", {}).items()}
        clocks = tuple(ClockCorrection.of_json(**one) for one in document.get("clocks", ()))
        return Memory(document["full_at"], document.get("reading", 0), units, closed, clocks)
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def _seen(values: list[object]) -> Seen:
    # The last values are only there if needed, and never in older files.
    fingerprint, files, unknown, ignored, days, *not_read = values
    assert isinstance(days, list)
    unread, obstacles, *_ = (*not_read, None, None)
    heap = heap_from(unread) if unread else None  # type: ignore[arg-type]
    fed = tuple(CameraDay(camera, date.fromisoformat(day)) for camera, day in days)
    counts = (int(str(files)), int(str(unknown)), int(str(ignored)))
    return Seen(str(fingerprint), *counts, fed, heap, _obstacles(obstacles))


def _obstacles(values: object) -> Obstacles:
    if not values:
        return NONE
    assert isinstance(values, list)
    return Obstacles(*(one and Obstacle(*one) for one in values))


def save(storage: Storage, memory: Memory) -> None:
    """Store the memory; called after the rows of its units were committed."""
    units = {
        path: (
            seen.fingerprint,
            seen.files,
            seen.unknown,
            seen.ignored,
            [(day.camera, day.date.isoformat()) for day in seen.days],
            *_not_read(seen),
        )
        for path, seen in memory.units.items()
    }
    document = {
        "format": _FORMAT,
        "full_at": memory.full_at,
        "reading": memory.reading,
        "units": units,
        **({"closed": memory.closed} if memory.closed else {}),
        **({"clocks": [one.to_json() for one in memory.clocks]} if memory.clocks else {}),
    }
    storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())


def _not_read(seen: Seen) -> tuple[object, ...]:
    if any(seen.obstacles):
        return (seen.unread, seen.obstacles)
    return (seen.unread,) if seen.unread else ()
