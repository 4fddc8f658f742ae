"""What ingest could not read, and links and pipes that it skipped: where, since when, and why.

Each unit stores its own (`memory`). What users are shown is gathered by folder in a small
separate file, as in `unread`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pano_analytics import layouts
from pano_analytics.ingest.unread import by_place, ignored_cameras
from pano_analytics.ingest.walk import WalkProblems
from pano_analytics.model import alike
from pano_analytics.model.times import from_epoch_us
from pano_analytics.model.upload import encode_path, resolved
from pano_analytics.settings import Settings
from pano_analytics.settings.owners import owner_of
from pano_analytics.store.storage import Storage

NAME = "state/obstacles.json"
FORMAT = 1
# The words for both, as in `[doctor] ignore`.
UNREADABLE, SKIPPED = "unreadable", "skipped"


class Obstacle(NamedTuple):
    """Entries of one unit or folder that were not read, for the same kind of reason.

    `since_us` is when that was first noticed (microseconds since 1970 UTC); `sample` is a
    path as in the column, and `reason` is why it was not read.
    """

    entries: int
    since_us: int
    sample: str
    reason: str

    def since(self, known: Obstacle | None) -> Obstacle:
        """Return it with the earlier time of `known`, if there is one."""
        return self if known is None else self._replace(since_us=min(self.since_us, known.since_us))


class Obstacles(NamedTuple):
    """What could not be read in one unit, and what was skipped; None if there is nothing."""

    unreadable: Obstacle | None = None
    skipped: Obstacle | None = None

    def since(self, known: Obstacles) -> Obstacles:
        """Return them with the earlier times of `known`, if there are any."""
        return Obstacles(
            self.unreadable and self.unreadable.since(known.unreadable),
            self.skipped and self.skipped.since(known.skipped),
        )


NONE = Obstacles()


def of(trouble: WalkProblems, now_us: int) -> Obstacles:
    """Return the obstacles in `trouble`, except in recycle bins and hidden folders."""
    return Obstacles(_one(trouble.unreadable, now_us), _one(trouble.skipped, now_us))


def _one(problems: Sequence[tuple[str, str]], now_us: int) -> Obstacle | None:
    known = sorted(one for one in problems if not any(map(layouts.passes_over, _parts(one[0]))))
    return Obstacle(len(known), now_us, *known[0]) if known else None


def _parts(path: str) -> list[str]:
    return [] if path == "." else path.split("/")


def by_folder(problems: Sequence[tuple[str, str]], now_us: int) -> dict[str, Obstacle]:
    """Return what could not be read, by folder."""
    folders: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for path, reason in problems:
        folders[path.rpartition("/")[0]].append((path, reason))
    return {folder: Obstacle(len(each), now_us, *min(each)) for folder, each in folders.items()}


def save(storage: Storage, units: Mapping[str, Obstacles], closed: Mapping[str, Obstacle]) -> None:
    """Write the obstacles to their file, unless it has them already.

    `units` are the obstacles by unit, `closed` the files that could not be opened, by folder.
    """
    unreadable = [(path, one.unreadable) for path, one in units.items() if one.unreadable]
    skipped = [(path, one.skipped) for path, one in units.items() if one.skipped]
    gathered = {UNREADABLE: _gather([*unreadable, *closed.items()]), SKIPPED: _gather(skipped)}
    if gathered != {word: load(storage, word) for word in gathered}:
        document = {"format": FORMAT, **gathered}
        storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())


def _gather(obstacles: Sequence[tuple[str, Obstacle]]) -> dict[str, Obstacle]:
    return by_place(obstacles, _sum, lambda one: one.since_us)


def _sum(each: Sequence[Obstacle]) -> Obstacle:
    first = min(each, key=lambda one: one.sample)
    entries, since_us = sum(one.entries for one in each), min(one.since_us for one in each)
    return first._replace(entries=entries, since_us=since_us)


def load(storage: Storage, word: str) -> dict[str, Obstacle]:
    """Return folder -> what is UNREADABLE or SKIPPED in it; empty if nothing is known."""
    document = storage.document(NAME, FORMAT)
    try:
        return {place: Obstacle(*values) for place, values in (document or {})[word].items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


# --- for users ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blocked:
    """A folder with entries that are UNREADABLE or SKIPPED (`word`), with what to do.

    `folder` is below the upload root, as in the column `path` ("" for the root itself);
    `since` is an aware UTC time; `sample` is the path of one of the `entries`.
    """

    word: str
    folder: str
    camera: str
    entries: int
    since: datetime
    sample: str
    reason: str
    advice: str

    @property
    def is_problem(self) -> bool:
        """Whether uploads may be missing because of it: skipped entries are not uploads."""
        return self.word == UNREADABLE

    def text(self, zone: ZoneInfo) -> str:
        """Return a description in one sentence; times are in `zone`."""
        since = self.since.astimezone(zone).isoformat(" ", timespec="minutes")[:16]
        where = self.folder or "the upload root"
        count = f"{self.entries:,} {'entry' if self.entries == 1 else 'entries'}"
        example = "" if self.sample in (self.folder, ".") else f"{self.sample!r}: "
        return f"{where}: {count} {_WHAT[self.word]}, since {since}; {example}{self.reason}"


_WHAT = {
    UNREADABLE: "cannot be read",
    SKIPPED: "not read (links, pipes, sockets, devices)",
}


def blocked(settings: Settings, storage: Storage, word: str) -> list[Blocked]:
    """Return the folders with entries that are UNREADABLE or SKIPPED, newest first.

    Reads one small file of the library.
    """
    ignored = ignored_cameras(settings, word)
    folders = [_blocked(settings, word, *one) for one in load(storage, word).items()]
    return [one for one in folders if not {None, alike.key(one.camera)} & ignored]


def _blocked(settings: Settings, word: str, folder: str, obstacle: Obstacle) -> Blocked:
    root = settings.uploads or Path()
    place = "" if folder == "." else folder
    camera = owner_of(settings, place, encode_path(resolved(root).name) or "camera").camera
    advice = _READ if word == UNREADABLE else _SKIP
    since = from_epoch_us(obstacle.since_us)
    return Blocked(
        word, place, camera, obstacle.entries, since, obstacle.sample, obstacle.reason, advice
    )


_READ = (
    "Uploads in there are not shown. Let the user that runs pano read them: `ls -l` shows who may, "
    "`chmod -R a+rX FOLDER` lets everybody. If new folders are closed again, change the umask of "
    "the upload server."
)
_SKIP = (
    "pano reads regular files only, and does not follow links. `pano ingest --unknown` lists all "
    "of these entries. If uploads lie behind a link, move or mount their folder into the upload "
    "tree."
)
