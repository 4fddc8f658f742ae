"""Query results for a Selection, as frames; visitors with the same selection share them."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
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
from pano_analytics.wording import clock_error

if TYPE_CHECKING:
    from pano_analytics.library import Library

Value = TypeVar("Value")

HEATMAP_DAYS = 15
# The most rows that a browser gets in all, and in the first answer, so that the first
# pictures do not wait for the last row.
MOST_ROWS = 50_000
FIRST_ROWS = 1_500
_SMALL_ROWS = 12_000
# The most rows that are cached for other visitors: about 100 MB.
_KEPT_ROWS = 250_000

# A query that takes t seconds is repeated after 3 t at the earliest: in a library of years,
# slow queries run less often.
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
    """A cache of answers for all visitors of one library; evicts the least recently used.

    Keys begin with the generation of the catalog; a new generation drops all older answers.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Hashable, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Hashable, ...], ask: Callable[[], Value]) -> Value:
        """Return the cached answer for `key`, or call `ask` and cache its result."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return cast(Value, self._known[key])
        # Two simultaneous callers both run the query: cheaper than waiting under a lock.
        answer = ask()
        with self._lock:
            self._known[key] = answer
            self._forget(key[0])
        return answer

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
    """Return the cache that all sessions on `library` share."""
    return _SHARED.setdefault(library, AnswerCache())


@dataclass(frozen=True)
class _Results:
    """The results of all queries for one selection; each but `generation` is watched by views.

    `now` is the minute of the queries, naive, in the library's zone.
    """

    generation: int
    now: datetime
    cameras: pd.DataFrame
    short: dict[str, str]
    clocks: dict[str, str]
    troubles: list[str]
    unread: list[UnreadFolder]
    heat: Heat
    uploads: Uploads
    near: Near | None
    item: UploadRecord | None


class Answers(param.Parameterized):
    """Query results for one visitor's Selection; views watch them.

    `refresh` updates all of them at once. It runs after each change of the selection and
    for each new generation of the catalog.
    """

    cameras = param.ClassSelector(class_=pd.DataFrame, default=pd.DataFrame())
    short = param.Dict(default={}, doc="a sentence per camera whose disk is too small")
    clocks = param.Dict(default={}, doc="how wrong its clock is, per camera that is not corrected")
    troubles = param.List(default=[], doc="sentences that say what stops culling or ingest")
    unread = param.List(default=[], doc="folders with files that no camera reads")
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
        self.next_poll_at = 0.0
        self.refresh()
        selection.param.watch(lambda *_: self.refresh(), _WATCHED)

    def refresh(self) -> None:
        """Repeat the queries that may have new results, and update all views at once."""
        self._apply(self._query_all())

    async def poll(self) -> None:
        """Refresh if the catalog has a new generation, or if the minute has changed."""
        if monotonic() < self.next_poll_at:
            return
        is_new = self.library.generation != self.generation
        if is_new or wall_now(self.library.zone).minute != self.now.minute:
            await self._refresh_in_thread()

    async def complete(self) -> None:
        """Fetch the rows that the first answer left out to be fast."""
        if self.is_first:
            self.is_first = False
            await self._refresh_in_thread()

    async def _refresh_in_thread(self) -> None:
        """Query in a thread, so that other visitors do not wait."""
        request_key, began = self._request_key(), monotonic()
        results = await asyncio.get_running_loop().run_in_executor(None, self._query_all)
        self.next_poll_at = monotonic() + REST * (monotonic() - began)
        # If the selection changed meanwhile, `refresh` has already answered it with all rows.
        if request_key == self._request_key():
            self._apply(results)

    def _request_key(self) -> tuple[Any, ...]:
        return (*self.selection.key(), self.selection.item, self.selection.until)

    def _apply(self, results: _Results) -> None:
        self.generation = results.generation
        shown = {name: value for name, value in vars(results).items() if name != "generation"}
        changed = {name: value for name, value in shown.items() if value is not getattr(self, name)}
        self.param.update(**changed)

    def _query_all(self) -> _Results:
        library, selection = self.library, self.selection
        # Read first: an upload that arrives during the queries triggers another refresh.
        generation = library.generation
        now = wall_now(library.zone)

        def cached(*key: Hashable, ask: Callable[[], Value]) -> Value:
            return shared(library).get((generation, *key), ask)

        minute = now.replace(second=0, microsecond=0)
        cameras = cached("cameras", minute, ask=library.cameras)
        span = heat_span(cameras, selection, now.date())
        limit = self._limit(cameras)
        filters = _Filters.of(selection)
        uploads = cached(
            "uploads", filters, limit, ask=lambda: find_uploads(library, filters, limit)
        )
        return _Results(
            generation=generation,
            now=minute,
            cameras=cameras,
            short=cached("short", minute, ask=lambda: find_short(library)),
            clocks=cached("clocks", minute, ask=lambda: find_clocks(library)),
            troubles=cached("troubles", minute, ask=lambda: find_troubles(library)),
            unread=cached("unread", minute, ask=lambda: find_unread(library)),
            heat=cached("heat", span, ask=lambda: find_heat(library, span)),
            uploads=uploads,
            near=None
            if len(uploads.frame)
            else cached("near", filters, ask=lambda: find_near(library, filters)),
            item=self._item(cached, uploads),
        )

    def _limit(self, cameras: pd.DataFrame) -> int:
        total = int(cameras["snapshots"].sum() + cameras["clips"].sum()) if len(cameras) else 0
        return FIRST_ROWS if self.is_first and total > _SMALL_ROWS else MOST_ROWS

    def _item(self, cached: Callable[..., Any], uploads: Uploads) -> UploadRecord | None:
        media_id = self.selection.item
        if media_id is None:
            return None
        hint = partition_of(uploads.frame, media_id)
        record: UploadRecord = cached(
            "item", media_id, ask=lambda: find_item(self.library, media_id, *hint)
        )
        return record


_WATCHED = ["cameras", "start", "end", "kind", "states", "until", "item"]


@dataclass(frozen=True)
class _Filters:
    """The filters of a `library.media` query."""

    cameras: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    kind: str | None
    states: tuple[str, ...]

    @classmethod
    def of(cls, selection: Selection) -> _Filters:
        return cls(*selection.key())

    def media(
        self,
        library: Library,
        columns: Sequence[str],
        limit: int,
        *,
        newest_first: bool = False,
    ) -> pd.DataFrame:
        """Return the first `limit` uploads of the selection by start, or the newest ones."""
        return library.media(
            list(self.cameras) or None,
            self.start,
            self.end,
            self.kind,
            list(self.states) or None,
            columns=columns,
            newest_first=newest_first,
            limit=limit,
        )


def find_short(library: Library) -> dict[str, str]:
    """Return texts such as `only 9 of 14 days` by camera, where the disk is too small."""
    try:
        cameras = culling.rooms(library.settings, library.catalog)
    except (OSError, LibraryError):
        return {}
    return {
        camera.camera: f"{camera.text.removeprefix(f'{camera.camera}: ')} days"
        for camera in cameras
        if camera.text
    }


def find_clocks(library: Library) -> dict[str, str]:
    """Return texts such as `47 min behind` by camera, where the times are shown wrong."""
    wrong = library.clock_errors()
    return dict(zip(wrong["camera"], map(clock_error, wrong["seconds"]), strict=True))


def find_troubles(library: Library) -> list[str]:
    """Return sentences about problems with this computer's clock and the upload tree."""
    clock_trouble = timekeeping.trouble(library.settings, library.storage)
    tree_trouble = own_tree.trouble(library.storage, library.settings.uploads)
    unreadable = obstacles.blocked(library.settings, library.storage, obstacles.UNREADABLE)
    unreadable_texts = [
        f"{obstacle.text(library.zone)}. {obstacle.advice}" for obstacle in unreadable
    ]
    return [
        text
        for text in (clock_trouble, tree_trouble and tree_trouble.text, *unreadable_texts)
        if text
    ]


def find_unread(library: Library) -> list[UnreadFolder]:
    """Return the folders with files that no camera reads, newest first."""
    return places(library.settings, library.storage, library.catalog.manifest().cameras())


def find_uploads(library: Library, filters: _Filters, limit: int) -> Uploads:
    """Return the newest `limit` uploads of a selection."""
    frame = filters.media(library, GALLERY_COLUMNS, limit + 1, newest_first=True)
    shown, has_more = with_tiles(frame.head(limit), library.event_rules()), len(frame) > limit
    return Uploads(shown, has_more, payloads.blocks(shown, has_more=has_more))


def find_near(library: Library, filters: _Filters) -> Near:
    """Return the uploads closest to an empty range, with all other filters unchanged."""
    before = after = None
    if filters.start is not None:
        earlier = replace(filters, start=None, end=filters.start)
        before = earlier.media(library, ["start"], 1, newest_first=True)
    if filters.end is not None:
        after = replace(filters, start=filters.end, end=None).media(library, ["start"], 1)
    return Near(_only_start(before), _only_start(after))


def _only_start(frame: pd.DataFrame | None) -> datetime | None:
    if frame is None or frame.empty:
        return None
    return cast(datetime, frame["start"].iloc[0].tz_localize(None).to_pydatetime())


def heat_span(
    cameras: pd.DataFrame, selection: Selection, today: date
) -> tuple[date, date, date | None, date | None]:
    """Return the heatmaps' first and last day, and the last day of the range before and after.

    The last two are None where there is nothing earlier or later.
    """
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
    """Return the last day to show so that the end of the selection is visible."""
    if selection.end is None:
        return newest
    end_day = (selection.end - timedelta(microseconds=1)).date()
    return newest if end_day > newest - timedelta(days=HEATMAP_DAYS) else end_day


def find_heat(library: Library, span: tuple[date, date, date | None, date | None]) -> Heat:
    """Return the hourly counts for the days of `span` (see `heat_span`)."""
    first, last, earlier, later = span
    end = datetime.combine(last, time()) + timedelta(days=1)
    frame = library.activity(by="hour", start=datetime.combine(first, time()), end=end)
    return Heat(frame, first, last, earlier, later)


def partition_of(frame: pd.DataFrame, media_id: str) -> tuple[str | None, Any]:
    """Return camera and date of an item, which speed up its look-up; None where unknown."""
    rows = frame.loc[frame["media_id"] == media_id, ["camera", "date"]]
    return (rows["camera"].iloc[0], rows["date"].iloc[0]) if len(rows) else (None, None)


def find_item(library: Library, media_id: str, camera: str | None, day: Any) -> UploadRecord:
    """Return an upload with its clip, key frames and snapshots, or a record with an `error`."""
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
    # A full day, because a clip that was cut off has no end but may have key frames.
    start, end = clip.start, clip.start + timedelta(days=1)
    frames = library.frames(clip.media_id, clip.camera, start, end)
    return frames.loc[:, ["offset_s", "thumb"]].dropna()


def _snapshots_of(library: Library, clip: Upload) -> pd.DataFrame:
    start, end = clip.start, clip.end or clip.start
    snapshots = library.media(
        clip.camera,
        start,
        end + timedelta(seconds=1),
        kind="snapshot",
        columns=["media_id", "start", "thumb", "clip_id"],
    )
    return snapshots.loc[(snapshots["clip_id"] == clip.media_id) & snapshots["thumb"].notna()]
