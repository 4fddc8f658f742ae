"""Problems of uploads and library that a few system calls and one small file can show."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pano_analytics.errors import UploadTreeError
from pano_analytics.settings import Settings
from pano_analytics.store import runs, timekeeping
from pano_analytics.store.home import MANIFEST
from pano_analytics.store.storage import Storage
from pano_analytics.wording import many

Problem = dict[str, str]

INGEST_S = 2 * 3600.0
"""A problem if no run ends, or commits, for so long; watching ingest runs every five minutes."""
MIN_FREE_BYTES = 50_000_000
# Done, or ended on request.
_NORMAL_EXITS = (0, runs.INTERRUPTED, runs.ENDED)


def find(settings: Settings, up_s: float) -> list[Problem]:
    """Return problems as `pano status` does; `up_s` is how long the parts have been running."""
    found = [*_uploads(settings), *_ingest(settings, up_s), *_disks(settings)]
    return [*found, *_clock(settings)]


def _clock(settings: Settings) -> Iterator[Problem]:
    if settings.library is not None:
        doubt = timekeeping.trouble(settings, Storage(settings.library))
        if doubt:
            yield _problem("clock_doubtful", doubt)


def _uploads(settings: Settings) -> Iterator[Problem]:
    root = settings.uploads
    if root is None:
        return
    try:
        with os.scandir(root) as listing:
            is_empty = next(listing, None) is None
    except OSError as error:
        yield _problem("uploads_unreachable", f"{root}: {error.strerror}; is its disk mounted?")
        return
    if is_empty and _age_s(settings, MANIFEST) is not None:
        yield _problem("uploads_unreachable", f"{root} is empty; is its disk mounted?")
        return
    yield from _strange(settings, root)


def _strange(settings: Settings, root: Path) -> Iterator[Problem]:
    """Yield why ingest refused the tree. Only then, since the check has to open tables."""
    last_run = _last_run(settings)
    if (
        settings.library is None
        or last_run is None
        or last_run.get("exit") != UploadTreeError.exit_code
    ):
        return
    from pano_analytics.store import own_tree

    found = own_tree.trouble(Storage(settings.library), root)
    if found:
        yield _problem(found.word, found.text)


def _ingest(settings: Settings, up_s: float) -> Iterator[Problem]:
    last_run = _last_run(settings)
    if last_run is not None and last_run.get("exit") not in _NORMAL_EXITS:
        yield _problem("last_run_failed", f"exit {last_run.get('exit')}: {last_run.get('error')}")
    ages = [_age_s(settings, name) for name in (MANIFEST, runs.NAME)]
    age_s = min([up_s, *(age for age in ages if age is not None)])
    if age_s > INGEST_S:
        hours = many(round(age_s / 3600), "hour")
        yield _problem("stale", f"no run of ingest has ended for {hours}")


def _disks(settings: Settings) -> Iterator[Problem]:
    for folder in (settings.uploads, settings.library):
        try:
            free = shutil.disk_usage(folder).free if folder else MIN_FREE_BYTES
        except OSError:
            continue
        if free < MIN_FREE_BYTES:
            yield _problem("disk_full", f"{folder}: {free / 1e6:.0f} MB free")


def _age_s(settings: Settings, name: str) -> float | None:
    return _storage(settings).age_s(name)


def _last_run(settings: Settings) -> dict[str, object] | None:
    try:
        return runs.read(_storage(settings))
    except OSError:
        return None


def _storage(settings: Settings) -> Storage:
    return Storage(Path(settings.library or ""))


def _problem(what: str, detail: str) -> Problem:
    return {"what": what, "detail": detail}
