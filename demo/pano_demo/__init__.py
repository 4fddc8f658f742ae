"""A demonstration home: six cameras, a fortnight of uploads, and the truth about them."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from zoneinfo import ZoneInfo

from pano_analytics.errors import SettingsError, UploadTreeError
from pano_analytics.model.times import is_zone, system_zone
from pano_demo.cameras import CAMERAS, DemoCamera
from pano_demo.habits import Event
from pano_demo.make import Progress, make_all
from pano_demo.plan import DemoPlan, make_plan
from pano_demo.story import FALSE_SORTS, INCIDENT
from pano_demo.truth import truth_path, write_truth

__all__ = [
    "CAMERAS",
    "FALSE_SORTS",
    "INCIDENT",
    "DemoCamera",
    "DemoPlan",
    "DemoSummary",
    "Event",
    "make_demo",
    "make_plan",
    "make_sample",
    "truth_path",
]

DEFAULT_DAYS = 15
_WORKERS = 2
# The sample's seed gives it a courier, a gust of wind and a truncated clip.
_SAMPLE_SEED = 14
_SAMPLE_END = datetime(2026, 11, 20, 12, 5)
_SAMPLE_FROM = timedelta(minutes=65)
_SAMPLE_WIDTH_PX = 256


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What was made: where, how much, and in how many seconds.

    `bytes_` counts the media files; `first` and `last` are the starts of the first and
    last event (aware, UTC), None where nothing happened.
    """

    root: Path
    truth: Path
    zone: str
    events: int
    false_alarms: int
    snapshots: int
    clips: int
    bytes_: int
    seconds: float
    first: datetime | None
    last: datetime | None


def make_demo(
    root: Path,
    *,
    seed: int = 1,
    end: date | datetime | None = None,
    days: int = DEFAULT_DAYS,
    cameras: int = len(CAMERAS),
    zone: str | None = None,
    workers: int = _WORKERS,
    progress: Progress | None = None,
) -> DemoSummary:
    """Make an upload tree at `root` and its truth beside it, in `root.truth.parquet`.

    `end` is the last instant (a naive one means `zone`, a date its last second); without
    one it is now. `zone` is the IANA zone of the home, by default that of this machine.
    `progress` is called with (files made, files in all). The same seed, end, zone, days
    and cameras give the same bytes and modification times, however many `workers`.
    Raises UploadTreeError where `root` holds something already, SettingsError for values
    that make no home.
    """
    began = time.monotonic()
    _check(root, days, cameras, zone)
    home = ZoneInfo(zone or system_zone())
    plan = make_plan(seed=seed, end=_instant(end, home), days=days, cameras=cameras)
    return _make(plan, root, workers, progress, began)


def make_sample(root: Path) -> DemoSummary:
    """Make the tiny tree of `data/sample`: an hour before two doors, in small pictures."""
    began = time.monotonic()
    end = _SAMPLE_END.replace(tzinfo=ZoneInfo("UTC"))
    _check(root, 1, 2, "UTC")
    plan = make_plan(seed=_SAMPLE_SEED, end=end, days=1, cameras=2)
    events = tuple(event for event in plan.events if event.start >= end - _SAMPLE_FROM)
    small = replace(plan, events=events, unfinished=None, width=_SAMPLE_WIDTH_PX)
    return _make(small, root, 1, None, began)


def _make(
    plan: DemoPlan, root: Path, workers: int, progress: Progress | None, began: float
) -> DemoSummary:
    root.mkdir(parents=True, exist_ok=True)
    make_all(plan, root, workers, progress)
    write_truth(truth_path(root), plan.events, _facts(plan))
    return _summary(plan, root, time.monotonic() - began)


def _check(root: Path, days: int, cameras: int, zone: str | None) -> None:
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UploadTreeError(
            f"expected a new or empty folder for the demonstration, but {root} holds "
            "something already; name another, or remove it first"
        )
    if days < 1:
        raise SettingsError(f"expected at least 1 day, got {days}")
    if not 1 <= cameras <= len(CAMERAS):
        raise SettingsError(f"expected 1 to {len(CAMERAS)} cameras, got {cameras}")
    if zone is not None and not is_zone(zone):
        raise SettingsError(f"expected an IANA zone such as Europe/Berlin, got {zone!r}")


def _instant(end: date | datetime | None, home: ZoneInfo) -> datetime:
    """Return the last instant of the story, in the zone of the home."""
    if end is None:
        return datetime.now(home).replace(microsecond=0)
    if not isinstance(end, datetime):
        end = datetime.combine(end, clock_time(23, 59, 59))
    return end.replace(tzinfo=home) if end.tzinfo is None else end.astimezone(home)


def _facts(plan: DemoPlan) -> dict[str, object]:
    return {
        "seed": plan.seed,
        "end": plan.end.astimezone(UTC).isoformat(),
        "zone": plan.zone.key,
        "days": len(plan.days),
        "cameras": [camera.name for camera in plan.cameras],
    }


def _summary(plan: DemoPlan, root: Path, seconds: float) -> DemoSummary:
    uploads = [upload for event in plan.events for upload in event.uploads]
    starts = [event.start for event in plan.events]
    return DemoSummary(
        root,
        truth_path(root),
        plan.zone.key,
        len(plan.events),
        sum(event.moment.false_sort is not None for event in plan.events),
        sum(upload.kind == "snapshot" for upload in uploads),
        sum(upload.kind == "clip" for upload in uploads),
        sum((root / upload.path).stat().st_size for upload in uploads),
        seconds,
        min(starts, default=None),
        max(starts, default=None),
    )
