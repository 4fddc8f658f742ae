"""A `pano.toml` proposed from an upload tree: which cameras, which layouts, whose clock."""

from __future__ import annotations

import heapq
import json
import os
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, count, islice
from pathlib import Path
from zoneinfo import ZoneInfo

from pano_analytics import layouts
from pano_analytics.errors import UploadTreeError
from pano_analytics.home import NAME as LIBRARY_MARK
from pano_analytics.media import Reading, encode_path, locate

# So many names of a camera tell its layouts; they come from its newest folders
# in turn, so that pictures and clips of several days are among them.
FILES_A_CAMERA = 60
# Where dates come first, cameras may lie below them (Frigate): more names, fewer days.
FILES_TOGETHER = 1000
_NEWEST_DATES = 4
_FILES_A_FOLDER = 8
_FOLDERS_A_FOLDER = 12
_DEEPEST = 12
_LISTINGS = 1500

# A file arrives seconds after the moment it names; what differs by whole hours
# in nearly all of a camera's files is its zone.
_NEAR = timedelta(minutes=10)
_FEWEST = 5
_NEARLY_ALL = 0.8
_MOST_HOURS = 26


@dataclass
class Found:
    """What the sampled names of one camera say.

    `folder` is its first level below the root, as in the `path` column; None where the
    root itself, or a folder below a date, is the camera's. `lags` are the times from
    the moment that a name spells (on the zone's wall clock) to the file's arrival.
    """

    camera: str
    folder: str | None = None
    layouts: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    lags: list[timedelta] = field(default_factory=list)

    def add(self, reading: Reading, lag: timedelta | None) -> None:
        """Count one sampled name."""
        if reading.kind == "unknown":
            self.unknown += 1
        elif reading.kind != "ignore":
            self.layouts[f"{reading.layout} {reading.kind}"] += 1
            self.lags += [] if lag is None else [lag]

    @property
    def hours_late(self) -> int:
        """By how many whole hours nearly all files arrive after the moments they name; else 0."""
        if len(self.lags) < _FEWEST:
            return 0
        hours = round(statistics.median(lag.total_seconds() for lag in self.lags) / 3600)
        near = sum(abs(lag - timedelta(hours=hours)) < _NEAR for lag in self.lags)
        is_clear = near >= _NEARLY_ALL * len(self.lags) and abs(hours) <= _MOST_HOURS
        return hours if is_clear else 0


def look(root: Path, zone: ZoneInfo) -> list[Found]:
    """Return the cameras below `root` in the order of their names, from a sample of names.

    Only lists folders and asks for times of files; nothing is opened. `zone` is the
    guess that arrivals are held against. Raises UploadTreeError where there is no folder.
    """
    found: dict[str, Found] = {}
    for path in _sampled(root):
        name = layouts.camera_below(path, {}, _root_name(root))
        camera = found.setdefault(name, Found(name))
        if path.startswith(f"{name}/"):
            camera.folder = name
        reading = layouts.read(path)
        camera.add(reading, _lag(root, path, reading, zone))
    return sorted(found.values(), key=lambda one: one.camera)


def _sampled(root: Path) -> Iterator[str]:
    """Yield paths: of each first-level folder that is a camera's, and of the rest together."""
    if not root.is_dir():
        raise UploadTreeError(f"{root}: expected the folder that cameras upload to; none is there.")
    files, folders = _list(root, "")
    for name in filter(_is_own, folders):
        yield from map(encode_path, islice(_Sampler(root).below(name), FILES_A_CAMERA))
    rest = [name for name in folders if not _is_own(name)][:_NEWEST_DATES]
    sampler = _Sampler(root)
    together = _in_turn([iter(files), *map(sampler.below, rest)])
    yield from map(encode_path, islice(together, FILES_TOGETHER))


def _is_own(name: str) -> bool:
    # Asked as ingest asks, with a name that no camera's root has.
    return layouts.camera_below(f"{encode_path(name)}/x.jpg", {}, "\n") != "\n"


def _root_name(root: Path) -> str:
    return root.resolve().name or "camera"


def _list(root: Path, folder: str) -> tuple[list[str], list[str]]:
    """Return the newest files and folders of a folder by name; none where it cannot be read."""
    files, folders = [], []
    try:
        with os.scandir(root / folder) as listing:
            for item in listing:
                if item.is_dir(follow_symlinks=False) and not layouts.passes_over(item.name):
                    folders.append(item.name)
                elif item.is_file(follow_symlinks=False):
                    files.append(item.name)
    except OSError:
        return [], []
    return heapq.nlargest(_FILES_A_FOLDER, files), sorted(folders, reverse=True)


class _Sampler:
    """Draws names below a folder; gives up on trees that hold many folders and no file."""

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
    """Yield one of each source in turn until all are empty."""
    left = list(sources)
    while left:
        for source in list(left):
            path = next(source, None)
            if path is None:
                left.remove(source)
            else:
                yield path


def _lag(root: Path, path: str, reading: Reading, zone: ZoneInfo) -> timedelta | None:
    """Return how long after the moment that its name spells the file arrived, None if untold."""
    said = reading.end or reading.start
    if said is None or reading.zone == "utc":
        return None
    try:
        arrived = datetime.fromtimestamp(locate(root, path).lstat().st_mtime, zone)
    except (OSError, OverflowError, ValueError):
        return None
    return arrived.replace(tzinfo=None) - said


# --- the text ---------------------------------------------------------------


def propose(uploads: Path | None, zone: str) -> str:
    """Return the text of a `pano.toml` for the tree at `uploads`, or one to be filled in.

    Whatever the folders are called, `settings.load` takes it.
    """
    cameras = [] if uploads is None else look(uploads, ZoneInfo(zone))
    hours = _common_hours_late(cameras)
    return "\n".join([_head(uploads, zone, hours), *_cameras(cameras, zone, hours)])


def _common_hours_late(cameras: list[Found]) -> int:
    """Return the hours that most of several cameras are late by: then it is not their clocks."""
    told = Counter(camera.hours_late for camera in cameras if camera.layouts)
    [(hours, number)] = told.most_common(1) or [(0, 0)]
    return hours if number > 1 and 2 * number > told.total() else 0


def _head(uploads: Path | None, zone: str, hours_late: int) -> str:
    root = None if uploads is None else uploads.absolute()
    library = None if root is None else _library(root)
    return f"""\
# Settings of pano, proposed by `pano init`. All keys with their meaning: docs/pano.toml.
# What stands behind a `#` is a remark, or a key that has its default.

# The folder that the cameras upload to; it is only ever read.
{_folder("uploads", root, "/srv/ftp")}

# Where pano keeps what it knows; not below the uploads.
{_folder("library", library, "/var/lib/pano")}

# The clock of the cameras: this computer's zone, unless one has its own below.
{_common_zone_remark(hours_late)}zone = {quoted(zone)}

# A camera is silent when nothing arrived from it for so many hours.
# silent_after_hours = 24
"""


def _common_zone_remark(hours_late: int) -> str:
    if not hours_late:
        return ""
    return (
        f"# But the cameras' files arrive {_apart(hours_late)} than their names say in it: most\n"
        "# likely the cameras are in another zone, and that one belongs here.\n"
    )


def _apart(hours_late: int) -> str:
    return f"{abs(hours_late)} h {'later' if hours_late > 0 else 'earlier'}"


def _folder(key: str, path: Path | None, example: str) -> str:
    if path is None:
        return f"# {key} = {quoted(example)}"
    if not _is_text(str(path)):
        return (
            f"# Its name holds bytes that are no UTF-8 and cannot stand here: give --{key} instead."
            f"\n# {key} = {quoted(encode_path(str(path)))}"
        )
    return f"{key} = {quoted(str(path))}"


def _library(uploads: Path) -> Path:
    """Return a folder beside the uploads that is a library already, or is not there yet."""
    beside = uploads.parent / "library"
    is_free = not beside.exists() or (beside / LIBRARY_MARK).exists()
    if is_free and beside != uploads:
        return beside
    return uploads.parent / f"{uploads.name or 'pano'}-library"


def _cameras(cameras: list[Found], zone: str, common_hours_late: int) -> list[str]:
    known = [camera for camera in cameras if camera.layouts and _can_be_named(camera)]
    names = _names(known)
    tables = [_table(one, names[one.camera], zone, common_hours_late) for one in known]
    strange = [_stranger(camera) for camera in cameras if camera.unknown and not camera.layouts]
    return [*tables, *strange]


def _can_be_named(camera: Found) -> bool:
    # Without a folder to know it by, a camera is known by its very name.
    return camera.folder is not None or _on_one_line(camera.camera) == camera.camera


def _names(cameras: Iterable[Found]) -> dict[str, str]:
    """Return camera -> a name on one line, none twice; what is one already stays."""
    names = {one.camera: one.camera for one in cameras if _on_one_line(one.camera) == one.camera}
    for camera in cameras:
        if camera.camera not in names:
            names[camera.camera] = _free(_on_one_line(camera.camera) or "camera", names.values())
    return names


def _free(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name} {number}" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in taken)


def _on_one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def _table(camera: Found, name: str, zone: str, common_hours_late: int) -> str:
    lines = ["[[cameras]]", f"name = {quoted(name)}"]
    if camera.folder is not None:
        lines.append(f"{'# ' if camera.folder == name else ''}folder = {quoted(camera.folder)}")
    lines += [
        '# description = ""',
        f'# layout = "auto"   # seen: {_seen(camera)}',
        *(_zone_remark(camera, zone) if camera.hours_late != common_hours_late else []),
        '# admin_url = "http://…/"',
        "",
    ]
    return "\n".join(lines)


def _seen(camera: Found) -> str:
    seen = [*camera.layouts.most_common(), ("of no known layout", camera.unknown)]
    return ", ".join(f"{number} × {what}" for what, number in seen if number)


def _zone_remark(camera: Found, zone: str) -> list[str]:
    hours = camera.hours_late
    if not hours:
        return []
    return [
        f"# Its files arrive {_apart(hours)} than their names say in {zone}. Is its clock wrong,",
        "# or in another zone? That zone would stand here:",
        f"# zone = {quoted('Europe/Berlin' if zone == 'UTC' else 'UTC')}",
    ]


def _stranger(camera: Found) -> str:
    what = f"folder {quoted(camera.folder)}" if camera.folder else "root itself"
    return (
        f"# In the {what} none of {camera.unknown} sampled files has a known layout;\n"
        "# a template in `layout` can tell how they are called (see docs/pano.toml).\n"
    )


def _is_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def quoted(text: str) -> str:
    """Return `text` as a TOML string. A surrogate, which TOML cannot say, becomes a �."""
    safe = "".join(char if _is_text(char) else "\ufffd" for char in text)
    # JSON's escapes are TOML's, but JSON lets the delete character stand.
    return json.dumps(safe, ensure_ascii=False).replace("\x7f", "\\u007F")
