"""Looking at one unit: list its files, and read their names if anything changed."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping, Sequence
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
from pano_analytics.workers.crew import Crew, MakeExecutor

# Starting processes costs what looking at so many folders costs.
WORTH_A_POOL = 100
# So many that those who look have enough to do while the rest is committed.
BATCH = 8


class Glance(NamedTuple):
    """A unit to look at, and the fingerprint it had when last seen (empty: never)."""

    unit: WalkUnit
    mark: str


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
    return [scan(root, reader, {}, glance) for glance in glances]


def crew(
    root: Path, reader: NameReader, make_executor: MakeExecutor, workers: int
) -> Crew[Glance, Looked]:
    """Return those who look at many units side by side."""
    work = partial(_look_all, root, reader)

    def look_here(glance: Glance, _: str) -> Looked:
        return scan(root, reader, {}, glance)

    return Crew(make_executor, workers, work, look_here, BATCH)


def is_worth_a_pool(glances: Iterable[Glance]) -> bool:
    """Tell whether so many folders are to be looked at that processes pay."""
    return sum(glance.unit.day is not None for glance in glances) >= WORTH_A_POOL
