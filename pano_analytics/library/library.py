"""`open()` and `Library`: the interface for notebooks, the dashboard, the site and scripts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from html import escape
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from pano_analytics import settings as settings_module
from pano_analytics.analysis import activity
from pano_analytics.analysis.events import Rule, events
from pano_analytics.analysis.lags import CameraError
from pano_analytics.analysis.marks import COLUMNS as MARKS
from pano_analytics.analysis.marks import with_marks, without_marks
from pano_analytics.analysis.sessions import TransitionLags, sessions
from pano_analytics.analysis.silence import is_silent
from pano_analytics.errors import (
    DecisionsError,
    LibraryError,
    MediaError,
    QueryError,
    SettingsError,
)
from pano_analytics.library import corrections, lags
from pano_analytics.library import decisions as decided
from pano_analytics.library import events as event_queries
from pano_analytics.library import sessions as session_queries
from pano_analytics.library.queries import Queries
from pano_analytics.model import alike, arguments
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.model.tables import MEDIA, named
from pano_analytics.model.times import from_epoch_us, instant, is_day
from pano_analytics.model.upload import KINDS, STATES, Upload, locate, resolved
from pano_analytics.settings import Settings
from pano_analytics.store import locators, split
from pano_analytics.store.catalog import CameraDay, Catalog, Part
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.home import Home
from pano_analytics.store.journal import Journal
from pano_analytics.store.storage import Storage
from pano_analytics.wording import many

if TYPE_CHECKING:
    from PIL.Image import Image

Names = Any  # one name, or several: a list, a Series, an array, a row or a frame with them
Moment = Any  # text, date, datetime or Timestamp; naive means the library's zone

_NAMES = tuple(column.name for column in MEDIA.columns)
COLUMNS: tuple[str, ...] = (_NAMES[0], "camera", "date", *_NAMES[1:])


def open(where: str | os.PathLike[str] | None = None) -> Library:
    """Open the library at `where`: its folder, or the `pano.toml` that names it.

    Without `where`, look for the settings file as the command line does.
    Raises LibraryError if there is no library, SettingsError for an invalid file.
    """
    path = settings_module.find() if where is None else _path(where)
    if path is None:
        raise LibraryError(
            "expected a library folder or a pano.toml; none was given, and there is none in this "
            "folder. Create one with `pano ingest --uploads DIR --library LIB`."
        )
    if path.suffix == ".toml":
        return Library.of(settings_module.load(path), str(path))
    return Library(path, _known_settings(path))


def _path(where: Any) -> Path:
    try:
        return Path(where).expanduser()
    except (TypeError, ValueError, RuntimeError) as error:
        raise LibraryError(
            f"expected a library folder or a pano.toml, as text or a path; "
            f"got {arguments.shown(where)} ({error})."
        ) from None


def _known_settings(folder: Path) -> Settings:
    home = Home.read(Storage(folder))
    if home is None:
        raise LibraryError(
            f"{folder}: expected a library; there is none yet. Create it with `pano "
            f"ingest --uploads DIR --library {folder}`."
        )
    return home.settings


class Library:
    """A catalog of uploads, and the queries of it.

    Returned frames have times aware in `zone`. Naive times passed in mean `zone`; a date
    means its first moment. Ranges are half-open, [start, end), and select by overlap.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self._settings = settings
        self._settings_cache = (-1, settings)
        self._learned_cache: session_queries.Learned | None = None
        self.storage = Storage(folder)
        self.catalog = Catalog(self.storage)
        self.zone = ZoneInfo(settings.zone)

    @classmethod
    def of(cls, settings: Settings, origin: str = "settings") -> Library:
        """Return the library that `settings` name; it may still be empty."""
        if settings.library is None:
            raise SettingsError(f"{origin}: expected `library`, the folder of the library; add it.")
        return cls(settings.library, settings)

    def __repr__(self) -> str:
        manifest = self.catalog.manifest()
        rows = manifest.total().rows
        cameras = many(len(manifest.cameras()), "camera")
        return f"<Library {self.folder}: {many(rows, 'upload')} of {cameras}>"

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook shows: the library, and one row per camera."""
        shown = self.cameras()[["camera", "snapshots", "clips", "first", "latest", "is_silent"]]
        return f"<p>{escape(repr(self))}</p>{shown.to_html(index=False, na_rep='', escape=True)}"

    @cached_property
    def _queries(self) -> Queries:
        return Queries(self.catalog, self._settings.zone)

    @cached_property
    def _clock_watch(self) -> lags.ClockWatch:
        return lags.ClockWatch(self.catalog)

    @cached_property
    def _decisions(self) -> Decisions:
        return Decisions(self.storage)

    @property
    def settings(self) -> Settings:
        """The settings, with a table for each camera that a template has created so far."""
        generation = self.generation
        if self._settings_cache[0] != generation:
            self._settings_cache = (generation, split.with_cameras(self._settings, self.storage))
        return self._settings_cache[1]

    @property
    def uploads(self) -> Path | None:
        """The upload root, from the last ingest or the settings."""
        return self._settings.uploads

    @property
    def generation(self) -> int:
        """A number that grows with each change of the catalog; reading it costs one stat."""
        return self.catalog.manifest().generation

    def parts(self, table: str = "media") -> list[str]:
        """Return the Parquet files of exactly one generation of a table, for other tools.

        The next commit moves the files that it replaces: read them soon, and call this again
        if one is missing. Raises QueryError, with the known tables, for an unknown table.
        """
        for left in reversed(range(_TRIES)):
            parts = self.catalog.manifest().table(named(table).name).values()
            if not left or all(self.storage.exists(part.path) for part in parts):
                break
            time.sleep(_PAUSE_S)  # a commit is moving its parts into the tree
        return [self.storage.address(part.path) for part in parts]

    def media(
        self,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
        kind: Names = None,
        state: Names = None,
        *,
        columns: Names = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Return the uploads that overlap [start, end), one row each, sorted by start.

        `camera`, `kind` and `state` take a name or several. The columns are those of
        `docs/columns.md`; `camera` is a category in the order of `camera_names()`.
        If times of a camera are wrong and not corrected (see `clock_errors`), the frame's
        `attrs["warnings"]` has a sentence about it. Raises QueryError for an unknown name,
        listing the known ones, and for a range that is empty or in the future.
        """
        chosen = arguments.names(columns, "columns", COLUMNS)
        if chosen == []:
            raise QueryError(f"columns: expected at least one of {', '.join(COLUMNS)}; got none.")
        cameras = self._cameras_named(camera)
        first, last = self._range(start, end)
        conditions, values = _overlap(first, last)
        for column, names, known in (("kind", kind, KINDS), ("state", state, STATES)):
            wanted = arguments.names(names, column, known)
            if wanted is not None:
                conditions.append(f"list_contains(?::VARCHAR[], {column})")
                values.append(wanted)
        direction = "DESC" if arguments.yes_or_no(newest_first, "newest_first") else "ASC"
        max_rows = arguments.whole(limit, "limit")
        statement = (
            f"SELECT {', '.join(_quoted(name) for name in chosen or COLUMNS)} FROM {{source}} "
            f"{_where(conditions)} ORDER BY start {direction}, camera, path {direction}"
            + (f" LIMIT {max_rows}" if max_rows is not None else "")
        )
        rows = self._queries.ask(statement, self._select(cameras, first, last), values)
        return self._warned(self._in_camera_order(rows), cameras, first, last)

    def events(
        self,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Names = None,
        newest_first: bool = False,
        limit: int | None = None,
        who: str | None = None,
        is_reviewed: bool | None = None,
        is_pinned: bool | None = None,
        is_dismissed: bool | None = None,
    ) -> pd.DataFrame:
        """Return the events that overlap [start, end), one row each, sorted by start.

        An event consists of uploads of one camera and channel: each starts at most
        `event_gap_s` after all earlier ones have ended, and at most `event_max_s` after the
        first. A clip and the snapshots it covers are never separated. Scheduled uploads form
        no events; uploads whose file was deleted still do. The columns are those of
        `docs/columns.md`; an event is complete even if it extends beyond the range. Events
        are computed from the uploads on each call: give a range to make it fast.

        `session_id` is the visit that the event belongs to (see `sessions`), never null. For
        it, the events of all cameras around the range are computed; leave it out of `columns`
        if you do not need it.

        `is_reviewed` and `new_files` are those of the person `who`; for None, an upload is
        reviewed if anybody has reviewed it. With `is_reviewed`, `is_pinned` or `is_dismissed`
        only the events with that value are returned. Warns in `attrs` and raises QueryError as
        `media` does.
        """
        chosen = event_queries.chosen_columns(columns)
        marks = event_queries.chosen_marks(
            is_reviewed=is_reviewed, is_pinned=is_pinned, is_dismissed=is_dismissed
        )
        asked = self._asked(camera, start, end, who, marks, newest_first, limit)
        rules = self.event_rules()
        rows, uploads = self._events_within(rules, asked.cameras, asked.first, asked.last)
        if marks or chosen is None or not set(chosen).isdisjoint(MARKS):
            rows = self._marked(rows, uploads, rules, asked.person)
        rows = asked.marked(rows)
        if chosen is None or "session_id" in chosen:
            rows = rows.assign(session_id=self._session_ids(rows))
        shown = asked.in_order(self._in_camera_order(rows), ["start", "camera", "channel"])
        found = shown[chosen or list(event_queries.COLUMNS)].reset_index(drop=True)
        return self._warned(found, asked.cameras, asked.first, asked.last)

    def _asked(
        self,
        camera: Names,
        start: Moment,
        end: Moment,
        who: str | None,
        marks: Mapping[str, bool],
        newest_first: bool,
        limit: int | None,
    ) -> event_queries.Asked:
        """Return the checked arguments that `events` and `sessions` share."""
        person = decided.chosen_person(who)
        cameras = self._cameras_named(camera)
        first, last = self._range(start, end)
        is_reversed = arguments.yes_or_no(newest_first, "newest_first")
        max_rows = arguments.whole(limit, "limit")
        return event_queries.Asked(cameras, first, last, person, marks, is_reversed, max_rows)

    def _events_within(
        self,
        rules: Mapping[str, Rule],
        cameras: Iterable[str] | None,
        first: datetime | None,
        last: datetime | None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the events that overlap [first, last), and uploads with all their members."""
        uploads = event_queries.around(
            lambda low, high: self._triggered(cameras, low, high, event_queries.NEEDED),
            rules,
            first,
            last,
        )
        return event_queries.overlapping(events(uploads, rules), first, last), uploads

    def _all_events(self, first: datetime | None, last: datetime | None) -> pd.DataFrame:
        return self._events_within(self.event_rules(), None, first, last)[0]

    def sessions(
        self,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
        *,
        columns: Names = None,
        newest_first: bool = False,
        limit: int | None = None,
        who: str | None = None,
        is_reviewed: bool | None = None,
        is_pinned: bool | None = None,
        is_dismissed: bool | None = None,
        min_cameras: int = 1,
    ) -> pd.DataFrame:
        """Return the visits that overlap [start, end), one row each, sorted by start.

        A session consists of the events that show one visit: each event of another camera
        that overlaps or follows at a lag that this home has shown (see `transition_lags`). An
        event that no other belongs to is a session of its own. The columns are those of
        `docs/columns.md`; a session is complete even if it extends beyond the range. `start`
        and `end` are corrected for cameras whose clock is wrong; those of their events are
        not.

        `camera` selects the sessions that one of these cameras has seen, `min_cameras` those
        that at least so many have seen. `who`, `is_reviewed`, `is_pinned` and `is_dismissed`
        are as in `events`. Raises QueryError as `media` does.
        """
        chosen = session_queries.chosen_columns(columns)
        marks = event_queries.chosen_marks(
            is_reviewed=is_reviewed, is_pinned=is_pinned, is_dismissed=is_dismissed
        )
        asked = self._asked(camera, start, end, who, marks, newest_first, limit)
        least = arguments.whole(min_cameras, "min_cameras", 1) or 1
        home = self._learned()
        members = session_queries.within(self._all_events, home.lags, asked.first, asked.last)
        if asked.cameras is not None:
            seen = members.loc[members["camera"].isin(asked.cameras), "session_id"]
            members = members[members["session_id"].isin(seen)]
        rows = sessions(self._with_person(members, asked.person), home.lags)
        rows = asked.marked(rows[rows["cameras"] >= least])
        shown = asked.in_order(rows, ["start", "path"])
        if chosen is None or not set(chosen).isdisjoint(session_queries.UNSEEN_NAMES):
            shown = self._with_unseen(shown, home)
        found = shown[chosen or list(session_queries.COLUMNS)].reset_index(drop=True)
        # A session may contain events of any camera, whichever was asked for.
        return self._warned(found, None, asked.first, asked.last)

    def transition_lags(self) -> TransitionLags:
        """Return what was learned of how visits move from camera to camera.

        It is learned from the last 28 whole days before the newest upload (fewer if these
        have more than 60,000 uploads; of a library without a whole day, from all uploads), at
        the first call and again when one of these days changes.
        """
        return self._learned().lags

    def _session_ids(self, rows: pd.DataFrame) -> pd.Series[Any]:
        if len(self.catalog.manifest().cameras()) < 2:
            return rows["event_id"]
        return session_queries.ids_of(rows, self._all_events, self._learned().lags)

    def _learned(self) -> session_queries.Learned:
        first, last = self._learning_window()
        parts = tuple(part.path for part in self._select(None, first, last))
        key = (
            first,
            last,
            parts,
            tuple(sorted(self.event_rules().items(), key=lambda one: one[0])),
        )
        known = self._learned_cache
        if known is None or known.key != key:
            found = self._all_events(first, last)
            known = session_queries.learned(key, found, self._arrivals(first, last))
            self._learned_cache = known
        return known

    def _learning_window(self) -> tuple[datetime | None, datetime | None]:
        """Return the range that lags are learned from; None for no limit."""
        total = self.catalog.manifest().total()
        if total.first_us is None or total.last_us is None:
            return None, None
        newest = min(from_epoch_us(total.last_us), datetime.now(UTC)).astimezone(self.zone)
        last = newest.replace(hour=0, minute=0, second=0, microsecond=0)
        if from_epoch_us(total.first_us) > last - timedelta(days=1):
            return None, None
        days = session_queries.WINDOW_DAYS
        while days > 1 and self._rows_between(last, days) > session_queries.MOST_UPLOADS:
            days //= 2
        return last - timedelta(days=days), last

    def _rows_between(self, last: datetime, days: int) -> int:
        return sum(part.rows for part in self._select(None, last - timedelta(days=days), last))

    def _arrivals(self, first: datetime | None, last: datetime | None) -> pd.DataFrame:
        """Return `camera, arrived` of the first and the last upload of each hour in a range."""
        conditions, values = _overlap(first, last)
        statement = (
            "SELECT camera, unnest([min(arrived), max(arrived)]) AS arrived FROM {source} "
            f"{_where(conditions)} GROUP BY camera, date_trunc('hour', arrived)"
        )
        return self._queries.ask(statement, self._select(None, first, last), values)

    def _with_person(self, rows: pd.DataFrame, who: str | None) -> pd.DataFrame:
        """Return events with their marks; their uploads are looked up if there are decisions."""
        if self._decisions.is_empty() or not len(rows):
            return without_marks(rows)
        first, last = rows["start"].min(), rows["end"].max() + timedelta(microseconds=1)
        rules = self.event_rules()
        uploads = self._events_within(rules, None, first, last)[1]
        return self._marked(rows, uploads, rules, who)

    def _with_unseen(self, rows: pd.DataFrame, home: session_queries.Learned) -> pd.DataFrame:
        if not len(rows):
            return session_queries.without_unseen(rows)
        limits = {
            name: timedelta(hours=self.settings.silent_after_hours_of(name))
            for name in {*self.camera_names(), *self.catalog.manifest().cameras()}
        }
        around = max(limits.values(), default=timedelta(0))
        arrivals = self._arrivals(rows["start"].min() - around, rows["end"].max() + around)
        return session_queries.with_unseen(rows, home, arrivals, limits, datetime.now(UTC))

    def _marked(
        self,
        rows: pd.DataFrame,
        uploads: pd.DataFrame,
        rules: Mapping[str, Rule],
        who: str | None,
    ) -> pd.DataFrame:
        """Return events with their marks; `uploads` has all their members."""
        # Most libraries have no decisions, and most days of others have none either.
        if self._decisions.is_empty():
            return without_marks(rows)
        found = self._decisions.marks(uploads["media_id"].to_list(), who)
        if not found:
            return without_marks(rows)
        members = event_queries.with_ids(uploads, rules)
        return with_marks(rows, members, decided.marks_frame(found))

    def members(self, event_id: Names) -> pd.DataFrame:
        """Return the uploads of events: `event_id` and the columns of `media`, sorted by start.

        `event_id` takes one id or several, or rows or a frame of `events`. An id from before
        events were merged or split leads to the event that its upload belongs to now; the
        column has the id of that event. Raises QueryError for an id that is not in this
        library, and for the id of an upload that forms no event.
        """
        wanted = event_queries.chosen_ids(event_id)
        seeds = self._uploads_named(wanted, event_id)
        numbered = self._numbered_around(seeds, COLUMNS)
        rows = event_queries.members(wanted, seeds, numbered)
        return self._in_camera_order(rows)[["event_id", *COLUMNS]].reset_index(drop=True)

    def _uploads_named(self, media_ids: Iterable[str], given: Any) -> pd.DataFrame:
        """Return `media_id, camera, start` of those of the uploads that are in the catalog.

        If `given` are rows that say where the uploads are, only these camera-days are read,
        unless one of the uploads is not there.
        """
        wanted = list(media_ids)
        place = event_queries.place_of(given)
        near = [] if place is None else self._select(*place)
        for parts in (near, list(self.catalog.manifest().media.values())):
            found = self._queries.ask(
                "SELECT media_id, camera, start FROM {source} "
                "WHERE media_id IN (SELECT unnest(?::VARCHAR[]))",
                parts,
                [wanted],
            )
            if len(found) == len(wanted):
                break
        return found

    def _numbered_around(self, seeds: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
        """Return all members of the events of some uploads, and others, with `event_id`."""
        rules = self.event_rules()
        # Without a matching upload there is no range and no camera to query.
        cameras = sorted(seeds["camera"].unique())
        first = last = None
        if cameras:
            first, last = seeds["start"].min(), seeds["start"].max() + timedelta(microseconds=1)
        uploads = event_queries.around(
            lambda low, high: self._triggered(cameras, low, high, columns), rules, first, last
        )
        return event_queries.with_ids(uploads, rules)

    def decide(
        self, frame_or_ids: Any, decision: str, who: str | None = None, note: str | None = None
    ) -> str:
        """Store what somebody decided about uploads; return the id of the decision.

        `frame_or_ids` is a frame or a row of `events`, which stands for the uploads that the
        events have now; a frame or a row with `media_id`; or one id or several: the id of an
        event stands for all its uploads, any other `media_id` for that upload alone.
        `decision` is reviewed, unreviewed, dismissed, restored, pinned, unpinned or noted.
        `who` is by default the user name on this computer. `note` is optional except for
        noted. Reviewed is personal; everything else is common to all.

        The decision is on the disk when this returns. `undo` takes it back. Raises QueryError
        for an unknown id or decision, StorageFull or another PanoError if it could not be
        written; nothing was decided then.
        """
        chosen = decided.chosen_decision(decision)
        person = decided.chosen_person(who) or decided.this_user()
        text = decided.chosen_note(note, chosen)
        column, ids = decided.chosen_uploads(frame_or_ids)
        if column == "event_id":
            media_ids = self.members(frame_or_ids)["media_id"].to_list()
        else:
            media_ids = self._known_uploads(ids, frame_or_ids, is_whole_events=column is None)
        return self._decisions.decide(person, chosen, media_ids, text).decision_id

    def _known_uploads(self, ids: list[str], given: Any, is_whole_events: bool) -> list[str]:
        """Return the ids, and with `is_whole_events` those of all members of events among them.

        Raises QueryError for an id that is not in the catalog.
        """
        seeds = self._uploads_named(decided.looks_like_ids(ids), given)
        decided.expect_known(ids, seeds["media_id"])
        if not is_whole_events:
            return ids
        numbered = self._numbered_around(seeds, event_queries.NEEDED)
        return [*ids, *numbered.loc[numbered["event_id"].isin(ids), "media_id"]]

    def undo(self, decision_id: Any, who: str | None = None) -> str:
        """Take a decision back; return the id of the undo, which can be taken back in turn.

        `decision_id` may also be a row of `decisions`. The state is then as if the decision
        had never been made. Raises QueryError for an unknown id and for a decision that was
        taken back before, and the errors of `decide`.
        """
        chosen = decided.chosen_id(decision_id)
        person = decided.chosen_person(who) or decided.this_user()
        return self._decisions.undo(person, chosen).decision_id

    def decisions(self) -> pd.DataFrame:
        """Return all decisions, one row each, in the order in which they apply.

        Columns: `decision_id`, `decided` (aware in `zone`), `who`, `decision`, `note`,
        `uploads` (how many it names), `media_ids` (a list of them), `undoes` (the id of the
        decision that an undo takes back), `is_undone` (whether it was taken back). The
        `decision` of an undo is undo, that of `correct_clock` clock_corrected; both name no
        uploads.
        """
        return decided.decisions_frame(self._decisions.everything(), self.zone)

    def correct_clock(
        self, camera: Any, start: Moment, end: Moment, seconds: float, who: str | None = None
    ) -> str:
        """Store that a camera's clock was wrong; return the id of the correction.

        While the clock showed [`start`, `end`), it was `seconds` seconds ahead; negative
        seconds mean that it was behind. `start` and `end` are times without a zone, on the
        camera's own clock, as in the column `wall_start`; with None as `end` the correction
        goes on. `who` is by default the user name on this computer.

        The correction is on the disk when this returns. The next ingest applies it to the
        uploads, and `undo` takes it back. Raises QueryError for an unknown camera, an invalid
        time and a correction that overlaps another one, and the errors of `decide`.
        """
        clock = corrections.chosen_correction(camera, start, end, seconds, self.camera_names())
        person = decided.chosen_person(who) or decided.this_user()
        configured = self.settings.camera(clock.camera).clock_corrections
        return self._decisions.correct_clock(person, clock, configured).decision_id

    def clock_corrections(self) -> pd.DataFrame:
        """Return the corrections of cameras' clocks that are in force, by camera and start.

        Columns: `decision_id` (null if it is in the settings; otherwise `undo` takes it back),
        `camera`, `start` and `end` (naive, on the camera's own clock; NaT for no end),
        `seconds` (how far the clock was ahead; negative: behind), `who` and `decided` (aware in
        `zone`).
        """
        decisions = self._decisions.about_clocks()
        rows = corrections.correction_rows(self.settings.clock_corrections, decisions)
        return corrections.corrections_frame(rows, self.zone)

    def clock_errors(self) -> pd.DataFrame:
        """Return the cameras whose times are shown wrong, until a correction is applied.

        According to the newest uploads of each, as `pano doctor` judges them. Columns: `camera`,
        `seconds` (how far its times are ahead; negative: behind), `since` (aware: the start, as
        it is shown, of the first upload known to be affected), `wall_start` (what the camera's
        clock showed then: the `start` for `correct_clock`), `text` (a warning, with the command
        that corrects it).
        """
        return lags.errors_frame(self._clock_errors(self.camera_names()), self.zone)

    def _clock_errors(self, cameras: Iterable[str]) -> list[CameraError]:
        return self._clock_watch.errors(self.settings, cameras, self._stored_corrections)

    def _stored_corrections(self) -> list[ClockCorrection]:
        try:
            stored = self._decisions.clock_corrections()
        except DecisionsError:  # `pano check` reports it
            stored = ()
        return [*self.settings.clock_corrections, *stored]

    def _warned(
        self,
        frame: pd.DataFrame,
        cameras: Iterable[str] | None,
        first: datetime | None,
        last: datetime | None,
    ) -> pd.DataFrame:
        """Return the frame with warnings about clocks in `attrs`, if there are any."""
        chosen = self.camera_names() if cameras is None else cameras
        wrong = [one for one in self._clock_errors(chosen) if one.concerns(last)]
        texts = [one.text(self._lag_adds(one, first, last)) for one in wrong]
        if texts:
            frame.attrs["warnings"] = texts
        return frame

    def _lag_adds(self, one: CameraError, first: datetime | None, last: datetime | None) -> int:
        """Return how many uploads a range would have in addition if their clock were right."""
        by = timedelta(seconds=one.error.seconds)
        low, high = (None if bound is None else bound + by for bound in (first, last))
        if low is None and high is None:
            return 0
        (inside, values), (there, others) = _overlap(low, high), _overlap(first, last)
        conditions = [*inside, f"NOT coalesce({' AND '.join(there)}, false)", "start >= ?"]
        counted = self._queries.ask(
            f"SELECT count(*) AS added FROM {{source}} {_where(conditions)}",
            self._select([one.camera], low, high),
            [*values, *others, one.error.since],
        )
        return int(counted["added"].iloc[0])

    def event_rules(self) -> dict[str, Rule]:
        """Return the rule for events of each camera, from the settings; see `analysis.events`."""
        settings = self.settings
        return {
            name: Rule(
                timedelta(seconds=settings.event_gap_s_of(name)),
                timedelta(seconds=settings.event_max_s_of(name)),
            )
            for name in {*self.camera_names(), *self.catalog.manifest().cameras()}
        }

    def _triggered(
        self,
        cameras: Iterable[str] | None,
        first: datetime | None,
        last: datetime | None,
        columns: Iterable[str],
    ) -> pd.DataFrame:
        """Return the uploads that overlap the range and are not scheduled, sorted by start."""
        conditions, values = _overlap(first, last)
        conditions.append("trigger IS DISTINCT FROM 'scheduled'")
        statement = (
            f"SELECT {', '.join(_quoted(name) for name in columns)} FROM {{source}} "
            f"{_where(conditions)} ORDER BY start, camera, path"
        )
        return self._queries.ask(statement, self._select(cameras, first, last), values)

    def _in_camera_order(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with `camera` as a category, in the order of the settings."""
        if "camera" not in frame:
            return frame
        # A camera may have been added to the catalog since the query ran.
        order = dict.fromkeys([*self.camera_names(), *frame["camera"].unique()])
        return frame.assign(camera=pd.Categorical(frame["camera"], list(order), ordered=True))

    def _select(
        self,
        cameras: Iterable[str] | None,
        first: datetime | None,
        last: datetime | None,
        table: str = "media",
    ) -> list[Part]:
        selected = self.catalog.manifest().select(table, cameras, _us(first), _us(last))
        return [part for _, part in selected]

    def _range(self, start: Moment, end: Moment) -> tuple[datetime | None, datetime | None]:
        first, last = instant(start, self.zone, "start"), instant(end, self.zone, "end")
        if first and last and last <= first:
            raise QueryError(_empty_range(start, end, is_same=first == last))
        if first and self._is_in_future(first):
            raise QueryError(f"start: expected a time in the past; {start!r} is in the future.")
        return first, last

    def _is_in_future(self, moment: datetime) -> bool:
        """Return whether `moment` is in the future and later than every upload.

        A day is added, and the last upload counts, because a clock may be wrong.
        """
        if moment < datetime.now(UTC) + timedelta(days=1):
            return False
        return from_epoch_us(self.catalog.manifest().total().last_us or 0) < moment

    def _cameras_named(self, camera: Names) -> list[str] | None:
        return arguments.names(camera, "camera", self.camera_names() or None)

    def camera_names(self) -> list[str]:
        """Return the names of all cameras, including those in the settings without uploads."""
        configured = self.settings.names
        known = self.catalog.manifest().cameras()
        return [*configured, *(name for name in known if alike.find(name, configured) is None)]

    def activity(
        self,
        by: str = "hour",
        *,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
    ) -> pd.DataFrame:
        """Return how many uploads began in each bucket: `camera, bucket, snapshots, clips`.

        `by` is "hour" or "day" (the bucket is the aware local time at which it begins) or
        "weekday" (the bucket is the English name, a category, Monday first). Every camera
        has every bucket from `start` to `end`, or from the first to the last upload of the
        selected cameras; counts are zero where nothing was uploaded. Warns in `attrs` and
        raises QueryError as `media` does.
        """
        if not isinstance(by, str) or by not in activity.BUCKETS:
            raise QueryError(
                f"by: expected one of {', '.join(activity.BUCKETS)}; got {by!r}."
                f"{alike.hint(str(by), activity.BUCKETS)}"
            )
        cameras = self._cameras_named(camera)
        if cameras is None:
            cameras = self.camera_names()
        first, last = self._range(start, end)
        counts = self._counts(cameras, first, last)
        filled = activity.zero_filled(counts, str(by), cameras, first, last, self.zone)
        return self._warned(self._in_camera_order(filled), cameras, first, last)

    def _counts(
        self, cameras: list[str], first: datetime | None, last: datetime | None
    ) -> pd.DataFrame:
        """Return numbers of snapshots and clips by camera and quarter of an hour (UTC).

        The hours and days of every zone consist of whole quarters.
        """
        conditions, values = [], []
        if first is not None:
            conditions.append("start >= ?")
            values.append(first)
        if last is not None:
            conditions.append("start < ?")
            values.append(last)
        statement = (
            "SELECT camera, to_timestamp(floor(epoch(start) / 900) * 900) AS quarter, "
            "count(*) FILTER (kind = 'snapshot') AS snapshots, "
            "count(*) FILTER (kind = 'clip') AS clips "
            f"FROM {{source}} {_where(conditions)} GROUP BY ALL"
        )
        return self._queries.ask(statement, self._select(cameras, first, last), values)

    def cameras(self) -> pd.DataFrame:
        """Return one row per camera: its settings, its latest picture, and if it is silent.

        `first`, `latest` and `arrived` are aware local times (NaT for a camera without
        uploads); `today` counts the uploads since local midnight, `snapshots` and `clips`
        count all rows. A camera is silent when its last upload arrived longer ago than
        `silent_after_hours`, whether its file still exists or not. Addresses contain no
        passwords.
        """
        now = datetime.now(UTC)
        rows = [self._camera(name, now) for name in self.camera_names()]
        frame = pd.DataFrame(rows, columns=list(_CameraRow._fields))
        for column in ("first", "latest", "arrived"):
            times = pd.to_datetime(frame[column], utc=True)
            frame[column] = times.dt.as_unit("us").dt.tz_convert(self.zone)
        for column in ("latest_media_id", "latest_thumb"):
            frame[column] = frame[column].astype("str")  # also if no camera has a picture
        frame["latest_date"] = pd.to_datetime(frame["latest_date"]).dt.as_unit("s")
        return self._in_camera_order(frame)

    def _camera(self, name: str, now: datetime) -> _CameraRow:
        settings = self.settings.camera(name)
        manifest = self.catalog.manifest()
        total = manifest.total([name])
        newest = islice(manifest.newest_first([name]), _LOOK_BACK)
        latest = self._latest(part for _, part in newest)
        silent_after_hours = self.settings.silent_after_hours_of(name)
        return _CameraRow(
            camera=name,
            description=settings.description,
            admin_url=settings.admin_url,
            live_url=settings.live_url,
            first=_from_us(total.first_us),
            latest=latest.start,
            latest_media_id=latest.media_id,
            latest_date=latest.date,
            latest_thumb=latest.thumb,
            arrived=latest.arrived,
            today=self._today(name, now),
            snapshots=total.snapshots,
            clips=total.clips,
            is_silent=is_silent(latest.arrived, silent_after_hours, now),
        )

    def _latest(self, parts: Iterable[Part]) -> _Latest:
        """Return the newest upload and the newest picture; `parts` are sorted newest first."""
        latest = _Latest()
        for part in parts:
            latest = latest.or_else(self._newest_of(part))
            if latest.thumb is not None:
                break
        return latest

    def _newest_of(self, part: Part) -> _Latest:
        frame = self._queries.ask(
            "SELECT max(start) AS start, max(arrived) AS arrived, "
            "arg_max(media_id, start) FILTER (thumb IS NOT NULL) AS media_id, "
            "arg_max(date, start) FILTER (thumb IS NOT NULL) AS date, "
            "arg_max(thumb, start) FILTER (thumb IS NOT NULL) AS thumb FROM {source}",
            [part],
        )
        values = (frame[name].iloc[0] for name in _Latest._fields)
        return _Latest(*(None if pd.isna(value) else value for value in values))

    def _today(self, camera: str, now: datetime) -> int:
        local = now.astimezone(self.zone)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        parts = self._select([camera], midnight, midnight + timedelta(days=1))
        counted = self._queries.ask(
            "SELECT count(*) AS today FROM {source} WHERE start >= ?", parts, [midnight]
        )
        return int(counted["today"].iloc[0])

    def item(self, media_id: Any, camera: Any = None, date: Any = None) -> dict[str, object]:
        """Return one upload as a dictionary of its columns; times aware in `zone`, nulls None.

        `media_id` may also be a row. Fast when `camera` and `date` (its partition) are
        given; if they are outdated, the whole catalog is searched. Raises QueryError if
        there is no such upload.
        """
        identity = arguments.identity(media_id)
        manifest = self.catalog.manifest()
        hints = arguments.names(camera, "camera") or [""]
        hinted = None if date is None else manifest.media.get(CameraDay(hints[0], _as_date(date)))
        for parts in ([hinted] if hinted else [], list(manifest.media.values())):
            rows = self._queries.ask(
                f"SELECT {', '.join(_quoted(name) for name in COLUMNS)} FROM {{source}} "
                "WHERE media_id = ?",
                parts,
                [identity],
            )
            if len(rows):
                return _plain(rows.iloc[0])
        raise QueryError(f"expected the media_id of an upload in the catalog, got {identity!r}.")

    def upload(self, media_id: Any, camera: Any = None, date: Any = None) -> Upload:
        """Return one upload as an `Upload`, the record that the rest of the package uses.

        Takes the arguments of `item`. Times are in UTC. Raises QueryError if there is no such
        upload.
        """
        return Upload.of(self.item(media_id, camera, date))

    def _row(self, row: Any, column: str) -> Mapping[str, object]:
        """Return a row that has `column`: the given one, or the one with its media_id."""
        given = arguments.row(row)
        return self.item(given) if isinstance(given, str) or column not in given else given

    def frames(
        self,
        media_id: Any = None,
        camera: Names = None,
        start: Moment = None,
        end: Moment = None,
    ) -> pd.DataFrame:
        """Return the pictures stored for uploads.

        Columns: `media_id, offset_s, thumb, grid, grid_version, camera, date`.

        A snapshot has one at offset 0, a clip one per key frame; `grid` holds luminance
        bytes, plane by plane and row by row, in the shape
        `pano_analytics.model.grid.GRID_SHAPE` (planes, rows, columns). `start` and `end`
        select the pictures taken in [start, end): at the upload's start plus `offset_s`
        seconds. Raises QueryError as `media` does.
        """
        cameras = self._cameras_named(camera)
        first, last = self._range(start, end)
        wanted = arguments.names(media_id, "media_id")
        conditions: list[str] = []
        values: list[Any] = []
        if wanted is not None:
            conditions.append("list_contains(?::VARCHAR[], media_id)")
            values.append(wanted)
        for sign, bound in ((">=", first), ("<", last)):
            if bound is not None:
                conditions.append(f"{_TAKEN_AT} {sign} ?")
                values.append(bound)
        uploads = self._select(cameras, first, last) if first or last else []
        join = _WITH_START if first or last else ""
        rows = self._queries.ask(
            "SELECT media_id, offset_s, thumb, grid, grid_version, camera, date "
            f"FROM {{source}} AS pictures {join} {_where(conditions)} "
            "ORDER BY camera, date, media_id, offset_s",
            self._select(cameras, first, last, "frames"),
            values,
            table="frames",
            uploads=uploads,
        )
        return self._in_camera_order(rows)

    def history(self, media_id: Any) -> pd.DataFrame:
        """Return the journal entries of one upload, oldest first.

        Columns: `media_id, path, size_bytes, mtime, arrived, noted, sha256`, one row each
        time the file was new, changed or opened (`sha256` is null until it was opened); no
        rows for an unknown upload. Times are aware in `zone`. `media_id` may also be a row.
        """
        entries = Journal(self.storage).history(arguments.identity(media_id))
        rows: pd.DataFrame = entries.to_pandas().drop_duplicates()
        for column in ("mtime", "arrived", "noted"):
            rows[column] = rows[column].dt.tz_convert(self.zone)
        return rows.reset_index(drop=True)

    def duplicates(
        self, camera: Names = None, start: Moment = None, end: Moment = None
    ) -> pd.DataFrame:
        """Return the uploads that have the same content as another: same SHA-256, same size.

        The columns are those of `media` and `original_id`, the media_id of the copy that
        arrived first (its own row is included). Sorted by the arrival of the original. Empty
        files are not duplicates. Only uploads of the selected cameras that overlap
        [start, end) are compared.
        """
        first, last = self._range(start, end)
        conditions, values = _overlap(first, last)
        known = ["sha256 IS NOT NULL", "size_bytes > 0", *conditions]
        parts = self._select(self._cameras_named(camera), first, last)
        rows = self._queries.ask(_DUPLICATES.format(where=_where(known)), parts, values)
        return self._in_camera_order(rows)

    def sql(self, statement: str, params: Any = None) -> pd.DataFrame:
        """Run one statement of DuckDB's SQL on a view of each table: `media`, `frames`.

        `params` are the values of its `?` (a list) or its `$name` (a dictionary). Times of
        day are returned as the time since midnight, intervals as timedelta, decimals as
        integers or floats. Raises QueryError for a statement that DuckDB rejects, and for
        more than one statement.
        """
        return self._queries.sql(statement, _parameters(params))

    def thumbnail(self, row: Any) -> Image:
        """Return the stored thumbnail of a row (or of a `media_id`) as a picture.

        Raises MediaError if nothing of the file could be decoded.
        """
        from PIL import Image

        row = self._row(row, "thumb")
        locator = row["thumb"]
        if not isinstance(locator, str):
            raise MediaError(
                f"{row.get('path') or row.get('media_id')}: expected a thumbnail; there is none, "
                f"because the file is {row.get('state', 'not decodable')}."
            )
        return Image.open(BytesIO(self.thumbnail_bytes(str(locator))))

    def thumbnail_bytes(self, locator: str) -> bytes:
        """Return the JPEG that a `thumb` value points to.

        Raises MediaError if there is none.
        """
        return locators.read(self.storage, locator)

    def source(self, row: Any) -> Path:
        """Return the path of the uploaded file of a row (or of a `media_id`).

        Raises MediaError if the file is gone.
        """
        row = self._row(row, "path")
        if self.uploads is None:
            raise MediaError(
                f"{row['path']}: expected `uploads` in the settings, to find the file."
            )
        path = locate(self.uploads, str(row["path"]))
        root = resolved(self.uploads)
        if not resolved(path).is_relative_to(root) or not path.is_file() or path.is_symlink():
            raise MediaError(
                f"{row['path']}: expected the upload below {self.uploads}; it is gone."
            )
        return path


# `FROM media WHERE sha256 IS NOT NULL AND size_bytes > 0` in SQL over the views.
_DUPLICATES = f"""
SELECT {", ".join(f'"{name}"' for name in COLUMNS)}, original.media_id AS original_id FROM (
    SELECT *,
        count(*) OVER (PARTITION BY sha256, size_bytes) AS copies,
        first_value(struct_pack(media_id := media_id, arrived := arrived)) OVER (
            PARTITION BY sha256, size_bytes ORDER BY arrived, start, path
        ) AS original
    FROM {{{{source}}}} {{where}}
)
WHERE copies > 1
ORDER BY original.arrived, original_id, arrived, start, path
"""
# When a stored picture was taken, and the join with the uploads that this needs.
_TAKEN_AT = "uploads.start + to_microseconds(CAST(round(offset_s * 1e6) AS BIGINT))"
_WITH_START = "JOIN (SELECT media_id, start FROM {uploads}) AS uploads USING (media_id)"
_LOOK_BACK = 30
_TRIES, _PAUSE_S = 10, 0.05


class _CameraRow(NamedTuple):
    """A row of `Library.cameras`; times are aware."""

    camera: str
    description: str | None
    admin_url: str | None
    live_url: str | None
    first: datetime | None
    latest: datetime | None
    latest_media_id: str | None
    latest_date: datetime | None
    latest_thumb: str | None
    arrived: datetime | None
    today: int
    snapshots: int
    clips: int
    is_silent: bool


class _Latest(NamedTuple):
    """When the newest upload started and the last one arrived, and which picture is the newest.

    Times are aware; `date` is the midnight, naive, of the picture's camera-day.
    """

    start: datetime | None = None
    arrived: datetime | None = None
    media_id: str | None = None
    date: datetime | None = None
    thumb: str | None = None

    def or_else(self, older: _Latest) -> _Latest:
        """Return these values, and those of `older` where there are none."""
        known = {name: value for name, value in self._asdict().items() if value is not None}
        return older._replace(**known)


def _empty_range(start: Moment, end: Moment, *, is_same: bool) -> str:
    advice = ""
    if is_same and is_day(start):
        advice = " A date means its first moment: for a whole day, use the next date as end."
    return f"expected start before end; got start={start!r}, end={end!r}.{advice}"


def _parameters(params: Any) -> list[object] | Mapping[str, object] | None:
    if params is None:
        return None
    if isinstance(params, Mapping):
        return {str(name): arguments.sql_value(value) for name, value in params.items()}
    if isinstance(params, Iterable) and not isinstance(params, (str, bytes, pd.DataFrame)):
        return [arguments.sql_value(value) for value in params]
    raise QueryError(
        "params: expected a list for the ? placeholders of the statement, or a dictionary for its "
        f"$names; got {arguments.shown(params)}."
    )


def _overlap(first: datetime | None, last: datetime | None) -> tuple[list[str], list[Any]]:
    """Return SQL conditions for [first, last): a clip that ends at `first` does not overlap."""
    conditions: list[str] = []
    values: list[Any] = []
    if first is not None:
        conditions.append('(start >= ? OR "end" > ?)')
        values += [first, first]
    if last is not None:
        conditions.append("start < ?")
        values.append(last)
    return conditions, values


def _where(conditions: Iterable[str]) -> str:
    joined = " AND ".join(conditions)
    return f"WHERE {joined}" if joined else ""


def _quoted(name: str) -> str:
    return f'"{name}"'


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1_000_000)


def _from_us(value: int | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(value / 1_000_000, UTC)


def _as_date(value: Any) -> Any:
    try:
        return pd.Timestamp(value).date()
    except (TypeError, ValueError):
        raise QueryError(
            f"date: expected a date such as '2026-11-17'; got {arguments.shown(value)}."
        ) from None


def _plain(row: pd.Series) -> dict[str, object]:
    return {str(name): (None if _is_null(value) else value) for name, value in row.items()}


def _is_null(value: Any) -> bool:
    return (
        value is None
        or value is pd.NaT
        or (isinstance(value, float) and value != value)
        or value is pd.NA
    )
