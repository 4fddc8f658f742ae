"""One camera's month: an immutable file that names its parts, and the totals of these."""

from __future__ import annotations

import json
import secrets
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from pano_analytics.errors import LibraryError
from pano_analytics.store.parts import CameraDay, Part, folder_name, summed

FOLDER = "manifests"
_FORMAT = 1
# A file name has at most 255 bytes; the file itself has the full name of the camera.
_LONGEST = 100
# Months to keep in memory: those of ten cameras for eight years.
_KEPT = 1024

# Parts by table and camera-day.
Content = Mapping[str, Mapping[CameraDay, Part]]

PART_FIELDS = (
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


class CameraMonth(NamedTuple):
    """A camera and a month of its own days, such as "2026-11"."""

    camera: str
    month: str

    @classmethod
    def of(cls, day: CameraDay) -> CameraMonth:
        """Return the month of a camera-day."""
        return cls(day.camera, day.date.isoformat()[:7])


@dataclass(frozen=True, slots=True)
class Month:
    """One camera's month, as in the root of the manifest.

    `days` counts its camera-days by table; `media` has the totals of its parts of `media`, as
    if they were one. A month that has no file yet has its `content`, and `file` is None.
    """

    key: CameraMonth
    file: str | None
    days: Mapping[str, int]
    media: Part
    content: Content | None = None

    @classmethod
    def of(cls, key: CameraMonth, content: Content) -> Month:
        """Return a month that has no file yet."""
        days = {table: len(parts) for table, parts in content.items() if parts}
        return cls(key, None, days, summed(content.get("media", {}).values()), content)


def by_month(parts: Iterable[tuple[str, CameraDay, Part | None]]) -> dict[CameraMonth, Content]:
    """Return parts, given with their tables and camera-days, grouped by month."""
    months: dict[CameraMonth, dict[str, dict[CameraDay, Any]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for table, day, part in parts:
        months[CameraMonth.of(day)][table][day] = part
    return dict(months)


def new_name(key: CameraMonth, generation: int) -> str:
    """Return a name that no file of a month had before."""
    camera = folder_name(key.camera)[:_LONGEST]
    return f"{FOLDER}/{camera}.{key.month}.{generation:08d}-{secrets.token_hex(8)}.json"


def encode(key: CameraMonth, content: Content) -> bytes:
    """Return the bytes of a month's file."""
    tables = {
        table: {
            day.date.isoformat(): [getattr(part, name) for name in PART_FIELDS]
            for day, part in sorted(parts.items())
        }
        for table, parts in content.items()
    }
    document = {"format": _FORMAT, **key._asdict(), "fields": PART_FIELDS, "tables": tables}
    return json.dumps(document, separators=(",", ":")).encode()


def decode(name: str, data: bytes) -> Content:
    """Return the parts that a month's file names. Raises LibraryError if it is invalid."""
    with naming_trouble(name):
        document = json.loads(data)
        camera = document["camera"]
        return {
            table: dict(parts_of_days(camera, days)) for table, days in document["tables"].items()
        }


def parts_of_days(camera: str, days: Mapping[str, list[Any]]) -> Iterator[tuple[CameraDay, Part]]:
    """Yield the parts of a camera from their JSON form, by date."""
    for day, values in days.items():
        yield CameraDay(camera, date.fromisoformat(day)), Part(*values)


@contextmanager
def naming_trouble(name: str) -> Iterator[None]:
    """Turn the errors of a damaged manifest file into a LibraryError that says what to do."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LibraryError(
            f"{name}: expected a manifest written by pano ({error}). Rebuild the catalog with "
            f"`pano rebuild`."
        ) from error


class MonthCache:
    """A cache of the months that were last used; safe to share between threads."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._months: OrderedDict[str, Content] = OrderedDict()

    def content(self, month: Month) -> Content:
        """Return the parts of a month. Raises OSError, and LibraryError if its file is damaged."""
        if month.content is not None:
            return month.content
        name = str(month.file)
        with self._lock:
            parts = self._months.get(name)
            if parts is not None:
                self._months.move_to_end(name)
                return parts
        parts = decode(name, self._read(name))
        with self._lock:
            self._months[name] = parts
            while len(self._months) > _KEPT:
                self._months.popitem(last=False)
        return parts
