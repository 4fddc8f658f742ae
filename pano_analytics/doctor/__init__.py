"""What is wrong with what arrives, and what to do about it: `examine()` a library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import duckdb
import pandas as pd
import pyarrow as pa

from pano_analytics.doctor import (
    arrivals,
    clock,
    disk,
    overwritten,
    picture,
    ports,
    reception,
    zone,
)
from pano_analytics.doctor.case import NEEDED, Case
from pano_analytics.doctor.findings import COLUMNS, CONFIDENCES, SEVERITIES, WORDS, Finding, table
from pano_analytics.doctor.ports import FtpEndpoint
from pano_analytics.errors import LibraryError, NoProcess, QueryError, SettingsError
from pano_analytics.ingest import obstacles, unread
from pano_analytics.library import Library
from pano_analytics.model import alike, arguments
from pano_analytics.store import own_tree, runs, timekeeping
from pano_analytics.store.home import Home
from pano_analytics.store.journal import Journal

__all__ = [
    "COLUMNS",
    "CONFIDENCES",
    "SEVERITIES",
    "WORDS",
    "Finding",
    "FtpEndpoint",
    "examine",
    "knock",
]


def examine(library: Library) -> pd.DataFrame:
    """Return what is wrong, one row per finding, problems first; no rows if all is well.

    Columns: `camera` (null if the finding concerns all cameras), `word` (one of WORDS),
    `severity` (problem, advice), `confidence` (certain, likely, possible), `evidence`
    (the measurements as text), `advice` (what to do), `value` and `limit` (what was
    measured and what is required, in the unit that docs/doctor.md lists for the word),
    `since` (aware, in the library's zone; NaT if unknown), `command` (one that corrects the
    uploads of a wrong clock; null for other findings) and `correction` (what it stores).
    Only the newest `[doctor] days` of each camera are examined. Raises LibraryError if there
    is no library yet, and SettingsError if an entry of `[doctor] ignore` is not the word of a
    finding.
    """
    if not isinstance(library, Library):
        raise QueryError(f"expected a library; got {arguments.shown(library)}.")
    if Home.read(library.storage) is None:
        raise LibraryError(
            f"{library.folder}: expected a library; there is none yet. Create it with `pano "
            f"ingest`."
        )
    ignored = _ignored(library)
    try:
        findings = list(_all(library))
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        NoProcess.check(error)
        raise LibraryError(
            f"{library.folder}: expected a readable catalog; {str(error).splitlines()[0]}. "
            f"`pano check` shows what is wrong with it, `pano rebuild` rebuilds it."
        ) from error
    return table((one for one in findings if not _is_ignored(one, ignored)), library.zone)


def _all(library: Library) -> Iterator[Finding]:
    cases = [_case(library, name) for name in library.camera_names()]
    yield from _silent(library, cases)
    yield from _unread(library)
    yield from _blocked(library)
    yield from _each(cases)
    yield from reception.check(library)
    torn = list(_torn(library))
    yield from torn or overwritten.check(library)
    yield from _own_clock(library)
    yield from _own_tree(library)
    yield from disk.check(library)
    yield from zone.check(library)


def _own_clock(library: Library) -> Iterator[Finding]:
    doubt = timekeeping.trouble(library.settings, library.storage)
    if doubt:
        advice = "Set this computer's clock, or, if it is right, run `pano clock --confirm`."
        yield Finding(None, "clock_doubtful", "problem", "certain", doubt, advice)


def _own_tree(library: Library) -> Iterator[Finding]:
    trouble = own_tree.trouble(library.storage, library.settings.uploads)
    if trouble:
        advice = "Check what is mounted there (findmnt); see docs/troubleshooting.md."
        yield Finding(None, trouble.word, "problem", "certain", trouble.text, advice)


def _torn(library: Library) -> Iterator[Finding]:
    for one in Journal(library.storage).torn():
        advice = (
            "`pano restore` puts it back from a backup. Without one, move it out of the library, "
            "and run `pano rebuild`. Until then nothing is culled."
        )
        evidence = f"{one.name}: {one.why}"
        yield Finding(None, "journal_torn", "problem", "certain", evidence, advice)


def knock(server: FtpEndpoint) -> pd.DataFrame:
    """Return why cameras cannot upload to `server`, in the columns of `examine`.

    Logs in like a camera, opens the server's passive ports, lists the folder, and uploads
    nothing.
    """
    if not isinstance(server, FtpEndpoint):
        raise QueryError(f"expected a doctor.Server; got {arguments.shown(server)}.")
    return table(ports.knock(server), ZoneInfo("UTC"))


def _case(library: Library, camera: str) -> Case:
    rules = library.settings.doctor
    total = library.catalog.manifest().total([camera])
    newest = datetime.fromtimestamp((total.last_us or 0) / 1e6, UTC)
    return Case(
        camera,
        library.media(
            camera, newest - pd.Timedelta(days=rules.days), columns=(*NEEDED, "state_reason")
        ),
        total.snapshots,
        total.clips,
        library.settings.zone_of(camera),
        rules,
    )


def _silent(library: Library, cases: Sequence[Case]) -> Iterator[Finding]:
    overview = library.cameras()
    silent = set(overview.loc[overview["is_silent"], "camera"])
    last_run, now = _last_run(library), datetime.now(UTC)
    for case in cases:
        if case.camera in silent:
            limit_h = library.settings.silent_after_hours_of(case.camera)
            finding = arrivals.silent(case, limit_h, now, last_run)
            is_all = len(silent) == len(cases) > 1
            yield replace(finding, advice=_ALL_SILENT) if is_all else finding


def _unread(library: Library) -> Iterator[Finding]:
    known = library.catalog.manifest().cameras()
    for place in unread.places(library.settings, library.storage, known):
        severity = "problem" if place.is_problem else "advice"
        fields = (place.camera, "unread", severity, "certain", _unread_text(place, library.zone))
        advice = f"{place.advice}\n{place.snippet}".strip()
        yield Finding(*fields, advice, place.files, 0.0, place.first)


def _blocked(library: Library) -> Iterator[Finding]:
    for word in (obstacles.UNREADABLE, obstacles.SKIPPED):
        for one in obstacles.blocked(library.settings, library.storage, word):
            severity = "problem" if one.is_problem else "advice"
            fields = (one.camera, word, severity, "certain", one.text(library.zone), one.advice)
            yield Finding(*fields, one.entries, 0.0, one.since)


def _unread_text(place: unread.UnreadFolder, zone: ZoneInfo) -> str:
    """Return the text without the camera, which has its own column."""
    return place.text(zone).removeprefix(f"{place.camera}: ")


_ALL_SILENT = (
    "Every camera is silent, so the cause is probably not the cameras. Is `pano ingest` running "
    "(`pano status`), and the upload server? Is its disk full? Does the network work?"
)


def _last_run(library: Library) -> datetime | None:
    beat = runs.read(library.storage)
    return None if beat is None else datetime.fromisoformat(beat["finished"])


def _each(cases: list[Case]) -> Iterator[Finding]:
    with_uploads = [case for case in cases if len(case.uploads)]
    clocks = {case.camera: clock.judge(case) for case in with_uploads}
    common_s = clock.common_ahead_s(clocks.values())
    for case in with_uploads:
        yield from clock.check(case, clocks[case.camera], common_s)
        yield from arrivals.missing_kind(case)
        yield from arrivals.cut(case)
        yield from picture.unsupported(case)
        yield from picture.resolution(case)
        yield from picture.frame_rate(case)
        yield from picture.codec(case)


def _ignored(library: Library) -> set[tuple[str | None, str]]:
    ignored = set()
    for entry in library.settings.doctor.ignore:
        camera, _, word = entry.rpartition(":")
        if word.strip() not in WORDS:
            known = ", ".join(WORDS)
            raise SettingsError(
                f"doctor.ignore: expected a finding's word ({known}), or a camera and a word, "
                f"such as 'barn: {next(iter(WORDS))}'; got {entry!r}."
                f"{alike.hint(word.strip(), WORDS)}"
            )
        ignored.add((alike.key(camera.strip()) or None, word.strip()))
    return ignored


def _is_ignored(finding: Finding, ignored: set[tuple[str | None, str]]) -> bool:
    camera = None if finding.camera is None else alike.key(finding.camera)
    return (None, finding.word) in ignored or (camera, finding.word) in ignored
