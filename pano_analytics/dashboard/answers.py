"""What the library says to a Selection: frames, asked once for all visitors."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary

import pandas as pd
import param

from pano_analytics.dashboard import payloads
from pano_analytics.dashboard.records import Heat, Near, UploadRecord, Uploads
from pano_analytics.dashboard.selection import Selection, wall_now
from pano_analytics.dashboard.tiles import with_tiles
from pano_analytics.errors import LibraryError, QueryError
from pano_analytics.ingest import obstacles
from pano_analytics.ingest.unread import UnreadFolder, places
from pano_analytics.model.upload import Upload
from pano_analytics.store import own_tree, timekeeping
from pano_analytics.upkeep import culling

if TYPE_CHECKING:
    from pano_analytics.library import Library

Value = TypeVar("Value")

HEATMAP_DAYS = 15
# What a browser is given at most; and what it is given at once, so that the
# first pictures need not wait for the last row.
MOST_ROWS = 50_000
FIRST_ROWS = 1_500
_SMALL_ROWS = 12_000
# What is kept for other visitors at most, in rows: about 100 MB.
_KEPT_ROWS = 250_000

# What takes long to ask, in a library of years, is asked so much less often.
REST = 3.0

GALLERY_COLUMNS = (
    "media_id",
    "camera",
    "date",
    "channel",
    "kind",
    "trigger",
    "start",
    "end",
    "time_source",
    "arrived",
    "state",
    "clip_id",
    "duration_s",
    "codec",
    "thumb",
)


class AnswerCache:
    """Answers kept for all visitors of one library, the least recently used given up first.

    Keys begin with the generation of the catalog; an older one's answers go at once.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Hashable, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Hashable, ...], ask: Callable[[], Value]) -> Value:
        """Return the answer for `key`, asking for it where nobody has yet."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return cast(Value, self._known[key])
        # Two that ask at the same time both ask: cheaper than one waiting under a lock.
        found = ask()
        with self._lock:
            self._known[key] = found
            self._forget(key[0])
        return found

    def _forget(self, generation: Hashable) -> None:
        for key in [key for key in self._known if key[0] != generation]:
            del self._known[key]
        rows = sum(map(_rows, self._known.values()))
        while rows > _KEPT_ROWS:
            _, oldest = self._known.popitem(last=False)
            rows -= _rows(oldest)


def _rows(answer: Any) -> int:
    frame = getattr(answer, "frame", answer)
    return max(100, len(frame)) if isinstance(frame, pd.DataFrame) else 100


_SHARED: WeakKeyDictionary[Library, AnswerCache] = WeakKeyDictionary()


def shared(library: Library) -> AnswerCache:
    """Return the answers that all sessions on `library` share."""
    return _SHARED.setdefault(library, AnswerCache())


class Answers(param.Parameterized):
    """Frames for one visitor's Selection; views watch them.

    `refresh` fills all of them at once; it is called for each change of the
    selection and for each new generation of the catalog.
    """

    cameras = param.ClassSelector(class_=pd.DataFrame, default=pd.DataFrame())
    short = param.Dict(default={}, doc="what a camera's disk cannot hold, in words, by camera")
    troubles = param.List(default=[], doc="why nothing is culled, concluded or read: sentences")
    unread = param.List(default=[], doc="folders that receive what nothing reads (unread.Place)")
    heat = param.ClassSelector(class_=Heat, default=Heat(pd.DataFrame(), date.min, date.min))
    uploads = param.ClassSelector(class_=Uploads, default=Uploads(pd.DataFrame()))
    near = param.ClassSelector(class_=Near, allow_None=True)
    item = param.ClassSelector(class_=UploadRecord, allow_None=True)
    now = param.ClassSelector(class_=datetime, default=datetime.min)

    def __init__(self, library: Library, selection: Selection, **params: Any) -> None:
        super().__init__(**params)  # type: ignore[no-untyped-call]
        self.library = library
        self.selection = selection
        self.generation = -1
        self.is_first = True
        self.rested_at = 0.0
        self.refresh()
        selection.param.watch(lambda *_: self.refresh(), _WATCHED)

    def refresh(self) -> None:
        """Ask anew whatever may have changed and hand it to the views in one go."""
        self._take(self._ask())

    async def poll(self) -> None:
        """Look for news: a new generation, or another minute for what depends on the clock."""
        if monotonic() < self.rested_at:
            return
        is_new = self.library.generation != self.generation
        if is_new or wall_now(self.library.zone).minute != self.now.minute:
            await self._ask_aside()

    async def complete(self) -> None:
        """Fetch what the first answer left out for the sake of speed."""
        if self.is_first:
            self.is_first = False
            await self._ask_aside()

    async def _ask_aside(self) -> None:
        """Ask in a thread, so that other visitors need not wait."""
        asked, began = self._wanted(), monotonic()
        found = await asyncio.get_running_loop().run_in_executor(None, self._ask)
        self.rested_at = monotonic() + REST * (monotonic() - began)
        # What was chosen meanwhile has been answered already, and with all rows.
        if asked == self._wanted():
            self._take(found)

    def _wanted(self) -> tuple[Any, ...]:
        return (*self.selection.key(), self.selection.item, self.selection.until)

    def _take(self, found: dict[str, Any]) -> None:
        self.generation = found.pop("generation")
        changed = {name: value for name, value in found.items() if value is not getattr(self, name)}
        self.param.update(**changed)

    def _ask(self) -> dict[str, Any]:
        library, selection = self.library, self.selection
        # Taken first: what arrives while asking is then asked again, not missed.
        generation = library.generation
        now = wall_now(library.zone)

        def kept(*key: Hashable, ask: Callable[[], Value]) -> Value:
            return shared(library).get((generation, *key), ask)

        minute = now.replace(second=0, microsecond=0)
        cameras = kept("cameras", minute, ask=library.cameras)
        span = heat_span(cameras, selection, now.date())
        limit = self._limit(cameras)
        chosen = _Chosen.of(selection)
        uploads = kept("uploads", chosen, limit, ask=lambda: find_uploads(library, chosen, limit))
        return {
            "generation": generation,
            "now": minute,
            "cameras": cameras,
            "short": kept("short", minute, ask=lambda: find_short(library)),
            "troubles": kept("troubles", minute, ask=lambda: find_troubles(library)),
            "unread": kept("unread", minute, ask=lambda: find_unread(library)),
            "heat": kept("heat", span, ask=lambda: find_heat(library, span)),
            "uploads": uploads,
            "near": None
            if len(uploads.frame)
            else kept("near", chosen, ask=lambda: find_near(library, chosen)),
            "item": self._item(kept, uploads),
        }

    def _limit(self, cameras: pd.DataFrame) -> int:
        total = int(cameras["snapshots"].sum() + cameras["clips"].sum()) if len(cameras) else 0
        return FIRST_ROWS if self.is_first and total > _SMALL_ROWS else MOST_ROWS

    def _item(self, kept: Callable[..., Any], uploads: Uploads) -> UploadRecord | None:
        media_id = self.selection.item
        if media_id is None:
            return None
        hint = partition_of(uploads.frame, media_id)
        found: UploadRecord = kept(
            "item", media_id, ask=lambda: find_item(self.library, media_id, *hint)
        )
        return found


_WATCHED = ["cameras", "start", "end", "kind", "states", "until", "item"]


@dataclass(frozen=True)
class _Chosen:
    """What is asked of `library.media`."""

    cameras: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    kind: str | None
    states: tuple[str, ...]

    @classmethod
    def of(cls, selection: Selection) -> _Chosen:
        return cls(*selection.key())

    def query(self, **changed: Any) -> dict[str, Any]:
        return {
            "camera": list(self.cameras) or None,
            "start": self.start,
            "end": self.end,
            "kind": self.kind,
            "state": list(self.states) or None,
            **changed,
        }


def find_short(library: Library) -> dict[str, str]:
    """Return `only 9 of 14 days` by camera, for those whose disk cannot hold what is wanted."""
    try:
        found = culling.rooms(library.settings, library.catalog)
    except (OSError, LibraryError):
        return {}
    return {
        one.camera: f"{one.text.removeprefix(f'{one.camera}: ')} days" for one in found if one.text
    }


def find_troubles(library: Library) -> list[str]:
    """Return what is wrong with this computer's clock and the upload tree, as sentences."""
    doubt = timekeeping.trouble(library.settings, library.storage)
    strange = own_tree.trouble(library.storage, library.settings.uploads)
    found = obstacles.blocked(library.settings, library.storage, obstacles.UNREADABLE)
    closed = [f"{one.text(library.zone)}. {one.advice}" for one in found]
    return [one for one in (doubt, strange and strange.text, *closed) if one]


def find_unread(library: Library) -> list[UnreadFolder]:
    """Return the folders that receive files which nothing reads, newest first."""
    return places(library.settings, library.storage, library.catalog.manifest().cameras())


def find_uploads(library: Library, chosen: _Chosen, limit: int) -> Uploads:
    """Return the newest `limit` uploads of a selection."""
    frame = library.media(
        **chosen.query(), columns=GALLERY_COLUMNS, newest_first=True, limit=limit + 1
    )
    shown, has_more = with_tiles(frame.head(limit), library.event_rules()), len(frame) > limit
    return Uploads(shown, has_more, payloads.blocks(shown, has_more=has_more))


def find_near(library: Library, chosen: _Chosen) -> Near:
    """Return what lies nearest to an empty range, with everything else chosen alike."""
    before = after = None
    if chosen.start is not None:
        query = chosen.query(start=None, end=chosen.start)
        before = library.media(**query, columns=["start"], newest_first=True, limit=1)
    if chosen.end is not None:
        query = chosen.query(start=chosen.end, end=None)
        after = library.media(**query, columns=["start"], limit=1)
    return Near(_only_start(before), _only_start(after))


def _only_start(frame: pd.DataFrame | None) -> datetime | None:
    if frame is None or frame.empty:
        return None
    return cast(datetime, frame["start"].iloc[0].tz_localize(None).to_pydatetime())


def heat_span(
    cameras: pd.DataFrame, selection: Selection, today: date
) -> tuple[date, date, date | None, date | None]:
    """Return the first and last day that the heatmaps show, and where a step leads each way."""
    known = cameras["first"].dropna()
    oldest = known.min().date() if len(known) else today
    newest = max(today, cameras["latest"].dropna().max().date()) if len(known) else today
    newest = min(newest, today + timedelta(days=1))
    least = oldest + timedelta(days=HEATMAP_DAYS - 1)
    wanted = selection.until or _shown_day(selection, newest)
    last = min(newest, max(least, wanted))
    first = max(oldest, last - timedelta(days=HEATMAP_DAYS - 1))
    earlier = first - timedelta(days=1) if first > oldest else None
    later = min(newest, last + timedelta(days=HEATMAP_DAYS)) if last < newest else None
    return first, last, earlier, later


def _shown_day(selection: Selection, newest: date) -> date:
    """Return the last day to show such that what is selected can be seen in it."""
    if selection.end is None:
        return newest
    end_day = (selection.end - timedelta(microseconds=1)).date()
    return newest if end_day > newest - timedelta(days=HEATMAP_DAYS) else end_day


def find_heat(library: Library, span: tuple[date, date, date | None, date | None]) -> Heat:
    """Return the counts by hour of the days of `span`."""
    first, last, earlier, later = span
    end = datetime.combine(last, time()) + timedelta(days=1)
    frame = library.activity(by="hour", start=datetime.combine(first, time()), end=end)
    return Heat(frame, first, last, earlier, later)


def partition_of(frame: pd.DataFrame, media_id: str) -> tuple[str | None, Any]:
    """Return camera and date of an item where the frame has it: its look-up is then quick."""
    rows = frame.loc[frame["media_id"] == media_id, ["camera", "date"]]
    return (rows["camera"].iloc[0], rows["date"].iloc[0]) if len(rows) else (None, None)


def find_item(library: Library, media_id: str, camera: str | None, day: Any) -> UploadRecord:
    """Return an upload with its clip, key frames and snapshots, or with an `error` in words."""
    try:
        upload = library.upload(media_id, camera, day)
    except QueryError as error:
        return UploadRecord(media_id, error=str(error))
    clip = upload if upload.kind == "clip" else _clip_of(library, upload)
    if clip is None:
        return UploadRecord(media_id, upload)
    return UploadRecord(
        media_id, upload, clip, _frames_of(library, clip), _snapshots_of(library, clip)
    )


def _clip_of(library: Library, upload: Upload) -> Upload | None:
    if upload.clip_id is None:
        return None
    try:
        return library.upload(upload.clip_id, upload.camera, upload.date)
    except QueryError:
        return None


def _frames_of(library: Library, clip: Upload) -> pd.DataFrame:
    # A day more: a clip that was cut off has no end, but may have pictures.
    start, end = clip.start, clip.start + timedelta(days=1)
    frames = library.frames(clip.media_id, clip.camera, start, end)
    return frames.loc[:, ["offset_s", "thumb"]].dropna()


def _snapshots_of(library: Library, clip: Upload) -> pd.DataFrame:
    start, end = clip.start, clip.end or clip.start
    found = library.media(
        clip.camera,
        start,
        end + timedelta(seconds=1),
        kind="snapshot",
        columns=["media_id", "start", "thumb", "clip_id"],
    )
    return found.loc[(found["clip_id"] == clip.media_id) & found["thumb"].notna()]
