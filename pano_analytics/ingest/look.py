"""Looking at one unit: list its files, and read their names if anything changed."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from pano_analytics.ingest import obstacles, walk
from pano_analytics.ingest.days import facts_of
from pano_analytics.ingest.lean import spare_pandas
from pano_analytics.ingest.listing import Listing, NameReader, now_us, table_of_named, tells_arrival
from pano_analytics.ingest.memory import Seen
from pano_analytics.ingest.unread import Unread, heap_of
from pano_analytics.ingest.walk import WalkProblems, WalkUnit
from pano_analytics.store.catalog import CameraDay, Sealed
from pano_analytics.workers.crew import Crew
from pano_analytics.workers.executors import MakeExecutor, root_here

# Starting processes costs what looking at so many files costs.
WORTH_A_POOL = 20_000
# What is looked at before others are asked to help: it tells how much the rest is, and
# those who help are still loading what they need.
LOOKED_AT_HERE = 5_000
# So many files that those who look have enough to do while the rest is committed.
BATCH_FILES = 2_500
_MOST_UNITS = 16


class Glance(NamedTuple):
    """A unit to look at, and its fingerprint and number of files when last seen, if it was."""

    unit: WalkUnit
    mark: str
    files: int | None = None

    @property
    def known_files(self) -> int | None:
        """How many files it holds, as far as that is known without a look; None where not."""
        return self.files if self.unit.day is not None else len(self.unit.entries)


@dataclass(frozen=True, slots=True)
class Looked:
    """What one look at a unit found. `rows` is None where nothing changed since the last.

    `rows` are sealed where they were made: most go into the catalog as they
    are. `facts` are what the journal is to know of them.
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
        """Whether all of it could be read: only then does a name that lacks mean a file gone."""
        return not self.trouble.unreadable


def scan(root: Path, reader: NameReader, arrivals: Mapping[str, int], glance: Glance) -> Looked:
    """Look at one unit; `arrivals` are known from before, by media_id."""
    trouble = WalkProblems()
    entries = walk.entries(root, glance.unit, trouble)
    mark = walk.fingerprint(entries, reader.key)
    if mark == glance.mark and not trouble.unreadable:
        return Looked(glance.unit, trouble)
    listing = reader.read(entries, now_us(), arrivals)
    tables = {day: table_of_named(rows) for day, rows in listing.days.items()}
    return Looked(
        glance.unit,
        trouble,
        {day: Sealed.of(table) for day, table in tables.items()},
        facts_of(tables.values()),
        listing.unknown,
        listing.parents,
        _seen("" if trouble.unreadable else mark, len(entries), listing, trouble),
        all(map(tells_arrival, entries)) and _is_plain(listing),
    )


def _is_plain(listing: Listing) -> bool:
    # A doubtful time is settled by the first arrival: that of now would move it.
    return all({row.time_source for row in rows} == {"name"} for rows in listing.days.values())


def _seen(mark: str, files: int, listing: Listing, trouble: WalkProblems) -> Seen:
    counts = (files, len(listing.unknown), listing.ignored)
    told = (heap_of(listing.unknown), obstacles.of(trouble, now_us()))
    return Seen(mark, *counts, tuple(listing.days), *told)


def _look_all(root: Path, reader: NameReader, glances: Sequence[Glance]) -> list[Looked]:
    # A process of its own that makes tuples by the hundred thousand and no circle:
    # looking for circles among them costs it a third of its time.
    gc.disable()
    spare_pandas()
    root = root_here(root)
    return [scan(root, reader, {}, glance) for glance in glances]


def crew(
    root: Path, reader: NameReader, make_executor: MakeExecutor, workers: int, batch: int
) -> Crew[Glance, Looked]:
    """Return those who look at many units side by side, `batch` of them at a time."""
    work = partial(_look_all, root, reader)

    def look_here(glance: Glance, _: str) -> Looked:
        return scan(root, reader, {}, glance)

    return Crew(make_executor, workers, work, look_here, batch)


class Extent:
    """How much there is to look at, in files: what is not known yet is as much as the rest."""

    def __init__(self, glances: Sequence[Glance]) -> None:
        self._left = len(glances)
        known = [files for glance in glances if (files := glance.known_files) is not None]
        self._known, self._unknown = sum(known), self._left - len(known)
        self._looked, self._units = 0, 0

    def saw(self, glance: Glance, looked: Looked) -> None:
        """Count a unit that was looked at."""
        files = glance.known_files
        if files is None:
            self._unknown -= 1
        else:
            self._known -= files
        self._looked += (files or 0) if looked.seen is None else looked.seen.files
        self._units, self._left = self._units + 1, self._left - 1

    @property
    def is_worth_a_pool(self) -> bool:
        """Whether so much is left that processes pay; not before a little was looked at."""
        is_begun = self._units > 0 and self._looked >= min(LOOKED_AT_HERE, self._files_left)
        return self._left > 1 and is_begun and self._files_left >= WORTH_A_POOL

    @property
    def batch(self) -> int:
        """How many units make a batch: small folders by the dozen, a huge one alone."""
        a_unit = max(1, self._files_left // max(1, self._left))
        return max(1, min(_MOST_UNITS, BATCH_FILES // a_unit))

    @property
    def _files_left(self) -> int:
        average = self._looked / self._units if self._units else 0
        return round(self._known + self._unknown * average)
