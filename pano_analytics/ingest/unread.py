"""Files that no layout reads: which folder receives them, since when, and why.

Each unit stores its own (`memory`), so that a run which scans one folder knows all of them.
What users are shown is gathered by folder in a small separate file, which is written before
the memory: a run that is killed in between scans again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pano_analytics import layouts
from pano_analytics.model import alike
from pano_analytics.model.times import from_epoch_us
from pano_analytics.model.upload import encode_path, resolved
from pano_analytics.settings import Camera, Settings
from pano_analytics.settings.owners import owner_of
from pano_analytics.store.storage import Storage
from pano_analytics.wording import many

Value = TypeVar("Value")

NAME = "state/unread.json"
FORMAT = 1
_UNIT_SAMPLES, _PLACE_SAMPLES = 4, 12
MOST_PLACES = 200


class Heap(NamedTuple):
    """Files of one unit or folder that no layout reads; times are microseconds since 1970 UTC.

    `uploads` counts those with the extension of a picture or clip, `others` the rest.
    `samples` are paths as in the column, of uploads if there are any; `reason` is that of the
    first sample.
    """

    uploads: int
    others: int
    first_us: int
    last_us: int
    reason: str
    samples: tuple[str, ...]

    @property
    def files(self) -> int:
        """The number of files."""
        return self.uploads + self.others

    def since(self, known: Heap | None) -> Heap:
        """Return it with the earlier first time of `known`, if there is one."""
        return self if known is None else self._replace(first_us=min(self.first_us, known.first_us))


@dataclass(frozen=True, slots=True)
class Unread:
    """One file that no layout reads: its path, its arrival (µs since 1970 UTC), and why."""

    path: str
    arrived_us: int
    reason: str

    @property
    def is_upload(self) -> bool:
        """Whether it has the extension of a picture or clip, so that a camera may have sent it."""
        return layouts.kind_of(self.path.rpartition(".")[2]) is not None


def heap_of(files: Iterable[Unread]) -> Heap | None:
    """Return the heap of one unit's files; None if a camera cannot have sent any of them.

    Files in recycle bins, hidden folders and thumbnail folders of a NAS are not uploads.
    """
    known = [one for one in files if not _is_aside(one.path)]
    uploads = [one for one in known if one.is_upload]
    chosen = uploads or known
    if not chosen:
        return None
    times = [one.arrived_us for one in known]
    samples = _spread(sorted(one.path for one in chosen), _UNIT_SAMPLES)
    reason = next(one.reason for one in chosen if one.path == samples[0])
    others = len(known) - len(uploads)
    return Heap(len(uploads), others, min(times), max(times), reason, samples)


def _is_aside(path: str) -> bool:
    return any(layouts.passes_over(part) for part in path.split("/")[:-1])


def _spread(samples: Sequence[str], most: int) -> tuple[str, ...]:
    """Return `most` of the samples, evenly spaced and including the first and the last."""
    if len(samples) <= most:
        return tuple(samples)
    return tuple(samples[i * (len(samples) - 1) // (most - 1)] for i in range(most))


def gather(heaps: Mapping[str, Heap]) -> dict[str, Heap]:
    """Return the heaps of units (by path), joined by the folder above the dates.

    Only the newest MOST_PLACES are returned, in case nothing in a large tree is read.
    """
    return by_place(heaps.items(), _sum, lambda heap: heap.last_us)


def by_place(
    values: Iterable[tuple[str, Value]],
    join: Callable[[Sequence[Value]], Value],
    newest_us: Callable[[Value], int],
) -> dict[str, Value]:
    """Return values, given with their paths, joined by the folder above the dates.

    Only the MOST_PLACES with the latest `newest_us` are returned, latest first.
    """
    places: dict[str, list[Value]] = defaultdict(list)
    for path, one in values:
        places[layouts.above_dates(path)].append(one)
    joined = {place: join(each) for place, each in places.items()}
    newest = sorted(joined, key=lambda place: (-newest_us(joined[place]), place))
    return {place: joined[place] for place in newest[:MOST_PLACES]}


def _sum(heaps: Sequence[Heap]) -> Heap:
    # Files with the extension of uploads are better samples of what a camera sends.
    chosen = [heap for heap in heaps if heap.uploads] or heaps
    samples = sorted(sample for heap in chosen for sample in heap.samples)
    return Heap(
        sum(heap.uploads for heap in heaps),
        sum(heap.others for heap in heaps),
        min(heap.first_us for heap in heaps),
        max(heap.last_us for heap in heaps),
        chosen[0].reason,
        _spread(samples, _PLACE_SAMPLES),
    )


def save(storage: Storage, heaps: Mapping[str, Heap]) -> None:
    """Write the folders of these heaps (by unit) to their file, unless it has them already."""
    places = gather(heaps)
    if places != load(storage):
        document = {"format": FORMAT, "places": places}
        storage.replace(NAME, json.dumps(document, separators=(",", ":")).encode())


def load(storage: Storage) -> dict[str, Heap]:
    """Return folder -> the heap of its unread files, newest first; empty if none are known."""
    document = storage.document(NAME, FORMAT)
    try:
        return {place: heap_from(values) for place, values in (document or {})["places"].items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def heap_from(values: Sequence[object]) -> Heap:
    """Return the heap of a JSON list."""
    heap = Heap(*values)  # type: ignore[arg-type]
    return heap._replace(samples=tuple(heap.samples))


# --- for users ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UnreadFolder:
    """A folder that receives files which no layout reads, with what to do about it.

    `folder` is below the upload root, as in the column `path` ("" for the root itself);
    `first` and `last` are aware UTC times of arrival. `template` reads the names, or is None
    if none could be found; `snippet` is what to paste into pano.toml as `advice` says ("" if
    there is no template). `is_problem` is False for files other than pictures and clips in a
    folder whose uploads are read.
    """

    folder: str
    camera: str
    files: int
    first: datetime
    last: datetime
    sample: str
    reason: str
    template: str | None
    advice: str
    snippet: str
    is_problem: bool

    def text(self, zone: ZoneInfo) -> str:
        """Return a description in one sentence; times are in `zone`."""
        count = many(self.files, "file")
        since = self.first.astimezone(zone).isoformat(" ", timespec="minutes")[:16]
        where = self.folder or "the upload root itself"
        name = self.sample.rpartition("/")[2]
        return f"{where}: {count} that pano cannot read, since {since}; {name!r}: {self.reason}"


def places(settings: Settings, storage: Storage, read: Collection[str]) -> list[UnreadFolder]:
    """Return the folders that receive files which no layout reads, newest first.

    `read` are the cameras that have uploads. Reads one small file of the library.
    """
    ignored = ignored_cameras(settings, "unread")
    folders = [_place(settings, folder, heap, read) for folder, heap in load(storage).items()]
    return [one for one in folders if not {None, alike.key(one.camera)} & ignored]


def ignored_cameras(settings: Settings, word: str) -> set[str | None]:
    """Return the keys of cameras whose finding `word` is in `[doctor] ignore`; None for all."""
    entries = (one.rpartition(":") for one in settings.doctor.ignore)
    return {alike.key(camera.strip()) or None for camera, _, own in entries if own.strip() == word}


def _place(settings: Settings, folder: str, heap: Heap, read: Collection[str]) -> UnreadFolder:
    root_name = encode_path(resolved(settings.uploads).name) if settings.uploads else "camera"
    camera = owner_of(settings, folder, root_name).camera
    first, last = (from_epoch_us(one) for one in (heap.first_us, heap.last_us))
    is_read = alike.find(camera, read) is not None
    template = _template(heap, first, last)
    # With the root as a camera of its own, every folder without a table would belong to it.
    is_in_the_way = not folder and bool(read) and settings.table(camera) is None
    return UnreadFolder(
        folder,
        camera,
        heap.files,
        first,
        last,
        heap.samples[0],
        heap.reason,
        template,
        _advice(template, settings.table(camera), is_in_the_way),
        "" if template is None else _snippet(settings, folder, camera, template, is_read),
        bool(heap.uploads) or (bool(folder) and not is_read),
    )


def _template(heap: Heap, first: datetime, last: datetime) -> str | None:
    if not heap.uploads:
        return None
    day = timedelta(days=2)
    window = (first.replace(tzinfo=None) - day, last.replace(tzinfo=None) + day)
    return layouts.propose(heap.samples, window)


def _advice(template: str | None, table: Camera | None, is_in_the_way: bool) -> str:
    if template is None:
        return (
            "No template can be proposed: pano does not read files with this extension, or the "
            "name has no date and time. In the camera, choose JPEG and MP4, and names with date "
            "and "
            "time. `pano explain PATH` shows why a path is not read."
        )
    if is_in_the_way:
        return "Let the camera upload to its own folder, and set that folder here:"
    where = "a new table of" if table is None else f"the table of {table.name!r} in"
    return (
        f"A template can read these names. Put this into {where} pano.toml, try it with `pano "
        "explain PATH`, and run `pano ingest --full` (docs/settings.md explains the fields):"
    )


def _snippet(settings: Settings, folder: str, camera: str, template: str, is_read: bool) -> str:
    table = settings.table(camera)
    layout = f"layout = {_layout(table, template, is_read)}"
    if table is not None:
        return layout
    own = [] if folder else ['folder = "."']
    return "\n".join(["[[cameras]]", f"name = {_quoted(camera)}", *own, layout])


def _layout(table: Camera | None, template: str, is_read: bool) -> str:
    """Return the setting in TOML: the template after the layouts of the camera's other uploads."""
    layout = "auto" if table is None else table.layout
    known = (layout,) if isinstance(layout, str) else layout
    if known == ("auto",) and not is_read:
        return _quoted(template)
    return f"[{', '.join(map(_quoted, (*known, template)))}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
