"""One ingest: look, read names, commit; then open what is unread, newest day first, and commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa

from pano_analytics.catalog import Catalog, Change, Day
from pano_analytics.errors import UploadTreeError
from pano_analytics.home import Home
from pano_analytics.ingest import examine, opened, parallel, walk
from pano_analytics.ingest import look as looking
from pano_analytics.ingest import memory as memories
from pano_analytics.ingest.days import rows_of
from pano_analytics.ingest.examine import Outcome, Task
from pano_analytics.ingest.listing import Reader, now_us
from pano_analytics.ingest.look import Glance, Looked, look
from pano_analytics.ingest.merge import Tally, merge
from pano_analytics.ingest.parallel import MakeExecutor
from pano_analytics.journal import SEEN, Journal
from pano_analytics.settings import Settings
from pano_analytics.storage import Storage

# Up to so many files the whole tree is looked at in each run: that costs less
# than a person notices, and late uploads into old days show at once.
SMALL_TREE = 20_000
FULL_EVERY_S = 24 * 3600.0
COMMIT_EVERY_S = 2.0

Progress = Callable[[str, int, int], None]


@dataclass
class Summary:
    """What one run did; figures count files."""

    units: int = 0
    files: int = 0
    unknown: int = 0
    ignored: int = 0
    tally: Tally = field(default_factory=Tally)
    opened: dict[str, int] = field(default_factory=dict)
    waiting: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unknown_files: list[tuple[str, str]] = field(default_factory=list)
    generation: int = 0
    seconds: float = 0.0


def ingest(
    settings: Settings,
    *,
    is_inspecting: bool = True,
    is_full: bool = False,
    wait: bool = False,
    progress: Progress | None = None,
    make_executor: MakeExecutor | None = None,
) -> Summary:
    """Bring the catalog of `settings.library` up to date with `settings.uploads`.

    Looks at the last `recheck_days`, at new day folders and, once a day or with
    `is_full`, at everything. Reads names and sizes first and commits; then,
    unless `is_inspecting` is False, opens what is unread, newest day first.
    Raises UploadTreeError, LibraryBusy (another run is at work) or LibraryError.
    """
    root = _checked_root(settings)
    storage = Storage(_library(settings))
    began = time.monotonic()
    with storage.lock("state/lock", wait):
        run = _Run(settings, root, storage, progress or _silent, make_executor)
        run.recover()
        run.look(is_full)
        if is_inspecting:
            run.open_waiting()
        run.finish()
    run.summary.seconds = time.monotonic() - began
    return run.summary


def _silent(what: str, done: int, total: int) -> None:
    return None


def _checked_root(settings: Settings) -> Path:
    if settings.uploads is None:
        raise UploadTreeError(
            "expected an upload root: give --uploads DIR or `uploads` in pano.toml."
        )
    if not settings.uploads.is_dir():
        raise UploadTreeError(
            f"{settings.uploads}: expected the folder that the cameras upload to; there is none. "
            f"Is its disk mounted? Nothing was changed."
        )
    return settings.uploads


def _library(settings: Settings) -> Path:
    if settings.library is None:
        raise UploadTreeError("expected a library: give --library LIB or `library` in pano.toml.")
    if settings.uploads and settings.library.resolve().is_relative_to(settings.uploads.resolve()):
        raise UploadTreeError(
            f"{settings.library}: expected a library outside the upload tree; "
            f"nothing of ours may lie in somebody's evidence. Choose another folder."
        )
    return settings.library


class _Run:
    """One run, with what it holds: the lock is the caller's."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        storage: Storage,
        progress: Progress,
        make_executor: MakeExecutor | None,
    ) -> None:
        self.settings, self.root, self.storage, self.progress = settings, root, storage, progress
        self.catalog, self.journal = Catalog(storage), Journal(storage)
        self.home = Home.settle(storage, settings)
        self.reader = Reader(settings, self.home.root_id, root.resolve().name)
        self.memory = memories.load(storage)
        self.workers = settings.ingest.workers or parallel.cores()
        self.make_executor = make_executor or partial(parallel.pool, self.workers)
        self.summary = Summary()
        self._committed = time.monotonic()
        self._facts: list[pa.Table] = []
        self._packs: list[str] = []

    def recover(self) -> None:
        """Remove what a killed run left behind; a run that ended well leaves no mark."""
        if self.storage.exists(_AT_WORK):
            self.catalog.sweep()

    def look(self, is_full: bool) -> None:
        """Walk, read names and commit what is new, changed or gone."""
        trouble = walk.Trouble()
        units = walk.units(self.root, trouble)
        if not units and self.catalog.manifest().media:
            raise UploadTreeError(
                f"{self.root}: expected the uploads that the library knows; the folder is empty. "
                f"Is its disk mounted? Nothing was changed."
            )
        is_full = is_full or self._is_full_due()
        chosen = self._newest_first([unit for unit in units if is_full or self._is_due(unit)])
        change = self.catalog.begin()
        for count, looked in enumerate(self._looked([self._glance(unit) for unit in chosen])):
            self._take_in(change, looked)
            self.progress("looking", count + 1, len(chosen))
            self._commit_if_due(change)
        self.summary.unreadable += trouble.unreadable
        self.summary.skipped += trouble.skipped
        self._forget_gone(change, units)
        self._commit(change)
        self._remember(is_full)
        self.summary.units = len(units)

    def _is_full_due(self) -> bool:
        return self.memory.files <= SMALL_TREE or time.time() - self.memory.full_at >= FULL_EVERY_S

    def _is_due(self, unit: walk.Unit) -> bool:
        if unit.day is None or unit.path not in self.memory.units:
            return True
        oldest = datetime.now(UTC).date() - timedelta(days=self.settings.ingest.recheck_days)
        return unit.day >= oldest

    def _newest_first(self, units: list[walk.Unit]) -> list[walk.Unit]:
        return sorted(units, key=lambda unit: (unit.day or date.max, unit.path), reverse=True)

    def _glance(self, unit: walk.Unit) -> Glance:
        seen = self.memory.units.get(unit.path)
        return Glance(unit, seen.fingerprint if seen else "")

    def _looked(self, glances: list[Glance]) -> Iterator[Looked]:
        # A catalog that is made anew knows arrivals from the journal: too many to hand around.
        arrivals = {} if self.catalog.manifest().generation else self.journal.arrivals()
        if arrivals or not looking.is_worth_a_pool(glances):
            yield from (look(self.root, self.reader, arrivals, glance) for glance in glances)
            return
        with looking.crew(self.root, self.reader, self.make_executor, self.workers) as crew:
            yield from crew.run(glances)

    def _take_in(self, change: Change, looked: Looked) -> None:
        self.summary.unreadable += looked.trouble.unreadable
        self.summary.skipped += looked.trouble.skipped
        known = self.memory.units.get(looked.unit.path)
        fed = known.days if known else ()
        if looked.rows is not None and fed and not looked.is_arrival_told:
            # Only the catalog knows when these first came: look again with that in hand.
            looked = look(self.root, self.reader, _arrivals(change, fed), Glance(looked.unit, ""))
        if looked.rows is None or looked.seen is None:
            return
        tally, facts = merge(change, looked.unit, looked.rows, fed, looked.is_whole)
        self.summary.tally += tally
        self._facts.append(facts)
        self.summary.unknown_files += looked.unknown
        self.memory.units[looked.unit.path] = looked.seen

    def _forget_gone(self, change: Change, units: list[walk.Unit]) -> None:
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
            unit = walk.Unit(path, day)
            tally, facts = merge(change, unit, {}, seen.days, is_whole=True)
            self.summary.tally += tally
            self._facts.append(facts)
            del self.memory.units[path]

    def _remember(self, is_full: bool) -> None:
        if is_full:
            self.memory.full_at = time.time()
        memories.save(self.storage, self.memory)

    def open_waiting(self) -> None:
        """Open every file that waits for it, newest day first, and commit as days fill."""
        manifest = self.catalog.manifest()
        days = sorted(
            (day for day, part in manifest.media.items() if part.unread),
            key=lambda day: (day.date, day.camera),
            reverse=True,
        )
        if not days:
            return
        total = sum(manifest.media[day].unread for day in days)
        change = self.catalog.begin()
        with examine.crew(self.make_executor, self.workers) as crew:
            outcomes = self._counted(crew.run(self._tasks(days)), total)
            for day in days:
                self._apply(change, day, outcomes)
        self._commit(change)

    def _tasks(self, days: list[Day]) -> Iterator[Task]:
        # Read from a view of its own: the applying side is days behind.
        view = self.catalog.begin()
        for day in days:
            yield from opened.tasks(str(self.root), rows_of(view, day))

    def _counted(self, outcomes: Iterator[Outcome], total: int) -> Iterator[Outcome]:
        for count, outcome in enumerate(outcomes):
            self.progress("opening", count + 1, total)
            yield outcome

    def _apply(self, change: Change, day: Day, outcomes: Iterator[Outcome]) -> None:
        waiting = sum(row["state"] in opened.WAITING for row in rows_of(change, day))
        own = [next(outcomes) for _ in range(waiting)]
        facts, packs = opened.apply(change, self.storage, day, own, self.settings.ingest.quiet_s)
        for outcome in own:
            state = outcome.inspection.state if outcome.inspection else "not opened"
            self.summary.opened[state] = self.summary.opened.get(state, 0) + 1
        self._facts.append(facts)
        self._packs += packs
        self._commit_if_due(change)

    def _commit_if_due(self, change: Change) -> None:
        if change and time.monotonic() - self._committed > COMMIT_EVERY_S:
            self._commit(change)

    def _commit(self, change: Change) -> None:
        """Journal first, then the parts, then the manifest: killed between, nothing is lost."""
        if not change:
            return
        if not self.storage.exists(_AT_WORK):
            self.storage.replace(_AT_WORK, b"")
        facts = (
            pa.concat_tables(self._facts)
            .append_column(
                "noted",
                pa.repeat(pa.scalar(now_us()), sum(t.num_rows for t in self._facts)).cast(
                    SEEN.field("noted").type
                ),
            )
            .select(SEEN.names)
        )
        noted = [self.journal.note_seen(facts)] if facts.num_rows else []
        change.commit([*self._packs, *noted])
        self._facts, self._packs = [], []
        self._committed = time.monotonic()

    def finish(self) -> None:
        """Fold the journal, count, and say that this run ended well."""
        self.journal.fold()
        manifest = self.catalog.manifest()
        self.summary.files = self.memory.files
        self.summary.unknown = sum(seen.unknown for seen in self.memory.units.values())
        self.summary.ignored = sum(seen.ignored for seen in self.memory.units.values())
        self.summary.waiting = sum(part.unread for part in manifest.media.values())
        self.summary.generation = manifest.generation
        if self.storage.exists(_AT_WORK):
            self.storage.remove(_AT_WORK)


_AT_WORK = "state/at-work"


def _arrivals(change: Change, days: Iterable[Day]) -> dict[str, int]:
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
