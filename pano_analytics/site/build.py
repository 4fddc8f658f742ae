"""Making a site: the days that changed, then each camera's page, then the first one.

The order keeps links alive under whoever is looking: what is new is written
before what was there leads to it, and removed is what nothing leads to any more.
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
    """One camera's day whose pages are to be made, and what stands for what they are made of."""

    camera: Shown
    day: str
    digest: str

    @property
    def key(self) -> str:
        return f"{self.camera.folder}/{self.day}"


@dataclass(slots=True)
class BuildProgress:
    """What making days came to, of `total`; `stale` are files that no page leads to any more."""

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
    looked: Mapping[str, Any],
    is_full: bool,
    progress: Progress | None,
) -> SiteSummary:
    """Bring the pages of `site` up to date; its lock is held. Returns what was done.

    `looked` stands for the catalog and for all else that pages are made of.
    """
    began = time.monotonic()
    library = Library.of(settings)
    shown = Shown.all_of(library)
    work = SiteRun(library, site, shown, datetime.now(UTC))
    due = _due(work, known, str(looked["rest"]), is_full)
    new = [one for one in due if one.key not in known.days]
    _promise(work, known, root_id, due)
    tally = BuildProgress(total=len(due))
    _make_days(work, new, known, is_full, tally, progress)
    _make_new_cameras(work, known)
    _make_days(work, [one for one in due if one not in new], known, is_full, tally, progress)
    _make_faces(work, known)
    _sweep(work, known, tally)
    silence = work.next_silence()
    known.looked = {**looked, "due": silence and silence.isoformat()}
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
    """Return the days whose pages are to be made, newest first."""
    manifest = work.library.catalog.manifest()
    found = []
    for camera in work.shown:
        parts = camera.parts(manifest)
        for day in camera.days:
            one = DueDay(camera, day, _digest(work, camera, day, [rest, *parts[day]]))
            if is_full or not _is_made(work.site, known.days.get(one.key), one):
                found.append(one)
    return sorted(found, key=lambda one: one.day, reverse=True)


def _is_made(site: SiteFolder, before: BuiltDay | None, one: DueDay) -> bool:
    if before is None or before.inputs != one.digest:
        return False
    return len(site.own(one.key, names.IN_DAY)) == before.files


def _digest(work: SiteRun, camera: Shown, day: str, made_of: list[str]) -> str:
    """Return what stands for all that a day's pages show and lead to."""
    beside = [camera.day_beside(day, step) for step in (-1, 1)]
    ends = [near and (near, *camera.ends_of(near)) for near in beside]
    others = [other.folder for other in work.shown if day in other.days]
    is_packing = camera.is_packing(day, work.settings.site.clip_days)
    said = json.dumps([camera.name, day, made_of, ends, others, is_packing])
    return blake2b(said.encode(), digest_size=8).hexdigest()


def _promise(work: SiteRun, known: BuiltDays, root_id: str, due: list[DueDay]) -> None:
    """Name folders as the site's own before anything is in them, and days before they change.

    A run that is killed leaves days that are to be made, whatever it was told.
    """
    cameras = sorted({*known.cameras, *(camera.folder for camera in work.shown)})
    known.root_id, known.cameras, known.looked = root_id, cameras, {}
    known.days |= {one.key: replace(known.days.get(one.key, BuiltDay()), inputs="") for one in due}
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
    """Make the pages of each day, and note it in the list."""
    for one in due:
        known.days[one.key] = _make_day(work, one, is_full, tally)
        tally.days += 1
        if progress:
            progress("days", tally.days, tally.total)


def _make_day(work: SiteRun, one: DueDay, is_full: bool, tally: BuildProgress) -> BuiltDay:
    """Make one day's pages. Where a clip waits for room, the next run makes them again."""
    there = work.site.own(one.key, names.IN_DAY)
    maker = Maker(work.site, work.library, one.key, is_full, there)
    day = DayPages(work, one.camera, one.day, maker)
    kept = day.write() | maker.kept
    tally.stale[one.key] = there - kept
    tally.packed += maker.packed
    tally.waiting += maker.waiting
    return BuiltDay("" if maker.waiting else one.digest, len(kept), day.cuts)


def _make_new_cameras(work: SiteRun, known: BuiltDays) -> None:
    """Write the pages of cameras that had none: days that were there may lead to them now."""
    for name in _ASSETS:
        work.site.put(*pages.asset(name))
    for camera in work.shown:
        if names.INDEX not in work.site.own(camera.folder, names.IN_CAMERA):
            _make_camera(work, camera, known)


def _make_faces(work: SiteRun, known: BuiltDays) -> None:
    """Write each camera's page, and the first page."""
    for camera in work.shown:
        _make_camera(work, camera, known)
    work.site.put(names.INDEX, faces.first_page(work, known))


def _make_camera(work: SiteRun, camera: Shown, known: BuiltDays) -> None:
    page = faces.camera_page(work, camera, known)
    work.site.put(f"{camera.folder}/{names.INDEX}", page)


# --- what goes


def _sweep(work: SiteRun, known: BuiltDays, tally: BuildProgress) -> None:
    """Remove what no page leads to any more, and only what is the site's own."""
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
