"""Build a site: the days that changed, then each camera's page, then the first page.

The order keeps links valid for visitors during a build: new files are written before
existing pages link to them, and files are removed only when no page links to them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from pano_analytics.library import Library
from pano_analytics.settings import Settings
from pano_analytics.site import faces, names, pages
from pano_analytics.site.day import DayPages
from pano_analytics.site.folder import BuiltDay, BuiltDays, SiteFolder
from pano_analytics.site.made import Maker
from pano_analytics.site.shown import Shown, SiteRun
from pano_analytics.site.summary import Progress, SiteSummary

_ASSETS = ("pano.css", "pano.js")


@dataclass(frozen=True, slots=True)
class DueDay:
    """One camera's day whose pages must be written, and a digest of their inputs."""

    camera: Shown
    day: str
    digest: str

    @property
    def key(self) -> str:
        return f"{self.camera.folder}/{self.day}"


@dataclass(slots=True)
class BuildProgress:
    """The progress over `total` days; `stale` are files per folder that no page links to."""

    total: int
    days: int = 0
    packed: int = 0
    waiting: int = 0
    stale: dict[str, set[str]] = field(default_factory=dict)


def build(
    settings: Settings,
    site: SiteFolder,
    known: BuiltDays,
    root_id: str,
    fingerprints: Mapping[str, Any],
    is_full: bool,
    progress: Progress | None,
) -> SiteSummary:
    """Update the pages of `site`, whose lock the caller holds; return a summary.

    `fingerprints` identify the catalog and all other inputs of the pages.
    """
    began = time.monotonic()
    library = Library.of(settings)
    shown = Shown.all_of(library)
    work = SiteRun(library, site, shown, datetime.now(UTC))
    due_days = _due(work, known, str(fingerprints["rest"]), is_full)
    new_days = [day for day in due_days if day.key not in known.days]
    _record_plan(work, known, root_id, due_days)
    tally = BuildProgress(total=len(due_days))
    _make_days(work, new_days, known, is_full, tally, progress)
    _make_new_cameras(work, known)
    _make_days(
        work, [day for day in due_days if day not in new_days], known, is_full, tally, progress
    )
    _make_overviews(work, known)
    _sweep(work, known, tally)
    silence = work.next_silence()
    known.fingerprints = {**fingerprints, "due": silence and silence.isoformat()}
    site.save(known)
    return _summary(work, known, tally, time.monotonic() - began)


def _summary(work: SiteRun, known: BuiltDays, tally: BuildProgress, seconds: float) -> SiteSummary:
    return SiteSummary(
        work.site.root,
        cameras=len(known.cameras),
        days=len(known.days),
        days_made=tally.days,
        written=len(work.site.written),
        removed=work.site.removed,
        clips_packed=tally.packed,
        clips_waiting=tally.waiting,
        seconds=round(seconds, 3),
    )


# --- which days


def _due(work: SiteRun, known: BuiltDays, rest: str, is_full: bool) -> list[DueDay]:
    """Return the days whose pages must be written, newest first."""
    manifest = work.library.catalog.manifest()
    due = []
    for camera in work.shown:
        paths = camera.parts(manifest)
        for day in camera.days:
            due_day = DueDay(camera, day, _digest(work, camera, day, [rest, *paths[day]]))
            if is_full or not _is_current(work.site, known.days.get(due_day.key), due_day):
                due.append(due_day)
    return sorted(due, key=lambda due_day: due_day.day, reverse=True)


def _is_current(site: SiteFolder, built: BuiltDay | None, due_day: DueDay) -> bool:
    if built is None or built.inputs != due_day.digest:
        return False
    return len(site.own(due_day.key, names.IN_DAY)) == built.files


def _digest(work: SiteRun, camera: Shown, day: str, parts: list[str]) -> str:
    """Return a digest of everything that a day's pages show and link to."""
    neighbours = [camera.day_beside(day, step) for step in (-1, 1)]
    ends = [neighbour and (neighbour, *camera.ends_of(neighbour)) for neighbour in neighbours]
    others = [other.folder for other in work.shown if day in other.days]
    is_packing = camera.is_packing(day, work.settings.site.clip_days)
    content = json.dumps([camera.name, day, parts, ends, others, is_packing])
    return blake2b(content.encode(), digest_size=8).hexdigest()


def _record_plan(work: SiteRun, known: BuiltDays, root_id: str, due: list[DueDay]) -> None:
    """Save the site's folders before they get any files, and mark days before they change.

    After a killed run, the next one therefore writes the unfinished days again.
    """
    cameras = sorted({*known.cameras, *(camera.folder for camera in work.shown)})
    known.root_id, known.cameras, known.fingerprints = root_id, cameras, {}
    known.days |= {
        due_day.key: replace(known.days.get(due_day.key, BuiltDay()), inputs="") for due_day in due
    }
    work.site.save(known)


# --- making


def _make_days(
    work: SiteRun,
    due: list[DueDay],
    known: BuiltDays,
    is_full: bool,
    tally: BuildProgress,
    progress: Progress | None,
) -> None:
    """Write the pages of each day, and record it in the list."""
    for due_day in due:
        known.days[due_day.key] = _make_day(work, due_day, is_full, tally)
        tally.days += 1
        if progress:
            progress("days", tally.days, tally.total)


def _make_day(work: SiteRun, due_day: DueDay, is_full: bool, tally: BuildProgress) -> BuiltDay:
    """Write one day's pages. If a clip waits for disk space, the next run writes them again."""
    existing = work.site.own(due_day.key, names.IN_DAY)
    maker = Maker(work.site, work.library, due_day.key, is_full, existing)
    day = DayPages(work, due_day.camera, due_day.day, maker)
    kept = day.write() | maker.kept
    tally.stale[due_day.key] = existing - kept
    tally.packed += maker.packed
    tally.waiting += maker.waiting
    return BuiltDay("" if maker.waiting else due_day.digest, len(kept), day.cuts)


def _make_new_cameras(work: SiteRun, known: BuiltDays) -> None:
    """Write the pages of new cameras, before existing days link to them."""
    for name in _ASSETS:
        work.site.put(*pages.asset(name))
    for camera in work.shown:
        if names.INDEX not in work.site.own(camera.folder, names.IN_CAMERA):
            _make_camera(work, camera, known)


def _make_overviews(work: SiteRun, known: BuiltDays) -> None:
    """Write each camera's page, and the first page."""
    for camera in work.shown:
        _make_camera(work, camera, known)
    work.site.put(names.INDEX, faces.first_page(work, known))


def _make_camera(work: SiteRun, camera: Shown, known: BuiltDays) -> None:
    page = faces.camera_page(work, camera, known)
    work.site.put(f"{camera.folder}/{names.INDEX}", page)


# --- removal


def _sweep(work: SiteRun, known: BuiltDays, tally: BuildProgress) -> None:
    """Remove the files that no page links to, and only the site's own."""
    site = work.site
    for folder, stale in tally.stale.items():
        site.remove(folder, sorted(stale))
    for key in sorted(set(known.days) - set(work.keys())):
        site.clear(key, names.IN_DAY)
        del known.days[key]
    folders = {camera.folder for camera in work.shown}
    for camera in sorted(folders):
        site.remove(camera, sorted(site.own(camera, names.IN_CAMERA) - {names.INDEX}))
    for camera in sorted(set(known.cameras) - folders):
        site.clear(camera, names.IN_CAMERA)
    known.cameras = sorted(folders)
    own = {names.INDEX, *(pages.asset(name)[0] for name in _ASSETS)}
    site.remove("", sorted(site.own("", names.IN_ROOT) - own))
