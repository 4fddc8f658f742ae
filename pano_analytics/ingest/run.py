"""One ingest: look, read names, commit; then open what is unread, newest day first, and commit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path

import pyarrow as pa

from pano_analytics.errors import UploadTreeError
from pano_analytics.ingest import examine, gone, obstacles, opened, unread, walk
from pano_analytics.ingest import look as looking
from pano_analytics.ingest import memory as memories
from pano_analytics.ingest.days import facts_of, uploads_in
from pano_analytics.ingest.examine import Outcome, Task
from pano_analytics.ingest.listing import READING_VERSION, NameReader, now_us
from pano_analytics.ingest.look import Glance, Looked, scan
from pano_analytics.ingest.memory import Seen
from pano_analytics.ingest.merge import RowCounts, merge
from pano_analytics.ingest.respell import respell
from pano_analytics.model.upload import encode_path, locate, resolved
from pano_analytics.settings import Settings
from pano_analytics.store import own_tree, runs, split, timekeeping
from pano_analytics.store.catalog import FOLDERS, MANIFEST, CameraDay, Catalog, Change
from pano_analytics.store.home import NAME as HOME
from pano_analytics.store.home import Home, places
from pano_analytics.store.journal import Journal, Torn
from pano_analytics.store.locks import writing
from pano_analytics.store.removal import AT_WORK, finish, mark_at_work
from pano_analytics.store.storage import Storage
from pano_analytics.workers import crew
from pano_analytics.workers.crew import Crew
from pano_analytics.workers.executors import MakeExecutor

# Up to so many files the whole tree is looked at in each run: that costs less
# than a person notices, and late uploads into old days show at once.
SMALL_TREE = 20_000
FULL_EVERY_S = 24 * 3600.0
COMMIT_EVERY_S = 2.0
# How long opened files of one camera-day may wait to be shown: each time costs
# writing that day anew.
SHOW_EVERY_S = 5.0

Progress = Callable[[str, int, int], None]
Openers = Crew[Task, Outcome]


@dataclass
class IngestSummary:
    """What one run did; figures count files."""

    units: int = 0
    files: int = 0
    unknown: int = 0
    ignored: int = 0
    tally: RowCounts = field(default_factory=RowCounts)
    opened: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unknown_files: list[tuple[str, str]] = field(default_factory=list)
    torn: list[Torn] = field(default_factory=list)
    generation: int = 0
    seconds: float = 0.0


def ingest(
    settings: Settings,
    *,
    is_inspecting: bool = True,
    is_full: bool = False,
    is_listing_unknown: bool = False,
    wait: bool = False,
    progress: Progress | None = None,
    make_executor: MakeExecutor | None = None,
    openers: Openers | None = None,
    is_called_away: Callable[[], bool] | None = None,
    accept_tree: bool = False,
) -> IngestSummary:
    """Bring the catalog of `settings.library` up to date with `settings.uploads`.

    Looks at the last `recheck_days`, at new day folders and, once a day or with
    `is_full`, at everything. Reads names and sizes first and commits; then,
    unless `is_inspecting` is False, opens what is unread, newest day first,
    until nothing is left or `is_called_away` says so. `openers` are those who
    open files, if some are at hand. With `is_listing_unknown` the summary names
    every file that nothing reads, in folders that did not change as well. Raises
    UploadTreeError, LibraryBusy (another run is at work) or another LibraryError.
    """
    found = places(settings)
    root, storage = found.require_uploads(), found.storage
    began = time.monotonic()
    with writing(storage, wait), runs.beating(storage) as beat:
        if not accept_tree:
            own_tree.require(storage, root)
        run = _Run(settings, root, storage, progress or _silent, make_executor, openers)
        run.recover()
        run.look(is_full or accept_tree, is_listing_unknown, may_be_empty=accept_tree)
        if is_inspecting:
            run.open_waiting(is_called_away or _never)
        run.finish()
        run.summary.seconds = time.monotonic() - began
        beat.update(told(run.summary))
    return run.summary


def ingest_folders(
    settings: Settings,
    folders: Iterable[str],
    openers: Openers | None = None,
    is_called_away: Callable[[], bool] | None = None,
    make_executor: MakeExecutor | None = None,
) -> IngestSummary:
    """Bring what lies in some folders of the upload tree up to date; then open what waits.

    `folders` are relative to the upload root, as the file system spells them. A
    folder below a day's stands for the whole day; one that is gone is left to
    the next `ingest`. The rest is as there.
    """
    found = places(settings)
    root, storage = found.require_uploads(), found.storage
    began = time.monotonic()
    with writing(storage), runs.beating(storage) as beat:
        own_tree.require(storage, root)
        run = _Run(settings, root, storage, _silent, make_executor, openers)
        run.recover()
        run.look_at(folders)
        run.open_waiting(is_called_away or _never)
        run.finish()
        run.summary.seconds = time.monotonic() - began
        beat.update(told(run.summary))
    return run.summary


def told(summary: IngestSummary) -> dict[str, object]:
    """Return the figures of a run as its heartbeat tells them, lists by their lengths."""
    lists = ("unreadable", "skipped", "unknown_files", "torn")
    figures = {name: value for name, value in asdict(summary).items() if name not in lists}
    counted = {name: len(getattr(summary, name)) for name in lists[:2]}
    return {**figures, **figures.pop("tally"), **counted}


def _never() -> bool:
    return False


def _silent(what: str, done: int, total: int) -> None:
    return None


class _Run:
    """One run, with what it holds: the lock is the caller's."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        storage: Storage,
        progress: Progress,
        make_executor: MakeExecutor | None,
        openers: Openers | None,
    ) -> None:
        self.settings, self.root, self.storage, self.progress = settings, root, storage, progress
        self.catalog, self.journal = Catalog(storage), Journal(storage)
        self.home = Home.settle(storage, settings)
        # Before anything is looked at: what a killed culling left in the tree is
        # not to be taken for uploads that came again.
        finish(storage, root)
        self.time = timekeeping.keep(storage)
        root_name = encode_path(resolved(root).name) or "camera"
        self.reader = NameReader(settings, self.home.root_id, root_name, self.time.behind())
        self.memory = memories.load(storage)
        self.workers = settings.ingest.workers or crew.cores()
        self.make_executor = make_executor or partial(crew.pool, self.workers)
        self.openers = openers
        self.summary = IngestSummary()
        self._committed = time.monotonic()
        self._facts: list[pa.Table] = []
        self._packs: list[str] = []
        self._closed: list[tuple[str, str]] = []
        self._has_learnt = False
        self._is_listing_unknown = self._has_unnamed = False
        self._touched: set[CameraDay] = set()
        self._anew = gone.Anew(storage, self.journal, self.catalog.manifest().generation)
        if self._anew.is_on:
            self.memory = memories.Memory()

    def recover(self) -> None:
        """Remove what a killed run left behind; a run that ended well leaves no mark."""
        told = (unread.NAME, obstacles.NAME)
        derived = (memories.NAME, *told, split.NAME, runs.NAME, timekeeping.PAGE)
        for name in (HOME, MANIFEST, *derived, AT_WORK):
            self.storage.drop_leftovers(name)
        # What had a manifest once waits until there is another: the old one may come back.
        self._has_unnamed = self.catalog.manifest().generation == 0 and any(
            next(self.storage.files(folder), None) for folder in FOLDERS
        )
        if self.storage.exists(AT_WORK):
            self.catalog.sweep()
            opened.sweep(self.catalog, self.storage.read(AT_WORK).decode())
            self.storage.remove_tree(ASIDE)

    def look(
        self, is_full: bool, is_listing_unknown: bool = False, may_be_empty: bool = False
    ) -> None:
        """Walk, read names and commit what is new, changed or gone."""
        self._is_listing_unknown = is_listing_unknown
        units = walk.units(self.root)
        is_known = bool(self.catalog.manifest().media) or self._anew.is_on
        is_bare = not any(unit.may_hold for unit in units)
        if is_bare and is_known and not may_be_empty:
            raise UploadTreeError(
                f"{self.root}: expected the uploads that the library knows; "
                f"{_why_bare(units)}. Is its disk mounted? Nothing was changed."
            )
        is_full = is_full or is_listing_unknown or self._is_full_due()
        # Without a memory nothing tells that another version read the files.
        if self.memory.units and self._is_from_another_version():
            self._open_again()
        self._look_at([unit for unit in units if is_full or self._is_due(unit)], units)
        if is_full:
            self.memory.full_at, self._has_learnt = time.time(), True
            self.memory.reading = READING_VERSION
        self._remember()

    def look_at(self, folders: Iterable[str]) -> None:
        """Look at the units of some folders; what they feed is opened first."""
        units = walk.units_of(self.root, folders)
        self._look_at(units)
        self._remember()
        seen = (self.memory.units.get(unit.path) for unit in units)
        self._touched = {day for one in seen if one for day in one.days}

    def _look_at(
        self, units: list[walk.WalkUnit], all_units: list[walk.WalkUnit] | None = None
    ) -> None:
        """Take in `units`, newest first; with `all_units`, also that others are gone."""
        chosen = self._newest_first(units)
        change = self.catalog.begin()
        spell = cache(self.settings.called)
        respell(change, spell)
        self.memory.respell(spell)
        for count, looked in enumerate(self._looked([self._glance(unit) for unit in chosen])):
            self._take_in(change, looked)
            self.progress("looking", count + 1, len(chosen))
            self._commit_if_due(change)
        if all_units is not None:
            self._forget_gone(change, all_units)
            self._anew.bring_back(change, self.reader)
        self._commit(change)
        if all_units is not None:
            self._anew.end()
        counted = units if all_units is None else all_units
        self.summary.units = sum(unit.may_hold for unit in counted)

    def _is_from_another_version(self) -> bool:
        """Return whether names and files were last read by another version of pano."""
        return self.memory.reading != READING_VERSION

    def _open_again(self) -> None:
        change = self.catalog.begin()
        opened.wait_again(change)
        self._commit(change)

    def _is_full_due(self) -> bool:
        if self._is_from_another_version():
            return True
        return self.memory.files <= SMALL_TREE or time.time() - self.memory.full_at >= FULL_EVERY_S

    def _is_due(self, unit: walk.WalkUnit) -> bool:
        if unit.day is None or unit.path not in self.memory.units:
            return True
        oldest = datetime.now(UTC).date() - timedelta(days=self.settings.ingest.recheck_days)
        return unit.day >= oldest

    def _newest_first(self, units: list[walk.WalkUnit]) -> list[walk.WalkUnit]:
        return sorted(units, key=lambda unit: (unit.day or date.max, unit.path), reverse=True)

    def _glance(self, unit: walk.WalkUnit) -> Glance:
        seen = self.memory.units.get(unit.path)
        if seen is None or (self._is_listing_unknown and seen.unknown):
            return Glance(unit, "", seen.files if seen else None)
        return Glance(unit, seen.fingerprint, seen.files)

    def _looked(self, glances: list[Glance]) -> Iterator[Looked]:
        arrivals, extent = self._anew.arrivals(), looking.Extent(glances)
        for count, glance in enumerate(glances):
            # A rebuilt catalog knows arrivals from the journal: too many to send to processes.
            if extent.is_worth_a_pool and not arrivals:
                yield from self._looked_by_others(glances[count:], extent.batch)
                return
            looked = scan(self.root, self.reader, arrivals, glance)
            extent.saw(glance, looked)
            yield looked

    def _looked_by_others(self, glances: list[Glance], batch: int) -> Iterator[Looked]:
        made = looking.crew(self.root, self.reader, self.make_executor, self.workers, batch)
        with made as crew, closing(crew.run(glances)) as results:
            yield from results

    @cached_property
    def _first_arrivals(self) -> dict[str, int]:
        # For folders that a killed run committed and could not remember.
        return self.journal.arrivals(is_lenient=True)

    def _take_in(self, change: Change, looked: Looked) -> None:
        self.summary.unreadable += looked.trouble.unreadable
        self.summary.skipped += looked.trouble.skipped
        known = self.memory.units.get(looked.unit.path)
        fed = known.days if known else ()
        if looked.rows is not None and not (looked.is_arrival_told or self._anew.is_on):
            # Only we know when these first came: look again with that in hand.
            arrivals = _arrivals(change, fed) if fed else self._first_arrivals
            looked = scan(self.root, self.reader, arrivals, Glance(looked.unit, ""))
        if looked.rows is None or looked.facts is None or looked.seen is None:
            self._note_obstacles(looked, known)
            return
        tally, facts = merge(change, looked.unit, looked.rows, looked.facts, fed, looked.is_whole)
        self.summary.tally += tally
        self._facts.append(facts)
        self._anew.saw([looked.facts])
        split.add(self.storage, looked.parents)
        self.summary.unknown_files += [(one.path, one.reason) for one in looked.unknown]
        self.memory.units[looked.unit.path] = looked.seen.after(known)
        self._has_learnt = True

    def _note_obstacles(self, looked: Looked, known: Seen | None) -> None:
        """Remember what is skipped in a folder that holds the files it held before."""
        if known is None:
            return
        found = obstacles.of(looked.trouble, now_us()).since(known.obstacles)
        if found != known.obstacles:
            self.memory.units[looked.unit.path] = replace(known, obstacles=found)
            self._has_learnt = True

    def _forget_gone(self, change: Change, units: list[walk.WalkUnit]) -> None:
        """Mark the rows of folders that went altogether; not below a folder we could not read."""
        there = {unit.path for unit in units}
        unread = [path for path, _ in self.summary.unreadable]
        for path in sorted(set(self.memory.units) - there):
            if any(
                path == other or path.startswith(f"{other}/") or other == "." for other in unread
            ):
                continue
            seen = self.memory.units[path]
            day = date.min if path not in there and _was_day(path) else None
            unit = walk.WalkUnit(path, day)
            tally, facts = merge(change, unit, {}, facts_of([]), seen.days, is_whole=True)
            self.summary.tally += tally
            self._facts.append(facts)
            del self.memory.units[path]
            self._has_learnt = True

    def _remember(self) -> None:
        """Keep what was seen, once its rows are committed: an interrupted run then goes on."""
        if self._has_learnt:
            unread.save(self.storage, self.memory.unread)
            obstacles.save(self.storage, self.memory.obstacles, self.memory.closed)
            memories.save(self.storage, self.memory)
            self._has_learnt = False

    def open_waiting(self, is_called_away: Callable[[], bool]) -> None:
        """Open every file that waits for it, newest day first, until called away."""
        manifest = self.catalog.manifest()
        days = sorted(
            (day for day, _ in manifest.days_where(lambda part: part.unread > 0)),
            key=lambda day: (day in self._touched, day.date, day.camera),
            reverse=True,
        )
        if not days:
            self._note_closed(is_all=True)
            return
        total = sum(manifest.media[day].unread for day in days)
        change = self.catalog.begin()
        sent: deque[tuple[CameraDay, str]] = deque()
        with self._crew() as crew, closing(crew.run(self._tasks(days, sent))) as came:
            for day, outcomes in _gathered(self._counted(came, total), sent, is_called_away):
                self._apply(change, day, outcomes)
        self._note_closed(is_all=not is_called_away())
        self._commit(change)
        self._remember()

    def _note_closed(self, is_all: bool) -> None:
        """Remember which files could not be opened; `is_all`: every file that waits was tried."""
        known = self.memory.closed
        found = obstacles.by_folder(self._closed, now_us())
        found = {folder: one.since(known.get(folder)) for folder, one in found.items()}
        self.memory.closed = found if is_all else known | found
        self._has_learnt |= self.memory.closed != known
        self.summary.unreadable += self._closed

    def _crew(self) -> AbstractContextManager[Openers]:
        if self.openers is not None:
            return nullcontext(self.openers)
        return examine.crew(self.root, self.make_executor, self.workers)

    def _tasks(self, days: list[CameraDay], sent: deque[tuple[CameraDay, str]]) -> Iterator[Task]:
        # Read from a view of its own: the applying side is days behind.
        view = self.catalog.begin()
        for day in days:
            for media_id, task in opened.tasks(uploads_in(view, day)):
                sent.append((day, media_id))
                yield task

    def _counted(self, outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
        for count, outcome in enumerate(outcomes):
            self.progress("opening", count + 1, total)
            yield outcome

    def _apply(self, change: Change, day: CameraDay, outcomes: dict[str, Outcome]) -> None:
        mark_at_work(self.storage)
        quiet_s = self.settings.ingest.quiet_s
        facts, packs = opened.apply(change, self.storage, day, outcomes, quiet_s)
        for outcome in outcomes.values():
            state = outcome.inspection.state if outcome.inspection else "not opened"
            self.summary.opened[state] = self.summary.opened.get(state, 0) + 1
        self._facts.append(facts)
        self._packs += packs
        self._closed += _closed(self.root, change, day, outcomes)
        self._commit_if_due(change)

    def _commit_if_due(self, change: Change) -> None:
        if change and time.monotonic() - self._committed > COMMIT_EVERY_S:
            self._commit(change)

    def _commit(self, change: Change) -> None:
        """Journal first, then the parts, then the manifest: killed between, nothing is lost."""
        if not change:
            return
        mark_at_work(self.storage)
        went = gone.newly_gone(change, self._anew.brought)
        noted = gone.note(self.journal, self._facts, went, self.time.now_us())
        change.commit([*self._packs, *noted])
        self._facts, self._packs = [], []
        self._remember()
        self._committed = time.monotonic()

    def finish(self) -> None:
        """Fold the journal, count, and say that this run ended well."""
        self.journal.fold()
        self.summary.torn = self.journal.torn()
        manifest = self.catalog.manifest()
        self.summary.files = self.memory.files
        self.summary.unknown = sum(seen.unknown for seen in self.memory.units.values())
        self.summary.ignored = sum(seen.ignored for seen in self.memory.units.values())
        self.summary.waiting = manifest.total().unread
        self.summary.generation = manifest.generation
        if self._has_unnamed and manifest.generation:
            self.catalog.sweep()
        if self.storage.exists(AT_WORK):
            self.storage.remove(AT_WORK)


# Where a rebuild makes its catalog; what a killed one left goes with the next run.
ASIDE = "rebuild"


def _gathered(
    outcomes: Iterator[Outcome],
    sent: deque[tuple[CameraDay, str]],
    is_called_away: Callable[[], bool],
) -> Iterator[tuple[CameraDay, dict[str, Outcome]]]:
    """Yield outcomes by camera-day and media_id: whole days, or what came in SHOW_EVERY_S."""
    gathered: dict[str, Outcome] = {}
    since = time.monotonic()
    for outcome in outcomes:
        day, media_id = sent.popleft()
        gathered[media_id] = outcome
        is_away = is_called_away()
        is_last = not sent or sent[0][0] != day
        if is_last or is_away or time.monotonic() - since > SHOW_EVERY_S:
            yield day, gathered
            gathered, since = {}, time.monotonic()
        if is_away:
            return


def _closed(
    root: Path, change: Change, day: CameraDay, outcomes: dict[str, Outcome]
) -> Iterator[tuple[str, str]]:
    """Yield the files of a camera-day that could not be opened, each with the reason."""
    closed = {one for one, outcome in outcomes.items() if outcome.trouble == "unreadable"}
    if closed:
        for upload in uploads_in(change, day):
            if upload.media_id in closed:
                reason = str(outcomes[upload.media_id].reason)
                yield upload.path, reason.removeprefix(f"{locate(root, upload.path)} ")


def _why_bare(units: list[walk.WalkUnit]) -> str:
    """Return why no unit has a file."""
    unreadable = [one for unit in units for one in unit.unreadable]
    if not unreadable:
        return "the folder is empty"
    return f"{unreadable[0][0]} could not be read ({unreadable[0][1]})"


def _arrivals(change: Change, days: Iterable[CameraDay]) -> dict[str, int]:
    """Return media_id -> arrival (microseconds, UTC) of the rows of some camera-days."""
    tables = [table for day in days if (table := change.read(day)) is not None]
    return {
        media_id: arrived
        for table in tables
        for media_id, arrived in zip(
            table["media_id"].to_pylist(),
            table["arrived"].cast(pa.int64()).to_pylist(),
            strict=True,
        )
    }


def _was_day(path: str) -> bool:
    from pano_analytics import layouts

    return layouts.day_of_folder(path.split("/")) is not None
