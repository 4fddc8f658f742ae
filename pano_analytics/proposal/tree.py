"""Sample an upload tree: which cameras it has, their layouts, and whether their clocks differ."""

from __future__ import annotations

import heapq
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from pano_analytics import layouts
from pano_analytics.errors import UploadTreeError
from pano_analytics.model import alike
from pano_analytics.model.upload import Reading, encode_path, locate, resolved

# How many names are sampled per camera, in turn from its newest folders, so that they
# include pictures and clips of several days.
FILES_A_CAMERA = 60
# If dates are the first level, cameras may be below them (Frigate): more names, fewer days.
FILES_TOGETHER = 1000
_NEWEST_DATES = 4
_FILES_A_FOLDER = 8
_FOLDERS_A_FOLDER = 12
_DEEPEST = 12
_LISTINGS = 1500

# A file arrives seconds after the time in its name. If nearly all files of a camera differ
# by the same number of hours, the camera uses another time zone.
_NEAR = timedelta(minutes=10)
_FEWEST = 5
_NEARLY_ALL = 0.8
_MOST_HOURS = 26

# How many names are used to propose a template.
_MOST_UNREAD = 12


@dataclass
class SampledCamera:
    """What the sampled names of one camera say.

    `folder` is its first level below the root, as in the column `path`; None if its folder
    is the root itself or below a date. `layouts` counts names by layout and kind, `unknown`
    those that no layout matches; `unread` are some of them. `lags` are the times from the
    time in a name (wall clock in the zone) to the file's arrival.
    """

    camera: str
    folder: str | None = None
    layouts: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    unread: list[str] = field(default_factory=list)
    lags: list[timedelta] = field(default_factory=list)

    def add(self, path: str, reading: Reading, lag: timedelta | None) -> None:
        """Count one sampled name."""
        if reading.kind == "unknown":
            self.unknown += 1
            if layouts.kind_of(path.rpartition(".")[2]) and len(self.unread) < _MOST_UNREAD:
                self.unread.append(path)
        elif reading.kind != "ignore":
            self.layouts[f"{reading.layout} {reading.kind}"] += 1
            self.lags += [] if lag is None else [lag]

    @property
    def hours_late(self) -> int:
        """How many whole hours nearly all files arrive after the times in their names, else 0."""
        if len(self.lags) < _FEWEST:
            return 0
        hours = round(statistics.median(lag.total_seconds() for lag in self.lags) / 3600)
        near = sum(abs(lag - timedelta(hours=hours)) < _NEAR for lag in self.lags)
        is_clear = near >= _NEARLY_ALL * len(self.lags) and abs(hours) <= _MOST_HOURS
        return hours if is_clear else 0


def sample_cameras(root: Path, zone: ZoneInfo) -> list[SampledCamera]:
    """Return the cameras below `root`, sorted by name, from a sample of file names.

    Only lists folders and reads the times of files; opens none. `zone` is the assumed zone
    of the names. Raises UploadTreeError if `root` is not a readable folder.
    """
    cameras: dict[str, SampledCamera] = {}
    for path in _sampled(root):
        name = layouts.camera_below(path, {}, _root_name(root))
        camera = cameras.setdefault(alike.key(name), SampledCamera(name))
        first, slash, _ = path.partition("/")
        if slash and alike.key(first) == alike.key(name):
            camera.folder = first
        reading = layouts.read(path)
        camera.add(path, reading, _lag(root, path, reading, zone))
    return sorted(cameras.values(), key=lambda one: one.camera)


def _sampled(root: Path) -> Iterator[str]:
    """Yield paths of each first-level folder that is a camera, and of all others together."""
    _require_folder(root)
    files, folders = _list(root, "")
    for name in filter(_is_own, folders):
        yield from map(encode_path, islice(_Sampler(root).below(name), FILES_A_CAMERA))
    rest = [name for name in folders if not _is_own(name)][:_NEWEST_DATES]
    sampler = _Sampler(root)
    together = _in_turn([iter(files), *map(sampler.below, rest)])
    yield from map(encode_path, islice(together, FILES_TOGETHER))


def _require_folder(root: Path) -> None:
    try:
        with os.scandir(root):
            return
    except NotADirectoryError:
        problem = "it is a file" if root.exists() else "a part of its path is a file"
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        problem = "it does not exist" if is_missing else error.strerror or str(error)
    raise UploadTreeError(
        f"{root}: expected the folder that cameras upload to; {problem}. Give it with --uploads."
    )


def _is_own(name: str) -> bool:
    # Use the rule of ingest, with a root name that no camera can have.
    return layouts.camera_below(f"{encode_path(name)}/x.jpg", {}, "\n") != "\n"


def _root_name(root: Path) -> str:
    return resolved(root).name or "camera"


def _list(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """Return the newest files and folders in a folder, by name; empty if it is unreadable."""
    files, folders = [], []
    try:
        with os.scandir(root / folder) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False):
                    # On the first level, ingest treats every folder as a camera.
                    if not (folder and layouts.passes_over(item.name)):
                        folders.append(item.name)
                elif item.is_file(follow_symlinks=False):
                    files.append(item.name)
    except OSError:
        return [], []
    return heapq.nlargest(_FILES_A_FOLDER, files), sorted(folders, reverse=True)


class _Sampler:
    """Sample names below a folder; stop in trees with many folders and no files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.listings_left = _LISTINGS

    def below(self, folder: str, depth: int = 1) -> Iterator[str]:
        """Yield paths below `folder`, its newest folders in turn."""
        if depth > _DEEPEST or not self.listings_left:
            return
        self.listings_left -= 1
        files, folders = _list(self.root, folder)
        newest = folders[:_FOLDERS_A_FOLDER]
        deeper = [self.below(f"{folder}/{name}", depth + 1) for name in newest]
        yield from _in_turn([(f"{folder}/{name}" for name in files), *deeper])


def _in_turn(sources: Iterable[Iterator[str]]) -> Iterator[str]:
    """Yield one item of each source in turn until all are empty."""
    left = list(sources)
    while left:
        for source in list(left):
            path = next(source, None)
            if path is None:
                left.remove(source)
            else:
                yield path


def _lag(root: Path, path: str, reading: Reading, zone: ZoneInfo) -> timedelta | None:
    """Return how long after the time in its name the file arrived, or None if unknown."""
    named = reading.end or reading.start
    if named is None or reading.zone == "utc":
        return None
    try:
        arrived = datetime.fromtimestamp(locate(root, path).lstat().st_mtime, zone)
    except (OSError, OverflowError, ValueError):
        return None
    return arrived.replace(tzinfo=None) - named
