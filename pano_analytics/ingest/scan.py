"""Scanning one unit: list its files, and read their names if anything changed."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pano_analytics.ingest import obstacles, walk
from pano_analytics.ingest.days import facts_of
from pano_analytics.ingest.listing import Listing, NameReader, now_us, table_of_named, tells_arrival
from pano_analytics.ingest.memory import Seen
from pano_analytics.ingest.no_pandas import spare_pandas
from pano_analytics.ingest.unread import Unread, heap_of
from pano_analytics.ingest.walk import WalkProblems, WalkUnit
from pano_analytics.store.catalog import CameraDay, Sealed
from pano_analytics.workers.crew import Crew
from pano_analytics.workers.executors import MakeExecutor, root_here

# Starting processes takes as long as scanning this many files.
WORTH_A_POOL = 20_000
# How many files are scanned before processes are used: enough to estimate how many are left,
# and the processes still have to import their modules.
SCANNED_HERE = 5_000
# Enough files to keep the processes busy while results are committed.
BATCH_FILES = 2_500
_MOST_UNITS = 16


class ScanTask(NamedTuple):
    """A unit to scan, with what the last scan found, if there was one.

    That is its fingerprint, its number of files, and the cameras of its uploads.
    """

    unit: WalkUnit
    mark: str
    files: int | None = None
    cameras: tuple[str, ...] = ()

    @property
    def known_files(self) -> int | None:
        """How many files it has, if that is known without a scan; otherwise None."""
        return self.files if self.unit.day is not None else len(self.unit.entries)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of scanning a unit. `rows` is None if nothing changed since the last scan.

    `rows` are sealed by the scanning process: most go into the catalog as they are. `facts`
    are for the journal.
    """

    unit: WalkUnit
    trouble: WalkProblems
    rows: Mapping[CameraDay, Sealed] | None = None
    facts: pa.Table | None = None
    unknown: Sequence[Unread] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    seen: Seen | None = None
    is_arrival_told: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether all of it could be read: only then does a missing name mean a missing file."""
        return not self.trouble.unreadable


def scan(
    root: Path, reader: NameReader, arrivals: Mapping[str, int], scan_task: ScanTask
) -> ScanResult:
    """Scan one unit; `arrivals` are the known arrivals (µs since 1970 UTC) by media_id."""
    trouble = WalkProblems()
    entries = walk.entries(root, scan_task.unit, trouble)
    key = reader.key_of(scan_task.cameras)
    mark = walk.fingerprint(entries, key)
    if mark == scan_task.mark and not trouble.unreadable:
        return ScanResult(scan_task.unit, trouble)
    listing = reader.read(entries, now_us(), arrivals)
    own_key = reader.key_of({day.camera for day in listing.days})
    mark = mark if own_key == key else walk.fingerprint(entries, own_key)
    tables = {day: table_of_named(rows) for day, rows in listing.days.items()}
    return ScanResult(
        scan_task.unit,
        trouble,
        {day: Sealed.of(table) for day, table in tables.items()},
        facts_of(tables.values()),
        listing.unknown,
        listing.parents,
        _seen("" if trouble.unreadable else mark, len(entries), listing, trouble),
        all(map(tells_arrival, entries)) and _is_plain(listing),
    )


def _is_plain(listing: Listing) -> bool:
    # A doubtful time depends on the first arrival: a later one would change it.
    return all({row.time_source for row in rows} == {"name"} for rows in listing.days.values())


def _seen(mark: str, files: int, listing: Listing, trouble: WalkProblems) -> Seen:
    counts = (files, len(listing.unknown), listing.ignored)
    heap_and_obstacles = (heap_of(listing.unknown), obstacles.of(trouble, now_us()))
    return Seen(mark, *counts, tuple(listing.days), *heap_and_obstacles)


def _scan_all(root: Path, reader: NameReader, scan_tasks: Sequence[ScanTask]) -> list[ScanResult]:
    spare_pandas()
    root = root_here(root)
    with collection_paused():
        return [scan(root, reader, {}, scan_task) for scan_task in scan_tasks]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause garbage collection while names are read.

    Scanning creates tuples by the hundred thousand and no reference cycles: the search for
    cycles would take up to a third of its time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def crew(
    root: Path, reader: NameReader, make_executor: MakeExecutor, workers: int, batch: int
) -> Crew[ScanTask, ScanResult]:
    """Return the workers that scan many units in parallel, `batch` of them at a time."""
    work = partial(_scan_all, root, reader)

    def scan_here(scan_task: ScanTask, _: str) -> ScanResult:
        return scan(root, reader, {}, scan_task)

    return Crew(make_executor, workers, work, scan_here, batch)


class Extent:
    """How many files are left to scan; units of unknown size count as the average."""

    def __init__(self, scan_tasks: Sequence[ScanTask]) -> None:
        self._left = len(scan_tasks)
        known = [files for scan_task in scan_tasks if (files := scan_task.known_files) is not None]
        self._known, self._unknown = sum(known), self._left - len(known)
        self._scanned, self._units = 0, 0

    def saw(self, scan_task: ScanTask, result: ScanResult) -> None:
        """Count a unit that was scanned."""
        files = scan_task.known_files
        if files is None:
            self._unknown -= 1
        else:
            self._known -= files
        self._scanned += (files or 0) if result.seen is None else result.seen.files
        self._units, self._left = self._units + 1, self._left - 1

    @property
    def is_worth_a_pool(self) -> bool:
        """Whether enough is left to make processes worthwhile; False until a few are scanned."""
        is_begun = self._units > 0 and self._scanned >= min(SCANNED_HERE, self._files_left)
        return self._left > 1 and is_begun and self._files_left >= WORTH_A_POOL

    @property
    def batch(self) -> int:
        """How many units make a batch: several small folders, or a single huge one."""
        a_unit = max(1, self._files_left // max(1, self._left))
        return max(1, min(_MOST_UNITS, BATCH_FILES // a_unit))

    @property
    def _files_left(self) -> int:
        average = self._scanned / self._units if self._units else 0
        return round(self._known + self._unknown * average)
