"""Whether the disk can hold the days wanted, and how many it can: "porch: only 9 of 14".

Method. A camera uploads at the mean of its last `RATE_DAYS` whole days: the
bytes of all rows of those days (culled and missing ones were uploaded too) over
their number, counted back from its newest day, which counts only when it is
over; days without an upload count as nothing, days before the camera's first do
not count. What a disk has for uploads is what is free on it and what the
cameras with `keep_days` hold there now. If the sum of rate times `keep_days` is
more than that, each camera of that disk gets the same number of days, but none
more than it wants: the largest number for which the sum fits, whole days only.
That is what happens when the oldest goes first. How many days are possible for one
camera is the same number, with no wish of its own: it may be more than it keeps.

A camera that keeps everything has no bound; what it holds is not counted as
room for others, and its growth not as their need. A camera of which nothing is left asks for
nothing. Folders of cameras that are mounts of their own are disks of their own.
"""

from __future__ import annotations

import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pano_analytics.errors import QueryError
from pano_analytics.model.upload import as_on_disk, locate
from pano_analytics.settings import Settings
from pano_analytics.store import split
from pano_analytics.store.catalog import Catalog, Manifest, Part, sizes
from pano_analytics.upkeep.culling.places import clock, settings_of, shown, storage_of

if TYPE_CHECKING:
    import pandas as pd

    from pano_analytics.library import Library

RATE_DAYS = 7


class Room(NamedTuple):
    """One camera: what it uploads a day, what is there, what it wants, and what is possible.

    `keep_days` and `wanted_bytes` are None for a camera that keeps everything.
    `disk_bytes` is what the disk has for all its cameras with `keep_days`, and for this one.
    `possible_days` is how many days would fit, whatever `keep_days` is; None where the
    camera uploads nothing, so that any number does.
    """

    camera: str
    keep_days: int | None
    bytes_per_day: float
    held_bytes: int
    wanted_bytes: float | None
    disk_bytes: int
    possible_days: int | None

    @property
    def is_short(self) -> bool:
        """Whether fewer days fit than are wanted."""
        return self.text != ""

    @property
    def text(self) -> str:
        """The shortage in words, `porch: only 9 of 14`; empty where there is none."""
        if self.keep_days is None or self.possible_days is None:
            return ""
        short = self.possible_days < self.keep_days
        return f"{self.camera}: only {self.possible_days} of {self.keep_days}" if short else ""


def forecast(library: Library, now: datetime | None = None) -> pd.DataFrame:
    """Return one row per camera that holds anything: the columns of `Room`, `is_short`, `text`.

    Also without `keep_days`: `possible_days` says how many days would fit on the disk.
    """
    import pandas as pd

    settings = settings_of(library)
    found = rooms(settings, Catalog(storage_of(settings)), now)
    rows = [{**one._asdict(), "is_short": one.is_short, "text": one.text} for one in found]
    frame = pd.DataFrame(rows, columns=[*Room._fields, "is_short", "text"])
    return frame.astype({"keep_days": "Int64", "possible_days": "Int64"})


def rooms(settings: Settings, catalog: Catalog, now: datetime | None = None) -> list[Room]:
    """Return what the disk has for each camera that holds anything; none without upload root."""
    if not isinstance(catalog, Catalog):
        raise QueryError(f"catalog: expected that of a library; got {shown(catalog)}.")
    settings, now = split.followed(settings_of(settings), catalog.storage), clock(now)
    if not _is_mounted(settings.uploads):
        return []
    today = (now or datetime.now(UTC)).date()
    held = [one for one in _cameras(settings, catalog, today) if one.held_bytes]
    disks = defaultdict[int, list[_Camera]](list)
    for one in held:
        if one.device is not None:
            disks[one.device].append(one)
    found = [room for own in disks.values() for room in _shared(own)]
    return sorted(found, key=lambda one: one.camera)


def _is_mounted(root: Path | None) -> bool:
    """Tell whether the root holds anything: a bare mount point is of another disk."""
    try:
        with os.scandir(root or "") as listing:
            return next(listing, None) is not None
    except OSError:
        return False


class _Camera(NamedTuple):
    name: str
    keep_days: int | None
    rate: float
    held_bytes: int
    folder: Path
    device: int | None


def _cameras(settings: Settings, catalog: Catalog, today: date) -> Iterable[_Camera]:
    manifest = catalog.manifest()
    for camera in manifest.cameras():
        folder = _folder(settings, camera)
        recent = _recent(manifest, camera, today)
        yield _Camera(
            camera,
            settings.keep_days_of(camera),
            _rate({day: _measured(catalog, part)[0] for day, part in recent.items()}, today),
            _held_bytes(catalog, manifest, camera),
            folder,
            _device(folder),
        )


def _recent(manifest: Manifest, camera: str, today: date) -> dict[date, Part]:
    """Return a camera's newest parts: those that its rate is measured by."""
    recent: dict[date, Part] = {}
    last: date | None = None
    for day, part in manifest.newest_first([camera]):
        last = day.date if last is None and day.date < today else last
        if last is not None and day.date < last - timedelta(days=RATE_DAYS):
            break
        recent[day.date] = part
    return recent


def _held_bytes(catalog: Catalog, manifest: Manifest, camera: str) -> int:
    known = manifest.total([camera]).held_bytes
    if known is not None:
        return known
    return sum(_measured(catalog, part)[1] for _, part in manifest.select(cameras=[camera]))


def _measured(catalog: Catalog, part: Part) -> tuple[int, int]:
    """Return the bytes of all uploads of a camera-day, and of those still there."""
    if part.size_bytes is None or part.held_bytes is None:
        # Written before these were counted.
        total, _, held = sizes(catalog.read(part))
        return total, held
    return part.size_bytes, part.held_bytes


def _rate(totals: Mapping[date, int], today: date) -> float:
    """Return bytes a day over the last RATE_DAYS whole days."""
    # Clocks that run ahead name days to come; today is not over.
    over = [day for day in totals if day < today]
    if not over:
        return float(max(totals.values(), default=0))
    last = max(over)
    first = max(min(over), last - timedelta(days=RATE_DAYS - 1))
    return sum(totals[day] for day in over if day >= first) / ((last - first).days + 1)


def _folder(settings: Settings, camera: str) -> Path:
    """Return the folder that a camera uploads to: its own, or the root where it has none."""
    assert settings.uploads is not None
    folder = settings.camera(camera).upload_folders[0]
    own = locate(settings.uploads, as_on_disk(settings.uploads, folder))
    return own if own.is_dir() else settings.uploads


def _device(folder: Path) -> int | None:
    try:
        return folder.stat().st_dev
    except OSError:
        return None


def _shared(cameras: list[_Camera]) -> Iterable[Room]:
    """Yield what each camera of one disk gets of it."""
    free = shutil.disk_usage(cameras[0].folder).free
    for one in cameras:
        others = [other for other in cameras if other.keep_days and other is not one]
        room = free + one.held_bytes + sum(other.held_bytes for other in others)
        wants = [(float(other.keep_days or 0), other.rate) for other in others]
        days = _days_that_fit([*wants, (math.inf, one.rate)], room) if one.rate > 0 else math.inf
        wanted = None if one.keep_days is None else one.keep_days * one.rate
        possible = int(days) if math.isfinite(days) else None
        yield Room(one.name, one.keep_days, one.rate, one.held_bytes, wanted, room, possible)


def _days_that_fit(wants: list[tuple[float, float]], room: float) -> float:
    """Return the largest number of days for all, none more than it wants, that fits in `room`."""
    left, rate = room, sum(rate for _, rate in wants)
    for keep_days, own in sorted(wants):
        if rate <= 0 or keep_days * rate > left:
            break
        # All get at least what the most modest wants; it is served.
        left -= keep_days * own
        rate -= own
    else:
        return max((keep_days for keep_days, _ in wants), default=0)
    if rate <= 0:
        return max(keep_days for keep_days, _ in wants)
    return left / rate
