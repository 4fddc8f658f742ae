"""The state of the library, for people and monitoring tools.

Reads only the manifest, the heartbeat and each camera's newest part: no upload is opened, and
the tree is not walked. Nothing is written.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from pano_analytics.analysis.lags import NEEDED, CameraError, shown_error
from pano_analytics.analysis.silence import is_silent
from pano_analytics.errors import DecisionsError, JournalError, LibraryError, PanoError
from pano_analytics.ingest import obstacles, unread
from pano_analytics.model import alike
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.receive import records, refusals
from pano_analytics.service.supervise.state import read_state
from pano_analytics.settings import Settings
from pano_analytics.store import own_tree, runs, split, timekeeping
from pano_analytics.store.catalog import Catalog, Manifest, counts
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.home import library_of
from pano_analytics.store.journal import Journal
from pano_analytics.store.locks import is_written
from pano_analytics.store.storage import Space, Storage, space_of
from pano_analytics.store.tree import ADOPTED
from pano_analytics.upkeep import culling
from pano_analytics.wording import many, plural

# The values of `what` in `problems`.
PROBLEMS = (
    "uploads_unreachable",
    "never_ran",
    "last_run_failed",
    "stale",
    "camera_silent",
    "unread",
    "unreadable",
    "part_unreadable",
    "journal_torn",
    "part_down",
    "up_ended",
    "disk_too_small",
    "cull_stopped",
    "upload_refused",
    "clock_doubtful",
    "clock_off",
    "uploads_strange",
    "marker_missing",
)
# Exit codes that are no problem: a run ended on request continues with the next one, and
# --max-age reports if there is none.
_NORMAL_EXITS = (0, runs.INTERRUPTED, runs.ENDED)
_TRIES = 3
_NOT_READ = (obstacles.UNREADABLE, obstacles.SKIPPED)


def collect(settings: Settings, max_age_minutes: float | None = None) -> dict[str, Any]:
    """Return the state of the library of `settings`, ready for JSON; times in UTC (ISO 8601).

    The keys are documented in `docs/operations.md`, and are only added to. If the last run
    ended more than `max_age_minutes` ago, that is a problem. Raises LibraryError if there is
    no library or its manifest cannot be read.
    """
    storage = library_of(settings)
    settings = split.with_cameras(settings, storage)
    now = datetime.now(UTC)
    manifest, states, cameras = _catalog(storage, settings, now)
    total = manifest.total()
    report: dict[str, Any] = {
        "now": _iso(now),
        "library": _disk(storage.address(), storage.space),
        "uploads": _uploads(storage, settings.uploads),
        "generation": manifest.generation,
        "is_running": is_running(storage),
        "last_run": _last_run(storage, now),
        "up": read_state(storage),
        "rows": total.rows,
        "snapshots": total.snapshots,
        "clips": total.clips,
        "waiting": total.unread,
        "states": states,
        "cameras": cameras,
        "unread": _unread(settings, storage, manifest),
        **{word: _blocked(settings, storage, word) for word in _NOT_READ},
        "journal_torn": [one._asdict() for one in Journal(storage).torn()],
        "culling": _culling(settings, storage),
        "receive": _receive(storage),
        "clock_errors": _clock_errors(settings, storage, manifest),
    }
    problems = list(_problems(report, max_age_minutes))
    return {**report, "problems": problems, "is_healthy": not problems}


def _catalog(
    storage: Storage, settings: Settings, now: datetime
) -> tuple[Manifest, dict[str, int] | None, list[dict[str, Any]]]:
    """Return one generation's manifest, states and cameras; states None if a part is torn."""
    catalog = Catalog(storage)
    for left in reversed(range(_TRIES)):
        manifest = catalog.manifest()
        try:
            return manifest, _states(storage, manifest), _cameras(storage, settings, manifest, now)
        except FileNotFoundError:
            # The part was superseded and removed after the manifest was read: read it again.
            if not left:
                break
        except (OSError, pa.ArrowException):
            break
    return manifest, None, []


def _states(storage: Storage, manifest: Manifest) -> dict[str, int]:
    """Return how many rows are in each state, most first; old parts have to be opened for it."""
    known = manifest.total().states
    total = Counter(known or {})
    for part in manifest.media.values() if known is None else ():
        total.update(part.states or counts(Catalog(storage).column(part, "state")))
    return dict(total.most_common())


def _cameras(
    storage: Storage, settings: Settings, manifest: Manifest, now: datetime
) -> list[dict[str, Any]]:
    known = settings.names
    names = [*known, *(name for name in manifest.cameras() if alike.find(name, known) is None)]
    return [_camera(storage, settings, manifest, name, now) for name in names]


def _camera(
    storage: Storage, settings: Settings, manifest: Manifest, name: str, now: datetime
) -> dict[str, Any]:
    total = manifest.total([name])
    _, newest = next(manifest.newest_first([name]), (None, None))
    arrived = pc.max(Catalog(storage).column(newest, "arrived")).as_py() if newest else None
    latest = total.last_us
    hours = settings.silent_after_hours_of(name)
    return {
        "camera": name,
        "rows": total.rows,
        "latest": None if latest is None else _iso(datetime.fromtimestamp(latest / 1e6, UTC)),
        "arrived": None if arrived is None else _iso(arrived),
        "silent_after_hours": hours,
        "is_silent": is_silent(arrived, hours, now),
    }


def _unread(settings: Settings, storage: Storage, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the folders with files that no layout reads, newest first."""
    zone = ZoneInfo(settings.zone)
    return [
        {
            "folder": one.folder,
            "camera": one.camera,
            "files": one.files,
            "first": _iso(one.first),
            "last": _iso(one.last),
            "sample": one.sample,
            "reason": one.reason,
            "template": one.template,
            "advice": one.advice,
            "snippet": one.snippet,
            "is_problem": one.is_problem,
            "text": one.text(zone),
        }
        for one in unread.places(settings, storage, manifest.cameras())
    ]


def _blocked(settings: Settings, storage: Storage, word: str) -> list[dict[str, Any]]:
    """Return the folders with entries that could not be read, or were skipped, newest first."""
    zone = ZoneInfo(settings.zone)
    return [
        {
            "folder": one.folder,
            "camera": one.camera,
            "entries": one.entries,
            "since": _iso(one.since),
            "sample": one.sample,
            "reason": one.reason,
            "advice": one.advice,
            "text": one.text(zone),
        }
        for one in obstacles.blocked(settings, storage, word)
    ]


def _clock_errors(settings: Settings, storage: Storage, manifest: Manifest) -> list[dict[str, Any]]:
    """Return the cameras whose times are shown wrong, as `library.clock_errors` does."""
    stored = _stored_corrections(settings, storage)
    found = (_clock_error(settings, storage, camera) for camera in manifest.cameras())
    wrong = [one.among(stored) for one in found if one is not None]
    return [
        {
            "camera": one.camera,
            "seconds": one.error.seconds,
            "since": _iso(one.error.since),
            "is_stored": one.is_stored,
            "correction": one.correction.to_json(),
            "command": one.correction.command,
            "text": one.text(),
        }
        for one in wrong
    ]


def _clock_error(settings: Settings, storage: Storage, camera: str) -> CameraError | None:
    """Return the error of the times that are shown of a camera, None also if it is ignored."""
    if settings.doctor.ignores(camera, "clock_off"):
        return None
    days = Catalog(storage).newest_days(camera, settings.doctor.days, NEEDED)
    error = shown_error(days, settings.doctor.clock_off_minutes * 60)
    return None if error is None else CameraError(camera, error)


def _stored_corrections(settings: Settings, storage: Storage) -> list[ClockCorrection]:
    try:
        decided = Decisions(storage).clock_corrections()
    except DecisionsError:
        decided = ()  # `pano check` reports it
    return [*settings.clock_corrections, *decided]


def _culling(settings: Settings, storage: Storage) -> dict[str, Any]:
    """Return the settings and last run of culling, and the disk space for each camera."""
    try:
        forecasts = culling.rooms(settings, Catalog(storage))
    except (OSError, LibraryError):
        forecasts = []
    return {
        "is_scheduled": settings.cull.scheduled,
        "is_adopted": storage.exists(ADOPTED),
        "last_run": culling.last_run(storage),
        "is_stopped": _is_stopped(settings, storage),
        "clock_doubt": timekeeping.trouble(settings, storage),
        "cameras": [
            {**one._asdict(), "is_short": one.is_short, "text": one.text} for one in forecasts
        ],
    }


def _is_stopped(settings: Settings, storage: Storage) -> bool:
    """Return whether the last culling failed, and its cause persists."""
    last = culling.last_run(storage)
    if last is None or last["exit"] in _NORMAL_EXITS:
        return False
    try:
        return culling.is_stopped(settings)
    except (OSError, PanoError, pa.ArrowException):
        return True


def _receive(storage: Storage) -> dict[str, Any] | None:
    """Return the last report of the upload server; None if it never ran."""
    report = records.read(storage)
    if report is None:
        return None
    return {
        "is_running": records.is_running(storage),
        "updated": report.get("updated"),
        "refusals": [one.as_json() for one in refusals.unsettled(report)],
    }


def _disk(place: str, space: Callable[[], Space]) -> dict[str, Any]:
    """Return a folder's path and the size and free bytes of its disk, or None if unknown."""
    try:
        size_bytes, free_bytes = space()
    except OSError:
        return {"path": place, "free_bytes": None, "size_bytes": None}
    return {"path": place, "free_bytes": free_bytes, "size_bytes": size_bytes}


def _uploads(storage: Storage, root: Path | None) -> dict[str, Any]:
    if root is None:
        uploads: dict[str, Any] = {"path": None, "free_bytes": None, "size_bytes": None}
        return {**uploads, "is_reachable": False, "trouble": None}
    is_reachable = _is_reachable(root)
    trouble = own_tree.trouble(storage, root) if is_reachable else None
    uploads = {"is_reachable": is_reachable, "trouble": trouble and trouble._asdict()}
    return {**_disk(str(root), partial(space_of, root)), **uploads}


def _is_reachable(root: Path) -> bool:
    """Return whether the root can be listed and is not empty, as a bare mount point is."""
    try:
        with os.scandir(root) as listing:
            return next(listing, None) is not None
    except OSError:
        return False


def _last_run(storage: Storage, now: datetime) -> dict[str, Any] | None:
    beat = runs.read(storage)
    if beat is None:
        return None
    finished = datetime.fromisoformat(beat["finished"])
    known = ("pid", "started", "finished", "exit", "error", "summary")
    age_s = round((now - finished).total_seconds(), 1)
    return {**{key: beat[key] for key in known}, "age_s": max(age_s, 0.0)}


def is_running(storage: Storage) -> bool:
    """Return whether a run (or a rebuild, or a backup) holds the library's lock."""
    return is_written(storage)


def _problems(report: dict[str, Any], max_age_minutes: float | None) -> Iterator[dict[str, str]]:
    """Yield the problems, each a word and a sentence."""
    uploads, run = report["uploads"], report["last_run"]
    if not uploads["is_reachable"]:
        yield _problem(
            "uploads_unreachable",
            f"{uploads['path'] or 'the upload root'} is missing, empty or not readable; "
            "is its disk mounted?",
        )
    if uploads["trouble"]:
        yield _problem(uploads["trouble"]["word"], uploads["trouble"]["text"])
    if run is None:
        yield _problem("never_ran", "no run of `pano ingest` has finished yet")
    elif run["exit"] not in _NORMAL_EXITS:
        yield _problem("last_run_failed", f"exit {run['exit']}: {run['error']}")
    if run is not None and max_age_minutes is not None and run["age_s"] > max_age_minutes * 60:
        yield _problem("stale", f"the last run ended {_ago(run['age_s'])} ago")
    yield from _parts_down(report["up"])
    if report["states"] is None:
        yield _problem("part_unreadable", "a part of the catalog cannot be read; run `pano check`")
    for one in report["journal_torn"]:
        yield _problem("journal_torn", str(JournalError.of(one["name"], one["why"])))
    for camera in report["cameras"]:
        if camera["is_silent"]:
            since = f"since {camera['arrived']}" if camera["arrived"] else "ever came"
            yield _problem("camera_silent", f"{camera['camera']}: nothing {since}")
    for place in report["unread"]:
        if place["is_problem"]:
            yield _problem("unread", place["text"])
    for place in report["unreadable"]:
        yield _problem("unreadable", f"{place['text']}. {place['advice']}")
    for camera in report["culling"]["cameras"]:
        if camera["is_short"]:
            days = plural(camera["keep_days"], "day")
            yield _problem("disk_too_small", f"{camera['text']} {days} fit on its disk")
    if report["culling"]["clock_doubt"]:
        yield _problem("clock_doubtful", report["culling"]["clock_doubt"])
    for one in report["clock_errors"]:
        yield _problem("clock_off", one["text"])
    yield from _cull_stopped(report["culling"])
    for one in (report["receive"] or {"refusals": []})["refusals"]:
        # Refusals of unknown clients are listed, but are not a problem.
        if one["camera"] is not None:
            detail = f"{one['camera']}: {one['text']}. {one['advice']}"
            yield _problem("upload_refused", detail)


def _cull_stopped(report: dict[str, Any]) -> Iterator[dict[str, str]]:
    culled = report["last_run"]
    # Before adoption, a manual attempt that failed has already printed why.
    is_in_use = report["is_adopted"] or report["is_scheduled"]
    if is_in_use and culled is not None and report["is_stopped"]:
        yield _problem("cull_stopped", f"exit {culled['exit']}: {culled['error']}")


def _parts_down(up: dict[str, Any] | None) -> Iterator[dict[str, str]]:
    if up is None:
        return
    if not up["is_running"]:
        yield _problem("up_ended", "`pano up` stopped unexpectedly; start it again")
        return
    for part in up["parts"]:
        if not part["is_well"]:
            yield _problem("part_down", f"{part['part']}: {part['state']}; {part['detail']}")


def _problem(what: str, detail: str) -> dict[str, str]:
    return {"what": what, "detail": detail}


# --- for people -------------------------------------------------------------


def in_words(report: dict[str, Any], zone: ZoneInfo) -> list[str]:
    """Return the report as lines of text, with times in `zone`."""
    return [_on_clock(line, zone) for line in _lines(report)]


# Times as `_iso` writes them, which also occur inside sentences.
_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00(?!\d)")


def _on_clock(line: str, zone: ZoneInfo) -> str:
    return _MOMENT.sub(
        lambda match: (
            datetime.fromisoformat(match[0]).astimezone(zone).isoformat(" ", timespec="seconds")
        ),
        line,
    )


def _lines(report: dict[str, Any]) -> list[str]:
    states = ", ".join(f"{count} {state}" for state, count in (report["states"] or {}).items())
    lines = [
        f"library   {report['library']['path']} (generation {report['generation']}, "
        f"{_space(report['library'])})",
        f"uploads   {report['uploads']['path'] or 'not set'} ({_space(report['uploads'])})",
        f"last run  {_run_in_words(report)}",
        f"rows      {report['rows']}: {many(report['snapshots'], 'snapshot')}, "
        + many(report["clips"], "clip")
        + (f"; {report['waiting']} still to open" if report["waiting"] else ""),
        f"states    {states or 'none'}",
    ]
    short = {one["camera"]: one["text"] for one in report["culling"]["cameras"] if one["text"]}
    lines += [
        f"camera    {one['camera']}: {many(one['rows'], 'row')}, latest {one['latest'] or 'never'}"
        + (", SILENT" if one["is_silent"] else "")
        + short.get(one["camera"], "").replace(f"{one['camera']}: ", ", ", 1)
        for one in report["cameras"]
    ]
    lines += [
        f"part      {one['part']}: {one['state']} since {one['since']}"
        for one in (report["up"] or {"parts": []})["parts"]
    ]
    for one in report["unread"]:
        lines += [f"unread    {one['text']}", f"          {one['advice']}"]
        lines += [f"              {line}" for line in one["snippet"].splitlines()]
    lines += [f"skipped   {one['text']}. {one['advice']}" for one in report["skipped"]]
    lines += [
        f"refused   {one['address'] or 'several addresses'}: {one['text']}. {one['advice']}"
        for one in (report["receive"] or {"refusals": []})["refusals"]
        if one["camera"] is None
    ]
    lines += [f"problem   {one['what']}: {one['detail']}" for one in report["problems"]]
    return [*lines, "healthy" if report["is_healthy"] else "not healthy"]


def _run_in_words(report: dict[str, Any]) -> str:
    run = report["last_run"]
    now = "; another is running" if report["is_running"] else ""
    if run is None:
        return f"never{now}"
    how = "well" if not run["exit"] else f"with exit {run['exit']}"
    return f"ended {how} {_ago(run['age_s'])} ago ({run['finished']}){now}"


def _space(disk: dict[str, Any]) -> str:
    if disk["free_bytes"] is None:
        return "missing"
    return f"{disk['free_bytes'] / 1e9:.1f} of {disk['size_bytes'] / 1e9:.1f} GB free"


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return many(round(seconds), "second")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def as_json(report: dict[str, Any]) -> str:
    """Return the status as one line of JSON."""
    return json.dumps(report)
