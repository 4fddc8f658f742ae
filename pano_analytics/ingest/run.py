"""One ingest: scan, read names, commit; then open unread files, newest day first, and commit."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path

import pyarrow as pa

from pano_analytics.errors import DecisionsError, UploadTreeError
from pano_analytics.ingest import examine, gone, obstacles, opened, unread, walk
from pano_analytics.ingest import memory as memories
from pano_analytics.ingest import scan as scanning
from pano_analytics.ingest.camera_names import respell
from pano_analytics.ingest.days import facts_of, uploads_in
from pano_analytics.ingest.examine import Outcome, Task
from pano_analytics.ingest.listing import READING_VERSION, NameReader, now_us
from pano_analytics.ingest.memory import Seen
from pano_analytics.ingest.merge import RowCounts, merge
from pano_analytics.ingest.origins import Origins
from pano_analytics.ingest.scan import ScanResult, ScanTask, scan
from pano_analytics.model import alike
from pano_analytics.model.corrections import ClockCorrection
from pano_analytics.model.upload import encode_path, locate, resolved
from pano_analytics.settings import Settings
from pano_analytics.store import own_tree, runs, split, timekeeping
from pano_analytics.store.catalog import FOLDERS, MANIFEST, CameraDay, Catalog, Change
from pano_analytics.store.decisions import Decisions
from pano_analytics.store.home import NAME as HOME
from pano_analytics.store.home import Home, places
from pano_analytics.store.journal import Journal, Torn
from pano_analytics.store.locks import writing
from pano_analytics.store.removal import AT_WORK, finish, mark_at_work
from pano_analytics.store.storage import Storage
from pano_analytics.workers import crew
from pano_analytics.workers.crew import Crew
from pano_analytics.workers.executors import MakeExecutor

# Up to this many files, each run scans the whole tree: that takes an unnoticeable time, and
# late uploads into old days appear at once.
SMALL_TREE = 20_000
FULL_EVERY_S = 24 * 3600.0
COMMIT_EVERY_S = 2.0
# How long opened files of one camera-day may wait to be shown: each commit rewrites that day.
SHOW_EVERY_S = 5.0

Progress = Callable[[str, int, int], None]
Openers = Crew[Task, Outcome]


@dataclass
class IngestSummary:
    """What one run did; numbers are of files, except `units` and `seconds`."""

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
    storage: Storage | None = None,
) -> IngestSummary:
    """Bring the catalog of `settings.library`, or of `storage`, up to date with `settings.uploads`.

    Scan the last `recheck_days`, new day folders and, once a day or with `is_full`,
    everything. Read names and sizes first and commit; then, unless `is_inspecting` is False,
    open unread files, newest day first, until none are left or `is_called_away` returns True.
    `openers` are existing workers to open files with. With `is_listing_unknown`, the summary
    lists every file that no layout reads, also in unchanged folders. Raises UploadTreeError,
    LibraryBusy (another run is active and `wait` is False) or another LibraryError.
    """
    library_places = places(settings)
    root, storage = library_places.require_uploads(), storage or library_places.storage
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
        beat.update(figures(run.summary))
    return run.summary


def ingest_folders(
    settings: Settings,
    folders: Iterable[str],
    openers: Openers | None = None,
    is_called_away: Callable[[], bool] | None = None,
    make_executor: MakeExecutor | None = None,
) -> IngestSummary:
    """Bring some folders of the upload tree up to date; then open unread files.

    `folders` are relative to the upload root, as the file system spells them. A folder below
    a day folder means the whole day; one that is gone is left to the next `ingest`. See
    `ingest` for everything else.
    """
    library_places = places(settings)
    root, storage = library_places.require_uploads(), library_places.storage
    began = time.monotonic()
    with writing(storage), runs.beating(storage) as beat:
        own_tree.require(storage, root)
        run = _Run(settings, root, storage, _silent, make_executor, openers)
        run.recover()
        run.look_at(folders)
        run.open_waiting(is_called_away or _never)
        run.finish()
        run.summary.seconds = time.monotonic() - began
        beat.update(figures(run.summary))
    return run.summary


def figures(summary: IngestSummary) -> dict[str, object]:
    """Return the figures of a run for its heartbeat, with the lengths of lists."""
    lists = ("unreadable", "skipped", "unknown_files", "torn")
    figures = {name: value for name, value in asdict(summary).items() if name not in lists}
    counted = {name: len(getattr(summary, name)) for name in lists[:2]}
    return {**figures, **figures.pop("tally"), **counted}


def _never() -> bool:
    return False


def _silent(what: str, done: int, total: int) -> None:
    return None


class _Run:
    """One run and its state; the caller holds the lock."""

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
        # Before the scan: files that a killed culling left in the tree must not be taken for
        # new uploads.
        finish(storage, root)
        self.time = timekeeping.keep(storage)
        self.memory = memories.load(storage)
        self.reader = self._make_reader()
        self.workers = settings.ingest.workers or crew.cores()
        self.make_executor = make_executor or partial(crew.pool, self.workers)
        self.openers = openers
        self.summary = IngestSummary()
        self._committed = time.monotonic()
        self._facts: list[pa.Table] = []
        self._packs: list[str] = []
        self._closed: list[tuple[str, str]] = []
        self._is_memory_changed = False
        self._is_listing_unknown = self._has_unnamed = False
        self._touched: set[CameraDay] = set()
        self._rebuild = gone.Rebuilding(storage, self.journal, self.catalog.manifest().generation)
        if self._rebuild.is_on:
            self.memory = memories.Memory()
        self._has_memory = bool(self.memory.units)

    def _make_reader(self) -> NameReader:
        root_name = encode_path(resolved(self.root).name) or "camera"
        try:
            decided = Decisions(self.storage).clock_corrections()
        except DecisionsError:
            # `pano check` reports it. Until a backup is restored, those of the last run apply.
            decided = self.memory.clocks
        known = (self.time.behind(), decided, split.load(self.storage))
        return NameReader(self.settings, self.home.root_id, root_name, *known)

    @cached_property
    def _origins(self) -> Origins | None:
        """The camera-days of all rows, if no memory has them; None if one has."""
        return None if self._has_memory else Origins(self.catalog)

    def recover(self) -> None:
        """Remove the files that a killed run left; its mark shows that there may be some."""
        problem_files = (unread.NAME, obstacles.NAME)
        derived = (memories.NAME, *problem_files, split.NAME, runs.NAME, timekeeping.PAGE)
        for name in (HOME, MANIFEST, *derived, AT_WORK):
            self.storage.drop_leftovers(name)
        # Parts without a manifest are kept until there is a new one: the old one may be restored.
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
        is_known = bool(self.catalog.manifest().media) or self._rebuild.is_on
        is_bare = not any(unit.may_hold for unit in units)
        if is_bare and is_known and not may_be_empty:
            raise UploadTreeError(
                f"{self.root}: expected the uploads that the library knows; "
                f"{_why_bare(units)}. Is its disk mounted? Nothing was changed."
            )
        is_full = is_full or is_listing_unknown or self._is_full_due()
        # Without a memory, it is unknown whether another version read the files.
        if self.memory.units and self._is_from_another_version():
            self._open_again()
        changed = self._changed_clocks()
        due = [unit for unit in units if is_full or self._is_due(unit, changed)]
        self._scan(due, units, changed)
        # Only now: a run that was killed before it had read all of them begins again.
        clocks = self._clocks()
        if clocks != self.memory.clocks:
            self.memory.clocks, self._is_memory_changed = clocks, True
        if is_full:
            self.memory.full_at, self._is_memory_changed = time.time(), True
            self.memory.reading = READING_VERSION
        self._remember()

    def look_at(self, folders: Iterable[str]) -> None:
        """Scan the units of some folders; files of their camera-days are opened first."""
        units = walk.units_of(self.root, folders)
        self._scan(units)
        self._remember()
        seen = (self.memory.units.get(unit.path) for unit in units)
        self._touched = {day for one in seen if one for day in one.days}

    def _scan(
        self,
        units: list[walk.WalkUnit],
        all_units: list[walk.WalkUnit] | None = None,
        changed: Collection[str] = (),
    ) -> None:
        """Scan `units`, newest first; with `all_units`, others are gone, and their rows marked.

        `changed` are the keys (see `alike`) of cameras whose corrections changed: uploads of
        theirs that are gone get other times, too.
        """
        chosen = self._newest_first(units)
        change = self.catalog.begin()
        spell = cache(self.settings.called)
        respell(change, spell)
        self.memory.respell(spell)
        with scanning.collection_paused():
            tasks = [self._scan_task(unit) for unit in chosen]
            for count, result in enumerate(self._scanned(tasks)):
                self._take_in(change, result)
                self.progress("looking", count + 1, len(chosen))
                self._commit_if_due(change)
        if all_units is not None:
            self._forget_gone(change, all_units)
            self._rebuild.bring_back(change, self.reader)
            self._retime_gone(change, changed)
        self._commit(change)
        if all_units is not None:
            self._rebuild.end()
        counted = units if all_units is None else all_units
        self.summary.units = sum(unit.may_hold for unit in counted)

    def _is_from_another_version(self) -> bool:
        """Return whether names and files were last read by another version of pano."""
        return self.memory.reading != READING_VERSION

    def _open_again(self) -> None:
        change = self.catalog.begin()
        opened.mark_unread(change)
        self._commit(change)

    def _is_full_due(self) -> bool:
        if self._is_from_another_version():
            return True
        return self.memory.files <= SMALL_TREE or time.time() - self.memory.full_at >= FULL_EVERY_S

    def _clocks(self) -> tuple[ClockCorrection, ...]:
        """Return the corrections of the clocks of all cameras."""
        cameras = sorted({*self.settings.names, *self.catalog.manifest().cameras()})
        return tuple(one for name in cameras for one in self.reader.corrections_of(name))

    def _changed_clocks(self) -> set[str]:
        """Return the keys (see `alike`) of cameras whose corrections changed since the last run."""
        if not self._has_memory:  # unknown with which ones the rows were read
            return set(map(alike.key, self.catalog.manifest().cameras()))
        was, now = _by_camera(self.memory.clocks), _by_camera(self._clocks())
        return {camera for camera in {*was, *now} if was.get(camera) != now.get(camera)}

    def _is_due(self, unit: walk.WalkUnit, changed: set[str]) -> bool:
        seen = self.memory.units.get(unit.path)
        if unit.day is None or seen is None:
            return True
        if changed and not changed.isdisjoint(map(alike.key, seen.cameras)):
            return True
        oldest = datetime.now(UTC).date() - timedelta(days=self.settings.ingest.recheck_days)
        return unit.day >= oldest

    def _newest_first(self, units: list[walk.WalkUnit]) -> list[walk.WalkUnit]:
        return sorted(units, key=lambda unit: (unit.day or date.max, unit.path), reverse=True)

    def _scan_task(self, unit: walk.WalkUnit) -> ScanTask:
        seen = self.memory.units.get(unit.path)
        if seen is None or (self._is_listing_unknown and seen.unknown):
            return ScanTask(unit, "", seen.files if seen else None)
        return ScanTask(unit, seen.fingerprint, seen.files, seen.cameras)

    def _scanned(self, scan_tasks: list[ScanTask]) -> Iterator[ScanResult]:
        arrivals, extent = self._rebuild.arrivals(), scanning.Extent(scan_tasks)
        for count, scan_task in enumerate(scan_tasks):
            # In a rebuild, arrivals come from the journal: too many to send to processes.
            if extent.is_worth_a_pool and not arrivals:
                yield from self._scanned_in_processes(scan_tasks[count:], extent.batch)
                return
            result = scan(self.root, self.reader, arrivals, scan_task)
            extent.saw(scan_task, result)
            yield result

    def _scanned_in_processes(self, scan_tasks: list[ScanTask], batch: int) -> Iterator[ScanResult]:
        scanners = scanning.crew(self.root, self.reader, self.make_executor, self.workers, batch)
        with scanners as crew, closing(crew.run(scan_tasks)) as results:
            yield from results

    @cached_property
    def _first_arrivals(self) -> dict[str, int]:
        # For folders that a killed run committed but did not store in the memory.
        return self.journal.arrivals(is_lenient=True)

    def _take_in(self, change: Change, result: ScanResult) -> None:
        self.summary.unreadable += result.trouble.unreadable
        self.summary.skipped += result.trouble.skipped
        known = self.memory.units.get(result.unit.path)
        fed = known.days if known else self._origins.of(result.unit) if self._origins else ()
        if result.rows is not None and not (result.is_arrival_told or self._rebuild.is_on):
            # The files do not show when they first arrived: scan again with the known arrivals.
            has_rows = known is not None and known.days
            arrivals = _arrivals(change, fed) if has_rows else self._first_arrivals
            result = scan(self.root, self.reader, arrivals, ScanTask(result.unit, ""))
        if result.rows is None or result.facts is None or result.seen is None:
            self._note_obstacles(result, known)
            return
        tally, facts = merge(change, result.unit, result.rows, result.facts, fed, result.is_whole)
        self.summary.tally += tally
        self._facts.append(facts)
        self._rebuild.add_present([result.facts])
        split.add(self.storage, result.parents)
        self.summary.unknown_files += [(one.path, one.reason) for one in result.unknown]
        self.memory.units[result.unit.path] = result.seen.after(known)
        self._is_memory_changed = True

    def _note_obstacles(self, result: ScanResult, known: Seen | None) -> None:
        """Store the obstacles of a folder whose files have not changed."""
        if known is None:
            return
        current = obstacles.of(result.trouble, now_us()).since(known.obstacles)
        if current != known.obstacles:
            self.memory.units[result.unit.path] = replace(known, obstacles=current)
            self._is_memory_changed = True

    def _forget_gone(self, change: Change, units: list[walk.WalkUnit]) -> None:
        """Mark the rows of folders that no longer exist, except below unreadable folders."""
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
            self._is_memory_changed = True

    def _retime_gone(self, change: Change, changed: Collection[str]) -> None:
        cameras = [one for one in self.catalog.manifest().cameras() if alike.key(one) in changed]
        for camera in cameras:
            days = [day for day, _ in self.catalog.manifest().newest_first([camera])]
            self.summary.tally.changed += gone.retime(change, self.reader, days)

    def _remember(self) -> None:
        """Store the memory, once its rows are committed, so that the next run can continue."""
        if self._is_memory_changed:
            unread.save(self.storage, self.memory.unread)
            obstacles.save(self.storage, self.memory.obstacles, self.memory.closed)
            memories.save(self.storage, self.memory)
            self._is_memory_changed = False

    def open_waiting(self, is_called_away: Callable[[], bool]) -> None:
        """Open every file that is still to be opened, newest day first, until called away."""
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
        with self._crew() as crew, closing(crew.run(self._tasks(days, sent))) as results:
            for day, outcomes in _gathered(self._counted(results, total), sent, is_called_away):
                self._apply(change, day, outcomes)
        self._note_closed(is_all=not is_called_away())
        self._commit(change)
        self._remember()

    def _note_closed(self, is_all: bool) -> None:
        """Store which files could not be opened; `is_all`: every waiting file was tried."""
        known = self.memory.closed
        current = obstacles.by_folder(self._closed, now_us())
        current = {folder: one.since(known.get(folder)) for folder, one in current.items()}
        self.memory.closed = current if is_all else known | current
        self._is_memory_changed |= self.memory.closed != known
        self.summary.unreadable += self._closed

    def _crew(self) -> AbstractContextManager[Openers]:
        if self.openers is not None:
            return nullcontext(self.openers)
        return examine.crew(self.root, self.make_executor, self.workers)

    def _tasks(self, days: list[CameraDay], sent: deque[tuple[CameraDay, str]]) -> Iterator[Task]:
        # Uses a separate change for reading: applying the outcomes is days behind.
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
        """Write the journal, then the parts, then the manifest: a killed run loses nothing."""
        if not change:
            return
        mark_at_work(self.storage)
        gone_files = gone.newly_gone(change, self._rebuild.brought)
        noted = gone.note(self.journal, self._facts, gone_files, self.time.now_us())
        change.commit([*self._packs, *noted])
        self._facts, self._packs = [], []
        self._remember()
        self._committed = time.monotonic()

    def finish(self) -> None:
        """Fold journal and decisions, complete the summary, remove the mark of an active run."""
        self.journal.fold()
        Decisions(self.storage).fold()
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


# Where a rebuild creates its catalog; the next run removes what a killed rebuild left.
ASIDE = "rebuild"


def _gathered(
    outcomes: Iterator[Outcome],
    sent: deque[tuple[CameraDay, str]],
    is_called_away: Callable[[], bool],
) -> Iterator[tuple[CameraDay, dict[str, Outcome]]]:
    """Yield outcomes by camera-day and media_id: whole days, or those of SHOW_EVERY_S."""
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
    """Return media_id -> arrival (microseconds since 1970 UTC) of some camera-days' rows."""
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


def _by_camera(clocks: Iterable[ClockCorrection]) -> dict[str, list[ClockCorrection]]:
    """Return corrections by the keys of their cameras (see `alike`)."""
    found: dict[str, list[ClockCorrection]] = {}
    for one in clocks:
        found.setdefault(alike.key(one.camera), []).append(one)
    return found


def _was_day(path: str) -> bool:
    from pano_analytics import layouts

    return layouts.day_of_folder(path.split("/")) is not None
