"""How many days of uploads fit on the disk, and whether that is enough: "porch: only 9 of 14".

Method. The rate of a camera is its mean upload volume over its last `RATE_DAYS` whole days: the
bytes of all rows of those days (including culled and missing ones) divided by the number of days.
They are counted back from its newest day before today; days without an upload count as zero, and
days before the camera's first are not counted. The space of a disk is what is free on it plus
what the cameras with `keep_days` hold there now. If the sum of rate times `keep_days` exceeds
that, each camera of the disk gets the same number of days, but not more than its `keep_days`: the
largest whole number for which the sum fits. This is the result of deleting the oldest first. The
possible days of one camera are computed in the same way, without its own `keep_days`, so there
may be more of them than it keeps.

For a camera that keeps everything, neither the files it has nor its growth are counted for the
others. A camera with no files left needs nothing. A camera folder that is a mount point counts as
a separate disk.
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
    """The disk space of one camera: its rate, the bytes it has and needs, and the days that fit.

    `keep_days` and `wanted_bytes` are None for a camera that keeps everything.
    `disk_bytes` is the space of the disk for this camera and all its cameras with `keep_days`.
    `possible_days` is how many days would fit, whatever `keep_days` is; None if the camera
    uploads nothing, so that any number fits.
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
        """Whether fewer days fit than `keep_days`."""
        return self.text != ""

    @property
    def text(self) -> str:
        """The shortage in words, such as `porch: only 9 of 14`; empty if there is none."""
        if self.keep_days is None or self.possible_days is None:
            return ""
        short = self.possible_days < self.keep_days
        return f"{self.camera}: only {self.possible_days} of {self.keep_days}" if short else ""


def forecast(library: Library, now: datetime | None = None) -> pd.DataFrame:
    """Return one row per camera that has files: the columns of `Room`, `is_short`, `text`.

    Cameras without `keep_days` are included: `possible_days` says how many days would fit on
    the disk. `now` is an aware datetime.
    """
    import pandas as pd

    settings = settings_of(library)
    found = rooms(settings, Catalog(storage_of(settings)), now)
    rows = [{**one._asdict(), "is_short": one.is_short, "text": one.text} for one in found]
    frame = pd.DataFrame(rows, columns=[*Room._fields, "is_short", "text"])
    return frame.astype({"keep_days": "Int64", "possible_days": "Int64"})


def rooms(settings: Settings, catalog: Catalog, now: datetime | None = None) -> list[Room]:
    """Return the disk space of each camera that has files; [] if there is no upload root."""
    if not isinstance(catalog, Catalog):
        raise QueryError(f"catalog: expected that of a library; got {shown(catalog)}.")
    settings, now = split.with_cameras(settings_of(settings), catalog.storage), clock(now)
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
    """Return whether the root is not empty: a bare mount point is on another disk."""
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
    """Return a camera's newest parts, from which its rate is computed."""
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
    """Return the bytes of all uploads of a camera-day, and of those that still exist."""
    if part.size_bytes is None or part.held_bytes is None:
        # The part is older than these counts.
        total, _, held = sizes(catalog.read(part))
        return total, held
    return part.size_bytes, part.held_bytes


def _rate(totals: Mapping[date, int], today: date) -> float:
    """Return the bytes per day over the last RATE_DAYS whole days."""
    # Ignore today, and future days from clocks that are ahead.
    over = [day for day in totals if day < today]
    if not over:
        return float(max(totals.values(), default=0))
    last = max(over)
    first = max(min(over), last - timedelta(days=RATE_DAYS - 1))
    return sum(totals[day] for day in over if day >= first) / ((last - first).days + 1)


def _folder(settings: Settings, camera: str) -> Path:
    """Return the folder that a camera uploads to: its own, or the root if it has none."""
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
    """Yield the space of each camera on one disk."""
    free = shutil.disk_usage(cameras[0].folder).free
    for one in cameras:
        others = [other for other in cameras if other.keep_days and other is not one]
        space = free + one.held_bytes + sum(other.held_bytes for other in others)
        wants = [(float(other.keep_days or 0), other.rate) for other in others]
        days = _days_that_fit([*wants, (math.inf, one.rate)], space) if one.rate > 0 else math.inf
        wanted = None if one.keep_days is None else one.keep_days * one.rate
        possible = int(days) if math.isfinite(days) else None
        yield Room(one.name, one.keep_days, one.rate, one.held_bytes, wanted, space, possible)


def _days_that_fit(wants: list[tuple[float, float]], space: float) -> float:
    """Return the largest number of days for all, at most `keep_days` each, that fits in `space`."""
    left, rate = space, sum(rate for _, rate in wants)
    for keep_days, own in sorted(wants):
        if rate <= 0 or keep_days * rate > left:
            break
        # All get at least as many days as the camera with the fewest, which is now done.
        left -= keep_days * own
        rate -= own
    else:
        return max((keep_days for keep_days, _ in wants), default=0)
    if rate <= 0:
        return max(keep_days for keep_days, _ in wants)
    return left / rate
