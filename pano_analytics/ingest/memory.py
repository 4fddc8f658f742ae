"""What the last run saw in each folder, so that a run with nothing new does nothing.

Derived, never needed: without it a run looks at everything once more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

from pano_analytics.ingest.unread import Heap, heap_from
from pano_analytics.store.catalog import Day
from pano_analytics.store.storage import Storage

NAME = "state/walk.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """One unit as it was last seen: its fingerprint, counts, the days it fed, what is unread."""

    fingerprint: str
    files: int
    unknown: int
    ignored: int
    days: tuple[Day, ...]
    unread: Heap | None = None

    def after(self, before: Seen | None) -> Seen:
        """Return it with what is known from `before`: since when there is something unread."""
        if self.unread is None or before is None:
            return self
        return replace(self, unread=self.unread.since(before.unread))


@dataclass
class Memory:
    """All units as last seen, and when every one of them was looked at (Unix seconds).

    `reading` is the version of `layouts` that all of them were read by.
    """

    full_at: float = 0.0
    reading: int = 0
    units: dict[str, Seen] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """How many files the tree held when last seen."""
        return sum(seen.files for seen in self.units.values())

    @property
    def unread(self) -> dict[str, Heap]:
        """What nothing reads, by unit."""
        return {path: seen.unread for path, seen in self.units.items() if seen.unread}

    def respell(self, spell: Callable[[str], str]) -> None:
        """Remember under the names that `spell` gives which camera-days each unit fed."""
        for path, seen in self.units.items():
            days = tuple(Day(spell(day.camera), day.date) for day in seen.days)
            if days != seen.days:
                self.units[path] = replace(seen, days=days)


def load(storage: Storage) -> Memory:
    """Return what was remembered; nothing where that is missing, torn or of another format."""
    try:
        document = json.loads(storage.read(NAME))
        if document["format"] != _FORMAT:
            return Memory()
        units = {path: _seen(values) for path, values in document["units"].items()}
        return Memory(document["full_at"], document.get("reading", 0), units)
    except (OSError, ValueError, KeyError, TypeError):
        return Memory()


def _seen(values: list[object]) -> Seen:
    # What is unread is only there where something is, and not in an older memory.
    fingerprint, files, unknown, ignored, days, *unread = values
    assert isinstance(days, list)
    heap = heap_from(unread[0]) if unread else None  # type: ignore[arg-type]
    fed = tuple(Day(camera, date.fromisoformat(day)) for camera, day in days)
    counts = (int(str(files)), int(str(unknown)), int(str(ignored)))
    return Seen(str(fingerprint), *counts, fed, heap)


def save(storage: Storage, memory: Memory) -> None:
    """Remember; called after the rows it speaks of were committed."""
    units = {
        path: (
            seen.fingerprint,
            seen.files,
            seen.unknown,
            seen.ignored,
            [(day.camera, day.date.isoformat()) for day in seen.days],
            *((seen.unread,) if seen.unread else ()),
        )
        for path, seen in memory.units.items()
    }
    document = {
        "format": _FORMAT,
        "full_at": memory.full_at,
        "reading": memory.reading,
        "units": units,
    }
    storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())
