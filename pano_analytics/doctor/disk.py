"""Can the disk hold the configured days? The forecast of culling, as findings."""

from __future__ import annotations

from collections.abc import Iterator

from pano_analytics.doctor.findings import Finding
from pano_analytics.library import Library
from pano_analytics.upkeep.culling import Room, rooms
from pano_analytics.wording import many


def check(library: Library) -> Iterator[Finding]:
    """Yield a finding for each camera whose `keep_days` its disk cannot hold."""
    for room in rooms(library.settings, library.catalog):
        if room.is_short and room.possible_days is not None and room.keep_days is not None:
            yield _short(room, room.possible_days, room.keep_days)


def _short(room: Room, possible_days: int, keep_days: int) -> Finding:
    evidence = (
        f"only {possible_days} of {many(keep_days, 'day')}: it uploads "
        f"{_size(room.bytes_per_day)} per day, and its disk has "
        f"{_size(room.disk_bytes)} for all cameras that share it"
    )
    advice = (
        "Lower keep_days to what fits, make the camera upload less (a lower bit rate, fewer false "
        "alarms), or use a larger disk."
    )
    fields = (room.camera, "disk_small", "problem", "likely", evidence, advice)
    return Finding(*fields, possible_days, keep_days)


def _size(size_bytes: float) -> str:
    unit, size = ("GB", 1e9) if size_bytes >= 1e9 else ("MB", 1e6)
    return f"{size_bytes / size:.1f} {unit}"
