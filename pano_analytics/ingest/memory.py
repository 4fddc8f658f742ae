"""What the last run saw in each folder, so that a run with nothing new does nothing.

Derived, never needed: without it a run looks at everything once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from pano_analytics.ingest.obstacles import NONE, Obstacle, Obstacles
from pano_analytics.ingest.unread import Heap, heap_from
from pano_analytics.store.catalog import CameraDay
from pano_analytics.store.storage import Storage

NAME = "state/walk.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """One unit as it was last seen: its fingerprint, counts, the days it fed, what is not read.

    `unread` are files that no layout reads, `obstacles` what could not be looked at.
    """

    fingerprint: str
    files: int
    unknown: int
    ignored: int
    days: tuple[CameraDay, ...]
    unread: Heap | None = None
    obstacles: Obstacles = NONE

    def after(self, before: Seen | None) -> Seen:
        """Return it with what is known from `before`: since when something is not read."""
        if before is None:
            return self
        unread = self.unread and self.unread.since(before.unread)
        seen = replace(self, unread=unread, obstacles=self.obstacles.since(before.obstacles))
        if self.obstacles.unreadable is None:
            return seen
        # What could not be looked at now may still lie where it did.
        return replace(seen, days=tuple(dict.fromkeys((*self.days, *before.days))))


@dataclass
class Memory:
    """All units as last seen, and when every one of them was looked at (Unix seconds).

    `reading` is the version of `layouts` that all of them were read by; `closed` are the
    files that could not be opened, by folder.
    """

    full_at: float = 0.0
    reading: int = 0
    units: dict[str, Seen] = field(default_factory=dict)
    closed: dict[str, Obstacle] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """How many files the tree held when last seen."""
        return sum(seen.files for seen in self.units.values())

    @property
    def unread(self) -> dict[str, Heap]:
        """What nothing reads, by unit."""
        return {path: seen.unread for path, seen in self.units.items() if seen.unread}

    @property
    def obstacles(self) -> dict[str, Obstacles]:
        """What could not be looked at, by unit."""
        return {path: seen.obstacles for path, seen in self.units.items() if any(seen.obstacles)}

    def respell(self, spell: Callable[[str], str]) -> None:
        """Remember under the names that `spell` gives which camera-days each unit fed."""
        for path, seen in self.units.items():
            days = tuple(CameraDay(spell(day.camera), day.date) for day in seen.days)
            if days != seen.days:
                self.units[path] = replace(seen, days=days)


def load(storage: Storage) -> Memory:
    """Return what was remembered; nothing where that is missing, torn or of another format."""
    try:
        document = json.loads(storage.read(NAME))
        if document["format"] != _FORMAT:
            return Memory()
        units = {path: _seen(values) for path, values in document["units"].items()}
        closed = {path: Obstacle(*one) for path, one in document.get("closed", {}).items()}
        return Memory(document["full_at"], document.get("reading", 0), units, closed)
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def _seen(values: list[object]) -> Seen:
    # What is not read is only there where something is, and not in an older memory.
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
    """Remember; called after the rows it speaks of were committed."""
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
    }
    storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())


def _not_read(seen: Seen) -> tuple[object, ...]:
    if any(seen.obstacles):
        return (seen.unread, seen.obstacles)
    return (seen.unread,) if seen.unread else ()
